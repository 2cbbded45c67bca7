"""What to paste when the API server's certificate is at fault.

kubeadm keeps an existing certificate, so one that lacks a name is moved aside under a name of its own and made anew (`kubeadm
init phase certs`, cmd/kubeadm/app/cmd/phases/init/certs.go); `renew` keeps the names as they are. Since 1.17 the API server looks at its
serving certificate every minute (apiserver `pkg/server/dynamiccertificates/dynamic_serving_content.go`), so it is restarted only where it did
not take a file by then, as when the folder itself was replaced.
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Literal, TypeAlias

from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig, KubeadmBinary, KubeadmConfig
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.finding import Fix, Safety, Unobserved
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k8sdoctor.facts.api_server import ApiServer
    from k8sdoctor.facts.certificates import Certificates
    from k8sdoctor.facts.stage import Stage
    from k8sdoctor.facts.versions import Version
    from k8sdoctor.facts.x509 import Certificate

ADMIN = "/etc/kubernetes/admin.conf"
DEFAULT_PORT = 6443
RELOADS = (1, 17, 0)  # the API server's serving certificate
CERTS_LEFT_ALPHA = (1, 20, 0)  # `kubeadm certs` was `kubeadm alpha certs` before

FOUR_BETA = (1, 31, 0)  # kubeadm.k8s.io/v1beta4
THREE_BETA = (1, 22, 0)  # v1beta3; v1beta2 before


@dataclass(frozen=True)
class Site:
    """What the commands depend on: where things lie on this node, its kubeadm, and how to reach its API server."""

    control_plane: bool
    certificate: str
    manifest: str
    version: Version | None
    api_version: str | None
    node_name: str  # `$(hostname)` where the certificate does not tell
    cri_socket: str | None
    endpoint: str | None  # controlPlaneEndpoint
    advertise_address: str | None
    port: int
    planned: str | None  # the path of --config
    tls_server_name: str | None  # a name that the certificate holds, where admin.conf's own address is not among them

    @property
    def on(self) -> str:
        """Where to paste, as the start of a title."""
        return "" if self.control_plane else "On each control-plane node: "

    @property
    def key(self) -> str:
        """The certificate's private key."""
        return self.certificate.removesuffix(".crt") + ".key"

    @property
    def kubeadm_api(self) -> str:
        """The version of kubeadm's documents: as the cluster's own says, else the newest that this kubeadm writes."""
        if self.api_version:
            return self.api_version
        version = self.version or FOUR_BETA
        beta = 4 if version >= FOUR_BETA else 3 if version >= THREE_BETA else 2
        return f"kubeadm.k8s.io/v1beta{beta}"


def site_of(  # noqa: PLR0913, PLR0917 -- as many facts as commands depend on
    stage: Stage,
    disk: Certificates,
    server: ApiServer,
    kubelet: Kubelet | Unobserved,
    kubeadm: KubeadmBinary | Unobserved,
    planned: KubeadmConfig | Unobserved,
    told: ClusterKubeadmConfig | Unobserved,
) -> Site:
    """What the commands depend on, of what is known."""
    path = planned.source.removeprefix("--config ") if isinstance(planned, KubeadmConfig) and planned.source else None
    leaf = disk.chain[0] if disk.chain else None
    return Site(
        control_plane=stage.stage == "control-plane",
        certificate=disk.path,
        manifest=server.source
        if server.source and server.source.startswith("/")
        else "/etc/kubernetes/manifests/kube-apiserver.yaml",
        version=kubeadm.version if isinstance(kubeadm, KubeadmBinary) else None,
        api_version=told.config.api_version if isinstance(told, ClusterKubeadmConfig) else None,
        node_name=_node_name(kubelet, leaf),
        cri_socket=kubelet.runtime_endpoint if isinstance(kubelet, Kubelet) else None,
        endpoint=told.config.control_plane_endpoint if isinstance(told, ClusterKubeadmConfig) else None,
        advertise_address=server.address,
        port=server.port,
        planned=path,
        tls_server_name="kubernetes" if leaf and "kubernetes" in leaf.dns_names else None,
    )


