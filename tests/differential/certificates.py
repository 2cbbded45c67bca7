"""Random certificates and the endpoints that they are shown at. Pure: a seed decides the shape, and only keys differ from run to run."""

from __future__ import annotations

import datetime as dt
import ipaddress
import random
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.certificates import DAY, NOW, Issued

HOSTS = (
    *("lb.example", "LB.Example", "lb.example.", "a.lb.example", "a.b.lb.example", "localhost", "node_1.example"),
    *("_x.example", "-x.example", "x-.example", "xn--bcher-kva.example", "bücher.example", "\N{KELVIN SIGN}.example"),
    *("10.0.0.9", "10.0.0.9.", "010.0.0.9", "10.0.9", "1.2.3.4.example", "256.0.0.1"),
    *("[fd00::9]", "[FD00:0:0::9]", "[::1]", "[::ffff:10.0.0.9]", "[::ffff:a00:9]", "[fe80::9%25eth0]"),
)
"""What may stand in a kubeconfig's server, brackets included."""

SERVER_NAMES = (
    "kubernetes",
    "10.0.0.9",
    "fd00::9",
    "[fd00::9]",
    "a:b.example",
    "*.example",
    "fe80::9%eth0",
    "lb.example.",
)
"""What may stand in a kubeconfig's tls-server-name."""

ADDRESSES = ("10.0.0.9", "10.0.0.10", "fd00::9", "::1", "::ffff:10.0.0.9", "fe80::9", "0.0.0.0")
STRANGE = (
    "",
    ".",
    "*",
    "*.",
    "*.*",
    "**.example",
    ".example",
    "lb..example",
    " lb.example",
    "lb.example ",
    "LB.EXAMPLE",
)


@dataclass(frozen=True)
class Case:
    """What a client meets: its kubeconfig's server, tls-server-name (None: not said) and authorities; the chain served, leaf first; the clock.

    `words` describe it in full, keys left out: two cases with the same words are judged alike.
    """

    server: str
    server_name: str | None
    roots: str
    chain: tuple[str, ...]
    key: str
    now: float
    words: str


@cache
def _key(name: str) -> ec.EllipticCurvePrivateKey:
    """One key for each part that a certificate plays: making a key costs more than all the rest."""
    del name
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class _Shape:
    """One certificate before it is signed. Days are counted from the clock; `sans` None: there is no such extension."""

    part: str
    name: str
    begins: int = -100
    ends: int = 265
    sans: tuple[str, ...] | None = None
    authority: bool | None = None
    path_length: int | None = None
    usages: tuple[str, ...] = ()
    key_usage: str | None = None
    permitted: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


_USAGES = {
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
}


def certificate_case(seed: int) -> Case:
    """The case of a seed."""
    chance = random.Random(seed)
    host = chance.choice(HOSTS)
    server_name = chance.choice((*SERVER_NAMES, host.strip("[]"))) if chance.random() < 0.15 else None
    # A case is about names or about the way to the authority, so that one does not hide the other; now and then about both.
    names = _names(chance, server_name or host.strip("[]").partition("%")[0])
    about = chance.choices(("names", "chain", "both"), (65, 25, 10))[0]
    if about == "chain":
        names = (*(names or ()), *_right(server_name or host))
    root = _Shape("root", "kubernetes", -1000, 2650, authority=True)
    middle = _Shape("middle", "kubernetes-intermediate", -500, 1000, authority=True)
    leaf = _Shape("leaf", chance.choice(("kube-apiserver", *HOSTS[:3], "10.0.0.9")), sans=names, usages=("server",))
    signer, roots, served = "root", ["root"], ["leaf"]
    if about != "names":
        leaf, middle, root = _spoilt(chance, leaf), _spoilt(chance, middle), _spoilt(chance, root)
        signer = chance.choice(("root", "middle", "middle", "leaf", "namesake"))
        served += chance.choice(
            ([], ["middle"], ["middle"], ["middle", "root"], ["root", "middle"], ["leaf", "middle"])
        )
        roots = chance.choice(
            (["root"], ["root"], ["root"], ["namesake"], ["other"], ["other", "root"], ["middle"], ["leaf"])
        )
        if "leaf" in roots and leaf.sans:  # an authority that cannot be parsed is another subject: the kubeconfig's
            leaf = replace(leaf, sans=tuple(name for name in leaf.sans if not name.startswith("raw:")))
    shapes = {
        "leaf": leaf,
        "middle": middle,
        "root": root,
        "namesake": _Shape("namesake", root.name, -1000, 2650, authority=True),
        "other": _Shape("other", "another", -1000, 2650, authority=True),
    }
    signers = {"leaf": signer, "middle": "root"}
    made = {part: _made(shapes[part], shapes[signers.get(part, part)]) for part in {*served, *roots}}
    return Case(
        server=f"https://{host}:6443",
        server_name=server_name,
        roots="".join(made[part].pem for part in roots),
        chain=tuple(made[part].pem for part in served),
        key=made["leaf"].key_pem,
        now=NOW,
        words=f"server {host!a}, name {server_name!a}, signed by {signer}, served {served}, trusted {roots}, "
        + ", ".join(ascii(shapes[part]) for part in sorted({*made, signer})),
    )


