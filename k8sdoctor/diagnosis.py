"""Links causes with symptoms, so that ten red lines from one unloaded module read as one diagnosis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.finding import Certainty, Finding, Fix, Link, Status
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MENDING: Mapping[str, tuple[str, ...]] = {
    "machine": ("disk", "time-sync", "resources", "swap", "hostname", "node-identity", "leftovers"),
    "kernel": ("kernel", "cgroups", "br-netfilter", "ip-forward"),
    "kubelet and runtime": ("tools", "version-skew", "kubeadm-config", "kubelet", "node-ready", "ports"),
    "images": (
        *("proxy", "registry-config", "image-registries", "pause-image", "images", "image-list", "registry-push"),
        "download-list",
    ),
    "control plane": (
        *("certificates", "kubeconfig", "etcd-disk", "etcd", "external-etcd", "static-pods", "control-plane"),
        *("apiserver-san", "apiserver-endpoints"),
    ),
    "pod network": ("firewall", "subnets", "cni-config", "cni-vendor", "conntrack"),
    "DNS": ("kube-proxy", "dns-path", "nodelocal-dns", "coredns", "pod-resolv-conf", "dns-reply-source"),
}
"""The built-in checks in the order in which their causes are mended: each layer rests on those before it."""

_PLACES = {check: place for place, check in enumerate(check for checks in MENDING.values() for check in checks)}

_BAD = (Status.WARN, Status.UNKNOWN, Status.FAIL)
_ROOTS = (Status.WARN, Status.FAIL)


@dataclass(frozen=True)
class Reference:
    """Names a finding of a report."""

    check: str
    reason: str
    subject: str | None


@dataclass(frozen=True)
class Diagnosis:
    """A cause with the symptoms that it explains.

    `why` says what the claim rests on. `explains` is sorted and may be empty.
    """

    title: str
    status: Status
    certainty: Certainty
    why: str
    cause: Reference
    explains: tuple[Reference, ...]
    fix: Fix | None


@dataclass(frozen=True)
class _Edge:
    """A finding (by position) that causes another, and the link that says so."""

    cause: int
    symptom: int
    link: Link


class Links:
    """Which finding of a report explains which. Findings are given with the id of their check."""

    def __init__(self, findings: Sequence[tuple[str, Finding]]) -> None:
        """Resolve every link between the findings given."""
        self._findings = findings
        self._edges: dict[int, list[_Edge]] = {}  # by cause
        for position, (_check, finding) in enumerate(findings):
            if finding.status not in _ROOTS:
                continue
            for link in finding.explains:
                self._connect(position, link)

    def _connect(self, cause: int, link: Link) -> None:
        for position, (check, finding) in enumerate(self._findings):
            if (
                check == link.check
                and finding.reason == link.reason
                and finding.status in _BAD
                and link.when <= finding.traits
                and position not in (cause, *(edge.symptom for edge in self._from(cause)))
                and cause
                not in self._reached_from(position)  # two that claim to cause each other: the first claim stands
            ):
                self._edges.setdefault(cause, []).append(_Edge(cause, position, link))

    def _from(self, cause: int) -> list[_Edge]:
        return self._edges.get(cause, [])

    def _reached_from(self, start: int) -> dict[int, _Edge]:
        """Everything that a finding explains, directly or through others, with the link that led there."""
        reached: dict[int, _Edge] = {}
        todo = [start]
        while todo:
            for edge in self._from(todo.pop()):
                if edge.symptom not in reached:
                    reached[edge.symptom] = edge
                    todo.append(edge.symptom)
        return reached

    def explained_by(self, position: int) -> tuple[Reference, ...]:
        """What the finding at a position explains directly."""
        return _sorted(self.reference(edge.symptom) for edge in self._from(position))

    def reference(self, position: int) -> Reference:
        """The name of the finding at a position."""
        check, finding = self._findings[position]
        return Reference(check, finding.reason, finding.subject)

    def diagnoses(self) -> tuple[Diagnosis, ...]:
        """Every fail or warn that nothing explains, by what to mend first.

        Worst first; then those with more symptoms that fail, warn, or could not be looked at; then by `MENDING`, where checks of plug-ins
        come last; and of one check in the order in which it tells.
        """
        symptoms = {edge.symptom for edges in self._edges.values() for edge in edges}
        roots = [
            position
            for position, (_check, finding) in enumerate(self._findings)
            if finding.status in _ROOTS and position not in symptoms
        ]
        return tuple(self._diagnosis(position) for position in sorted(roots, key=self._rank))

    def _rank(self, position: int) -> tuple[int, ...]:
        check, finding = self._findings[position]
        symptoms = [self._findings[symptom][1].status for symptom in self._reached_from(position)]
        counts = (-symptoms.count(each) for each in (Status.FAIL, Status.WARN, Status.UNKNOWN))
        return -_as_bad_as(finding, symptoms).rank, *counts, _PLACES.get(check, len(_PLACES)), position

    def _diagnosis(self, position: int) -> Diagnosis:
        _check, finding = self._findings[position]
        edges = self._reached_from(position).values()
        links = [edge.link for edge in edges]
        symptoms = [self._findings[edge.symptom][1].status for edge in edges]
        if links:
            why = _told_once([link.why for link in links])
        else:
            # A source's particulars, such as a namespace's path, stand with the evidence itself.
            sources = ", ".join(dict.fromkeys(evidence.source.partition(" (")[0] for evidence in finding.evidence))
            why = f"Seen directly: {sources}." if sources else "Seen directly."
        sure = all(link.certainty is Certainty.PROVEN for link in links)
        return Diagnosis(
            title=finding.message,
            status=_as_bad_as(finding, symptoms),
            certainty=Certainty.PROVEN if sure else Certainty.LIKELY,
            why=why,
            cause=self.reference(position),
            explains=_sorted(self.reference(edge.symptom) for edge in edges),
            fix=finding.fix,
        )


def _as_bad_as(finding: Finding, symptoms: Iterable[Status]) -> Status:
    """A warning whose symptom fails is as bad as its symptom; what it only kept from being seen makes it no worse."""
    return Status.worst([finding.status, *(each for each in symptoms if each in _ROOTS)])


def _told_once(claims: Iterable[str]) -> str:
    """Claims as sentences, without one that another begins with: "it is off" beside "it is off, so nobody can tell"."""
    told = list(dict.fromkeys(claim.rstrip(".") for claim in claims))
    return " ".join(_sentence(each) for each in told if not any(other.startswith(f"{each}, ") for other in told))


_WORDS = frozenset(
    {
        *("a", "an", "forwarding", "it", "its", "line", "no", "nobody", "of", "others", "packets", "queries"),
        *("somebody", "the", "this", "tracked", "what", "without"),
    }
)
"""With which a claim begins. Names, such as a setting's or a program's, keep their small letters."""


def _sentence(why: str) -> str:
    begins = why.partition(" ")[0] in _WORDS
    return f"{why[:1].upper() if begins else why[:1]}{why[1:].rstrip('.')}."


def _sorted(references: Iterable[Reference]) -> tuple[Reference, ...]:
    return tuple(sorted(set(references), key=lambda each: (each.check, each.reason, each.subject or "")))