def _node_name(kubelet: Kubelet | Unobserved, leaf: Certificate | None) -> str:
    """The name that kubeadm gave this node: it tells the kubelet any but the host's own.

    The certificate tells only where it holds no other name, for kubeadm sorts them (`pkiutil.RemoveDuplicateAltNames`).
    """
    told = kubelet.flags.get("--hostname-override") if isinstance(kubelet, Kubelet) else None
    others = [name for name in (leaf.dns_names if leaf else ()) if name.split(".")[0] != "kubernetes"]
    return told or (others[0] if len(others) == 1 else "$(hostname)")


def restart(site: Site) -> str:
    """Restart the static pod: the kubelet looks at its folder every 20 s (fileCheckFrequency)."""
    aside = "/etc/kubernetes/kube-apiserver.yaml.restarting"
    return f"mv -n {site.manifest} {aside} && sleep 25 && mv -n {aside} {site.manifest}"


def take_up(site: Site) -> str:
    """Have a new serving certificate served: by waiting for the API server to look at it, or by a restart of an old one."""
    return restart(site) if site.version is not None and site.version < RELOADS else "sleep 70"


def restart_only(site: Site) -> Fix:
    """The file on disk is good, and the API server serves another."""
    return Fix(
        title=f"{site.on}Restart the API server, so that it serves the certificate on disk",
        commands=(restart(site),),
        verify=f"openssl s_client -connect {_dial(site)} </dev/null 2>/dev/null | openssl x509 -noout -enddate -ext subjectAltName",
        safety=Safety.DISRUPTIVE,
    )


def renew(site: Site, leaf: Certificate) -> Fix:
    """The names are right and the dates are not."""
    certs = "kubeadm certs" if site.version is None or site.version >= CERTS_LEFT_ALPHA else "kubeadm alpha certs"
    kept = f"{site.certificate}.{leaf.fingerprint[:8]}"
    return Fix(
        title=f"{site.on}Renew the API server's certificate (all of kubeadm's end after a year: see `{certs} check-expiration` for the others)",
        commands=(
            f"cp -an {site.certificate} {kept} && cp -an {site.key} {kept}.key",
            f"{certs} renew apiserver",
            take_up(site),
        ),
        verify=f"openssl x509 -noout -enddate -in {site.certificate}",
        safety=Safety.SAFE if take_up(site) != restart(site) else Safety.DISRUPTIVE,
    )


def renew_authority(authority: Certificate) -> Fix:
    """Kubeadm does not renew an authority."""
    return Fix(
        title=f"Replace the cluster's authority {authority.subject}: every certificate and kubeconfig that it signed must be made anew",
        commands=("kubeadm certs check-expiration",),
        verify="openssl x509 -noout -enddate -in /etc/kubernetes/pki/ca.crt",
        safety=Safety.MANUAL,
    )


def set_clock() -> Fix:
    """A certificate that is not yet valid is most often made by a machine whose clock is right, and read by one that is behind."""
    return Fix(
        title="Set this node's clock, or find out why the certificate begins later",
        commands=("timedatectl set-ntp true",),
        verify="date -u && timedatectl show -p NTPSynchronized",
        safety=Safety.MANUAL,
    )


def add_names(site: Site, names: Sequence[str], leaf: Certificate) -> Fix:
    """Make the certificate anew with more names, on every control-plane node, and keep them in kubeadm's configuration."""
    if site.planned and not site.control_plane:
        return _planned(site, names, leaf)
    config = f"/etc/kubernetes/kubeadm-{leaf.fingerprint[:8]}.yaml"
    kubectl = f"kubectl --kubeconfig {ADMIN}" + (
        f" --tls-server-name {site.tls_server_name}" if site.tls_server_name else ""
    )
    return Fix(
        title=f"{site.on or 'On each control-plane node, this one first: '}Add {', '.join(names)} to the certificate",
        commands=(
            f"set -o noclobber; {kubectl} -n kube-system get configmap kubeadm-config -o jsonpath='{{.data.ClusterConfiguration}}' > {config}; set +o noclobber",
            insert_names(names, config),
            local_configuration(site, config),
            _aside(site, leaf),
            f"kubeadm init phase certs apiserver --config {config}",
            take_up(site),
        ),
        persist=(f"kubeadm init phase upload-config kubeadm --config {config} --kubeconfig {ADMIN}",),
        verify=f"openssl x509 -noout -ext subjectAltName -in {site.certificate}",
        safety=Safety.MANUAL,
    )


