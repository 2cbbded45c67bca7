"""Every certificate in kubeadm's folder is valid, of the right authority, with its own key, for its own purpose and names.

## What it looks at
Each certificate in the folder of the API server's certificate (`/etc/kubernetes/pki`): the authorities, the clients' and etcd's, each with its key; `sa.pub` and `sa.key`;
and the kubelet's serving certificate where an authority signs it. Of a private key the host tells nothing but the SHA-256 of its public half.

## Why it matters
All of kubeadm's certificates end a year after `kubeadm init` or the last renewal, on the same day. A file copied from another node, or an authority of another cluster, stops
etcd or the API server at the next start, with words that name neither file.

## How it is decided
As Go decides (crypto/x509): the signature, the usages, and the dates by this node's clock. `front-proxy-client` is signed by `front-proxy-ca`, etcd's by `etcd/ca`, the others by `ca`.
etcd's certificates must be valid for the addresses in etcd's own `--advertise-client-urls` and `--initial-advertise-peer-urls`, and its server's for the address by which the API server
reaches it here. An authority without a key (an external one) is as it should be, and so is a kubelet that signs its own serving certificate. Names and dates of the API server's own
certificate are the subject of apiserver-san, absent files that a manifest names that of static-pods.

## Reasons
- `Valid` (pass): all that lies there is valid
- `NoCertificates` (skip): there is no such folder yet
- `CertificateExpired` (fail): a certificate has ended
- `NotYetValid` (fail): a certificate begins later than this node's clock says
- `CertificateInvalid` (fail): a file holds no certificate that can be used
- `WrongAuthority` (fail): a certificate is not signed by the authority that lies here
- `WrongUsage` (fail): a certificate is not allowed to be what it is used for
- `NamesMissing` (fail): a certificate of etcd's is not valid for an address of this node's etcd
- `KeyMismatch` (fail): a private key is another certificate's, or `sa.pub` is not the public half of `sa.key`
- `KeyInvalid` (fail): a file holds no private key that can be used
- `ServingCertificateAbsent` (fail): the kubelet shall have its serving certificate signed, and has none, so nobody can read logs or run commands in pods
- `ExpiresSoon` (warn): less than 30 days, or less than a fifth of its time, are left; for an authority, less than 90 days
- `ReadableByOthers` (warn): a private key may be read by others than root

## What it sends
GET requests to the API server for `kubeadm-config`, which the commands to paste depend on; never a credential to an address that was not verified.

## How to fix
`kubeadm certs renew NAME` signs anew with the same names; what has wrong names is moved aside and made by `kubeadm init phase certs NAME`. Who read a certificate when it started is restarted by moving
its manifest out of its folder and back.

## How to verify
`kubeadm certs check-expiration`; `openssl verify -CAfile /etc/kubernetes/pki/etcd/ca.crt /etc/kubernetes/pki/etcd/server.crt`.

## References
- kubeadm cmd/kubeadm/app/phases/certs/certlist.go, certs/renewal/manager.go, util/pkiutil/pki_helpers.go (GetEtcdAltNames)
- kubernetes.io "PKI certificates and requirements", "Certificate Management with kubeadm", "Manual Rotation of CA Certificates"
- etcd-io/etcd#9785: etcd's server certificate is also used by a client
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from k8sdoctor import Evidence, Finding, Unobserved, check, fail, passed, skip, unknown, warn
from k8sdoctor.check import NOT_DNS
from k8sdoctor.checks import _apiserver_fixes
from k8sdoctor.checks import _certificate_words as words
from k8sdoctor.checks import _pki_fixes as fixes
from k8sdoctor.checks._words import by_reason, listed, sentence, together
from k8sdoctor.facts.api_server import ApiServer
from k8sdoctor.facts.certificates import CLUSTER_CA, Certificates
from k8sdoctor.facts.etcd_server import EtcdServer
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig, KubeadmBinary, KubeadmConfig
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.pki import API_SERVER, Accounts, Item, Pki
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.x509 import Certificate, allows, as_address, public_key, signed_by, verify
from k8sdoctor.finding import Certainty, Fix, Link, Status
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

AUTHORITY_SOON = 90 * words.DAY
"""An authority is replaced by hand, with all that it signed: that takes planning."""

OTHERS_READ = 0o004  # a group is somebody's choice, such as that of an etcd with a user of its own


@dataclass(frozen=True)
class Scene:
    """What a judgement leans on."""

    pki: Pki
    site: _apiserver_fixes.Site
    now: float
    server: ApiServer
    etcd: EtcdServer | None


@check(
    "certificates",
    title="Every certificate in kubeadm's folder is valid, and has its own key",
    area="control plane",
    profiles=NOT_DNS,
)
def certificates(  # noqa: PLR0913, PLR0917 -- as many facts as commands depend on
    pki: Pki,
    disk: Certificates,
    stage: Stage,
    server: ApiServer,
    etcd: EtcdServer | Unobserved,
    kubelet: Kubelet | Unobserved,
    kubeadm: KubeadmBinary | Unobserved,
    planned: KubeadmConfig | Unobserved,
    told: ClusterKubeadmConfig | Unobserved,
) -> Iterator[Finding]:
    """Judge each file by itself, then those that belong together; each cause once."""
    site = _apiserver_fixes.site_of(stage, disk, server, kubelet, kubeadm, planned, told)
    scene = Scene(pki, site, disk.now, server, etcd if isinstance(etcd, EtcdServer) else None)
    found = [unknown(reason, sentence(together(said))) for reason, said in by_reason(pki.unread).items()]
    found += _files(scene)
    found += _chains(scene)
    found += _names(scene)
    found += _dates(scene)
    if pki.accounts and _uses(server, pki.accounts):
        found += _accounts(pki.accounts)
    found += _serving(scene)
    found += _permissions(pki)
    yield from found
    if all(each.status is Status.UNKNOWN for each in found) and any(
        item.pair.chain for item in pki.items if item.kind != API_SERVER
    ):
        yield _valid(pki)
    elif not found:
        yield skip("NoCertificates", f"There are no certificates in {pki.folder} yet.")


def _valid(pki: Pki) -> Finding:
    # The API server's own is told by apiserver-san, its dates above all.
    leaves = [(item, item.pair.chain[0]) for item in pki.items if item.pair.chain and item.kind != API_SERVER]
    first = min((leaf.not_after for _, leaf in leaves), default=0.0)
    every = f"The certificate in {pki.folder} is valid until"
    if len(leaves) != 1:
        every = f"All {len(leaves)} certificates in {pki.folder} are valid, the first until"
    return passed(
        "Valid",
        f"{every} {words.date(first)}.",
        subject=pki.folder,
        evidence=[words.shown(item.path, leaf) for item, leaf in leaves],
    )


# -- each file by itself ------------------------------------------------------------------------------------------------


def _files(scene: Scene) -> Iterator[Finding]:
    """What is no certificate, or has another's key."""
    for item in scene.pki.items:
        pair = item.pair
        if pair.problem is not None:
            link = Link(
                "apiserver-san",
                "CertificateInvalid",
                "what is said of this file elsewhere is the same trouble",
                Certainty.PROVEN,
                frozenset({f"file:{item.path}"}),
            )
            yield fail(
                "CertificateInvalid",
                f"{item.path} holds no usable certificate: {pair.problem}.",
                subject=item.path,
                evidence=[Evidence(item.path, pair.problem)],
                fix=fixes.make_anew(scene.site, item) if item.kind.authority else fixes.bring_authority(item),
                explains=[link, *_etcd_links(item)],
            )
        if pair.key_problem is not None and not pair.key_absent:
            yield fail(
                "KeyInvalid",
                f"{pair.key_source} is no private key that can be used: {pair.key_problem}.",
                subject=pair.key_source,
                evidence=[Evidence(pair.key_source or item.path, pair.key_problem)],
                fix=_sign_anew(scene, item),
                explains=_etcd_links(item),
            )
        own = public_key(pair.chain[0]) if pair.chain else None
        if pair.public_key is not None and own is not None and pair.public_key != own:
            yield fail(
                "KeyMismatch",
                f"{pair.key_source} is not the private key of {item.path}.",
                subject=pair.key_source,
                evidence=[
                    Evidence(item.path, f"SHA-256 of its public key {own}"),
                    Evidence(pair.key_source or item.path, f"SHA-256 of its public key {pair.public_key}"),
                ],
                fix=_sign_anew(scene, item),
                explains=_etcd_links(item),
            )


