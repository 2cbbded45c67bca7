"""What mends the pod network that a runtime loads from its folder: the folder's files, the programs that they need, the runtime's own hold on both."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from k8sdoctor.facts.cni import CniExecutable
from k8sdoctor.facts.cni_network import LONGEST_NAME, go_json
from k8sdoctor.finding import Fix, Safety
from k8sdoctor.patterns import regex

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from k8sdoctor.facts.cni import CniFile, CniFolder
    from k8sdoctor.facts.distribution import Distribution
    from k8sdoctor.facts.flannel import SubnetFile
    from k8sdoctor.facts.runtime import Runtime

_NAME = regex(r'"name": *"((?:[^"\\]|\\.)*)"')

# Programs of containernetworking/plugins, which distributions package.
_REFERENCE = frozenset(
    {
        *("bandwidth", "bridge", "dhcp", "dummy", "firewall", "host-device", "host-local", "ipvlan", "loopback"),
        *("macvlan", "portmap", "ptp", "sbr", "static", "tap", "tuning", "vlan", "vrf"),
    }
)
_PACKAGES = {
    "debian": ("apt-get install -y containernetworking-plugins", "/usr/lib/cni"),
    "rhel": ("dnf install -y containernetworking-plugins", "/usr/libexec/cni"),
    "suse": ("zypper --non-interactive install cni-plugins", "/usr/lib/cni"),
}

# Who puts the other programs there: the namespace and DaemonSet of their own manifests.
_DAEMON_SETS = {
    "calico": ("kube-system", "calico-node"),
    "calico-ipam": ("kube-system", "calico-node"),
    "cilium-cni": ("kube-system", "cilium"),
    "flannel": ("kube-flannel", "kube-flannel-ds"),
    "multus": ("kube-system", "kube-multus-ds"),
    "multus-shim": ("kube-system", "kube-multus-ds"),
    "weave-net": ("kube-system", "weave-net"),
    "weave-ipam": ("kube-system", "weave-net"),
    "antrea": ("kube-system", "antrea-agent"),
    "kube-ovn": ("kube-system", "kube-ovn-cni"),
}

# -- the folder ----------------------------------------------------------------------------------------------------------


def install_network(folder: str) -> Fix:
    """Bring the cluster's pod network, whose own pod writes into the folder."""
    return Fix(
        title="Install the cluster's pod network, or find out why its pod wrote no configuration here",
        commands=(
            "kubectl get pods --all-namespaces -o wide --field-selector spec.nodeName=$(hostname)",
            "kubectl get daemonsets --all-namespaces",
        ),
        verify=f"ls -l {folder}",
        safety=Safety.MANUAL,
    )


def copy_in(folder: CniFolder, runtime: Runtime, source: str) -> Fix:
    """Copy a file that lies where this runtime does not look."""
    target = shlex.quote(folder.settings.folder)
    commands = [f"mkdir -p {target}", f"cp -n {shlex.quote(source)} {target}/"]
    if not folder.exists:  # nobody watches a folder that was not there
        commands.append(_restart_command(runtime))
    return Fix(
        title=f"Put the configuration where {runtime.kind} looks (or set its folder to "
        f"{source.rpartition('/')[0]}, if a DaemonSet keeps writing there)",
        commands=tuple(commands),
        verify=f"ls -l {target}",
        safety=Safety.SAFE if folder.exists else Safety.DISRUPTIVE,
    )


def use_first_network(folder: str) -> Fix:
    """Take away the name that CRI-O was told."""
    return Fix(
        title="Let CRI-O use the first network that is valid",
        commands=(f"grep -rn cni_default_network /etc/crio; ls -l {folder}",),
        verify="crictl info | grep -A3 NetworkReady",
        safety=Safety.MANUAL,
    )


def put_aside(path: str, title: str) -> Fix:
    """Rename a file so that it does not count any more; the runtime hears of that."""
    return Fix(
        title,
        (f"mv -n {shlex.quote(path)} {shlex.quote(path)}.disabled",),
        f"ls {shlex.quote(path.rpartition('/')[0])}",
        Safety.MANUAL,
    )


# -- a file --------------------------------------------------------------------------------------------------------------


