"""What mends a static pod's manifest.

The kubelet reads any name in its folder, so a fix leaves no file of its own there: `sed -i` would, for a moment, and the kubelet would make a pod of it.
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from k8sdoctor.facts.static_pods import MANIFESTS
from k8sdoctor.finding import Fix, Safety

if TYPE_CHECKING:
    from collections.abc import Iterable

    from k8sdoctor.facts.manifest_files import NamedFile
    from k8sdoctor.facts.pod_manifest import Manifest
    from k8sdoctor.facts.static_pods import StaticPods

ASIDE = "/etc/kubernetes/manifests-aside"

# The phases of kubeadm that make a file anew from the authority's key and leave alone what is there.
_PHASES = {
    "/etc/kubernetes/pki/apiserver": "certs apiserver",
    "/etc/kubernetes/pki/apiserver-kubelet-client": "certs apiserver-kubelet-client",
    "/etc/kubernetes/pki/apiserver-etcd-client": "certs apiserver-etcd-client",
    "/etc/kubernetes/pki/front-proxy-client": "certs front-proxy-client",
    "/etc/kubernetes/pki/etcd/server": "certs etcd-server",
    "/etc/kubernetes/pki/etcd/peer": "certs etcd-peer",
    "/etc/kubernetes/pki/etcd/healthcheck-client": "certs etcd-healthcheck-client",
    "/etc/kubernetes/controller-manager": "kubeconfig controller-manager",
    "/etc/kubernetes/scheduler": "kubeconfig scheduler",
}


def _running(program: str) -> str:
    return f"crictl ps --name {quote(program)}"


def edit(path: str, title: str, program: str) -> Fix:
    """Only a person knows what was meant."""
    return Fix(
        title,
        commands=(f"${{EDITOR:-vi}} {quote(path)}",),
        verify=f"python3 -c 'import sys, yaml; yaml.safe_load(open(sys.argv[1]))' {quote(path)}; {_running(program)}",
        safety=Safety.MANUAL,
    )


def move_aside(paths: Iterable[str], keep: str, *, sure: bool = True) -> Fix:
    """Out of the folder, into one that nobody watches."""
    moves = tuple(f"mv -n {quote(path)} {ASIDE}/" for path in paths)
    return Fix(
        f"Keep {keep} and move the rest out of the folder" if keep else "Move it out of the folder",
        commands=(f"mkdir -p {ASIDE}", *moves),
        verify=f"ls {ASIDE}",
        safety=Safety.DISRUPTIVE if sure else Safety.MANUAL,  # the kubelet starts the pod anew
    )


def without(path: str, words: Iterable[str], container_words: tuple[str, ...], program: str) -> Fix:
    """Take flags out where each is one item of the list; else a person does it."""
    gone = tuple(words)
    for position, word in enumerate(container_words):
        following = "".join(container_words[position + 1 : position + 2])
        if word in gone and following and not following.startswith("-"):
            return edit(path, f"Take {' and '.join(gone)} out of {path}, with its value on the next line", program)
    # `- --name=value`, quoted or not, as an item of a YAML list.
    script = "; ".join(rf"/^ *- *[\"']\?{word}\(=.*\)\?[\"']\? *$/d" for word in gone)
    return rewrite(path, script, f"Take {' and '.join(gone)} out of {path}", f"crictl ps --name {quote(program)}")


def rewrite(path: str, script: str, title: str, verify: str) -> Fix:
    """Change a manifest by sed, written in one go."""
    return Fix(
        title,
        commands=(
            f"new=$(mktemp) && sed {quote(script)} {quote(path)} > $new && cat $new > {quote(path)}; rm -f $new",
        ),
        verify=verify,
        safety=Safety.DISRUPTIVE,  # the kubelet starts the pod anew
    )


def drop_plugin(path: str, name: str, program: str) -> Fix:
    """Take a name out of the lists of admission plugins; a list of that name alone goes with its flag."""
    flags = r"--\(enable\|disable\)-admission-plugins="
    script = f"/{flags}{name}[\"']\\? *$/d; /{flags}/{{s/,{name}//; s/{name},//}}"
    return rewrite(path, script, f"Take the admission plugin {name} out of {path}", _running(program))


def make_file(missing: NamedFile) -> Fix:
    """What comes from an authority kubeadm makes where its key is; the rest is brought from where it is."""
    where = missing.host or missing.path
    stem = where.rpartition(".")[0]
    phase = _PHASES.get(stem)
    if phase:
        return Fix(
            f"Have kubeadm make {where} anew",
            commands=(f"ls -l {quote(stem)}.*", f"kubeadm init phase {phase}"),
            verify=f"ls -l {quote(where)}; {_running(missing.program)}",
            safety=Safety.MANUAL,  # it needs the authority's key, and --config where the cluster was made with one
        )
    return Fix(
        f"Bring {where} back, or take {missing.flag} out of {missing.manifest}",
        commands=(f"ls -la {quote(where.rpartition('/')[0] or '/')}", f"${{EDITOR:-vi}} {quote(missing.manifest)}"),
        verify=f"ls -l {quote(where)}; {_running(missing.program)}",
        safety=Safety.MANUAL,  # another control plane or a backup has the file
    )


def watch_kubeadms_folder(pods: StaticPods) -> Fix:
    """Name the folder in the file that the kubelet reads."""
    source = pods.source
    restart = "systemctl restart kubelet"
    verify = f"grep staticPodPath {quote(source)}; crictl ps"
    line = f"staticPodPath: {MANIFESTS}"
    if not source.startswith("/") or " " in source or source.endswith((".env", "/kubelet")):
        command = "systemctl cat kubelet"
        title = f"Have the kubelet watch {MANIFESTS}: take --pod-manifest-path out of its command line"
        return Fix(title, (command, restart), verify="ps -o args= -C kubelet; crictl ps", safety=Safety.MANUAL)
    if pods.folder is None:
        commands = (f"printf '\\n%s\\n' {quote(line)} >> {quote(source)}", restart)
    else:
        commands = (f"sed -i {quote(f's|^staticPodPath:.*|{line}|')} {quote(source)}", restart)
    title = f"Have the kubelet watch {MANIFESTS}"
    return Fix(title, commands, verify=verify, safety=Safety.MANUAL)  # the pods of the other folder go


def close(paths: Iterable[str]) -> Fix:
    """As kubeadm makes them."""
    return Fix(
        "Let only root write there",
        commands=tuple(f"chmod o-w {quote(path)}" for path in paths),
        verify="ls -ld " + " ".join(quote(path) for path in paths),
        safety=Safety.SAFE,
    )


def original(manifests: Iterable[Manifest]) -> Manifest | None:
    """The one of several manifests of a pod that has kubeadm's name for it."""
    return next((each for each in manifests if each.path.rpartition("/")[2] == f"{each.name}.yaml"), None)