def insert_names(names: Sequence[str], config: str) -> str:
    """Add certSANs to a ClusterConfiguration as kubeadm writes it, whether it has some already, other settings of the API server, or none."""
    lines = "".join(rf"\n  - {name}" if ":" not in name else rf'\n  - "{name}"' for name in names)
    return (
        f"grep -q '^  certSANs:$' {config} && sed -i 's/^  certSANs:$/&{lines}/' {config} "
        rf"|| sed -i -E 's/^apiServer:( \{{\}})?$/apiServer:\n  certSANs:{lines}/' {config}"
    )


def local_configuration(site: Site, config: str) -> str:
    """This node's own name, address and socket, which the cluster's configuration does not hold and kubeadm would otherwise guess."""
    name = site.node_name if site.control_plane else "$(hostname)"
    socket = f", criSocket: '{site.cri_socket}'" if site.cri_socket and site.control_plane else ""
    # Whatever kubeadm is there, it reads the version in which it keeps its own configuration.
    unknown = site.api_version is None and site.version is None
    api = f"$(sed -n 's/^apiVersion: //p' {config})" if unknown else site.kubeadm_api
    lines = [
        f"apiVersion: {api}",
        "kind: InitConfiguration",
        f"nodeRegistration: {{name: '{name}'{socket}}}",
    ]
    if site.advertise_address:
        lines.append(f"localAPIEndpoint: {{advertiseAddress: '{site.advertise_address}', bindPort: {site.port}}}")
    words = " ".join(f'"{line}"' for line in lines)
    return rf"printf '%s\n' --- {words} >> {config}"


def _aside(site: Site, leaf: Certificate) -> str:
    kept = f"{site.certificate}.{leaf.fingerprint[:8]}"
    return f"mv -n {site.certificate} {kept} && mv -n {site.key} {kept}.key"


def _planned(site: Site, names: Sequence[str], leaf: Certificate) -> Fix:
    """Before `kubeadm init`: the certificates that lie there are made anew from the planned configuration."""
    config = quote(site.planned or "")
    return Fix(
        title=f"See that {', '.join(names)} stands in {site.planned} (controlPlaneEndpoint, advertiseAddress or apiServer.certSANs), then make the certificate anew",
        commands=(_aside(site, leaf), f"kubeadm init phase certs apiserver --config {config}"),
        verify=f"openssl x509 -noout -ext subjectAltName -in {site.certificate}",
        safety=Safety.MANUAL,
    )


def make_anew(site: Site, leaf: Certificate) -> Fix:
    """The certificate on disk is not of the cluster's authority, or has no names at all."""
    config = quote(site.planned) if site.planned else f"/etc/kubernetes/kubeadm-{leaf.fingerprint[:8]}.yaml"
    if site.planned and not site.control_plane:
        commands: tuple[str, ...] = (_aside(site, leaf), f"kubeadm init phase certs apiserver --config {config}")
    else:
        commands = (
            f"set -o noclobber; kubectl --kubeconfig {ADMIN} -n kube-system get configmap kubeadm-config -o jsonpath='{{.data.ClusterConfiguration}}' > {config}; set +o noclobber",
            local_configuration(site, config),
            _aside(site, leaf),
            f"kubeadm init phase certs apiserver --config {config}",
            take_up(site),
        )
    return Fix(
        title=f"{site.on}Make the API server's certificate anew by the cluster's authority",
        commands=commands,
        verify=f"openssl verify -CAfile /etc/kubernetes/pki/ca.crt {site.certificate}",
        safety=Safety.MANUAL,
    )


# Which of `kubeadm init phase kubeconfig` writes a file.
_PHASES = {
    "/etc/kubernetes/admin.conf": "admin",
    "/etc/kubernetes/super-admin.conf": "super-admin",
    "/etc/kubernetes/controller-manager.conf": "controller-manager",
    "/etc/kubernetes/scheduler.conf": "scheduler",
    "/etc/kubernetes/kubelet.conf": "kubelet",
}


def kubeconfig_phase(path: str) -> str | None:
    """The phase of `kubeadm init` that writes a kubeconfig."""
    return _PHASES.get(path)


