"""A CNI configuration file, read as libcni reads it.

Rules are those of containernetworking/cni `libcni/conf.go` and `pkg/types/types.go`, at the versions named below, and of Go's
`encoding/json`, which refuses what Python's lets pass (NaN, a byte-order mark), and which finds the keys of a plugin whatever their case,
but not those of a list.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
from typing import TYPE_CHECKING, TypeAlias, cast

from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from k8sdoctor.host import Json

Subnet: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"

# Libcni releases that differ: 1.1 knows specification 1.0.0, 1.2 reads `cniVersions`, 1.3 plugins from a folder.
LIBCNI_0 = (0, 8)
LIBCNI_1_1 = (1, 1)
LIBCNI_1_2 = (1, 2)
LIBCNI_1_3 = (1, 3)

SPECIFICATIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
"""Every version of the CNI specification, oldest first (containernetworking/cni `pkg/version/version.go`)."""

LONGEST_NAME = 185
"""Bytes of a network's name: of 255 for a file's, what a pod sandbox's id, `eth0` and two hyphens leave (`libcni/api.go`, `getCacheFilePath`)."""

DEFAULT_BRIDGE = "cni0"  # containernetworking/plugins `plugins/main/bridge/bridge.go`
FLANNEL_SUBNET_FILE = "/run/flannel/subnet.env"  # flannel-io/cni-plugin `flannel.go`

# Plugins that run the program of their `ipam` on the node. Others may have it elsewhere: Antrea's agent runs its own, in its container.
_RUN_ADDRESS_MANAGEMENT = frozenset(
    {
        *("bond", "bridge", "dummy", "host-device", "ipvlan", "loopback", "macvlan", "ptp", "tap", "vlan"),
        *("azure-vnet", "calico", "cnv-bridge", "flannel", "ib-sriov", "ovs", "sriov"),
    }
)

# Plugins that hand on what address management gives, and chained ones that give no address (containernetworking/plugins 1.1).
_ADDRESSED_BY_IPAM = frozenset({"bridge", "dummy", "host-device", "ipvlan", "macvlan", "ptp", "tap", "vlan"})
_WITHOUT_ADDRESSES = frozenset({"bandwidth", "firewall", "loopback", "portmap", "sbr", "tuning", "vrf"})

