"""Stand-ins for names of hosts, domains, people and organisations, label by label, each the same wherever it stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias

from k8sdoctor.anonymize.words import COUNTRIES, DOMAINS, GENERIC, TENANTED, TOP, is_ordinary, is_public_workload
from k8sdoctor.patterns import regex

if TYPE_CHECKING:
    from collections.abc import Iterable

Kind: TypeAlias = 'Literal["node", "host", "domain", "user", "cluster", "organisation", "authority", "place", "id", "namespace", "pod", "image", "label"]'

_NAME = regex(r"[\w-]+(?:\.[\w-]+)*")
_NO_HOST = regex(r"[0-9.]+|_default")
"""Addresses, and containerd's folder for every registry."""

_CONTAINER = regex(r"[0-9a-f]{32,}")
"""The ID of a container, which stands behind `containerd://`."""

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""What the API server makes endings of (apimachinery, pkg/util/rand)."""

_ENDING = regex(rf"(?:-[{_LETTERS}]{{6,10}})?-[{_LETTERS}]{{5}}|-\d+")
"""What a Deployment, a DaemonSet, a Job, a CronJob and a StatefulSet put behind their names."""

_SHORTEST = 3
"""Letters of a workload's name from which on it is told from a word of a configuration, such as `ro`."""

_TELLING = 4
"""Letters of a domain from which on it is looked for where it stands alone."""

_LONG = 40
"""Letters from which on the length of a label is kept, since limits of 63 and 253 are near."""


class Names:
    """The stand-ins of one recording's names. First all are seen, then they are mapped."""

    def __init__(self) -> None:
        """Nothing was seen."""
        self._alone: dict[str, Kind] = {}
        self._domains: set[tuple[str, ...]] = set()
        self._phrases: dict[str, Kind] = {}
        self._workloads: dict[str, Kind] = {}
        self._labels: dict[str, str] = {}
        self._count: dict[str, int] = {}
        self._starts: frozenset[str] = frozenset()
        self._longest = 1
        self.kept: set[str] = set()
        """Hosts called like an ordinary word, which stay."""

    # -- what is there -------------------------------------------------------------------------------------------------------

    def see_host(self, name: str, kind: Kind = "host") -> None:
        """Note a host, by a name with or without a domain. What is no name is left alone."""
        if kind == "node" and not _NAME.fullmatch(name.strip().strip(".")):
            self.see_phrase(name.strip(), kind)  # letters that no name has: it stays a bad name, of another text
        name = name.lower().strip().rstrip(".").removeprefix("*.").lstrip(".")
        labels = tuple(name.split("."))
        if not _NAME.fullmatch(name) or _NO_HOST.fullmatch(name) or is_public(labels):
            return
        if kind != "node" and _CONTAINER.fullmatch(name):
            return
        if len(labels) == 1 or kind == "node":
            self._see_alone(labels[0], kind)
        self.see_domain(".".join(labels[1:]))
        if len(labels) == 2:  # noqa: PLR2004 -- may be a host in a domain, or a domain
            self._domains.add(labels)

    def see_domain(self, name: str) -> None:
        """Note a domain."""
        labels = tuple(name.lower().strip().strip(".").split("."))
        if not all(_NAME.fullmatch(label) for label in labels) or is_public(labels) or labels in _TENANTS:
            return
        if len(labels) > 1 or not (labels[0] in TOP or is_ordinary(labels[0])):
            self._domains.add(labels)
        if len(labels) > 1 and len(labels[-2]) >= _TELLING and (labels[-1] in TOP or labels[-1] in COUNTRIES):
            self._see_alone(labels[-2], "domain")  # the company's own name, which is in names of files and images, too

    def see_user(self, name: str, kind: Kind = "user") -> None:
        """Note a person's name, or one that somebody gave."""
        if _NAME.fullmatch(name):
            self._see_alone(name.lower(), kind)

    def see_phrase(self, text: str, kind: Kind) -> None:
        """Note a text that is replaced as a whole: an organisation, a serial number."""
        if len(text) > 3 and not all(map(is_ordinary, re.findall(r"\w+", text))):  # noqa: PLR2004 -- shorter ones are parts of words
            self._phrases.setdefault(text, kind)

    def see_workload(self, name: str, kind: Kind) -> None:
        """Note what a pod, a namespace or a part of an image's path is called."""
        if _NAME.fullmatch(name):
            before = self._workloads.get(name.lower(), "label")
            self._workloads[name.lower()] = kind if before == "label" else before

    def _see_alone(self, label: str, kind: Kind) -> None:
        label = label.strip("-_")
        if is_ordinary(label):
            self.kept |= {label} if kind == "node" else set()
        elif kind == "node" or label not in self._alone:
            self._alone[label] = kind

    # -- what stands for it ----------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Number what was seen, in order, so that what came before the other does so still."""
        for name, kind in sorted(self._workloads.items(), key=lambda each: (each[1] == "label", each)):
            self._settle_workload(name, kind)
        for label in sorted(self._alone):
            self._make(label, self._alone[label])
        parts = [re.split(r"([-_])", label) for label in self._alone]
        self._starts = frozenset(each[0] for each in parts)
        self._longest = max(map(len, parts), default=1)

    def _settle_workload(self, name: str, kind: Kind) -> None:
        """A workload's own name: without what was put behind it, and none if every cluster has it."""
        nodes = {label for label, kind in self._alone.items() if kind == "node"} | self.kept
        own = name.partition(".")[0]
        while not is_public_workload(own):
            shorter = next((own.removesuffix(f"-{node}") for node in nodes if own.endswith(f"-{node}")), own)
            ending = re.search(rf"(?:{_ENDING.pattern})\Z", own) if shorter == own else None
            shorter = own[: ending.start()] if ending else shorter
            if shorter in (own, ""):
                break
            own = shorter
        if len(own) >= _SHORTEST and own not in nodes and not is_public_workload(own):
            self._alone.setdefault(own, kind)

    def phrases(self) -> dict[str, str]:
        """The texts that are replaced as a whole, and by what."""
        found = {}
        for text in sorted(self._phrases):
            kind = self._phrases[text]
            found[text] = self._number(kind.capitalize(), " ") if kind != "id" else ""
        return found

    def is_known(self, labels: tuple[str, ...]) -> bool:
        """Whether a dotted name is one of the domains that were seen, or below one, or is by its end."""
        if len(labels) < 2 or is_public(labels):  # noqa: PLR2004 -- no domain
            return False
        if any(labels[start:] in self._domains for start in range(len(labels))):
            return True
        if any(labels[start:] in _TENANTS for start in range(1, len(labels))):
            return True
        last, before = labels[-1], labels[-2]
        if len(before) < 2 or before.isdigit():  # noqa: PLR2004 -- a letter is no domain of anybody's
            return False
        return last in GENERIC or (last in COUNTRIES and not is_ordinary(before))

    def dotted(self, word: str) -> str:
        """A word with dots in it, or without: a host, a file, a version."""
        labels = word.split(".")
        lower = tuple(label.lower() for label in labels)
        if is_public(lower):
            return word
        return self._domain_name(labels, lower) if self.is_known(lower) else ".".join(map(self.token, labels))

    def mailbox(self, name: str, host: str) -> str | None:
        """What stands for the person in `name@host`; None where the host is nobody's own, or the name is an ordinary word."""
        if is_ordinary(name) or name.startswith("REDACTED") or not self.is_known(tuple(host.lower().split("."))):
            return None
        return self._make(name.lower(), "user")

    def _domain_name(self, labels: list[str], lower: tuple[str, ...]) -> str:
        end = next((start for start in range(len(lower)) if lower[start:] in _TENANTS), len(lower) - 1)
        # In names of services, service and namespace come before `svc`.
        begin = max((lower.index(word) for word in ("svc", "pod") if word in lower[1:]), default=0)
        mapped = [self._label(label, "domain" if position else "host") for position, label in enumerate(labels)]
        tail = labels[end:] if lower[end:] in _TENANTS else [self._top(labels[-1])]
        return ".".join([*labels[:begin], *mapped[begin:end], *tail])

    def _top(self, label: str) -> str:
        if label.lower() in TOP:
            return label
        return "test" if len(label) == 2 and label.isalpha() else self._label(label, "domain")  # noqa: PLR2004 -- a country's

    def _label(self, label: str, kind: Kind) -> str:
        if not label or is_ordinary(label) or ADDRESS_IN_LABEL.search(label):
            return self.token(label)
        return shaped(self._make(label.lower(), kind), label)

    def token(self, label: str) -> str:
        """A word without dots; names are found in it between dashes and underscores."""
        if self._starts.isdisjoint(re.split(r"[-_]", label.lower())):
            return label
        parts = re.split(r"([-_])", label)
        done: list[str] = []
        position = 0
        while position < len(parts):
            for end in range(min(len(parts), position + self._longest), position, -1):
                run = "".join(parts[position:end])
                if position % 2 == 0 and end % 2 and run.lower() in self._alone:
                    done.append(shaped(self._labels[run.lower()], run))
                    position = end
                    break
            else:
                done.append(parts[position])
                position += 1
        return "".join(done)

    def _make(self, label: str, kind: str) -> str:
        if label not in self._labels:
            self._labels[label] = self._number(kind, "-")
        return self._labels[label]

    def _number(self, kind: str, dash: str) -> str:
        width = len(str(sum(1 for each in self._alone.values() if each == kind)))
        while True:
            self._count[kind] = self._count.get(kind, 0) + 1
            found = f"{kind}{dash}{self._count[kind]:0{width}}"
            if found.lower() not in self._alone:  # else it could not be told from one that was there
                return found