def write_kubeconfig(site: Site, phase: str) -> str:
    """One phase of kubeadm, told what it would otherwise take from defaults: the flags of cmd/kubeadm/app/cmd/phases/init/kubeconfig.go."""
    words = [f"kubeadm init phase kubeconfig {phase}"]
    if site.endpoint:
        words.append(f"--control-plane-endpoint {site.endpoint}")
    if site.advertise_address:
        words.append(f"--apiserver-advertise-address {site.advertise_address}")
    if site.port != DEFAULT_PORT:
        words.append(f"--apiserver-bind-port {site.port}")
    if phase == "kubelet":
        words.append(f"--node-name {site.node_name}")
    return " ".join(words)


def new_kubeconfigs(site: Site, paths: Sequence[str], leaf: Certificate) -> Fix:
    """The kubeconfigs trust an authority that is not the cluster's."""
    suffix = leaf.fingerprint[:8]
    commands = []
    for path in paths:
        commands.append(f"mv -n {path} {path}.{suffix}")
        phase = _PHASES.get(path)
        if phase and site.control_plane:
            commands.append(write_kubeconfig(site, phase))
        elif path.startswith("/root/"):
            commands.append(f"cp -n {ADMIN} {path}")
    joins = not site.control_plane and "/etc/kubernetes/kubelet.conf" in paths
    return Fix(
        title="Join this node to the cluster again, by `kubeadm reset` and a new `kubeadm join`"
        if joins
        else "Make the kubeconfigs anew by the cluster's authority",
        commands=("kubeadm reset",) if joins else tuple(commands),
        verify=f"kubectl --kubeconfig {ADMIN} version"
        if site.control_plane
        else "journalctl -u kubelet -n 20 --no-pager",
        safety=Safety.MANUAL,
    )


def pass_through(endpoint: str) -> Fix:
    """A balancer must hand TLS through, or no client's certificate reaches the API server."""
    return Fix(
        title=f"On the balancer at {endpoint}: pass TCP through and end no TLS there (haproxy: `mode tcp`, and no `ssl crt` on the `bind` line; nginx: `stream` and no `ssl`)",
        commands=(
            f"openssl s_client -connect {endpoint} </dev/null 2>/dev/null | openssl x509 -noout -subject -issuer",
        ),
        verify=f"openssl s_client -connect {endpoint} </dev/null 2>/dev/null | grep -A2 'Acceptable client certificate CA names'",
        safety=Safety.MANUAL,
    )


Silence: TypeAlias = Literal["dead", "doubtful"] | None
"""What hellos without an answer say of who is behind an address: that one is dead, that one may be, or nothing."""


def mend_member(endpoint: str, *, certificate: bool, silent: Silence, alone: bool, names: int) -> Fix:
    """Not all who answer at an endpoint answer well.

    `certificate`: some serve a bad one; `alone`: one API server's own address, with nothing in front; `names`: the addresses of its name.
    """
    out = "take it out of the balancer until then" if names == 1 else "take its address out of the name until then"
    if alone:
        title = f"Find who else answers at {endpoint}, such as a second machine with this address or an API server that was replaced just now"
    elif certificate and silent == "dead":
        title = f"Find the members behind {endpoint} that are silent or differ, start the one and mend the other's certificate"
    elif certificate:
        title = f"Find the member behind {endpoint} that differs and mend its certificate, or {out}"
    elif silent == "dead":
        title = f"Find the member behind {endpoint} that does not answer and start it, or {out}"
    else:
        title = f"See whether a server behind {endpoint} is dead, or the only one there is under load"
    served = f"timeout 5 openssl s_client -connect {endpoint} </dev/null 2>/dev/null"
    shown = "openssl x509 -noout -serial -enddate -ext subjectAltName 2>/dev/null || echo no certificate"
    return Fix(
        title=title,
        commands=(f"for i in $(seq 12); do {served} | {shown}; done",),
        verify=f"k8sdoctor check apiserver-san --endpoint {endpoint}",
        safety=Safety.MANUAL,
    )


