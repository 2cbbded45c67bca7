"""What to paste when a kubeconfig is at fault.

`kubeadm certs renew` makes the certificates in kubeadm's kubeconfigs anew, but the kubelet's, which the kubelet rotates by itself (cmd/kubeadm/app/phases/
certs/renewal/manager.go). A controller manager and a scheduler read their kubeconfig once, so they are restarted by their manifests.
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from k8sdoctor.checks._apiserver_fixes import CERTS_LEFT_ALPHA, Site, kubeconfig_phase, write_kubeconfig
from k8sdoctor.facts.kubeconfig import ADMIN, CONTROLLER_MANAGER, KUBELET, SCHEDULER
from k8sdoctor.finding import Fix, Safety

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k8sdoctor.facts.credentials import SecretFile
    from k8sdoctor.facts.kubectl import Setup
    from k8sdoctor.facts.x509 import Certificate

MANIFESTS = {
    CONTROLLER_MANAGER: "/etc/kubernetes/manifests/kube-controller-manager.yaml",
    SCHEDULER: "/etc/kubernetes/manifests/kube-scheduler.yaml",
}
"""Who reads a kubeconfig once, when it starts."""

ASIDE = "/etc/kubernetes"
"""Where manifests wait while their pods end: on the same disk, and not in the folder that the kubelet watches."""


def restart(manifests: Sequence[str]) -> str:
    """Restart static pods of one folder: the kubelet looks at it every 20 s (fileCheckFrequency)."""
    folder = manifests[0].rpartition("/")[0]
    names = [path.rpartition("/")[2] for path in manifests]
    if len(names) == 1:
        return f"mv -n {manifests[0]} {ASIDE}/{names[0]}.restarting; sleep 25; mv -n {ASIDE}/{names[0]}.restarting {manifests[0]}"
    each, here, aside = f"for pod in {' '.join(names)}", f"{folder}/$pod", f"{ASIDE}/$pod.restarting"
    return f"{each}; do mv -n {here} {aside}; done; sleep 25; {each}; do mv -n {aside} {here}; done"


def certs(site: Site) -> str:
    """`kubeadm certs` was `kubeadm alpha certs` once."""
    return "kubeadm certs" if site.version is None or site.version >= CERTS_LEFT_ALPHA else "kubeadm alpha certs"


def use_admin(setup: Setup, *, caller: bool) -> Fix:
    """Give a person the administrator's kubeconfig, as `kubeadm init` says in the end."""
    target = quote(f"{setup.home}/.kube/config")
    commands = ["unset KUBECONFIG"] if setup.variable and caller else []
    commands += [f"mv -n {target} {target}.empty"] if setup.empty and not setup.missing else []
    sudo = "" if setup.home == "/root" or not caller else "sudo "
    commands += [f"mkdir -p {quote(setup.home)}/.kube", f"{sudo}cp -n {ADMIN} {target}"]
    if setup.person != "root":
        who = quote(setup.person)
        commands.append(f'{sudo}chown "$(id -u {who}):$(id -g {who})" {quote(setup.home)}/.kube {target}')
    return Fix(
        title=f"Give {setup.person} the administrator's kubeconfig",
        commands=tuple(commands),
        persist=(
            "grep -sn KUBECONFIG ~/.profile ~/.bash_profile ~/.bashrc /etc/environment /etc/profile /etc/profile.d/* || true",
        )
        if setup.variable
        else (),
        verify=f"kubectl --kubeconfig {target} version",
        safety=Safety.MANUAL,
    )


def choose_context(path: str, contexts: Sequence[str]) -> Fix:
    """A kubeconfig that names no current context, or one that it does not have."""
    only = contexts[0] if len(contexts) == 1 else None
    command = f"kubectl config --kubeconfig {quote(path)} "
    return Fix(
        title=f"Choose the context {only}"
        if only
        else f"Choose one of the contexts {', '.join(contexts) or 'of another file'}",
        commands=(command + (f"use-context {quote(only)}" if only else "get-contexts"),),
        verify=command + "current-context",
        safety=Safety.MANUAL,
    )


def renew(site: Site, paths: Sequence[str], leaf: Certificate) -> Fix:
    """The certificates in kubeadm's kubeconfigs have ended, or will soon."""
    suffix = leaf.fingerprint[:8]
    manifests = [MANIFESTS[path] for path in paths if path in MANIFESTS]
    commands = [f"cp -an {path} {path}.{suffix} && {certs(site)} renew {path.rpartition('/')[2]}" for path in paths]
    if manifests:
        commands.append(restart(manifests))
    return Fix(
        title="Renew the certificates in kubeadm's kubeconfigs, and copies of admin.conf after it",
        commands=tuple(commands),
        verify=f"{certs(site)} check-expiration",
        safety=Safety.DISRUPTIVE if manifests else Safety.SAFE,
    )


def copy_admin(path: str, suffix: str) -> Fix:
    """A person's copy of admin.conf is out of date."""
    target = quote(path)
    return Fix(
        title="Copy the administrator's kubeconfig again",
        commands=(
            f"mv -n {target} {target}.{suffix} && cp -n {ADMIN} {target} && chown --reference={target}.{suffix} {target}",
        ),
        verify=f"kubectl --kubeconfig {target} version",
        safety=Safety.MANUAL,
    )