def correct(file: CniFile) -> Fix:
    """Make a file loadable that the runtime refuses."""
    path = shlex.quote(file.path)
    message = file.error.message if file.error else ""
    verify = f"python3 -m json.tool {path}"
    if "byte-order mark" in message:
        return Fix("Remove the byte-order mark", (rf"sed -i '1s/^\xEF\xBB\xBF//' {path}",), verify, Safety.SAFE)
    if "must end in .conflist" in message:
        renamed = shlex.quote(f"{file.path.rpartition('.')[0]}.conflist")
        return Fix("Give the list the name of one", (f"mv -n {path} {renamed}",), f"ls {renamed}", Safety.SAFE)
    line = f"+{file.error.line} " if file.error and file.error.line else ""
    return Fix(
        "Correct the file (an editor's save is seen by the runtime), or have whoever writes it write it anew",
        (f"${{EDITOR:-vi}} {line}{path}",),
        verify,
        Safety.MANUAL,
    )


def name_network(file: CniFile) -> Fix:
    """Give a network a name on which libcni starts pods."""
    path = shlex.quote(file.path)
    old = file.network.name if file.network else ""
    if old:
        new = "".join(char if char.isascii() and (char.isalnum() or char in "_.-") else "-" for char in old)
        new = (new if new[0].isalnum() else f"net{new}")[:LONGEST_NAME]
        spelt = _spelt(file.text or "", old)
        pattern = "".join(f"\\{char}" if char in r"\/.*[]^$&" else char for char in spelt).replace("'", "'\\''")
        command = f"""sed -i 's/"name": *"{pattern}"/"name": "{new}"/' {path}"""
    elif file.text and '"name"' in file.text:
        command = f"""sed -i 's/"name": *""/"name": "podnet"/' {path}"""
    else:
        command = f"""sed -i '0,/{{/s//{{ "name": "podnet",/' {path}"""
    return Fix("Give the network a name that libcni takes", (command,), f"grep -n name {path}", Safety.MANUAL)


def _spelt(text: str, name: str) -> str:
    """How a name stands in a file's text, where its characters may be written as escapes."""
    written = (match[1] for match in _NAME.finditer(text))
    return next((each for each in written if go_json(f'"{each}"') == name), name)


def give_addresses(file: CniFile) -> Fix:
    """Have a network's plugin give pods addresses."""
    path = shlex.quote(file.path)
    return Fix(
        'Give the plugin that makes the interface an "ipam", such as host-local with this node\'s pod subnet',
        (
            f"grep -n '\"type\"\\|ipam' {path}",
            "kubectl get nodes -o custom-columns=NAME:.metadata.name,PODS:.spec.podCIDRs",
        ),
        f"grep -n -A4 ipam {path}",
        Safety.MANUAL,
    )


def use_known_version(folder: CniFolder, file: CniFile, version: str) -> Fix:
    """Have the file name the newest version of the specification that the runtime and all its plugins know, where there is one."""
    known = set(folder.settings.specifications)
    for requirement in file.network.requirements if file.network else ():
        executable = folder.executables.get(requirement.type)
        if executable and executable.versions is not None:
            known &= set(executable.versions)
    path = shlex.quote(file.path)
    if not known or not (file.network and file.network.cni_version):
        return Fix(
            "Bring plugins and configuration to versions that fit",
            (f"grep -n cniVersion {path}",),
            f"grep -n cniVersion {path}",
            Safety.MANUAL,
        )
    best = max(known, key=folder.settings.specifications.index)
    old = version.replace(".", r"\.").replace("/", r"\/")
    return Fix(
        f"Use version {best}, the newest that all know (or update the plugins, if a DaemonSet writes this file)",
        (f"""sed -i 's/"cniVersion": *"{old}"/"cniVersion": "{best}"/' {path}""",),
        f"grep -n cniVersion {path}",
        Safety.MANUAL,
    )


# -- programs ------------------------------------------------------------------------------------------------------------


def install(folder: CniFolder, distribution: Distribution, executables: Iterable[CniExecutable]) -> Fix:
    """Bring programs to the first plugin folder: by a link, a package, or whoever is to put them there."""
    executables = list(executables)
    into = folder.settings.plugin_folders[0] if folder.settings.plugin_folders else "/opt/cni/bin"
    quoted = shlex.quote(into)
    commands: list[str] = [f"mkdir -p {quoted}"]
    title, safety = "Put the plugins where the runtime looks", Safety.SAFE
    packaged = [each.type for each in executables if not each.elsewhere and each.type in _REFERENCE]
    source = ""
    if packaged:
        package, source = _PACKAGES.get(distribution.family, ("", ""))
        if package:
            title = "Install the plugins and link them to where the runtime looks"
            commands.append(package)
        else:
            title, safety = "Unpack the reference plugins (containernetworking/plugins)", Safety.MANUAL
            names = " ".join(f"./{name}" for name in packaged)
            commands.append(f"tar -C {quoted} -xzf cni-plugins-linux-*.tgz {names}")
    for each in executables:
        if each.elsewhere:
            commands.append(f"ln -s {shlex.quote(each.elsewhere)} {quoted}/")
        elif each.type in _REFERENCE:
            if source and source != into:
                commands.append(f"ln -s {source}/{each.type} {quoted}/")
        else:
            namespace, name = _DAEMON_SETS.get(each.type, ("", ""))
            title, safety = f"Let the pod network's DaemonSet put {each.type} there again", Safety.DISRUPTIVE
            commands.append(
                f"kubectl -n {namespace} rollout restart daemonset/{name}"
                if name
                else "kubectl get daemonsets --all-namespaces"
            )
            if not name:
                safety = Safety.MANUAL
    verify = f"ls -lL {' '.join(f'{quoted}/{each.type}' for each in executables)}"
    return Fix(title, tuple(dict.fromkeys(commands)), verify, safety)


