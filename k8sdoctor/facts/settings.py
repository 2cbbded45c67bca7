"""What may be said of a setting in a runtime's configuration beside its value."""

from __future__ import annotations

from typing import Literal

from k8sdoctor.records import dataclass


@dataclass(frozen=True, slots=True)
class IgnoredSetting:
    """A setting that somebody wrote and that this runtime does not heed."""

    kind: Literal[
        "wrong-table",  # right key, in a table that this version does not read
        "no-config-path",  # hosts.toml lies there, and no setting points to the folder
        "other-folder",  # hosts.toml lies in a folder that is not the one that is looked into
        "shadowed",  # a more special file or a later setting takes its place
        "malformed",  # cannot be parsed, or means nothing
        "not-loaded",  # written after the runtime started
        "wrong-runtime",  # another runtime's configuration
        "without-effect",  # is read and changes nothing here
    ]
    key: str
    """The key as written, `plugins."io.containerd.grpc.v1.cri".sandbox_image`, or the host that a hosts.toml names."""
    value: str
    source: str
    """`path:line`, or a path where the line is not sure."""
    why: str
    """One sentence."""
    counts: str | None = None
    """The key or path that counts here, where there is one."""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something in a runtime's mirror configuration that is taken, and does not do what who wrote it will have meant."""

    kind: Literal[
        "unknown-key",  # no runtime reads it; `instead` is the key that was meant, where that is likely
        "path",  # the address that is asked has `/v2` where it does not belong, or lacks it
        "tls-without-effect",  # a CA or a client certificate for a host that is asked by plain HTTP
        "no-scheme",  # an address whose scheme is none
        "wrong-name",  # a name of Docker Hub that no image's name has
        "old-format",  # read today, and announced to be dropped
    ]
    key: str
    """The key, or the host's address, as written."""
    source: str
    """`path:line`, or a path where the line is not sure."""
    why: str
    """One sentence."""
    instead: str | None = None
    """What would do what was meant: a key, a line, a folder."""


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """A file of the runtime's configuration that it cannot take."""

    path: str
    line: int | None
    message: str
