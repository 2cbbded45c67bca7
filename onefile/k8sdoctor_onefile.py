"""What the one-file executable runs: it lets extension modules come out of the archive by way of memory, then starts the doctor.

The dynamic linker loads files alone, so a module's bytes are put into a memory file (memfd_create(2)), which has no name in any
file system, knows no `noexec` mount, needs no room on a disk and is gone with the process, however that ends.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from typing import TYPE_CHECKING, NoReturn
from zipimport import zipimporter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

ARCHIVE = sys.path[0]

BUILD = f"""\
One file with its own CPython {sys.version.partition(" ")[0]}. It unpacks nothing: libraries in it are
loaded from memory (memfd_create), and are gone with the process."""
"""What whoever finds code in memory files on a node is told by `--version`."""

# linux/memfd.h, since kernel 6.3: the file can never be run as a program, which is all that sysctl vm.memfd_noexec=2 allows.
# Code is mapped from it all the same.
NOEXEC_SEAL = 0x8


class MemoryFinder:
    """Finds the extension modules of the archive; zipimport finds all others."""

    def __init__(self, archive: zipimporter) -> None:
        """Look into that archive."""
        self.archive = archive

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module from memory, if the archive holds it as a shared library."""
        del path, target
        for suffix in EXTENSION_SUFFIXES:
            try:
                library = self.archive.get_data(f"{name.replace('.', '/')}{suffix}")
            except OSError:
                continue
            origin = memory_file(name, library)
            return ModuleSpec(name, MemoryLoader(name, origin, self.archive), origin=origin)
        return None


class MemoryLoader(ExtensionFileLoader):
    """Loads an extension module with the libraries that it needs: the system's, and where that has none, the archive's."""

    def __init__(self, name: str, path: str, archive: zipimporter) -> None:
        """Load the module of this name and path."""
        super().__init__(name, path)
        self.archive = archive

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module, not yet executed."""
        try:
            return super().create_module(spec)
        except ImportError as error:
            provide(str(error), self.archive)
        return self.create_module(spec)


def provide(trouble: str, archive: zipimporter) -> None:
    """Load the library that the dynamic linker misses, of which it then knows the name. Raises ImportError where we have none."""
    import ctypes

    missing = trouble.partition(":")[0]  # dlerror(3): `libstdc++.so.6: cannot open shared object file: …`
    try:
        origin = memory_file(missing, archive.get_data(missing))
    except OSError:
        raise ImportError(trouble) from None
    try:
        ctypes.CDLL(origin)
    except OSError as error:
        provide(str(error), archive)
        ctypes.CDLL(origin)


def memory_file(name: str, content: bytes) -> str:
    """The path of a memory file with this content.

    It stays open: the linker tells libraries apart by their path, so no other may ever get the same.
    """
    try:
        descriptor = os.memfd_create(name, os.MFD_CLOEXEC | NOEXEC_SEAL)
    except OSError:  # an older kernel does not know the flag
        descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    return f"/proc/self/fd/{descriptor}"


def main() -> NoReturn:
    """Run the doctor."""
    sys.meta_path.append(MemoryFinder(zipimporter(ARCHIVE)))
    from k8sdoctor import cli

    cli.BUILD = BUILD
    cli.main()