def make_executable(folder: CniFolder, distribution: Distribution, executables: Sequence[CniExecutable]) -> Fix:
    """Let programs run that are there: by their mode, else in place of those of another machine."""
    paths = " ".join(shlex.quote(each.path or "") for each in executables)
    if all(each.problem and "mode" in each.problem for each in executables):
        return Fix("Make it executable", (f"chmod 755 {paths}",), f"ls -lL {paths}", Safety.SAFE)
    aside = tuple(f"mv {shlex.quote(each.path or '')} {shlex.quote(each.path or '')}.disabled" for each in executables)
    again = install(folder, distribution, [CniExecutable(each.type) for each in executables])
    return Fix("Install it anew for this machine", (*aside, *again.commands), f"file {paths}", Safety.MANUAL)


def write_subnet(file: SubnetFile) -> Fix:
    """Have flannel tell this node's subnet."""
    return Fix(
        "Have flannel write it again (its pod's log says why it did not)",
        (
            "kubectl -n kube-flannel logs daemonset/kube-flannel-ds --all-containers --tail=20",
            "kubectl -n kube-flannel rollout restart daemonset/kube-flannel-ds",
        ),
        f"cat {shlex.quote(file.path)}",
        Safety.DISRUPTIVE,
    )


# -- the runtime ---------------------------------------------------------------------------------------------------------


def reload(path: str) -> Fix:
    """Have the runtime load a file of the folder that it watches."""
    file, copy = shlex.quote(path), shlex.quote(f"{path}.k8sdoctor")
    # `touch` would not do, and neither would moving the file in from outside: containerd hears of a rename inside the folder.
    return Fix(
        "Rename the file inside its folder, which containerd hears of",
        (f"cp -a {file} {copy} && mv {copy} {file}",),
        "crictl info | grep lastCNILoadStatus",
        Safety.SAFE,
    )


def restart(runtime: Runtime, title: str) -> Fix:
    """Start the runtime anew, which then reads the folder and watches it."""
    return Fix(
        f"{title} (pods keep running)",
        (_restart_command(runtime),),
        "crictl info | grep -A3 NetworkReady",
        Safety.DISRUPTIVE,
    )


def _restart_command(runtime: Runtime) -> str:
    several = {
        "k3s": "'k3s*.service' 'rke2*.service'",  # or its agent, or RKE2, which has the same socket
        "k0sworker": "'k0s*.service'",  # or a controller that is a worker, too
    }
    return f"systemctl restart {several.get(runtime.unit, runtime.unit)}"


# -- addresses -----------------------------------------------------------------------------------------------------------


def agree_on_subnet(path: str) -> Fix:
    """Show both places that tell the pods' subnet."""
    return Fix(
        "Decide which one is meant, and write it in both places",
        (
            f"grep -n -i subnet {shlex.quote(path)}",
            "kubectl -n kube-system get configmap kubeadm-config -o yaml",
        ),
        "kubectl get nodes -o custom-columns=NAME:.metadata.name,PODS:.spec.podCIDRs",
        Safety.MANUAL,
    )


def remove_bridge(bridge: str) -> Fix:
    """Remove a bridge with an address that is none of the pods', and with it their network."""
    return Fix(
        "Remove the bridge, which the next pod makes anew (pods on it lose their network until they are made anew, too)",
        (f"ip link delete {bridge}",),
        f"ip address show {bridge}",
        Safety.DISRUPTIVE,
    )


def remove_dead_bridge(bridge: str) -> Fix:
    """Remove a bridge that no pod came up on."""
    return Fix(
        "Remove the bridge, which the next pod makes anew",
        (f"ip link delete {bridge}",),
        f"ip link show {bridge}",
        Safety.DISRUPTIVE,
    )
