"""Builds dist/k8sdoctor-VERSION-linux-x86_64: the doctor in one file, for nodes without Python and without network. And dist/image/: what it
needs of a system, for a container's image that has nothing else.

    python -m onefile.build WHEEL

It is Debian's CPython with all that the doctor imports behind it, in a zip archive in the same file. No step compiles CPython: Debian's
`libpython3.11-dev` holds it as an archive of objects, which name glibc's functions without a version. The linker of `ziglang` gives them
those of glibc 2.28, and `glibc.c` has the few that it did not have yet. The modules `_ssl` and `_ctypes` are linked in the same way with
OpenSSL and libffi. All other libraries are manylinux wheels.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from onefile import debian, linking, sbom
from onefile.run import CACHE, HERE, fresh, run

DIST = HERE.parent / "dist"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")

# Modules that Debian builds as shared libraries of their own, which ask glibc for nothing new and no other library for anything.
LIBRARIES = "_asyncio _contextvars _decimal _json _queue _typing _zoneinfo mmap resource termios".split()

STANDARD_LIBRARY = """
config-3.11-x86_64-linux-gnu ctypes/test distutils ensurepip idlelib lib-dynload lib2to3 pydoc_data sqlite3 test tkinter turtle.py turtledemo
unittest venv wsgiref xmlrpc
""".split()
"""What is left out of it: development, windows, databases."""

WHEELS = """
aiohappyeyeballs aiohttp aiohttp_retry aiosignal annotated_types attr attrs bin certifi cffi charset_normalizer frozenlist
kubernetes/aio kubernetes/client/api kubernetes/client/models multidict oauthlib propcache pycparser pydantic pydantic_core requests
requests_oauthlib typing_inspection tzdata websocket yarl
""".split()
"""What is left out of the wheels: mostly what `kubernetes` needs for more than the GET that k8sdoctor/host/kube.py asks of it."""

GLIBC = """
lib64/ld-linux-x86-64.so.2
lib/x86_64-linux-gnu/libc.so.6 lib/x86_64-linux-gnu/libdl.so.2 lib/x86_64-linux-gnu/libm.so.6 lib/x86_64-linux-gnu/libpthread.so.0
lib/x86_64-linux-gnu/librt.so.1 lib/x86_64-linux-gnu/libutil.so.1
usr/share/doc/libc6/copyright
""".split()
"""What a container's image has of glibc: the libraries that those in the file are linked with, and the licence."""

SOURCE_SUFFIXES = (".py", ".pyi", ".pyx", ".pxd", ".c", ".h")

NOTES = ("RECORD", "direct_url.json", "INSTALLER", "REQUESTED")
"""What pip notes of an installation, with paths of the machine that builds."""


def main(wheel: Path) -> None:
    """Build the file, and say what it is."""
    if (machine := platform.machine()) != "x86_64":
        sys.exit(f"the one-file executable is built on x86-64, and this is {machine}")
    tree = fresh(CACHE / "tree")
    with ThreadPoolExecutor(1) as side:  # both wait for the network
        installed = side.submit(install, wheel, tree)
        system, source, glibc = debian.fetch(CACHE / "debian")
        python = system / "usr/lib/python3.11"
        compiler = linking.Compiler(system, fresh(CACHE / "linked"))
        modules = linking.modules(compiler, source / "Modules")
        installed.result()
    gather(python, tree)
    for each in modules:
        shutil.copy(each, tree)
    for each in linking.runtime(compiler, system / "usr/lib/gcc/x86_64-linux-gnu/12", tree):
        shutil.copy(each, tree)
    compile_all(linking.launcher(compiler, python, HERE / "python.c"), system, tree)
    licenses(system, tree)
    version = wheel.name.split("-")[1]
    launcher = linking.launcher(compiler, python, HERE / "main.c")
    made = pack(launcher, tree, DIST / f"k8sdoctor-{version}-linux-x86_64")
    sbom.write(made, tree, debian.archives(CACHE / "debian"))
    image(glibc, fresh(DIST / "image"))
    print(f"{made}: {made.stat().st_size / 1e6:.1f} MB", file=sys.stderr)


def install(wheel: Path, tree: Path) -> None:
    """Install the doctor's wheel and its libraries' into `tree`."""
    pip = (
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--only-binary=:all:",
        "--target",
        str(tree),
    )
    platforms = (argument for each in PLATFORMS for argument in ("--platform", each))
    abis = (argument for each in ("cp311", "abi3", "none") for argument in ("--abi", each))
    run(*pip, *platforms, "--python-version", "3.11", "--implementation", "cp", *abis, wheel)


def gather(python: Path, tree: Path) -> None:
    """Bring what is imported of the standard library and of ours into `tree`, and take out what is not, also of the wheels."""
    shutil.copytree(python, tree, dirs_exist_ok=True, ignore_dangling_symlinks=True)
    for name in LIBRARIES:
        shutil.copy(python / "lib-dynload" / f"{name}.cpython-311-x86_64-linux-gnu.so", tree)
    for name in (*STANDARD_LIBRARY, *WHEELS):
        left_out = tree / name
        shutil.rmtree(left_out) if left_out.is_dir() else left_out.unlink(missing_ok=True)
    shutil.copy(HERE / "k8sdoctor_onefile.py", tree)


def compile_all(interpreter: Path, system: Path, tree: Path) -> None:
    """Compile what is in `tree`, each file beside its source, by the Python that will run it, whatever this machine's is."""
    command = (interpreter, "-m", "compileall", "-qq", "-b", "-s", tree, "--invalidation-mode", "unchecked-hash", tree)
    run(*command, env={**os.environ, "PYTHONHOME": str(system / "usr")})


def licenses(system: Path, tree: Path) -> None:
    """What Debian's packages and ziglang's unwinder ask to be passed on; the wheels bring theirs."""
    texts = {package: system / "usr/share/doc" / package / "copyright" for package in debian.PACKAGES}
    texts["libunwind"] = linking.LLVM / "LICENSE.TXT"
    (folder := tree / "licenses").mkdir()
    for name, text in texts.items():
        if text.exists():
            shutil.copy(text, folder / f"{name}.txt")


def pack(launcher: Path, tree: Path, made: Path) -> Path:
    """The launcher with the archive behind it."""
    made.unlink(missing_ok=True)
    shutil.copy(launcher, made)
    every = (path for path in tree.rglob("*") if path.is_file())
    kept = sorted(path for path in every if path.suffix not in SOURCE_SUFFIXES and path.name not in NOTES)
    with zipfile.ZipFile(made, "a", zipfile.ZIP_DEFLATED) as archive:
        # Folders too: a package without __init__ is found by its folder alone.
        for folder in sorted({folder for path in kept for folder in path.relative_to(tree).parents if folder.name}):
            archive.writestr(zipfile.ZipInfo(f"{folder}/"), b"")
        for path in kept:
            entry = zipfile.ZipInfo(
                str(path.relative_to(tree))
            )  # without a time, so that the same input gives the same bytes
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    made.chmod(0o755)
    return made


def image(glibc: Path, folder: Path) -> None:
    """What an image has beside the executable, each file where the dynamic linker looks for it."""
    for each in GLIBC:
        (to := folder / each).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(glibc / each, to)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
