"""A real containerd on a lab node: configured, started, given a pause image, and asked to run pods.

    with LabNode() as node:
        containerd = Containerd(node)
        containerd.link_plugins()
        containerd.write_bridge_network()
        containerd.start()
        containerd.import_image(PAUSE)
        pod = containerd.run_pod("client")

Nothing is pulled: the image is one layer around Debian's busybox-static.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from k8sdoctor.host import cri
from tests.lab.node import WATCHDOG, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.host import Json
    from tests.lab.node import LabNode

PAUSE = "registry.k8s.io/pause:3.6"
"""The sandbox image of containerd 1.6 when nobody chose another."""

SOCKET = "/run/containerd/containerd.sock"
CONFIG = "/etc/containerd/config.toml"
NETWORKS = "/etc/cni/net.d"
PLUGINS = "/opt/cni/bin"
DEBIAN_PLUGINS = "/usr/lib/cni"

BRIDGE_NETWORK = {
    "cniVersion": "0.4.0",
    "name": "cbr0",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.244.0.0/24"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}
"""The network of the recorded control plane in tests/data."""

_LOG = "/var/log/containerd.log"

# Nobody may be there to reap it, and a zombie does not run.
_RUNS = "grep -q '^State:.[^Z]'"

# Fixes say `systemctl restart containerd`, and a lab node has no systemd: this does what systemd would.
_SYSTEMCTL = f"""#!/bin/sh
echo "$*" >> /run/systemctl.log
case "$1" in
daemon-reload) ;;
restart | start | stop)
    [ "$2" = containerd ] || exit 5
    if [ "$1" != start ] && pid=$(cat /run/containerd.pid 2>/dev/null); then
        kill "$pid" 2>/dev/null
        while {_RUNS} "/proc/$pid/status" 2>/dev/null; do sleep 0.05; done
        rm -f {SOCKET}
    fi
    [ "$1" = stop ] && exit 0
    for variables in $(cat /etc/systemd/system/containerd.service.d/*.conf 2>/dev/null | grep ^Environment= | cut -d= -f2-); do
        eval "export $variables"
    done
    setsid containerd >>{_LOG} 2>&1 </dev/null &
    echo $! >/run/containerd.pid
    ;;
*) exit 1 ;;
esac
"""


@dataclass(frozen=True)
class LabSandbox:
    """A real pod sandbox: its id, the pid of its process on the node, its network namespace and its first address."""

    id: str
    pid: int
    netns: str
    ip: str


@dataclass
class Containerd:
    """containerd of Debian on a lab node. See the module.

    `toml` is appended to its configuration, `env` is its environment, `pod_dns` is the `dns_config` of its pods.
    """

    node: LabNode
    sandbox_image: str | None = None
    toml: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    pod_dns: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Write its configuration and give it folders that its snapshots can live in."""
        # Overlays cannot be stacked on the node's own overlay of /var.
        self.node.shell(
            "mkdir -p /var/lib/containerd /var/lib/cni /etc/cni /opt/cni/bin /var/log\n"
            "mount -t tmpfs tmpfs /var/lib/containerd\n"
            "mount -t tmpfs tmpfs /etc/cni\n"
            "mkdir -p /etc/cni/net.d"
        )
        image = f'  sandbox_image = "{self.sandbox_image}"\n' if self.sandbox_image else ""
        self.node.write(
            CONFIG,
            "version = 2\n"
            '[plugins."io.containerd.grpc.v1.cri"]\n'
            "  restrict_oom_score_adj = true\n"  # the machine may not lower oom scores
            f"{image}{self.toml}",
        )
        self.node.write("/usr/local/sbin/systemctl", _SYSTEMCTL, mode=0o755)

    # -- the daemon --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it as systemd would, and wait until it serves CRI."""
        self.node.run(["systemctl", "start", "containerd"], env=self.env)
        self.wait_until_ready()

    def restart(self) -> None:
        """Restart it as a fix would, and wait until it serves CRI."""
        self.node.run(["systemctl", "restart", "containerd"], env=self.env)
        self.wait_until_ready()

    def stop(self) -> None:
        """Stop it; its socket stays, as after a crash."""
        self.node.run(["sh", "-c", "kill $(cat /run/containerd.pid)"])
        wait_for(lambda: not self.running, "containerd's end")

    def wait_until_ready(self) -> None:
        """Wait until it answers over CRI."""

        def answers() -> bool:
            if not self.running:
                message = f"containerd ended:\n{self.log}"
                raise AssertionError(message)
            try:
                return bool(self.call("RuntimeService/Version"))
            except cri.CallError:
                return False

        wait_for(answers, "an answer of containerd")

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        command = f"{_RUNS} /proc/$(cat /run/containerd.pid)/status"
        return self.node.run(["sh", "-c", command], check=False).returncode == 0

    @property
    def log(self) -> str:
        """What it has logged."""
        return self.node.read(_LOG)

    # -- CRI ---------------------------------------------------------------------------------------------------------

    def call(self, method: str, request: dict[str, Json] | None = None) -> dict[str, Any]:
        """Call any CRI method. Raises cri.CallError."""
        return cri.call(str(self.node.root) + SOCKET, method, request or {}, WATCHDOG)

    def status(self) -> dict[str, Any]:
        """The verbose status: `conditions` by type, and `info` with its values as they came."""
        answer = self.call("RuntimeService/Status", {"verbose": True})
        conditions = {condition["type"]: condition for condition in answer["status"]["conditions"]}
        return {"conditions": conditions, "info": answer["info"]}

    @property
    def network_ready(self) -> bool:
        """Whether it says that it could start pods."""
        return bool(self.status()["conditions"]["NetworkReady"]["status"])

    @property
    def load_status(self) -> str:
        """What it says of its last look at the CNI folder: `OK`, or the error."""
        return cast("str", self.status()["info"]["lastCNILoadStatus"])

    def run_pod(self, name: str, namespace: str = "default", **labels: str) -> LabSandbox:
        """Start a pod sandbox. Raises cri.CallError with containerd's words."""
        answer = self.call(
            "RuntimeService/RunPodSandbox",
            {
                "config": {
                    "metadata": {"name": name, "uid": f"{namespace}-{name}", "namespace": namespace},
                    "hostname": name,
                    "log_directory": f"/var/log/pods/{namespace}_{name}",
                    "dns_config": dict(self.pod_dns),
                    "labels": {"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": namespace, **labels},
                    "linux": {"security_context": {"namespace_options": {"pid": "CONTAINER"}}},
                }
            },
        )
        told = self.call(
            "RuntimeService/PodSandboxStatus", {"pod_sandbox_id": answer["pod_sandbox_id"], "verbose": True}
        )
        info = json.loads(told["info"]["info"])
        [netns] = [each["path"] for each in info["runtimeSpec"]["linux"]["namespaces"] if each["type"] == "network"]
        return LabSandbox(answer["pod_sandbox_id"], info["pid"], netns, told["status"]["network"]["ip"])

    def run_container(self, sandbox: str, name: str, command: list[str], **labels: str) -> str:
        """Make a container in a sandbox of `run_pod`, as the kubelet labels it, and try to start it; its id.

        A lab's own cgroups keep runc from starting any in a pod, which containerd then tells as the container's end.
        """
        namespace, pod = labels["io.kubernetes.pod.namespace"], labels["io.kubernetes.pod.name"]
        config: dict[str, Json] = {
            "metadata": {"name": name},
            "image": {"image": self.sandbox_image or PAUSE},
            "command": list(command),
            "labels": {"io.kubernetes.container.name": name, **labels},
            "log_path": f"{name}.log",
        }
        pods: dict[str, Json] = {
            "metadata": {"name": pod, "uid": f"{namespace}-{pod}", "namespace": namespace},
            "log_directory": f"/var/log/pods/{namespace}_{pod}",
        }
        request: dict[str, Json] = {"pod_sandbox_id": sandbox, "config": config, "sandbox_config": pods}
        made = str(self.call("RuntimeService/CreateContainer", request)["container_id"])
        with suppress(cri.CallError):
            self.call("RuntimeService/StartContainer", {"container_id": made})
        return made

    def state(self, container: str) -> str:
        """A container's state, such as `CONTAINER_EXITED`."""
        status = self.call("RuntimeService/ContainerStatus", {"container_id": container})["status"]
        return cast("str", status["state"])

    def remove_pod(self, sandbox: str) -> None:
        """Stop a pod sandbox and remove it."""
        self.call("RuntimeService/StopPodSandbox", {"pod_sandbox_id": sandbox})
        self.call("RuntimeService/RemovePodSandbox", {"pod_sandbox_id": sandbox})

    # -- what it needs -----------------------------------------------------------------------------------------------

    def import_image(self, *names: str) -> None:
        """Give it an image that sleeps for good, by these names (by default that of the sandbox image)."""
        path = "/run/pause.tar"
        (self.node.root / path.lstrip("/")).write_bytes(image_archive(*names or (PAUSE,)))
        self.node.run(["ctr", "-n", "k8s.io", "images", "import", path])

    def link_plugins(self, *names: str) -> None:
        """Put Debian's CNI plugins (all, or those named) where containerd looks for them."""
        chosen = " ".join(f"{DEBIAN_PLUGINS}/{name}" for name in names) or f"{DEBIAN_PLUGINS}/*"
        self.node.shell(f"ln -sf {chosen} {PLUGINS}/")

    def write_network(self, name: str, content: str | Mapping[str, Any]) -> str:
        """Write a CNI configuration file in place, as an editor does; its path."""
        path = f"{NETWORKS}/{name}"
        self.node.write(path, content if isinstance(content, str) else json.dumps(content))
        return path

    def write_bridge_network(self) -> str:
        """Write the usual network; its path."""
        return self.write_network("10-bridge.conflist", BRIDGE_NETWORK)


def image_archive(*names: str, architecture: str | None = None) -> bytes:
    """A docker archive (`docker save`) of one layer that holds busybox and sleeps; by default for this machine."""
    busybox = Path("/bin/busybox").read_bytes()
    layer = _tar({"bin/busybox": (busybox, 0o755)})
    config = json.dumps(
        {
            "architecture": architecture
            or {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
            "os": "linux",
            "config": {"Entrypoint": ["/bin/busybox", "tail", "-f", "/dev/null"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": list(names), "Layers": ["layer.tar"]}]).encode()
    return _tar({"config.json": (config, 0o644), "layer.tar": (layer, 0o644), "manifest.json": (manifest, 0o644)})


def _tar(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()