# A secret's placeholder may have taken the place of a number.
_PLACEHOLDER = regex(r"(?<=[:\[,\s])REDACTED-\d+(?=\s*[,\]}])")
_CONSTANT = regex(r'"(?:[^"\\]|\\.)*"|NaN|-?Infinity', re.DOTALL)
_HALF = regex(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")  # or of a whole one
_SURROGATE = regex(r"[\ud800-\udfff]")
_NAME = regex(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")  # `pkg/utils/utils.go`; Go's `$` has no newline before it


class CniError(ValueError):
    """Why libcni refuses a file: one clause, and the place in the text where there is one, both from 1."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        """Keep message and place."""
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


@dataclass(frozen=True)
class CniPlugin:
    """One plugin of a network: its type, its address management (None without), and its own configuration."""

    type: str
    ipam: str | None
    config: Mapping[str, Json]


@dataclass(frozen=True)
class Requirement:
    """A program that a network needs, and what it is there for, such as `plugin` or `delegate of flannel`."""

    type: str
    role: str


@dataclass(frozen=True)
class CniNetwork:
    """What a runtime loads from one file. `cni_version` is empty when the file names none; `source` is what libcni keeps of it."""

    name: str
    cni_version: str
    plugins: tuple[CniPlugin, ...]
    source: Mapping[str, Json]

    @property
    def name_is_valid(self) -> bool:
        """Whether libcni starts pods on a network of this name (`ValidateNetworkName`, `getCacheFilePath`)."""
        return _NAME.fullmatch(self.name) is not None and not self.name_is_too_long

    @property
    def name_is_too_long(self) -> bool:
        """Whether there could be no file of the name under which libcni keeps what a pod got."""
        return len(self.name.encode()) > LONGEST_NAME

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """Every program that starting a pod runs: plugins, their address management, what they delegate to."""
        found: dict[str, Requirement] = {}
        for plugin in self.plugins:
            for requirement in _requirements(plugin.type, plugin.config, "plugin"):
                found.setdefault(requirement.type, requirement)
        return tuple(found.values())

    @property
    def plugin_types(self) -> tuple[str, ...]:
        """The types of all programs that it needs."""
        return tuple(requirement.type for requirement in self.requirements)

    @property
    def gives_no_address(self) -> bool:
        """Whether a pod's interface gets no address for sure: only plugins whose addresses come from an `ipam`, and none has one."""
        types = {plugin.type for plugin in self.plugins}
        return types <= _ADDRESSED_BY_IPAM | _WITHOUT_ADDRESSES and not any(
            plugin.ipam and plugin.type in _ADDRESSED_BY_IPAM for plugin in self.plugins
        )

    @property
    def is_loopback(self) -> bool:
        """Whether it holds the loopback plugin and nothing else, as a file that packages drop does."""
        return {plugin.type for plugin in self.plugins} == {"loopback"}

    @property
    def bridges(self) -> tuple[str, ...]:
        """The Linux bridges that it makes for pods."""
        found: dict[str, None] = {}
        for type_, config in self._parts():
            if type_ == "bridge":
                found[_text(config, "bridge") or DEFAULT_BRIDGE] = None
        return tuple(found)

    @property
    def gateway_bridges(self) -> tuple[str, ...]:
        """The bridges that get an address of the pods' subnet, and must not have another one (`ensureAddr` of the bridge plugin)."""
        found: dict[str, None] = {}
        for plugin in self.plugins:
            for type_, config in _parts(plugin.type, plugin.config):
                gateway = _field(config, "isGateway") is True or _field(config, "isDefaultGateway") is True
                if plugin.type == "flannel":  # which sets it where nobody did
                    gateway = gateway or _field(config, "isGateway") is None
                if type_ == "bridge" and gateway and _field(config, "forceAddress") is not True:
                    found[_text(config, "bridge") or DEFAULT_BRIDGE] = None
        return tuple(found)

    @property
    def flannel_subnet_files(self) -> tuple[str, ...]:
        """The files from which flannel's plugins take the node's subnet."""
        return tuple(
            _text(config, "subnetFile") or FLANNEL_SUBNET_FILE for type_, config in self._parts() if type_ == "flannel"
        )

    @property
    def subnets(self) -> tuple[Subnet, ...]:
        """The subnets that its address management hands out, as far as the file tells."""
        found: dict[Subnet, None] = {}
        for _, config in self._parts():
            ipam = _mapping(_field(config, "ipam"))
            ranges = [ipam, *(_mapping(one) for group in _list(_field(ipam, "ranges")) for one in _list(group))]
            for one in ranges:
                try:
                    found[ipaddress.ip_network(_text(one, "subnet") or "", strict=False)] = None
                except ValueError:  # `usePodCidr`, or nothing
                    continue
        return tuple(found)

    @property
    def families(self) -> frozenset[int]:
        """4 and 6, as far as the file tells; empty when it does not."""
        found: set[int] = {subnet.version for subnet in self.subnets}
        for _, config in self._parts():
            ipam = _mapping(_field(config, "ipam"))
            for key, family in (("assign_ipv4", 4), ("assign_ipv6", 6)):  # calico-ipam
                value = str(_field(ipam, key)).lower()
                if value == "true":
                    found.add(family)
        return frozenset(found)

    def _parts(self) -> Iterator[tuple[str, Mapping[str, Json]]]:
        for plugin in self.plugins:
            yield from _parts(plugin.type, plugin.config)


def parse(
    text: str,
    *,
    is_list: bool,
    libcni: tuple[int, int] = LIBCNI_1_3,
    folders: Mapping[str, Sequence[str]] | None = None,
) -> CniNetwork:
    """The network in the text of a `.conflist` (`is_list`) or of a `.conf` or `.json`. Raises CniError.

    `folders` holds the texts of the `.conf` files in each folder beside the file: libcni 1.3 adds the plugins of the one that has the
    network's name.
    """
    value = go_json(text)
    return _network(value, libcni, folders or {}) if is_list else _single(value)


def _single(value: Json) -> CniNetwork:
    plugin = _plugin(value, "")
    name = _text(plugin.config, "name") or ""
    version = _text(plugin.config, "cniVersion") or ""
    return CniNetwork(name, version, (plugin,), {"name": name, "cniVersion": version, "plugins": [dict(plugin.config)]})


def _network(value: Json, libcni: tuple[int, int], folders: Mapping[str, Sequence[str]]) -> CniNetwork:
    if value is not None and not isinstance(value, dict):
        raise CniError(f"{_kind(value)} where an object is wanted")
    raw = value or {}
    name = raw.get("name")
    if "name" not in raw:
        other = next((key for key in raw if key.lower() == "name"), None)
        raise CniError(f'no "name" (the key {json.dumps(other)} is not it)' if other else 'no "name"')
    if not isinstance(name, str):
        raise CniError(f'"name" is {_kind(name)} and not a string')
    version = raw.get("cniVersion", "")
    if not isinstance(version, str):
        raise CniError(f'"cniVersion" is {_kind(version)} and not a string')
    if libcni >= LIBCNI_1_2 and "cniVersions" in raw:
        version = _highest(raw["cniVersions"], version)
    _switches(raw, libcni)
    inlined_only = str(raw.get("loadOnlyInlinedPlugins")).lower() == "true"
    plugins = raw.get("plugins", [])
    if not isinstance(plugins, list):
        raise CniError(f'"plugins" is {_kind(plugins)} and not a list')
    beside = () if libcni < LIBCNI_1_3 or inlined_only else folders.get(name, ())
    if not plugins and ("plugins" in raw or not beside):
        raise CniError('"plugins" is an empty list' if "plugins" in raw else 'no "plugins"')
    found = [_plugin(each, f" (plugin {number})") for number, each in enumerate(plugins, 1)]
    found += [_plugin(go_json(text), f" (in the folder {name})") for text in beside]
    return CniNetwork(name, version, tuple(found), raw)


def _switches(raw: Mapping[str, Json], libcni: tuple[int, int]) -> None:
    """Refuse switches of a wrong kind; 1.2 takes "true" and "false" as text as well."""
    known = ["disableCheck"]
    if libcni >= LIBCNI_1_2:
        known.append("disableGC")
    if libcni >= LIBCNI_1_3:
        known.append("loadOnlyInlinedPlugins")
    for key in known:
        value = raw.get(key, False)
        as_text = libcni >= LIBCNI_1_2 and isinstance(value, str) and value.lower() in ("true", "false")
        if not isinstance(value, bool) and not as_text:
            raise CniError(f'"{key}" is {_kind(value)} and neither true nor false')


def _highest(versions: Json, version: str) -> str:
    """The highest of `cniVersions` that libcni implements (1.1.0 since 1.2); `cniVersion` counts among them."""
    if not isinstance(versions, list):
        raise CniError(f'"cniVersions" is {_kind(versions)} and not a list')
    known: list[tuple[tuple[int, ...], str]] = []
    for each in [*versions, *([version] if version else [])]:
        if not isinstance(each, str):
            raise CniError(f'"cniVersions" holds {_kind(each)}')
        try:
            numbers = tuple(int(part) for part in each.split("."))
        except ValueError:
            raise CniError(f'"cniVersions" holds {each!r}, which is no version') from None
        if numbers <= (1, 1, 0):
            known.append((numbers, each))
    return max(known)[1] if known else version


def _plugin(value: Json, where: str) -> CniPlugin:
    """One plugin's configuration, by the kinds of field that Go's `PluginConf` has."""
    if value is not None and not isinstance(value, dict):
        raise CniError(f"{_kind(value)} where a plugin's object is wanted{where}")
    config = value or {}
    for key in ("cniVersion", "name", "type"):
        _must_be(config, key, str, "a string", where)
    for key in ("capabilities", "ipam", "dns", "prevResult"):
        _must_be(config, key, dict, "an object", where)
    for key, switch in _mapping(_field(config, "capabilities")).items():
        if not isinstance(switch, bool) and switch is not None:
            raise CniError(f'capability "{key}" is {_kind(switch)} and neither true nor false{where}')
    ipam = _mapping(_field(config, "ipam"))
    _must_be(ipam, "type", str, "a string", f" of ipam{where}")
    _dns(_mapping(_field(config, "dns")), where)
    type_ = _text(config, "type")
    if not type_:
        if "plugins" in config:
            raise CniError('no "type": this is a list, whose file name must end in .conflist')
        raise CniError(f'no "type"{where}')
    return CniPlugin(type_, _text(ipam, "type"), config)


def _dns(dns: Mapping[str, Json], where: str) -> None:
    """Refuse resolver settings of a wrong kind (`types.DNS`)."""
    _must_be(dns, "domain", str, "a string", f" of dns{where}")
    for key in ("nameservers", "search", "options"):
        _must_be(dns, key, list, "a list", f" of dns{where}")
        for each in _list(_field(dns, key)):
            if not isinstance(each, str) and each is not None:
                raise CniError(f'"{key}" of dns{where} holds {_kind(each)}, and is to hold strings')


def _must_be(config: Mapping[str, Json], key: str, kind: type, words: str, where: str) -> None:
    value = _field(config, key)
    if value is not None and not isinstance(value, kind):
        raise CniError(f'"{key}"{where} is {_kind(value)} and not {words}')


def go_json(text: str) -> Json:
    """The value of a JSON text, by Go's rules. Raises CniError with line and column."""
    if text.startswith("\ufeff"):
        raise CniError("the file begins with a byte-order mark (U+FEFF), which JSON does not allow", 1, 1)
    if not text.strip(" \t\r\n"):
        raise CniError("the file is empty", 1, 1)
    try:
        value = json.loads(_PLACEHOLDER.sub("0", text), parse_constant=_no_constant, parse_float=_number_of)
        if _HALF.search(text):  # of a pair: U+FFFD to Go (`Unmarshal`), and no character that could be shown
            value = json.loads(_SURROGATE.sub("\ufffd", json.dumps(value, ensure_ascii=False)))
        return cast("Json", value)
    except json.JSONDecodeError as error:
        raise _placed(error.msg[:1].lower() + error.msg[1:], text, error.pos) from None
    except _NoConstantError as error:
        at = next((match for match in _CONSTANT.finditer(text) if not match[0].startswith('"')), None)
        raise _placed(f"{error} is no JSON", text, at.start() if at else 0) from None
    except CniError:
        raise
    except (RecursionError, ValueError):
        raise CniError("nested too deep, or a number too long") from None


class _NoConstantError(Exception):
    """JSON has neither NaN nor Infinity."""


def _no_constant(word: str) -> Json:
    raise _NoConstantError(word)


def _number_of(text: str) -> float:
    """A number that a Go float64 can hold."""
    number = float(text)
    if math.isinf(number):
        raise CniError(f"the number {text} is too large")
    return number


def _placed(message: str, text: str, position: int) -> CniError:
    if "trailing comma" in message.lower():  # Python 3.13 points at the comma, earlier ones and Go at what follows
        position = next((at for at in range(position + 1, len(text)) if not text[at].isspace()), position)
    if position < len(text):
        found = f", found {json.dumps(text[position], ensure_ascii=True)}"
    else:
        found = ", found the end of the file"
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return CniError(f"{message}{found}", line, column)


def _requirements(type_: str, config: Mapping[str, Json], role: str) -> Iterator[Requirement]:
    yield Requirement(type_, role)
    ipam = _text(_mapping(_field(config, "ipam")), "type") if type_ in _RUN_ADDRESS_MANAGEMENT else None
    if type_ == "flannel":
        ipam = ipam or "host-local"
        delegate = _mapping(_field(config, "delegate"))
        yield Requirement(_text(delegate, "type") or "bridge", "delegate of flannel")
    if ipam:
        yield Requirement(ipam, f"address management of {type_}")
    for inner_type, inner in _delegates(type_, config):
        yield from _requirements(inner_type, inner, f"delegate of {type_}")


def _delegates(type_: str, config: Mapping[str, Json]) -> Iterator[tuple[str, Mapping[str, Json]]]:
    """What Multus passes pods on to: plugins, or whole lists, written into its own configuration."""
    if type_ not in ("multus", "multus-shim"):
        return
    for each in _list(_field(config, "delegates")):
        for inner in [each, *_list(_field(_mapping(each), "plugins"))]:
            inner_type = _text(_mapping(inner), "type")
            if inner_type:
                yield inner_type, _mapping(inner)


def _parts(type_: str, config: Mapping[str, Json]) -> Iterator[tuple[str, Mapping[str, Json]]]:
    """A plugin and all that it delegates to, with the configuration of each."""
    yield type_, config
    if type_ == "flannel":
        delegate = _mapping(_field(config, "delegate"))
        yield _text(delegate, "type") or "bridge", delegate
    for inner_type, inner in _delegates(type_, config):
        yield from _parts(inner_type, inner)


def _field(config: Mapping[str, Json], key: str) -> Json:
    """A field as Go finds it in an object made for a struct: whatever its case, the last one that is not null."""
    found: Json = None
    for name, value in config.items():
        if name.lower() == key.lower() and value is not None:
            found = value
    return found


def _text(config: Mapping[str, Json], key: str) -> str | None:
    value = _field(config, key)
    return value if isinstance(value, str) and value else None


def _mapping(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _kind(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"