def _sign_anew(scene: Scene, item: Item) -> Fix:
    if item.kind.authority is None:
        return fixes.bring_authority(item)
    return fixes.renew(scene.site, [item], external=_external(scene, item))


def _external(scene: Scene, item: Item) -> bool:
    """Whether the key of its authority is kept elsewhere, so that nothing can be signed here."""
    authority = scene.pki.at(item.kind.authority or "")
    return authority is None or authority.pair.key_absent


def _uses(server: ApiServer, found: Accounts) -> bool:
    """Whether sa.pub is all that the API server believes; while keys are rotated it has several files."""
    option = "--service-account-key-file="
    files = [word.removeprefix(option) for word in server.words if word.startswith(option)]
    return not files or files == [found.path]


def _accounts(found: Accounts) -> Iterator[Finding]:
    if found.problem is not None:
        evidence = [Evidence(found.path, found.problem)]
        message = f"{found.path}: {found.problem}, so the API server believes no token of a service account."
        yield fail("KeyInvalid", message, subject=found.path, evidence=evidence, fix=fixes.accounts(found))
    elif found.key_problem is not None:
        evidence = [Evidence(found.key_path, found.key_problem)]
        message = f"{found.key_path} is no private key that can be used: {found.key_problem}."
        yield fail("KeyInvalid", message, subject=found.key_path, evidence=evidence, fix=fixes.accounts(found))
    elif found.of_key is not None and found.of_key not in found.public_keys:
        yield fail(
            "KeyMismatch",
            f"{found.path} is not the public half of {found.key_path}, so tokens that are signed here are not believed here.",
            subject=found.path,
            evidence=[
                Evidence(found.path, f"SHA-256 of the public key {' and '.join(found.public_keys)}"),
                Evidence(found.key_path, f"SHA-256 of its public key {found.of_key}"),
            ],
            fix=fixes.accounts(found),
        )


