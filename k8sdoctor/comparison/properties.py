"""What is so on a node, property by property, from its recording or else from the evidence of its report.

A property has a name that means the same on every node (a path, a switch of the kernel, a command) and the lines that it says. What is of this very run,
such as a process' namespaces or the answers of peers, is no property.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import re
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from k8sdoctor.facts.x509 import BadCertificateError, certificates
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from k8sdoctor.comparison.noise import Own
    from k8sdoctor.host.base import Json
    from k8sdoctor.host.recording import Entry
    from k8sdoctor.report import Report

_Listed: TypeAlias = "tuple[str, Weight, list[str] | None]"
"""A property's name, its weight, and its lines; None: it is not there."""


class Weight(IntEnum):
    """How much a difference of a property may tell, most first. NOISE differs on every pair of nodes, whatever is wrong."""

    KERNEL = 0
    SYSCTL = 1
    VERSION = 2
    FILE = 3
    NETWORK = 4
    FOLDER = 5
    OTHER = 6
    NOISE = 7


@dataclass(frozen=True)
class Property:
    """One property. `lines` None means that it is not there."""

    name: str
    weight: Weight
    lines: tuple[str, ...] | None


def of_recording(entries: Iterable[Entry], own: Own) -> dict[str, Property]:
    """The properties of a recorded node, by names less what is the node's own."""
    found: dict[str, Property] = {}
    for entry in entries:
        # Anybody may have made the file: a question of another form than ours says nothing.
        with contextlib.suppress(LookupError, TypeError, AttributeError, ValueError, RecursionError):
            for listed in _of(entry):
                _put(found, own, *listed)
    return found


def _of(entry: Entry) -> Iterable[_Listed]:
    """What one entry says of the node."""
    if "answer" in entry:
        return list(_OF[entry["verb"]](entry["arguments"], entry["answer"])) if entry["verb"] in _OF else ()
    if entry.get("error", {}).get("reason") == "NotFound":
        return list(_absent(entry["verb"], entry["arguments"]))
    return ()


def of_report(report: Report, own: Own) -> dict[str, Property]:
    """What the evidence of a report's findings says, by its sources."""
    held: dict[str, list[str]] = {}
    for result in report.results:
        for finding in result.findings:
            for evidence in finding.evidence:
                lines = held.setdefault(known_as(evidence.source), [])
                lines += [line for line in evidence.content.splitlines() if line not in lines]
    found: dict[str, Property] = {}
    for name, lines in held.items():
        _put(found, own, name, _weight(name), lines)
    return found


def _put(found: dict[str, Property], own: Own, name: str, weight: Weight, lines: list[str] | None) -> None:
    key = own.stable(name)
    name = name.partition(_OF_WHICH)[0]
    known = found.get(key)
    if lines is None:
        # That a file is not there is told once, whichever way somebody looked.
        found.setdefault(key, Property(name, weight, None))
    elif known is None or known.lines is None or known.weight > weight:
        found[key] = Property(name, weight, tuple(map(str, lines)))


_OF_WHICH = "\0"
"""Stands in a key between a property's name and what was picked of it: other lines of one command are no difference of the nodes."""

_PEM = regex(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)
_BASE64_PEM = regex(r"LS0tLS1CRUdJTi[A-Za-z0-9+/]+={0,2}")  # `-----BEGIN` in base64
_COUNTERS = regex(r"\[\d+:\d+\]|\bpackets \d+ bytes \d+|# handle \d+|\b\w*(?:PID|Timestamp\w*|Monotonic)=.*")
_COMMENT = regex(r"\s*[#;]")


