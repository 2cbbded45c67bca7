"""Reading a Corefile, CoreDNS's configuration: server blocks and the plugins in them.

The form is that of Caddyfile version 1 (coredns/caddy `caddyfile/lexer.go`, `parse.go`), for which there is no Python library.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeAlias

from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PLUGINS = frozenset(
    {
        *("root", "metadata", "geoip", "cancel", "proxyproto", "quic", "grpc_server", "https", "https3"),
        *("timeouts", "multisocket", "reload", "nsid", "bufsize", "bind", "debug", "trace", "ready"),
        *("health", "pprof", "shed", "prometheus", "errors", "log", "dnstap", "local", "dns64"),
        *("any", "chaos", "loadbalance", "tsig", "rewrite", "autopath", "acl", "cache", "header"),
        *("dnssec", "tls", "minimal", "template", "transfer", "hosts", "route53", "azure", "clouddns"),
        *("k8s_external", "kubernetes", "file", "auto", "secondary", "etcd", "loop", "forward", "grpc"),
        *("erratic", "whoami", "on", "sign", "view", "nomad", "import"),
    }
)
"""What CoreDNS is built with (coredns `core/dnsserver/zdirectives.go` of August 2026), and Caddyfile's own `import`."""

PORT = "53"

_WORD = regex(r'#[^\n]*|"((?:\\.|[^"\\])*)"?|([^\s#]+)', re.DOTALL)

MOST_IMPORTS = 1000
"""Snippets that are put in; one that imports itself has no end (the reader of CoreDNS stops there, too)."""


class CorefileError(Exception):
    """What the reader of CoreDNS would refuse; the text names the line."""


@dataclass(frozen=True, slots=True)
class Directive:
    """A plugin's line in a server block: its name, the words after it, and the lines of its own block."""

    name: str
    words: tuple[str, ...]
    body: tuple[tuple[str, ...], ...]
    line: int

    def option(self, name: str) -> bool:
        """Whether its block has a line that begins with this word."""
        return any(each[0] == name for each in self.body)


@dataclass(frozen=True, slots=True)
class ServerBlock:
    """One block: the zones that it serves, as written, and its plugins in their order."""

    keys: tuple[str, ...]
    directives: tuple[Directive, ...]
    line: int

    def named(self, name: str) -> tuple[Directive, ...]:
        """The lines of one plugin."""
        return tuple(each for each in self.directives if each.name == name)

    @property
    def zones(self) -> tuple[tuple[str, str, str], ...]:
        """Transport, zone (lower case, with its final dot) and port of each key."""
        return tuple(map(_zone, self.keys))


Word: TypeAlias = "tuple[str, int]"
"""Text and line."""


def read(text: str) -> tuple[ServerBlock, ...]:
    r"""The server blocks of a Corefile, with its own snippets put in. A file that it imports stays a line `import`. Raises CorefileError.

    >>> [block] = read(".:53 {\n  forward . 192.0.2.53 { # upstream\n    force_tcp\n  }\n}\n")
    >>> block.zones, block.directives[0].words, block.directives[0].option("force_tcp")
    ((('dns', '.', '53'),), ('.', '192.0.2.53'), True)
    """
    tokens = list(_tokens(text))
    snippets: dict[str, list[Word]] = {}
    blocks: list[ServerBlock] = []
    position = 0
    while position < len(tokens):
        keys, position = _keys(tokens, position)
        line = keys[0][1]
        names = tuple(key for key, _ in keys)
        if names[0] == "import":  # a file's own blocks
            blocks.append(ServerBlock((), (Directive("import", names[1:], (), line),), line))
            continue
        if position == len(tokens):
            blocks.append(ServerBlock(names, (), line))
            break
        inside, position = _block(tokens, position)
        if len(names) == 1 and names[0].startswith("(") and names[0].endswith(")"):
            snippets[names[0][1:-1]] = inside
        else:
            blocks.append(ServerBlock(names, tuple(_directives(_expanded(inside, snippets))), line))
    return tuple(blocks)