def _names(chance: random.Random, host: str) -> tuple[str, ...] | None:
    """Names in or near what is dialled: `dns:…`, `ip:…`, or `raw:` with the hexadecimal digits of an entry."""
    if chance.random() < 0.06:
        return None
    label, _, rest = host.partition(".")
    near = [
        *(
            host,
            host,
            host.upper(),
            f"{host}.",
            host.removesuffix("."),
            f"*.{rest}",
            f"*.{rest}",
            f"*.{rest}.",
            f"{label}.*",
        ),
        *(
            f"{label[:1]}*.{rest}",
            f"*{label[-1:]}.{rest}",
            f"*.{host}",
            f"*.*.{rest.partition('.')[2]}",
            f"www.{host}",
            rest,
        ),
        *(f".{rest}", f"{host}:6443", f"[{host}]", f"https://{host}", f"other.{rest}"),
    ]
    found = []
    for _ in range(chance.randrange(4)):
        kind = chance.choices(("near", "address", "strange", "raw"), (60, 25, 13, 2))[0]
        if kind == "near":
            name = chance.choice(near)
            found.append(f"dns:{name if name.isascii() else name.encode('idna').decode()}")
        elif kind == "address":
            found.append(chance.choice(("ip:", "ip:", "dns:")) + chance.choice(ADDRESSES))
        elif kind == "strange":
            found.append(f"dns:{chance.choice(STRANGE)}")
        else:  # an address of five bytes; a network, as in name constraints; a name that is not ASCII
            found.append(chance.choice(("raw:87050a00000901", "raw:87080a000000ff000000", "raw:8203c3bc78")))
    return tuple(found)


def _right(name: str) -> tuple[str, ...]:
    """A name that covers what is dialled."""
    bare = name.strip("[]").partition("%")[0]
    try:
        return (f"ip:{ipaddress.ip_address(bare)}",)
    except ValueError:
        return (f"dns:{bare.rstrip('.') if bare.isascii() else bare.encode('idna').decode()}",)


def _spoilt(chance: random.Random, shape: _Shape) -> _Shape:
    """A certificate with something changed, often nothing."""
    changes: tuple[dict[str, Any], ...] = (
        *({},) * 8,
        {"ends": -1},
        {"begins": 1},
        {"usages": ("client",)},
        {"usages": ("client", "server")},
        {"usages": ("any",)},
        {"usages": ()},
        {"key_usage": "sign"},
        {"key_usage": "certs"},
        {"authority": not shape.authority},
        {"authority": None},
        {"authority": True, "path_length": chance.choice((0, 1))},
        {"permitted": (chance.choice(("example", ".example", "lab")),)},
        {"excluded": (chance.choice(("example", "lb.example", "lab")),)},
        {"permitted": (chance.choice(("10.0.0.0/8", "fd00::/16")),)},
        {"excluded": (chance.choice(("10.0.0.0/24", "fd00::/16")),)},
    )
    changed = chance.choice(changes)
    if shape.part == "leaf" and changed.keys() & {"permitted", "excluded"}:
        changed = {}
    return replace(shape, **changed)


def _made(shape: _Shape, signer: _Shape) -> Issued:
    begin = dt.datetime.fromtimestamp(NOW + shape.begins * DAY, dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(shape.name))
        .issuer_name(_named(signer.name))
        .public_key(_key(shape.part).public_key())
        .serial_number(1 + sum(shape.part.encode()))
        .not_valid_before(begin)
        .not_valid_after(dt.datetime.fromtimestamp(NOW + shape.ends * DAY, dt.UTC))
    )
    if shape.authority is not None:
        length = shape.path_length if shape.authority else None
        builder = builder.add_extension(x509.BasicConstraints(ca=shape.authority, path_length=length), critical=True)
    if shape.sans is not None:
        content = b"".join(_entry(name) for name in shape.sans)
        extension = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30" + _length(content) + content)
        builder = builder.add_extension(extension, critical=False)
    if shape.usages:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([_USAGES[usage] for usage in shape.usages]), critical=False
        )
    if shape.key_usage:
        signs, certs = shape.key_usage == "sign", shape.key_usage == "certs"
        usage = x509.KeyUsage(signs, False, False, False, False, certs, False, False, False)  # noqa: FBT003 -- one for each bit
        builder = builder.add_extension(usage, critical=True)
    if shape.permitted or shape.excluded:
        trees = x509.NameConstraints(_trees(shape.permitted), _trees(shape.excluded))
        builder = builder.add_extension(trees, critical=True)
    return Issued(builder.sign(_key(signer.part), hashes.SHA256()), _key(shape.part))


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _trees(names: tuple[str, ...]) -> list[x509.GeneralName] | None:
    return [x509.IPAddress(ipaddress.ip_network(name)) if "/" in name else x509.DNSName(name) for name in names] or None


def _entry(name: str) -> bytes:
    """The bytes of one subject alternative name. By hand, since a library rightly refuses to write most of what is asked about here."""
    kind, _, text = name.partition(":")
    if kind == "raw":
        return bytes.fromhex(text)
    content = ipaddress.ip_address(text).packed if kind == "ip" else text.encode()
    return (b"\x87" if kind == "ip" else b"\x82") + _length(content) + content


def _length(content: bytes) -> bytes:
    size = len(content)
    return bytes([size]) if size < 0x80 else b"\x82" + size.to_bytes(2, "big")