def prepared(lines: Iterable[str], own: Own) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Lines less comments, and for each a key that is the same where nodes differ by noise alone.

    A certificate is one line, and only an authority's key tells nodes apart.
    """
    text = "\n".join(lines)
    if "LS0tLS1CRUdJTi" in text:
        text = _BASE64_PEM.sub(_decoded, text)
    if "-----BEGIN CERTIFICATE" in text:
        text = _PEM.sub(_named, text)
    kept = [line for line in text.splitlines() if line.strip() and not _COMMENT.match(line)]
    keys = (line if "authority" in line and "sha256" in line else own.stable(_COUNTERS.sub("", line)) for line in kept)
    return tuple(kept), tuple(keys)


def _decoded(match: re.Match[str]) -> str:
    try:
        text = base64.b64decode(match[0], validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return match[0]
    return text.replace("\n", " ") if "CERTIFICATE" not in text else "".join(_PEM.sub(_named, text).splitlines())


def _named(match: re.Match[str]) -> str:
    try:
        [certificate] = certificates(match[0])
    except (BadCertificateError, ValueError):
        return "a certificate that cannot be read\n"
    if certificate.subject == certificate.issuer:
        return f"authority {certificate.subject}, sha256 {certificate.fingerprint[:16]}\n"
    return f"certificate of {certificate.subject}, by {certificate.issuer}\n"


# -- by verb -------------------------------------------------------------------------------------------------------------

_SWITCHES = "/proc/sys/"
_ONE_RUN = regex(
    r"/proc/(?:\d+|self|thread-self)/|/run/netns/|/proc/(?:meminfo|uptime|loadavg|stat|swaps|net/|locks)|/var/log/"
)
_COUNTED = regex(
    r"net\.netfilter\.nf_conntrack_count|fs\.(?:file-nr|inode-nr|inode-state|dentry-state|aio-nr)|kernel\.(?:random\..*|ns_last_pid|pty\.nr)"
)  # what the kernel counts there, and nobody sets (Documentation/admin-guide/sysctl)
_KERNEL = ("/proc/cmdline", "/proc/config.gz", "/boot/config-", "/proc/modules", "/proc/cgroups", "/proc/version")
_OF_A_POD = regex(r"\b(?:veth|cali|lxc|eni|tap|nodelocaldns|kube-ipvs)\w*")
_NO_FILES = ("/proc/", "/sys/", "/dev/")


def known_as(path: str) -> str:
    """A switch of the kernel as sysctl names it, any other path as it is. A dot in an interface's name is a slash there (sysctl(8)).

    >>> known_as("/proc/sys/net/ipv4/conf/eth0.7/forwarding")
    'net.ipv4.conf.eth0/7.forwarding'
    """
    if not path.startswith(_SWITCHES):
        return path
    return path.removeprefix(_SWITCHES).translate(str.maketrans("./", "/."))


def _weight(path: str) -> Weight:
    if _ONE_RUN.match(path) or _OF_A_POD.search(path) or _COUNTED.fullmatch(known_as(path)):
        return Weight.NOISE
    if path.startswith(_KERNEL):
        return Weight.KERNEL
    if path.startswith(_SWITCHES) or re.fullmatch(r"(?:net|kernel|vm|fs)\.[\w./-]+", path):
        return Weight.SYSCTL
    if path.startswith("/sys/"):
        return Weight.OTHER
    return Weight.FILE if path.startswith("/") else Weight.OTHER


def _read(arguments: dict[str, Any], answer: Any) -> Iterator[_Listed]:
    path = arguments["path"]
    if arguments.get("netns") is None or path.startswith("/etc/"):
        weight = Weight.VERSION if path in ("/etc/os-release", "/usr/lib/os-release") else _weight(path)
        yield known_as(path), weight, _values(path, answer)


def _values(path: str, text: str) -> list[str]:
    """The lines of a file; of JSON, which may be one line, its values."""
    if text[:1] == "{" and path.startswith("/etc/"):
        with contextlib.suppress(ValueError, RecursionError):
            return list(_leaves(json.loads(text)))
    return [_less_counts(path, line) for line in text.splitlines()]


def _less_counts(path: str, line: str) -> str:
    """A line of a table of the kernel's without what it counts: of modules their names, of control groups whether they are enabled."""
    words = line.split()
    if path == "/proc/modules" and words:
        return words[0]
    if path == "/proc/cgroups" and len(words) > 1:
        return f"{words[0]} {words[-1]}"
    return line


def _lines(arguments: dict[str, Any], answer: Any) -> Iterator[_Listed]:
    yield arguments["path"], _weight(arguments["path"]), list(answer)