# -- who signed it ------------------------------------------------------------------------------------------------------


def _chains(scene: Scene) -> Iterator[Finding]:
    """Each leaf against the authority that lies here. Where none of several is its own, it is the authority that is another's."""
    for authority in scene.pki.items:
        roots = authority.pair.chain
        signed = [item for item in scene.pki.items if item.kind.authority == authority.kind.base and item.pair.chain]
        if not roots or not _is_own(scene, authority):
            continue
        wrong = [item for item in signed if not _by(item, roots, scene.now)]
        for item in signed:
            if item not in wrong and item.kind != API_SERVER:
                yield from _usage(item, scene)
        if wrong and len(wrong) == len(signed) and len(wrong) > 1:
            yield _wrong_authority(authority, wrong)
            continue
        strays = [item for item in wrong if item.kind != API_SERVER]  # its own is told by apiserver-san
        for item in strays:
            yield _stray(item, authority, scene)


def _is_own(scene: Scene, authority: Item) -> bool:
    """Whether an authority is this cluster's own. With an external etcd, who signs its servers need not be who signs its clients."""
    return authority.kind.base != "etcd/ca" or scene.pki.at("etcd/server") is not None


def _by(item: Item, roots: Sequence[Certificate], now: float) -> bool:
    """Whether an authority signed it, by intermediates in the same file or without; dates and usages are told by themselves."""
    chain = item.pair.chain
    if any(signed_by(chain[0], root) for root in roots):
        return True
    trusts = [verify(chain, roots, now, purpose) for purpose in item.kind.purposes]
    return any(trust.trusted or trust.expired is not None for trust in trusts)


def _usage(item: Item, scene: Scene) -> Iterator[Finding]:
    lacking = [purpose for purpose in item.kind.purposes if not allows(item.pair.chain[0], purpose)]
    if lacking:
        yield fail(
            "WrongUsage",
            f"{item.path} is not allowed to be used by {' and by '.join(lacking)}.",
            subject=item.path,
            evidence=[words.shown(item.path, item.pair.chain[0])],
            fix=fixes.make_anew(scene.site, item),
            explains=_etcd_links(item),
        )


def _wrong_authority(authority: Item, wrong: Sequence[Item]) -> Finding:
    root, leaf = authority.pair.chain[0], wrong[0].pair.chain[0]
    trait = frozenset({f"authority:{root.fingerprint}"})
    links = [link for item in wrong for link in _etcd_links(item)]
    if authority.path == CLUSTER_CA:
        why = f"{authority.path} is another authority"
        links += [
            Link("kubeconfig", "OtherAuthority", why, Certainty.PROVEN, trait),
            Link("kubeconfig", "ClientCertificateUntrusted", why, Certainty.PROVEN, trait),
            Link("apiserver-san", "UntrustedIssuer", why, Certainty.PROVEN, trait),
        ]
    return fail(
        "WrongAuthority",
        f"{authority.path} is another authority than the one that signed {listed([item.path for item in wrong])}.",
        subject=authority.path,
        evidence=[words.shown(authority.path, root), words.shown(wrong[0].path, leaf)],
        fix=fixes.bring_authority(authority),
        explains=dict.fromkeys(links),
    )