ADDRESS_IN_LABEL = regex(r"(?<![\d-])\d{1,3}(?:-\d{1,3}){3}(?![\d-])")
_TENANTS = frozenset(tuple(name.split(".")) for name in TENANTED)
_PUBLIC = frozenset(tuple(name.split(".")) for name in DOMAINS)


def is_public(labels: Iterable[str]) -> bool:
    """Whether a name is one that everybody has, such as registry.k8s.io.

    >>> [is_public(name.split(".")) for name in ("registry.k8s.io", "a.svc.cluster.local", "k8s.acme.com", "localhost")]
    [True, True, False, True]
    """
    found = tuple(labels)
    return any(found[start:] in _PUBLIC for start in range(len(found)))


def shaped(stand_in: str, original: str) -> str:
    """A stand-in that is a bad name where the original is one, in the same ways.

    >>> [shaped("node-1", name) for name in ("cp", "my_host", "CP", "Cp", "-cp-")], len(shaped("node-1", "a" * 64))
    (['node-1', 'node_1', 'NODE-1', 'Node-1', '-node-1-'], 64)
    """
    odd = list(
        dict.fromkeys(letter for letter in original if not (letter.isascii() and letter.isalnum()) and letter != "-")
    )
    text = stand_in.replace("-", odd[0], 1) + "".join(odd[1:]) if odd else stand_in
    if original != original.lower():
        text = text.upper() if original == original.upper() else text.capitalize()
    front, back = "-" * original.startswith("-"), "-" * (original.endswith("-") and len(original) > 1)
    fill = "x" * (len(original) - len(text) - len(front) - len(back)) if len(original) >= _LONG else ""
    return f"{front}{text}{fill}{back}"