def _listdir(arguments: dict[str, Any], answer: Any) -> Iterator[_Listed]:
    path = arguments["path"].rstrip("/")
    weight = Weight.NOISE if path.startswith(_NO_FILES) or _ONE_RUN.match(f"{path}/") else Weight.FOLDER
    yield f"{path}/", weight, sorted(f"{each['name']}{'/' if each['kind'] == 'dir' else ''}" for each in answer)


_PROGRAMS = regex(r"/(?:usr/(?:local/)?)?s?bin/|/opt/cni/bin/|/usr/lib(?:exec)?/cni/")


def _stat(arguments: dict[str, Any], answer: Any) -> Iterator[_Listed]:
    path = arguments["path"]
    if path.startswith(_NO_FILES):
        return
    told = f"{answer['kind']}, mode {answer['mode']:04o}, owner {answer['uid']}:{answer['gid']}"
    if _PROGRAMS.match(path):
        told += f", size {answer['size']}"
    yield f"{path} (as a file)", Weight.FOLDER, [told]


def _readlink(arguments: dict[str, Any], answer: Any) -> Iterator[_Listed]:
    if not arguments["path"].startswith(_NO_FILES):
        yield f"{arguments['path']} (where it leads)", Weight.FILE, [answer]


def _command(arguments: dict[str, Any]) -> tuple[str, Weight] | None:
    words = [str(word) for word in arguments["argv"]]
    if words[0] in ("journalctl", "head") or arguments.get("attempt"):
        return None
    name = " ".join(words)
    if arguments.get("keep"):
        name += f"{_OF_WHICH}{json.dumps(arguments['keep'])}"
    if {"--version", "version", "-v", "CNI_COMMAND=VERSION"} & {*words}:
        return name, Weight.VERSION
    return name, Weight.NETWORK if "tables" in words[0] or words[0] in ("nft", "ipset", "ipvsadm") else Weight.OTHER


def _run(arguments: dict[str, Any], answer: Any) -> Iterator[_Listed]:
    command = _command(arguments)
    if command is not None:
        failed = [f"ended with {answer['code']}"] if answer["code"] else []
        out = answer["out"].splitlines() or (answer["err"].splitlines() if answer["code"] else [])
        yield *command, [*failed, *(_by_table(out) if command[0].partition(_OF_WHICH)[0] in _ANY_ORDER else out)]


_ANY_ORDER = ("nft list tables", "nft list chains")
"""Commands that list in the order in which things were made, which means nothing."""


def _by_table(lines: Iterable[str]) -> list[str]:
    """The lines of nft, each with its table's name, sorted."""
    found, table = [], ""
    for line in lines:
        if line.startswith("table"):
            table = line.rstrip(" {")
            found.append(table)
        elif line.strip(" \t}"):
            found.append(f"{table}: {line.strip()}")
    return sorted(found)


def _identity(_arguments: dict[str, Any], answer: Any) -> Iterator[_Listed]:
    yield "kernel", Weight.KERNEL, [f"{answer['kernel']} {answer['machine']}"]


def _netlink(arguments: dict[str, Any], answer: Any) -> Iterator[_Listed]:
    if arguments.get("netns") is not None:
        return
    if arguments["what"] == "links":
        yield from _links(answer)
    elif arguments["what"] == "routes":
        main = [each for each in answer if each.get("table") == 254]  # noqa: PLR2004 -- RT_TABLE_MAIN
        default = [each for each in main if each["destination"] in ("0.0.0.0/0", "::/0")]
        for name, weight, routes in (
            ("default routes", Weight.NETWORK, default),
            ("routes", Weight.NOISE, [each for each in main if each not in default]),
        ):
            yield (
                name,
                weight,
                sorted(f"{each['destination']} via {each.get('gateway', 'the link')}" for each in routes),
            )
    else:
        yield "addresses", Weight.NOISE, sorted(f"{each['address']}/{each['prefix']}" for each in answer)


def _links(links: list[dict[str, Any]]) -> Iterator[_Listed]:
    for link in links:
        weight = Weight.NOISE if link.get("kind") == "veth" or _OF_A_POD.match(link.get("name", "")) else Weight.NETWORK
        switches = [f"{name} {link[name]}" for name in ("nf_call_iptables", "nf_call_ip6tables") if name in link]
        told = [f"mtu {link.get('mtu')}", link.get("kind", "hardware"), "up" if link.get("up") else "down", *switches]
        yield f"link {link.get('name')}", weight, [", ".join(told)]


