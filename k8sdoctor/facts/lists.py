"""The lists that the user named on the command line, taken apart: images, and URLs of files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import urls
from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.host import Host


SHORTEST = 32
"""Hexadecimal digits of the shortest digest (distribution/reference `regexp.go`)."""


LONGEST = 500
"""Characters that are kept of a line that is not what the list is of."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a list, as it was written but for the space around it."""

    number: int
    text: str


def lines(text: str) -> Iterator[Line]:
    r"""The lines that say something: no blank ones, no comments, whichever way lines end.

    A `#` begins a comment at the start of a line or after a space, since a URL may hold one.

    >>> [line.text for line in lines("# mirror these\r\nregistry.k8s.io/pause:3.10  # sandbox\r\n\r\n")]
    ['registry.k8s.io/pause:3.10']
    """
    for number, written in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        said = f" {written}".replace("\t", " ").partition(" #")[0].strip()
        if said:
            yield Line(number, said)


def _stranger(line: Line) -> Line:
    """A line that somebody may have taken from a program's file."""
    return line if len(line.text) <= LONGEST else Line(line.number, f"{line.text[:LONGEST]}…")


@dataclass(frozen=True)
class ListedImages:
    """The list of images. `source` is None where no list was given."""

    source: str | None = None
    images: tuple[ImageReference, ...] = ()
    """In the order of the list, each once."""
    strangers: tuple[Line, ...] = ()
    """Lines that are no name of an image."""

    @classmethod
    def observe(cls, host: Host) -> Self:
        """Read what the command line gave, such as kubespray's images.list or the output of `kubeadm config images list`."""
        given = host.given().get("images")
        if given is None:
            return cls()
        found: dict[ImageReference, None] = {}
        strangers = []
        for line in lines(given["text"]):
            try:
                image = ImageReference.parse(line.text)
            except ValueError:
                strangers.append(_stranger(line))
                continue
            if image.digest is not None and len(image.digest.partition(":")[2]) < SHORTEST:
                strangers.append(_stranger(line))
            else:
                found[image] = None
        return cls(given["path"], tuple(found), tuple(strangers))


@dataclass(frozen=True)
class ListedFiles:
    """The list of files to download. `source` is None where no list was given."""

    source: str | None = None
    urls: tuple[str, ...] = ()
    """In the order of the list, each once."""
    strangers: tuple[Line, ...] = ()
    """Lines that are no URL of HTTP or HTTPS."""

    @classmethod
    def observe(cls, host: Host) -> Self:
        """Read what the command line gave, such as the files.list that kubespray's contrib/offline/generate_list.sh writes."""
        given = host.given().get("files")
        if given is None:
            return cls()
        found: dict[str, None] = {}
        strangers = []
        for line in lines(given["text"]):
            if urls.is_url(line.text):
                found[line.text] = None
            else:
                strangers.append(_stranger(line))
        return cls(given["path"], tuple(found), tuple(strangers))