def _stray(item: Item, authority: Item, scene: Scene) -> Finding:
    leaf, root = item.pair.chain[0], authority.pair.chain[0]
    same = leaf.issuer == root.subject
    why = "of the same name and another key" if same else leaf.issuer
    return fail(
        "WrongAuthority",
        f"{item.path} is not signed by {authority.path}, but by another authority ({why}).",
        subject=item.path,
        evidence=[words.shown(item.path, leaf), words.shown(authority.path, root)],
        fix=fixes.renew(scene.site, [item], external=_external(scene, item)),
        explains=_etcd_links(item),
    )


# -- etcd's names -------------------------------------------------------------------------------------------------------


def _names(scene: Scene) -> Iterator[Finding]:
    if scene.etcd is None or scene.etcd.source is None:
        return
    for base, flag, wanted in (
        ("etcd/server", "--cert-file", _client_hosts(scene, scene.etcd)),
        ("etcd/peer", "--peer-cert-file", _hosts(scene.etcd.urls("--initial-advertise-peer-urls"))),
    ):
        item = scene.pki.at(base)
        if item is None or not item.pair.chain or scene.etcd.flag(flag) != item.path:
            continue
        leaf = item.pair.chain[0]
        missing = [name for name in dict.fromkeys(wanted) if not leaf.covers(name)]
        if missing:
            valid = ", ".join(leaf.names) or "no name at all"
            yield fail(
                "NamesMissing",
                f"{item.path} is not valid for {listed(missing)} but for {valid}, as if it came from another node.",
                subject=item.path,
                evidence=[words.shown(item.path, leaf), Evidence(scene.etcd.source, f"reached at {', '.join(wanted)}")],
                fix=fixes.make_anew(scene.site, item),
                explains=_etcd_links(item),
            )


def _client_hosts(scene: Scene, etcd: EtcdServer) -> list[str]:
    """Where etcd's clients reach it: as it tells other members, and by loopback as this node's API server does."""
    own = _hosts(tuple((scene.server.flag("--etcd-servers") or "").split(",")))
    return [*_hosts(etcd.urls("--advertise-client-urls")), *(host for host in own if _is_loopback(host))]


def _hosts(urls: Sequence[str]) -> list[str]:
    found = []
    for url in urls:
        try:
            parts = urlsplit(url.strip())
        except ValueError:
            continue
        if parts.scheme == "https" and parts.hostname:
            found.append(parts.hostname)
    return found


def _is_loopback(host: str) -> bool:
    address = as_address(host)
    return address.is_loopback if address else host == "localhost"


def _etcd_links(item: Item) -> list[Link]:
    """What etcd's clients meet when one of its certificates is at fault."""
    reason = {
        "etcd-server": "CertificateRefused",
        "etcd-ca": "CertificateRefused",
        "apiserver-etcd-client": "ClientRefused",
    }
    told = reason.get(item.kind.name)
    return [Link("etcd", told, f"{item.path} is what is shown there")] if told else []


# -- dates --------------------------------------------------------------------------------------------------------------


def _dates(scene: Scene) -> Iterator[Finding]:
    """Kubeadm renews all that it signed in one go, so those are one finding; an authority is one by itself."""
    dated = [item for item in scene.pki.items if item.pair.chain and item.kind != API_SERVER]
    serving = scene.pki.serving
    late = [item for item in dated if item.pair.chain[0].not_before > scene.now]
    if late:
        yield _not_yet(late, scene)
    for authority in (True, False):
        group = [item for item in dated if (item.kind.authority is None) is authority]
        ended = [item for item in group if item.pair.chain[0].not_after < scene.now]
        soon = [item for item in group if _soon(item, scene.now)]
        if ended:
            yield _ended(ended, scene, authority=authority)
        if soon:
            yield _ending(soon, scene, authority=authority)
    if serving is not None and serving.pair.chain and serving.pair.chain[0].not_after < scene.now:
        leaf = serving.pair.chain[0]
        yield fail(
            "CertificateExpired",
            f"The kubelet's serving certificate {serving.path} ended on {words.date(leaf.not_after)}; it is {words.date(scene.now)} here.",
            subject=serving.path,
            evidence=[words.shown(serving.path, leaf)],
            fix=fixes.approve(),
        )


