"""What the verbs of a host answer, and what some are asked with; `shapes` holds recorded answers against them."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict


class DirEntry(TypedDict):
    """One name in a folder. `kind` is what the name itself is; a link is followed only by `stat`."""

    name: str
    kind: Literal["file", "dir", "link", "other"]


class FileStat(TypedDict):
    """What `stat` says of a path after following links inside the root."""

    kind: Literal["file", "dir", "fifo", "socket", "device", "other"]
    size: int
    mode: int  # permission bits, 0 to 0o7777
    uid: int
    gid: int
    mtime: float
    inode: int
    path: str  # the path that it led to, as seen inside the root


class Space(TypedDict):
    """The file system that a path is on; sizes in bytes.

    `available` is what others than root may still take of `free`. `inodes` is 0 where a file system makes them as it needs them (btrfs).
    `mount`, `type` (`ext4`, `nfs4`, `overlay`, …) and `source` are those of the mount; empty where none that could be seen lists it.
    """

    total: int
    free: int
    available: int
    inodes: int
    inodes_free: int
    read_only: bool
    no_exec: bool
    mount: str
    type: str
    source: str


class Clock(TypedDict):
    """What the kernel holds of its clock (adjtimex(2)): whether somebody disciplines it, and by how many seconds it may be wrong.

    The kernel itself raises `max_error` by 0.5 ms a second, and says `unsynchronised` when it has come to 16 s (`kernel/time/ntp.c`, second_overflow).
    """

    unsynchronised: bool
    max_error: float
    estimated_error: float


class CommandResult(TypedDict):
    """How a command ended. `code` is negative for a signal; `out` and `err` are cut at 1 MiB each."""

    code: int
    out: str
    err: str


class Process(TypedDict):
    """One process of the node's own pid namespace."""

    pid: int
    ppid: int
    name: str
    cmdline: list[str]


class ListeningSocket(TypedDict):
    """A socket that takes connections (TCP) or datagrams (UDP) on a port.

    `address` is `0.0.0.0` or `::` for every one; a `::` usually takes IPv4 as well. `pid` is None where the owner was not seen: another
    user's process to all but root, or one outside the node's pid namespace; name and command line are empty then. `kernel` is true for
    the kernel's own, such as a VXLAN device's.
    """

    protocol: Literal["tcp", "udp"]
    address: str
    port: int
    uid: int
    kernel: bool
    pid: int | None
    name: str
    cmdline: list[str]


class Netlink(TypedDict, total=False):
    """One object of a netlink dump. Absent keys were not told by the kernel.

    links: index, name, kind (`bridge`, `veth`, … absent for hardware), master (index), link (index of the peer, or of what is below a vxlan), link_netnsid,
    up, mtu, mac. addresses: index, address, prefix, family (4 or 6), scope. routes: family, destination (CIDR, `default` as
    `0.0.0.0/0` or `::/0`), gateway, oif (index), table, type. bridges also carry `nf_call_iptables`, `nf_call_ip6tables` (the
    bridge's own switches), ports of a bridge `isolated`, `hairpin`.
    """

    index: int
    name: str
    kind: str
    master: int
    link: int
    link_netnsid: int
    up: bool
    mtu: int
    mac: str
    address: str
    prefix: int
    family: int
    scope: str
    destination: str
    gateway: str
    oif: int
    table: int
    type: str
    nf_call_iptables: bool
    nf_call_ip6tables: bool
    isolated: bool
    hairpin: bool


class DnsQuery(TypedDict):
    """One question to one server. `attempt` tells equal questions apart; each is sent from a fresh port.

    Those by UDP to one server with the same `group` share a port instead, and are sent one right after the other, as glibc asks for A and AAAA.
    `padding` makes the message so many bytes longer (EDNS, RFC 7830), to see whether long ones get through.
    """

    server: str
    port: int
    transport: Literal["udp", "tcp"]
    name: str
    type: str
    attempt: int
    group: NotRequired[int]
    padding: NotRequired[int]


class DnsReply(TypedDict):
    """One datagram (or TCP message) that came to the socket of a query, whoever sent it.

    `matches` is true when id and question are those asked; only such a reply is believed. `rcode` is empty for what is
    no DNS message. `truncated` is the message's TC flag.
    """

    source: str
    port: int
    seconds: float
    matches: bool
    rcode: str
    truncated: bool
    answers: list[str]


DnsError = Literal[
    "refused",  # ICMP port unreachable, or a TCP reset in answer to the connection
    "unreachable",  # ICMP, or no route or address to ask from
    "reset",
    "closed",  # the TCP peer hung up without an answer
    "forbidden",  # a rule of the namespace itself dropped the query
    "unsupported",  # no such address family in the kernel
    "not-an-address",
    "not-a-name",
    "failed",
]


class DnsOutcome(TypedDict):
    """All that one query met. Silence is no reply and no error.

    `error` is what the socket said, `offender` who sent the ICMP message that says so (a gateway, or the asked address
    itself). `dropped` counts the replies that came beyond those kept.
    """

    query: DnsQuery
    replies: list[DnsReply]
    dropped: int
    error: DnsError | None
    offender: str | None
    seconds: float


