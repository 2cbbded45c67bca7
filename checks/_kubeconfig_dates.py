"""The dates of clients' certificates: what has ended, has not begun, or ends soon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor import Finding, fail, warn
from k8sdoctor.checks import _apiserver_fixes
from k8sdoctor.checks import _certificate_words as words
from k8sdoctor.checks import _kubeconfig_fixes as fixes
from k8sdoctor.checks._kubeconfig_scene import Scene, anew
from k8sdoctor.checks._node_ready_links import kubelet_unheard
from k8sdoctor.checks._words import listed
from k8sdoctor.facts.credentials import Credential, Credentials, Pair
from k8sdoctor.facts.kubeconfig import ADMIN, CONTROLLER_MANAGER, SCHEDULER, SUPER_ADMIN
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.x509 import Certificate
from k8sdoctor.finding import Certainty, Fix, Link

if TYPE_CHECKING:
    from collections.abc import Iterator

LATEST_ROTATION = 0.9
"""The part of a certificate's time after which the kubelet has asked for a new one (client-go util/certificate, nextRotationDeadline: 70 to 90 %)."""

RENEWED = (ADMIN, SUPER_ADMIN, CONTROLLER_MANAGER, SCHEDULER)
"""What `kubeadm certs renew` renews."""


def dates(credentials: Credentials, scene: Scene) -> Iterator[Finding]:
    """What has ended, has not begun, or ends soon. kubeadm renews its own in one go, so those are one finding."""
    pairs = [(each, pair) for each in credentials.all if (pair := each.pair) is not None and pair.leaf is not None]
    late = [(each, pair) for each, pair in pairs if pair.chain[0].not_before > scene.now]
    if late:
        yield _not_yet(late, scene)
    kubeadms = [(each, pair) for each, pair in pairs if each.kubeconfig.path in RENEWED]
    ended = [(each, pair) for each, pair in kubeadms if pair.chain[0].not_after < scene.now]
    soon = [(each, pair) for each, pair in kubeadms if words.ends_soon(pair.chain[0], scene.now)]
    if ended:
        yield _ended(
            ended, fixes.renew(scene.site, [each.kubeconfig.path for each, _ in ended], ended[0][1].chain[0]), scene
        )
    if soon:
        yield _soon(
            soon, fixes.renew(scene.site, [each.kubeconfig.path for each, _ in soon], soon[0][1].chain[0]), scene
        )
    for each, pair in pairs:
        if each.kubeconfig.path == scene.kubelet_conf:
            yield from _kubelet_dates(each, pair, scene)
        elif each.kubeconfig.path not in RENEWED:
            fix = anew(each.kubeconfig, scene, pair.chain[0].fingerprint[:8])
            if pair.chain[0].not_after < scene.now:
                yield _ended([(each, pair)], fix, scene)
            elif words.ends_soon(pair.chain[0], scene.now):
                yield _soon([(each, pair)], fix, scene)


def _kubelet_dates(credential: Credential, pair: Pair, scene: Scene) -> Iterator[Finding]:
    """The kubelet renews its certificate by itself, unless its kubeconfig names the first one for good."""
    leaf, path = pair.chain[0], credential.kubeconfig.path
    rotated = scene.rotated.leaf if scene.rotated and scene.rotated.leaf and not scene.rotated.key_problem else None
    rotates = not isinstance(scene.kubelet, Kubelet) or scene.kubelet.config.get("rotateCertificates") is not False
    embedded = pair.source.startswith("client-certificate-data")
    valid = rotated is not None and scene.now < rotated.not_after
    if leaf.not_after < scene.now:
        fix = (
            fixes.finalize_kubelet(leaf.fingerprint[:8])
            if valid
            else fixes.enroll_kubelet(scene.site, leaf.fingerprint[:8], credential.kubeconfig.server)
        )
        yield _ended([(credential, pair)], fix, scene)
    elif rotated is not None and embedded and rotates and rotated.fingerprint != leaf.fingerprint:
        yield warn(
            "EmbeddedCertificate",
            f"{path} holds the kubelet's first certificate, which ends on {words.date(leaf.not_after)}, while the kubelet rotates {fixes.CURRENT}: a kubelet that starts after that day has none.",
            subject=path,
            evidence=[words.shown(pair.source, leaf), words.shown(fixes.CURRENT, rotated)],
            fix=fixes.finalize_kubelet(leaf.fingerprint[:8]),
        )
    elif rotates and not embedded:
        latest = leaf.not_before + (leaf.not_after - leaf.not_before) * LATEST_ROTATION
        if scene.now > latest:
            yield warn(
                "NotRotated",
                f"The kubelet's certificate in {pair.source} ends on {words.date(leaf.not_after)}, and a new one should have come by {words.date(latest)}.",
                subject=path,
                evidence=[words.shown(pair.source, leaf)],
                fix=fixes.rotate(),
            )
    elif words.ends_soon(leaf, scene.now):
        yield _soon(
            [(credential, pair)],
            fixes.enroll_kubelet(scene.site, leaf.fingerprint[:8], credential.kubeconfig.server),
            scene,
        )