def _soon(item: Item, now: float) -> bool:
    leaf = item.pair.chain[0]
    if item.kind.authority is None:
        return 0 <= leaf.not_after - now < min(AUTHORITY_SOON, (leaf.not_after - leaf.not_before) / 5)
    return words.ends_soon(leaf, now)


def _ended(items: Sequence[Item], scene: Scene, *, authority: bool) -> Finding:
    leaves = [item.pair.chain[0] for item in items]
    end = min(leaf.not_after for leaf in leaves)
    links = [link for item in items for link in _etcd_links(item)]
    return fail(
        "CertificateExpired",
        f"{listed([item.path for item in items])} ended on {words.date(end)}; it is {words.date(scene.now)} here.",
        subject=", ".join(item.path for item in items),
        evidence=[words.shown(item.path, item.pair.chain[0]) for item in items],
        fix=_renewed(items, scene, authority=authority),
        explains=dict.fromkeys([*_same("CertificateExpired", leaves), *links]),
        traits=() if authority else words.ended(*leaves),
    )


def _ending(items: Sequence[Item], scene: Scene, *, authority: bool) -> Finding:
    leaves = [item.pair.chain[0] for item in items]
    end = min(leaf.not_after for leaf in leaves)
    verb = "ends" if len(items) == 1 else "end"
    return warn(
        "ExpiresSoon",
        f"{listed([item.path for item in items])} {verb} on {words.date(end)}, in {(end - scene.now) / words.DAY:.0f} days.",
        subject=", ".join(item.path for item in items),
        evidence=[words.shown(item.path, item.pair.chain[0]) for item in items],
        fix=_renewed(items, scene, authority=authority),
        explains=_same("ExpiresSoon", leaves),
    )


def _renewed(items: Sequence[Item], scene: Scene, *, authority: bool) -> Fix:
    if authority:
        return fixes.replace_authority(items)
    external = all(_external(scene, item) for item in items)
    here = [item for item in items if external or not _external(scene, item)]
    return fixes.renew(scene.site, here, external=external)


def _same(reason: str, leaves: Sequence[Certificate]) -> list[Link]:
    """apiserver-san meets the same authority at the end of what is served."""
    return [
        Link(
            "apiserver-san",
            reason,
            "it is the same certificate",
            Certainty.PROVEN,
            frozenset({f"certificate:{leaf.fingerprint}"}),
        )
        for leaf in leaves
    ]


def _not_yet(items: Sequence[Item], scene: Scene) -> Finding:
    begin = max(item.pair.chain[0].not_before for item in items)
    return fail(
        "NotYetValid",
        f"{listed([item.path for item in items])} begins on {words.date(begin)}; it is {words.date(scene.now)} here.",
        subject=", ".join(item.path for item in items),
        evidence=[words.shown(item.path, item.pair.chain[0]) for item in items],
        fix=_apiserver_fixes.set_clock(),
    )


# -- the kubelet's, and who may read keys -------------------------------------------------------------------------------


def _serving(scene: Scene) -> Iterator[Finding]:
    item = scene.pki.serving
    if item is None or item.pair.problem is None:
        return
    how = "its request waits to be approved" if scene.pki.rotates else "its configuration names that file"
    yield fail(
        "ServingCertificateAbsent" if item.pair.absent else "CertificateInvalid",
        f"The kubelet has no serving certificate in {item.path}: {item.pair.problem}; {how}.",
        subject=item.path,
        evidence=[Evidence(item.path, item.pair.problem)],
        fix=fixes.approve(),
    )


def _permissions(pki: Pki) -> Iterator[Finding]:
    open_ = [key for key in pki.keys if key.mode & OTHERS_READ]
    if open_:
        yield warn(
            "ReadableByOthers",
            f"{listed([key.path for key in open_])} may be read by others than root.",
            subject=", ".join(key.path for key in open_),
            evidence=[Evidence(key.path, f"mode {key.mode:04o}, group {key.gid}") for key in open_],
            fix=fixes.protect([key.path for key in open_]),
        )
