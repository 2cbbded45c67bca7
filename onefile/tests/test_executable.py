"""What the one file asks of a system, read from its ELF headers: glibc 2.28, and no library but glibc's and its own."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile

import k8sdoctor
from onefile.tests.bare_root import DIST, executable

if TYPE_CHECKING:
    from collections.abc import Iterator

NEWEST = (2, 28)
GLIBC = {
    *("libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "ld-linux-x86-64.so.2"),
}
LIBDL = {"dlclose", "dlerror", "dlopen", "dlsym"}
"""What two wheels ask of libdl without naming it; it is there, for the executable names it."""

OWN = {"libstdc++.so.6", "libgcc_s.so.1"}
MEGABYTE = 10**6


def elves() -> dict[str, ELFFile]:
    """Every ELF file in the one file, itself included, by name."""
    found = {"the executable": ELFFile(io.BytesIO(executable().read_bytes()))}
    with zipfile.ZipFile(executable()) as archive:
        for name in archive.namelist():
            if (content := archive.read(name)).startswith(b"\x7fELF"):
                found[name] = ELFFile(io.BytesIO(content))
    return found


@pytest.fixture(scope="module")
def all_elves() -> dict[str, ELFFile]:
    return elves()


def versions(elf: ELFFile) -> Iterator[str]:
    """The versions of symbols that it asks of others, such as GLIBC_2.17."""
    section = elf.get_section_by_name(".gnu.version_r")
    for _, asked in section.iter_versions() if section else ():
        for version in asked:
            yield version.name


def needed(elf: ELFFile) -> set[str]:
    """The libraries that it is linked with."""
    return {tag.needed for tag in elf.get_section_by_name(".dynamic").iter_tags() if tag.entry.d_tag == "DT_NEEDED"}


def test_it_holds_the_libraries_that_it_needs(all_elves: dict[str, ELFFile]) -> None:
    names = " ".join(all_elves)

    for library in (
        "_ssl.so",
        "_ctypes.so",
        "cygrpc",
        "_rust.abi3.so",
        "_message.abi3.so",
        "_psutil_linux",
        "_yaml",
        *OWN,
    ):
        assert library in names


def test_no_elf_in_it_asks_for_a_newer_glibc(all_elves: dict[str, ELFFile]) -> None:
    newest = {
        name: max(
            (tuple(map(int, each[6:].split("."))) for each in versions(elf) if re.match(r"GLIBC_\d", each)), default=()
        )
        for name, elf in all_elves.items()
    }

    assert {name: version for name, version in newest.items() if version > NEWEST} == {}
    assert newest["the executable"] > (2, 2)  # it does ask


def symbols(elf: ELFFile, *, defined: bool) -> set[str]:
    """The names that it gives others, or those that it asks of others and cannot do without, in no version."""
    table, numbers = elf.get_section_by_name(".dynsym"), elf.get_section_by_name(".gnu.version")
    return {
        symbol.name
        for number, symbol in enumerate(table.iter_symbols())
        if (symbol["st_shndx"] != "SHN_UNDEF") is defined
        and symbol["st_info"]["bind"] == "STB_GLOBAL"
        and (defined or numbers is None or not isinstance(numbers.get_symbol(number)["ndx"], int))
    }


def test_what_is_asked_for_in_no_version_is_in_the_executable(all_elves: dict[str, ELFFile]) -> None:
    """An archive names what it needs of glibc without a version, and the linker of a library keeps what it does not find."""
    given = symbols(all_elves["the executable"], defined=True) | LIBDL

    assert {name: missing for name, elf in all_elves.items() if (missing := symbols(elf, defined=False) - given)} == {}
    assert "libdl.so.2" in needed(all_elves["the executable"])
    assert "PyLong_FromLong" in symbols(all_elves["_ssl.so"], defined=False)  # it does ask


def test_no_elf_in_it_asks_for_another_library(all_elves: dict[str, ELFFile]) -> None:
    assert needed(all_elves["the executable"]) <= GLIBC
    for name, elf in all_elves.items():
        assert needed(elf) <= GLIBC | OWN, name


def test_every_library_of_glibc_s_is_there_before_a_module_that_names_it_is_loaded(
    all_elves: dict[str, ELFFile],
) -> None:
    """glibc before 2.31 ends the process where the first load of a module failed that named librt and something missing."""
    loader = {"ld-linux-x86-64.so.2"}
    named = {library for elf in all_elves.values() for library in needed(elf)} - OWN - loader

    assert named >= {"librt.so.1", "libm.so.6"}
    assert needed(all_elves["the executable"]) >= named


def test_each_is_for_x86_64(all_elves: dict[str, ELFFile]) -> None:
    assert {elf.get_machine_arch() for elf in all_elves.values()} == {"x64"}


def test_the_executable_copies_no_variable_of_glibc_s(all_elves: dict[str, ELFFile]) -> None:
    """Its linker does not know that `environ` has a second name: a copy would be empty."""
    copies = 5  # R_X86_64_COPY
    relocations = all_elves["the executable"].get_section_by_name(".rela.dyn")

    assert [each for each in relocations.iter_relocations() if each["r_info_type"] == copies] == []


def test_it_is_small_enough_to_be_carried() -> None:
    assert executable().stat().st_size <= 60 * MEGABYTE


def test_it_is_named_by_the_version_and_can_be_run() -> None:
    assert executable().name == f"k8sdoctor-{k8sdoctor.__version__}-linux-x86_64"
    assert executable().stat().st_mode & 0o777 == 0o755


def test_the_checksums_are_those_of_all_that_was_built() -> None:
    lines = [line.split() for line in (DIST / "SHA256SUMS").read_text().splitlines()]
    built = [path for path in DIST.rglob("*") if path.is_file() and path.name != "SHA256SUMS"]

    assert lines == sorted(
        ([hashlib.sha256(path.read_bytes()).hexdigest(), str(path.relative_to(DIST))] for path in built),
        key=lambda line: line[1],
    )
    assert executable() in built


def test_nothing_that_was_built_says_when_or_by_whom() -> None:
    """So that the same commit gives the same bytes, and anybody can hold a release against a build of their own."""
    [sdist], [wheel] = DIST.glob("*.tar.gz"), DIST.glob("*.whl")
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    with zipfile.ZipFile(wheel) as theirs, zipfile.ZipFile(executable()) as ours:
        wheels, own = ({entry.date_time for entry in each.infolist()} for each in (theirs, ours))

    assert len({member.mtime for member in members}) == len(wheels) == len(own) == 1
    assert {(member.uid, member.gid, member.uname, member.gname) for member in members} == {(0, 0, "", "")}
    assert [member.name for member in members] == sorted(
        (member.name for member in members), key=lambda name: name.split("/")
    )
    assert sdist.read_bytes()[4:8] == bytes(4)  # gzip's own time, RFC 1952


def test_no_path_of_the_machine_that_built_it_is_in_it() -> None:
    with zipfile.ZipFile(executable()) as archive:
        for name in archive.namelist():
            assert str(DIST.parent).encode() not in archive.read(name), name


def test_each_part_brings_its_licence() -> None:
    with zipfile.ZipFile(executable()) as archive:
        names = archive.namelist()

    assert {"licenses/libpython3.11-dev.txt", "licenses/libssl-dev.txt", "licenses/libunwind.txt"} <= set(names)
    for wheel in ("grpcio", "cryptography", "textual"):
        assert [name for name in names if re.match(rf"{wheel}-.*\.dist-info/licenses/", name)], wheel


def test_the_archive_can_be_listed_by_any_unzip() -> None:
    with zipfile.ZipFile(executable()) as archive:
        assert archive.testzip() is None