def find_silence(site: Site, endpoint: str, *, own: bool, service: bool = False) -> Fix:
    """Nobody answers: at this node's own API server, at the service address, or elsewhere."""
    if service:
        address = endpoint.rpartition(":")[0].strip("[]")
        return Fix(
            title="See whether kube-proxy, or what replaces it, runs here and knows the service default/kubernetes",
            commands=(
                "crictl ps -a --name kube-proxy",
                f"iptables-save | grep -F {address}; nft list ruleset | grep -F {address}",
            ),
            verify=f"curl -ks https://{endpoint}/livez",
            safety=Safety.MANUAL,
        )
    if own:
        return Fix(
            title="See why the API server of this node does not run",
            commands=(
                "crictl ps -a --name kube-apiserver",
                "journalctl -u kubelet -n 50 --no-pager",
                f"ls -l {site.manifest}",
            ),
            verify=f"curl -ks https://{endpoint}/livez",
            safety=Safety.MANUAL,
        )
    return Fix(
        title=f"See whether {endpoint} is up, and what is on the way: routes, firewalls, a balancer without members",
        commands=(f"curl -kv --max-time 5 https://{endpoint}/livez", "ip route"),
        verify=f"curl -ks https://{endpoint}/livez",
        safety=Safety.MANUAL,
    )


def give_route(endpoint: str) -> Fix:
    """The kernel looks for a route before kube-proxy's rules translate a service's address."""
    address = endpoint.rpartition(":")[0].strip("[]")
    return Fix(
        title="See whether this node has a default route, and give it back: a service's address needs one before kube-proxy's rules translate it",
        commands=("ip route; ip -6 route", f"ip route get {address}"),
        verify=f"ip route get {address}; curl -ks https://{endpoint}/livez",
        safety=Safety.MANUAL,
    )


def mend_name(name: str, address: str | None) -> Fix:
    """A name that does not resolve."""
    return Fix(
        title=f"Make {name} resolve here: a DNS record, or a line in /etc/hosts",
        commands=(f"echo '{address} {name}' >> /etc/hosts",) if address else (f"getent ahosts {name}",),
        verify=f"getent ahosts {name}",
        safety=Safety.MANUAL,
    )


def speak_tls(endpoint: str, sources: str) -> Fix:
    """A plain HTTP port where TLS is spoken."""
    return Fix(
        title=f"Point {sources} to a port that speaks TLS, or let the balancer pass TCP through to one",
        commands=(f"curl -sv --max-time 5 http://{endpoint}/",),
        verify=f"openssl s_client -connect {endpoint} </dev/null 2>/dev/null | openssl x509 -noout -subject",
        safety=Safety.MANUAL,
    )


def rewrite_kubeconfig(site: Site, path: str) -> Fix:
    """A malformed kubeconfig. Only where the authority's key lies can kubeadm write one anew."""
    phase = _PHASES.get(path)
    title = f"Mend {path}"
    commands: tuple[str, ...] = (f"kubectl config view --kubeconfig {path}",)
    if phase and site.control_plane:
        title += ", or have it written anew"
        commands = (f"mv -n {path} {path}.broken", write_kubeconfig(site, phase))
    elif phase:
        title += ", or join this node to the cluster again, by `kubeadm reset` and a new `kubeadm join`"
        commands = (f"${{EDITOR:-vi}} {path}",)
    return Fix(
        title=title,
        commands=commands,
        verify=f"kubectl config view --kubeconfig {path} --minify",
        safety=Safety.MANUAL,
    )


def look_at(path: str) -> Fix:
    """A file that should hold certificates."""
    return Fix(
        title=f"Look what {path} holds; moved aside, it is made anew by `kubeadm init phase certs`",
        commands=(f"openssl x509 -noout -text -in {path}",),
        verify=f"openssl x509 -noout -subject -in {path}",
        safety=Safety.MANUAL,
    )


def rewrite_manifest(path: str) -> Fix:
    """A static pod's manifest that is none."""
    return Fix(
        title="Correct the manifest, or move it aside and have kubeadm write it anew from the configuration that the cluster was made of",
        commands=(f"${{EDITOR:-vi}} {path}",),
        verify=f"python3 -c 'import sys, yaml; yaml.safe_load(open(sys.argv[1]))' {path}; crictl ps --name kube-apiserver",
        safety=Safety.MANUAL,
    )


def _dial(site: Site) -> str:
    address = site.advertise_address or "127.0.0.1"
    return f"[{address}]:{site.port}" if ":" in address else f"{address}:{site.port}"