def write_anew(site: Site, path: str, suffix: str, server: str | None) -> Fix:
    """A kubeconfig of kubeadm whose certificate or key is of no use: kubeadm keeps a file that exists, so it is moved aside."""
    phase = kubeconfig_phase(path)
    if path == KUBELET:
        return enroll_kubelet(site, suffix, server)
    commands: tuple[str, ...] = (f"kubectl config view --kubeconfig {quote(path)}",)
    if phase and site.control_plane:
        manifests = [MANIFESTS[path]] if path in MANIFESTS else []
        commands = (
            f"mv -n {path} {path}.{suffix}",
            write_kubeconfig(site, phase),
            *([restart(manifests)] if manifests else []),
        )
    return Fix(
        title=f"Have kubeadm write {path} anew" if phase and site.control_plane else f"Mend {path}, or replace it",
        commands=commands,
        verify=f"kubectl config view --kubeconfig {quote(path)} --minify",
        safety=Safety.MANUAL,
    )


CURRENT = "/var/lib/kubelet/pki/kubelet-client-current.pem"


def point_at_rotated() -> str:
    """Have kubelet.conf name the file that the kubelet rotates, as kubeadm's `kubelet-finalize` does since 1.17."""
    return rf"sed -i -E 's#^( *client-(certificate|key))(-data)?:.*#\1: {CURRENT}#' {KUBELET}"


def finalize_kubelet(suffix: str) -> Fix:
    """The kubelet rotates its certificate, and kubelet.conf holds the first one."""
    return Fix(
        title="Point kubelet.conf to the certificate that the kubelet rotates",
        commands=(f"cp -an {KUBELET} {KUBELET}.{suffix}", point_at_rotated(), "systemctl restart kubelet"),
        verify=f"grep client-certificate {KUBELET}",
        safety=Safety.DISRUPTIVE,
    )


def enroll_kubelet(site: Site, suffix: str, server: str | None) -> Fix:
    """The kubelet's own certificate is of no use, and without a valid one it cannot ask for another.

    kubernetes.io "Troubleshooting kubeadm", "Kubelet client certificate rotation fails".
    """
    aside = (
        f"mv -n {KUBELET} {KUBELET}.{suffix}",
        f"mkdir -p /var/lib/kubelet/pki.{suffix} && mv -n /var/lib/kubelet/pki/kubelet-client* /var/lib/kubelet/pki.{suffix}/",
    )
    if site.control_plane:
        commands: tuple[str, ...] = (
            *aside,
            write_kubeconfig(site, "kubelet"),
            "systemctl restart kubelet",
            f"timeout 60 sh -c 'until [ -e {CURRENT} ]; do sleep 1; done'",
            point_at_rotated(),
            "systemctl restart kubelet",
        )
        title = "Give the kubelet a new certificate by the cluster's authority"
    else:
        title = (
            f"On a control-plane node with the authority's key, write a new kubeconfig: `kubeadm kubeconfig user --org system:nodes --client-name system:node:{site.node_name} "
            f"> kubelet.conf`; bring it here as {KUBELET}.new, and paste"
        )
        commands = (
            *aside,
            # Without a configuration of its own, `kubeadm kubeconfig user` writes the address of the node that it runs on.
            *([rf"sed -i -E 's#^( *server:).*#\1 {server}#' {KUBELET}.new"] if server else []),
            f"mv -n {KUBELET}.new {KUBELET} && chmod 600 {KUBELET}",
            "systemctl restart kubelet",
            f"timeout 60 sh -c 'until [ -e {CURRENT} ]; do sleep 1; done'",
            point_at_rotated(),
            "systemctl restart kubelet",
        )
    return Fix(
        title=title,
        commands=commands,
        verify=f"openssl x509 -noout -subject -enddate -in {CURRENT}",
        safety=Safety.MANUAL,
    )


def rotate() -> Fix:
    """The kubelet should have asked for a new certificate by now."""
    return Fix(
        title="See why no new certificate came: is the request approved, and is the controller manager there to sign it?",
        commands=(
            f"kubectl --kubeconfig {ADMIN} get csr",
            "journalctl -u kubelet --no-pager | grep -i certificate | tail",
            "systemctl restart kubelet",
        ),
        verify=f"openssl x509 -noout -enddate -in {CURRENT}",
        safety=Safety.MANUAL,
    )


def trust_authority(path: str) -> Fix:
    """A kubeconfig that skips verification, or trusts nobody in particular."""
    target = quote(path)
    view = f"kubectl config view --kubeconfig {target} --minify -o jsonpath='{{.clusters[0].name}}'"
    return Fix(
        title="Trust the cluster's authority by name",
        commands=(
            f"cp -an {target} {target}.insecure",
            f"sed -i '/^ *insecure-skip-tls-verify:/d' {target}",
            f'kubectl config --kubeconfig {target} set-cluster "$({view})" --certificate-authority /etc/kubernetes/pki/ca.crt --embed-certs',
        ),
        verify=f"kubectl --kubeconfig {target} version",
        safety=Safety.MANUAL,
    )


def install_plugin(path: str, plugin: str) -> Fix:
    """The program that a kubeconfig asks for credentials is not here."""
    return Fix(
        title=f"Install {plugin}, or use a kubeconfig that holds its credentials",
        commands=(f"command -v {quote(plugin)} || grep -n -A6 exec: {quote(path)}",),
        verify=f"command -v {quote(plugin)}",
        safety=Safety.MANUAL,
    )


def log_in_again(path: str) -> Fix:
    """A token has ended."""
    return Fix(
        title="Get a new token from whoever issued this one",
        commands=(f"kubectl config view --kubeconfig {quote(path)} --minify",),
        verify=f"kubectl --kubeconfig {quote(path)} auth can-i get nodes",
        safety=Safety.MANUAL,
    )


def protect(files: Sequence[SecretFile]) -> Fix:
    """Files that hold a key or a token are their owner's alone."""
    paths = " ".join(quote(file.path) for file in files)
    return Fix(
        title="Let the owner alone read what holds a private key or a token",
        commands=(f"chmod 600 {paths}",),
        verify=f"stat -L -c '%a %n' {paths}",
        safety=Safety.SAFE,
    )