class DnsTally(TypedDict):
    """The sums of one query that was asked again and again.

    `failed` are those not answered by the asked address, and those answered with an error code. `strays` counts answers by their source,
    `errors` and `rcodes` by kind, `forged` replies that answered something else. `latencies` counts answers by the bins of
    `dns_watch.EDGES`. `bursts` are failures in a row: seconds from the start to the first and to the last, and how many; only the first
    bursts are kept.
    """

    query: DnsQuery
    asked: int
    answered: int
    failed: int
    strays: dict[str, int]
    errors: dict[str, int]
    rcodes: dict[str, int]
    forged: int
    latencies: list[int]
    slowest: float
    bursts: list[list[float]]
    last_failure: float | None


class DnsWatchAnswer(TypedDict):
    """What a while of asking gave: how many seconds it lasted, and the sums of each query, in their order."""

    seconds: float
    tallies: list[DnsTally]


NetworkError = Literal[
    "name-not-resolved",
    "timeout",  # nothing came within the probe's limit
    "refused",
    "unreachable",
    "reset",
    "tls-untrusted",
    "tls-name",
    "tls-expired",
    "tls-not-yet-valid",
    "tls-plain",  # the peer answered a TLS hello in plain text
    "tls",  # any other failure of a handshake
    "proxy",  # the proxy was not reached
    "proxy-refused",  # the proxy answered, and lets nobody through
    "protocol",  # the peer speaks something else
    "ca-unreadable",
    "client-certificate-unreadable",
]


class NetworkFailure(TypedDict):
    """Why no answer came, as a word to decide by and a sentence to show."""

    kind: NetworkError
    message: str


class ResolveAnswer(TypedDict):
    """What the node's own resolver made of a name. `error` is null or the resolver's words."""

    addresses: list[str]
    error: str | None


class TlsAnswer(TypedDict):
    """One TLS hello. `chain` is what was served, leaf first, PEM; nothing is verified here.

    `client_cas` are the authorities that the server named when it asked for a client's certificate: empty when it asked for none, the
    empty name alone when it asked and named none; null without a chain.
    """

    peer: str | None  # ip:port that answered
    chain: list[str]
    client_cas: list[str] | None
    failure: NetworkFailure | None


class HttpRequest(TypedDict):
    """One HTTP exchange; redirects are not followed.

    `ca_files` are paths on the node that are trusted beside the node's trust store, or instead of it with `only_ca_files`. A client certificate is named by its paths, so that
    a key never leaves the host. `proxy` is a URL; a password in it, in `url` or in `headers` is a placeholder that only the host can
    resolve. A user in `url` is sent as `Authorization: Basic`, unless the headers say otherwise. A name that is not resolved, a
    CA file that cannot be read and a proxy that refuses are answers, too (`failure`).

    `POST` is for the questions that etcd's gateway answers to no other method: its path is one of `http.ETCD_READS`, and its body an
    empty JSON object. Any other raises ValueError.
    """

    method: Literal["GET", "HEAD", "POST"]
    url: str
    headers: dict[str, str]
    ca_files: list[str]
    only_ca_files: NotRequired[bool]
    client_certificate: tuple[str, str] | None
    verify: bool
    proxy: str | None
    limit: float  # seconds for the whole exchange
    attempt: NotRequired[int]


class HttpAnswer(TypedDict):
    """What came back. With a failure, `status` is 0 and headers and body are empty.

    Header names are lower case; the values of a header that came several times are joined by a newline. `body` is text, at most
    64 KiB of it. `at` is the node's clock when the headers had come, seconds since the epoch; absent in older recordings.
    """

    status: int
    headers: dict[str, str]
    body: str
    peer: str | None
    failure: NetworkFailure | None
    at: NotRequired[float]


class UploadRequest(TypedDict):
    """An upload that is begun and cancelled; the fields are those of an `HttpRequest`. `base_url` ends with `/v2`."""

    base_url: str
    repository: str
    ca_files: list[str]
    verify: bool
    proxy: str | None
    limit: float  # seconds for each of the two exchanges


class UploadAnswer(TypedDict):
    """How a registry answered somebody unknown who wanted to upload: `start`, and `cancel` where an upload was begun."""

    start: HttpAnswer
    cancel: HttpAnswer | None


class Identity(TypedDict):
    """Who looks, and at what machine."""

    hostname: str
    kernel: str  # uname -r
    machine: str  # uname -m
    euid: int


class User(TypedDict):
    """Who runs the doctor, as his kubectl sees him.

    `kubeconfig` is what `KUBECONFIG` names, in order, absolute; empty where it is not set. `sudo_user` called by sudo, and then has a home
    of his own (None: not known). Of another root than `/` it is that root's superuser, for the environment is not that node's.
    """

    name: str
    home: str
    kubeconfig: list[str]
    sudo_user: str | None
    sudo_home: str | None


class KeyAnswer(TypedDict):
    """What may be told of a private key: SHA-256 of its public key (SubjectPublicKeyInfo, DER, hex), or a clause why there is none."""

    public_key: str | None
    problem: str | None


class GivenText(TypedDict):
    """A file that the user named on the command line: its path as given, and its text."""

    path: str
    text: str


class Given(TypedDict):
    """What the user said on the command line that facts need. The last ones are absent where nothing was said."""

    config: GivenText | None
    kubeconfig: str | None
    endpoints: list[str]
    images: NotRequired[GivenText]
    """A list of images, one a line."""
    files: NotRequired[GivenText]
    """A list of URLs, one a line."""
    proxy: NotRequired[dict[str, str]]
    """The proxy variables of the environment that the doctor was started in, by lower-case name; for `files` alone."""
    watch: NotRequired[float]
    """Seconds for which DNS is to be asked."""
    intrusive: NotRequired[bool]
    """Whether a registry may be asked to take an upload, and a disk to write."""
