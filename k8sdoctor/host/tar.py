"""The members of a tar archive that anybody may have made, one after the other, from a stream.

Nothing is extracted, and no more is held than a member and a piece of the compressed file. Headers are read by the standard library, one block at a time
(`TarInfo.frombuf`), without what `tarfile.open` does beside: a PAX header or a GNU long name would be read whole, however long it says it is,
and in Python before 3.11.10 a PAX header can keep it busy for hours (CVE-2024-6232). Neither is needed here: names of up to 255
bytes fit into a plain header.
"""

from __future__ import annotations

import tarfile
import zlib
from typing import TYPE_CHECKING, BinaryIO

from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = 512
_PIECE = 64 * 1024
_GZIP = b"\x1f\x8b"
_PADDING_LIMIT = 1024 * 1024
"""Bytes of zeros that may follow an archive's end: tar fills up a record, 10 KiB by default."""

_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.CONTTYPE: "a contiguous file",
    tarfile.GNUTYPE_LONGNAME: "a name of more than 255 bytes",
    tarfile.GNUTYPE_LONGLINK: "a name of more than 255 bytes",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
    tarfile.XHDTYPE: "a header with extensions (PAX)",
    tarfile.XGLTYPE: "a header with extensions (PAX)",
}


class UnfitError(Exception):
    """This is no archive that we read; the message is one clause that names the member and what is right."""


@dataclass(frozen=True)
class Limits:
    """How much is read of an archive before it is refused, in bytes of content and in members."""

    member: int
    total: int
    members: int


def members(file: BinaryIO, limits: Limits) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file; folders are passed over. Raises UnfitError, and OSError where the file cannot be read."""
    stream = _Stream(file)
    total = count = 0
    seen: set[str] = set()
    after = ""
    while any(block := stream.exactly(_BLOCK, f"after {after}" if after else "at its start")):
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            where = f"what follows {after} is no header of one" if after else "its start is no header of one"
            raise UnfitError(f"this is no tar archive: {where}") from None
        name = header.name.removeprefix("./")
        told = repr(name)
        count += 1
        if count > limits.members:
            raise UnfitError(f"it holds more than {limits.members} members")
        _refuse_unfit_header(header, told)
        if header.isdir():
            if header.size:
                raise UnfitError(f"{told} is a folder that has a content")
            continue
        _refuse_unfit_name(name, told)
        if name in seen:
            raise UnfitError(f"{told} is in it twice")
        seen.add(name)
        total += header.size
        if header.size > limits.member:
            raise UnfitError(
                f"{told} is {_mebibytes(header.size)}; no member is larger than {_mebibytes(limits.member)}"
            )
        if total > limits.total:
            raise UnfitError(f"with {told} it grows beyond {_mebibytes(limits.total)}, which none does")
        content = stream.exactly(header.size, f"in {told}")
        stream.exactly(-header.size % _BLOCK, f"in {told}")
        yield name, content
        after = told
    stream.finish()


def _refuse_unfit_header(header: tarfile.TarInfo, told: str) -> None:
    if header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
        kind = _KINDS.get(header.type, f"of an unknown kind, {header.type!r}")
        raise UnfitError(f"{told} is {kind}; only plain files belong here")
    if header.size < 0:
        raise UnfitError(f"{told} says that its size is {header.size}")


def _refuse_unfit_name(name: str, told: str) -> None:
    if name.startswith("/"):
        raise UnfitError(f"{told} is an absolute path; names here are relative")
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise UnfitError(f"{told} is no plain path inside the archive")


def _mebibytes(size: int) -> str:
    return f"{size >> 20} MiB"


class _Stream:
    """The bytes of a file, decompressed if it is a gzip file: just as many as are asked for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._input = file.read(_PIECE)
        if not self._input:
            raise UnfitError("it is empty")
        self._gunzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16) if self._input.startswith(_GZIP) else None

    def exactly(self, size: int, where: str) -> bytes:
        """So many bytes. Raises UnfitError where there are fewer."""
        pieces = []
        missing = size
        while missing > 0:
            piece = self._some(missing)
            if not piece:
                raise UnfitError(f"it ends {where}: it is not whole")
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def finish(self) -> None:
        """Read to the end, where gzip's checksum is held against what was read. Raises UnfitError where more follows than zeros."""
        read = 0
        while piece := self._some(_PIECE):
            read += len(piece)
            if any(piece) or read > _PADDING_LIMIT:
                raise UnfitError("something follows its end")
        if self._gunzip is not None:
            if not self._gunzip.eof:
                raise UnfitError("it ends without gzip's checksum: it is not whole")
            rest = self._gunzip.unused_data + self._file.read(1)
            if any(rest):
                raise UnfitError("something follows its end")

    def _some(self, most: int) -> bytes:
        """Up to so many bytes; none at the end."""
        if self._gunzip is None:
            piece, self._input = self._input[:most], self._input[most:]
            if not self._input:
                self._input = self._file.read(_PIECE)
            return piece
        while not self._gunzip.eof:
            if not self._input:
                self._input = self._file.read(_PIECE)
            try:
                # Empty input may still give output that is held back.
                piece = self._gunzip.decompress(self._input, min(most, _PIECE))
            except zlib.error as error:
                raise UnfitError(f"it is damaged: {error}") from None
            had, self._input = bool(self._input), self._gunzip.unconsumed_tail
            if piece:
                return piece
            if not had:
                return b""
        return b""
