"""Compiles and links what Debian and the wheels do not have ready for glibc 2.28: CPython's executable, two of its modules, the C++ runtime."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import ziglang
from elftools.elf.elffile import ELFFile

from onefile.run import CACHE, HERE, run

GLIBC = "2.28"
LLVM = Path(ziglang.__file__).parent / "lib/libunwind"
"""The unwinder that ziglang brings as source."""


class Compiler:
    """Compiles and links for glibc 2.28, with Debian's headers and archives, into a folder."""

    def __init__(self, system: Path, folder: Path) -> None:
        """Where the packages are, and where the results go."""
        self.folder = folder
        self.archives = system / "usr/lib/x86_64-linux-gnu"
        headers = system / "usr/include"
        self._command = (
            *(
                sys.executable,
                "-m",
                "ziglang",
                "cc",
                "-target",
                f"x86_64-linux-gnu.{GLIBC}",
                "-O2",
                "-g0",
                "-s",
                "-w",
                "-fPIC",
                f"-ffile-prefix-map={CACHE}=.",  # what __FILE__ says
            ),
            *(
                f"-I{headers}/python3.11",
                f"-I{headers}/python3.11/internal",
                f"-I{headers}",
                f"-I{headers}/x86_64-linux-gnu",
            ),
        )
        cache = str(CACHE / "zig")
        self._environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}

    def program(self, name: str, *parts: str | Path) -> Path:
        """An executable whose symbols extension modules can use."""
        return self._link(name, *parts, "-rdynamic", "-lpthread", "-ldl", "-lutil", "-lm", "-lrt")

    def library(self, name: str, exports: str, *parts: str | Path) -> Path:
        """A shared library that shows the symbols of a linker's version script and no other.

        Several libraries of the process hold an OpenSSL or a zlib of their own: nobody's calls may end up in another's.
        """
        (script := self.folder / f"{name}.map").write_text(exports)
        options = ("-shared", f"-Wl,-soname,{name}", f"-Wl,--version-script={script}", "-lpthread", "-ldl", "-lm")
        return self._link(name, *parts, *options)

    def module(self, name: str, *parts: str | Path) -> Path:
        """An extension module of CPython."""
        return self.library(
            f"{name}.so", f"{{ global: PyInit_{name}; local: *; }};", "-DPy_BUILD_CORE_MODULE", "-DNDEBUG", *parts
        )

    def _link(self, name: str, *parts: str | Path) -> Path:
        run(*self._command, *parts, "-o", self.folder / name, env=self._environment)
        return self.folder / name


def launcher(compiler: Compiler, python: Path, start: Path) -> Path:
    """CPython in one executable that begins as the file `start` says."""
    # The objects for a shared library: the others copy glibc's variables, whose second names (__environ) ziglang's linker does not know.
    objects = python / "config-3.11-x86_64-linux-gnu/libpython3.11-pic.a"
    return compiler.program(
        start.stem, start, HERE / "glibc.c", objects, compiler.archives / "libexpat.a", compiler.archives / "libz.a"
    )


def modules(compiler: Compiler, source: Path) -> list[Path]:
    """The two modules of the standard library that are linked with other libraries, and which we cannot do without."""
    tls = compiler.module("_ssl", source / "_ssl.c", compiler.archives / "libssl.a", compiler.archives / "libcrypto.a")
    parts = [source / "_ctypes" / f"{each}.c" for each in ("_ctypes", "callbacks", "callproc", "stgdict", "cfield")]
    found = ("-DHAVE_FFI_PREP_CIF_VAR", "-DHAVE_FFI_PREP_CLOSURE_LOC", "-DHAVE_FFI_CLOSURE_ALLOC")  # libffi 3.4 has all
    return [tls, compiler.module("_ctypes", *parts, *found, compiler.archives / "libffi_pic.a")]


def runtime(compiler: Compiler, gcc: Path, tree: Path) -> list[Path]:
    """The C++ runtime for systems without: what the libraries of `tree` use of it. The unwinder is ziglang's, which is LLVM's."""
    parts = (
        "libunwind.cpp",
        "UnwindLevel1.c",
        "UnwindLevel1-gcc-ext.c",
        "gcc_personality_v0.c",
        "UnwindRegistersSave.S",
        "UnwindRegistersRestore.S",
    )
    options = ("-fno-exceptions", "-fno-rtti", "-nostdlib++", "-D_LIBUNWIND_IS_NATIVE_ONLY", f"-I{LLVM}/include")
    unwinder = compiler.library(
        "libgcc_s.so.1", (HERE / "libgcc_s.map").read_text(), *options, *(LLVM / "src" / each for each in parts)
    )
    whole = ("-Wl,--whole-archive", gcc / "libstdc++.a", "-Wl,--no-whole-archive")
    return [
        unwinder,
        compiler.library("libstdc++.so.6", used(tree, "libstdc++.so.6"), HERE / "glibc.c", *whole, unwinder),
    ]


def used(tree: Path, library: str) -> str:
    """The linker's version script with what the shared libraries of `tree` use of another."""
    versions: dict[str, set[str]] = {}
    for path in tree.rglob("*.so"):
        with path.open("rb") as file:
            elf = ELFFile(file)
            if (asked := elf.get_section_by_name(".gnu.version_r")) is None:
                continue
            needed = {
                version["vna_other"]: version.name
                for each, its in asked.iter_versions()
                if each.name == library
                for version in its
            }
            symbols, numbers = elf.get_section_by_name(".dynsym"), elf.get_section_by_name(".gnu.version")
            for number, symbol in enumerate(symbols.iter_symbols()):
                version = needed.get(numbers.get_symbol(number)["ndx"])
                if version:
                    versions.setdefault(version, set()).add(symbol.name)
    nodes = [
        f"{version} {{ global: {' '.join(f'{name};' for name in sorted(versions[version]))} }};"
        for version in sorted(versions)
    ]
    return "\n".join([*nodes, "NOBODY { local: *; };"])