def _ended(found: list[tuple[Credential, Pair]], fix: Fix, scene: Scene) -> Finding:
    leaves = [pair.chain[0] for _, pair in found]
    paths = [each.kubeconfig.path for each, _ in found]
    personal = all(each.kubeconfig.personal for each, _ in found)
    what = "certificate in" if len(found) == 1 else "certificates in"
    unheard = kubelet_unheard("the API server refuses the kubelet's certificate") if scene.kubelet_conf in paths else ()
    return (warn if personal else fail)(
        "ClientCertificateExpired",
        f"The client {what} {listed(paths)} ended on {words.date(min(leaf.not_after for leaf in leaves))}; it is {words.date(scene.now)} here.",
        subject=", ".join(paths),
        evidence=[words.shown(pair.source, pair.chain[0]) for _, pair in found],
        fix=fix,
        explains=() if personal else [*_copies("ClientCertificateExpired", leaves), *unheard],
        traits=[*_traits(leaves, personal=personal), *(() if personal else words.ended(*leaves))],
    )


def _soon(found: list[tuple[Credential, Pair]], fix: Fix, scene: Scene) -> Finding:
    leaves = [pair.chain[0] for _, pair in found]
    paths = [each.kubeconfig.path for each, _ in found]
    personal = all(each.kubeconfig.personal for each, _ in found)
    end = min(leaf.not_after for leaf in leaves)
    what = "certificate in" if len(found) == 1 else "certificates in"
    return warn(
        "ExpiresSoon",
        f"The client {what} {listed(paths)} {'ends' if len(found) == 1 else 'end'} on {words.date(end)}, in {(end - scene.now) / words.DAY:.0f} days.",
        subject=", ".join(paths),
        evidence=[words.shown(pair.source, pair.chain[0]) for _, pair in found],
        fix=fix,
        explains=() if personal else _copies("ExpiresSoon", leaves),
        traits=_traits(leaves, personal=personal),
    )


def _copies(reason: str, leaves: list[Certificate]) -> list[Link]:
    """A person's copy of admin.conf holds the same certificate."""
    return [
        Link(
            "kubeconfig",
            reason,
            "a copy of the same certificate ends with it",
            Certainty.PROVEN,
            _traits([leaf], personal=True),
        )
        for leaf in leaves
    ]


def _traits(leaves: list[Certificate], *, personal: bool) -> frozenset[str]:
    return frozenset([*(f"certificate:{leaf.fingerprint}" for leaf in leaves), *(["personal"] if personal else [])])


def _not_yet(found: list[tuple[Credential, Pair]], scene: Scene) -> Finding:
    paths = [each.kubeconfig.path for each, _ in found]
    begin = max(pair.chain[0].not_before for _, pair in found)
    return fail(
        "ClientCertificateNotYetValid",
        f"The client certificate in {listed(paths)} begins on {words.date(begin)}; it is {words.date(scene.now)} here.",
        subject=", ".join(paths),
        evidence=[words.shown(pair.source, pair.chain[0]) for _, pair in found],
        fix=_apiserver_fixes.set_clock(),
    )