def _processes(_arguments: dict[str, Any], answer: Any) -> Iterator[_Listed]:
    yield "programs that run", Weight.OTHER, sorted({each["name"] for each in answer if each["cmdline"]})


def _listeners(_arguments: dict[str, Any], answer: Any) -> Iterator[_Listed]:
    sockets = {f"{each['protocol']} {each['address']} port {each['port']}: {each['name']}" for each in answer}
    yield "programs that listen", Weight.OTHER, sorted(sockets)


def _space(arguments: dict[str, Any], answer: Any) -> Iterator[_Listed]:
    flags = [word for word, key in (("read-only", "read_only"), ("noexec", "no_exec")) if answer[key]]
    yield f"file system of {arguments['path']}", Weight.OTHER, [", ".join([answer["type"], *flags])]


def _clock(_arguments: dict[str, Any], answer: Any) -> Iterator[_Listed]:
    yield "clock", Weight.OTHER, ["not synchronised" if answer["unsynchronised"] else "synchronised"]


def _resolve(arguments: dict[str, Any], answer: Any) -> Iterator[_Listed]:
    yield f"addresses of {arguments['name']}", Weight.NETWORK, [*answer["addresses"], *filter(None, [answer["error"]])]


def _cri(arguments: dict[str, Any], answer: Any) -> Iterator[_Listed]:
    method = str(arguments["method"]).rpartition("/")[2]
    if method == "Version":
        yield "container runtime", Weight.VERSION, [f"{answer.get('runtime_name')} {answer.get('runtime_version')}"]
    elif method == "Status":
        yield "container runtime's state and configuration", Weight.FILE, sorted(_leaves(answer))
    elif method == "ListImages":
        images = answer.get("images") or []
        yield "images", Weight.OTHER, sorted({tag for each in images for tag in each.get("repo_tags") or []})


_PASSING = ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "renewTime", "images")


def _kube(arguments: dict[str, Any], answer: Any) -> Iterator[_Listed]:
    yield f"API server: {str(arguments['path']).partition('?')[0]}", Weight.OTHER, list(_leaves(answer))


def _leaves(value: Json, path: str = "") -> Iterator[str]:
    """A line for each value of a document; what is text of JSON in it (a runtime's configuration) as its values."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            yield f"{path}: {value}"
            return
    if isinstance(value, dict):
        for key, each in value.items():
            if key not in _PASSING and not key.endswith(("Time", "Timestamp")):
                yield from _leaves(each, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for each in value:
            name = each.get("name") or each.get("type") if isinstance(each, dict) else None
            yield from _leaves(each, f"{path}[{name}]" if isinstance(name, str) else f"{path}[]")
    else:
        yield f"{path}: {json.dumps(value) if not isinstance(value, str) else value}"


_OF: dict[str, Callable[[dict[str, Any], Any], Iterable[_Listed]]] = {
    "read": _read,
    "lines": _lines,
    "listdir": _listdir,
    "stat": _stat,
    "readlink": _readlink,
    "run": _run,
    "identity": _identity,
    "netlink": _netlink,
    "processes": _processes,
    "listeners": _listeners,
    "space": _space,
    "clock": _clock,
    "resolve": _resolve,
    "cri": _cri,
    "kube": _kube,
}
"""What each verb's answers say of the node. The others ask peers, or look at one run."""


def _absent(verb: str, arguments: dict[str, Any]) -> Iterator[_Listed]:
    """What is not there."""
    if verb in ("read", "lines"):
        path = arguments["path"]
        yield known_as(path), _weight(path), None
    elif verb == "stat" and not arguments["path"].startswith(_NO_FILES):
        yield f"{arguments['path']} (as a file)", Weight.FOLDER, None
    elif verb == "listdir" and not arguments["path"].startswith(_NO_FILES):
        yield f"{arguments['path'].rstrip('/')}/", Weight.FOLDER, None
    elif verb == "run" and (command := _command(arguments)):
        yield *command, None