def _tokens(text: str) -> Iterator[Word]:
    """Words between blanks, each with its line; a quote counts at a word's beginning, `#` begins a comment wherever it stands."""
    line, seen = 1, 0
    for found in _WORD.finditer(text.removeprefix("\ufeff")):
        line += text.count("\n", seen, found.start())
        seen = found.start()
        quoted, plain = found.groups()
        if quoted is not None or plain:
            yield (quoted.replace('\\"', '"') if quoted is not None else plain), line


def _keys(tokens: Sequence[Word], position: int) -> tuple[list[Word], int]:
    """The words before a block: those of one line, and of the next where a comma ends it."""
    keys: list[Word] = []
    more = False
    while position < len(tokens):
        text, line = tokens[position]
        if text == "}":
            msg = f"line {line}: a brace is closed that was not opened"
            raise CorefileError(msg)
        if text == "{":
            if more:
                msg = f"line {line}: another zone is expected after the comma"
                raise CorefileError(msg)
            break
        if keys and not more and line != keys[-1][1]:
            break
        more = text.endswith(",")
        keys.append((text.removesuffix(","), line))
        position += 1
    if not keys:
        msg = f"line {tokens[position][1]}: a block begins, and no zone stands before it"
        raise CorefileError(msg)
    return keys, position


def _block(tokens: Sequence[Word], position: int) -> tuple[list[Word], int]:
    """The tokens between the braces of a server block, and where it ends; without a brace, all that follows."""
    if tokens[position][0] != "{":
        return list(tokens[position:]), len(tokens)
    depth = 1
    inside: list[Word] = []
    for place in range(position + 1, len(tokens)):
        text, _ = tokens[place]
        depth += (text == "{") - (text == "}")
        if not depth:
            return inside, place + 1
        inside.append(tokens[place])
    msg = f"line {tokens[position][1]}: the block that begins here is not closed"
    raise CorefileError(msg)


def _expanded(tokens: Sequence[Word], snippets: dict[str, list[Word]]) -> list[Word]:
    """The tokens with `import NAME` replaced by the snippet of that name."""
    waiting = list(reversed(tokens))
    found: list[Word] = []
    imports = 0
    while waiting:
        text, line = waiting.pop()
        fresh = not found or found[-1][1] != line
        if text == "import" and fresh and waiting and waiting[-1][0] in snippets:
            imports += 1
            if imports > MOST_IMPORTS:
                msg = f"line {line}: snippets import each other without end"
                raise CorefileError(msg)
            waiting += reversed(snippets[waiting.pop()[0]])
        else:
            found.append((text, line))
    return found


def _directives(tokens: Sequence[Word]) -> Iterator[Directive]:
    """Each line of a server block that is not inside another's block."""
    position = 0
    while position < len(tokens):
        name, line = tokens[position]
        if name == "}":
            msg = f"line {line}: a brace is closed that was not opened"
            raise CorefileError(msg)
        words: list[str] = []
        body: list[tuple[str, ...]] = []
        last, depth, position = line, 0, position + 1
        while position < len(tokens):
            text, here = tokens[position]
            if text == "{":
                depth += 1
            elif not depth and here != last:
                break
            elif text == "}":
                depth -= 1
                if depth < 0:
                    msg = f"line {here}: a brace is closed that was not opened"
                    raise CorefileError(msg)
            elif not depth:
                words.append(text)
            elif here == last and body:
                body[-1] = (*body[-1], text)
            else:
                body.append((text,))
            last, position = here, position + 1
        yield Directive(name, tuple(words), tuple(body), line)


def _zone(key: str) -> tuple[str, str, str]:
    scheme, found, rest = key.partition("://")
    transport, rest = (scheme, rest) if found else ("dns", key)
    zone, colon, port = rest.rpartition(":")
    if not colon or not port.isdecimal() or _is_address(rest):
        zone, port = rest, PORT if transport == "dns" else ""
    return transport, f"{zone.strip('[]').rstrip('.').lower()}.", port


def _is_address(text: str) -> bool:
    try:
        ip_address(text.partition("/")[0])
    except ValueError:
        return False
    return True
