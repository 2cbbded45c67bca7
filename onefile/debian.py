"""Debian's packages, fetched and unpacked in a folder: nothing is installed, and no setting of this machine is changed or asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from subprocess import DEVNULL
from typing import NamedTuple

from onefile.run import fresh, run

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
RELEASE = "bookworm"
ARCHIVE = "K8SDOCTOR_DEBIAN"
"""The environment variable that names an archive of Debian, for machines whose apt knows none of this release."""

# The two modules that are compiled come from the main archive: mirrors of the security archive may lack sources.
MAIN = """\
Types: deb deb-src
URIs: {uri}
Suites: bookworm
Components: main
Signed-By: {keyring}

"""
SECURITY = """\
Types: deb
URIs: {uri}
Suites: bookworm-security
Components: main
Signed-By: {keyring}

"""
PACKAGES = (
    "libpython3.11-dev",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libssl-dev",
    "libffi-dev",
    "zlib1g-dev",
    "libexpat1-dev",
    "libstdc++-12-dev",
    "libbluetooth-dev",  # a header that `_ssl` includes
)
SOURCE = "python3.11"
GLIBC = "libc6"
"""Lies beside the executable in a container's image; the executable itself takes the system's."""


class Fetched(NamedTuple):
    """Folders with what was fetched."""

    system: Path
    """The packages."""
    source: Path
    """CPython's source, with Debian's changes."""
    glibc: Path
    """The package of that name."""


def fetch(folder: Path) -> Fetched:
    """The packages, unpacked below a folder. Ends with a sentence where a tool is missing."""
    for tool, package in {"apt-get": "apt", "dpkg-source": "dpkg-dev"}.items():
        if shutil.which(tool) is None:
            sys.exit(f"the one-file executable is made of Debian's packages, and {tool} is missing (package {package})")
    if not KEYRING.exists():
        sys.exit(f"{KEYRING} is missing, which says what is Debian's: install debian-archive-keyring")
    for each in ("lists/partial", "archives/partial", "debs"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    (folder / "debian.sources").write_text(sources())
    (folder / "status").touch()
    (folder / "apt.conf").write_text(
        f"""\
        Dir::Etc::SourceList "{folder}/debian.sources";
        Dir::Etc::SourceParts "/dev/null";
        Dir::State "{folder}";
        Dir::State::status "{folder}/status";
        Dir::Cache "{folder}";
        APT::Architecture "amd64";
        APT::Sandbox::User "root";
        Acquire::Languages "none";
        """
    )
    apt = ("apt-get", "--quiet", "--quiet")
    environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf")}
    run(*apt, "update", env=environment)
    debs = folder / "debs"
    run(*apt, "download", *PACKAGES, GLIBC, cwd=debs, env=environment)
    run(*apt, "source", "--download-only", SOURCE, cwd=debs, env=environment)
    system, source, glibc = fresh(folder / "system"), folder / "source", fresh(folder / "glibc")
    for package in PACKAGES:
        run("dpkg", "--extract", newest(debs, f"{package}_*.deb"), system)
    run("dpkg", "--extract", newest(debs, f"{GLIBC}_*.deb"), glibc)
    shutil.rmtree(source, ignore_errors=True)
    run(
        "dpkg-source", "--no-check", "--extract", newest(debs, f"{SOURCE}_*.dsc"), source, stdout=DEVNULL
    )  # apt has checked it
    return Fetched(system, source, glibc)


def archives(folder: Path) -> list[Path]:
    """The packages that `fetch` has unpacked, as files."""
    return [newest(folder / "debs", f"{package}_*.deb") for package in PACKAGES]


def sources() -> str:
    """What apt is told to fetch from: the archives that this machine's apt knows already. Ends with a sentence where it knows none."""
    told = ("apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages", "Component: main")
    known = subprocess.run(told, check=True, capture_output=True, text=True).stdout
    archives = dict(line.split(maxsplit=1) for line in known.splitlines())
    main = os.environ.get(ARCHIVE) or archives.get(RELEASE)
    if not main:
        sys.exit(
            f"the one-file executable is made of Debian {RELEASE}'s packages, and this machine's apt has no archive of it: "
            f"name one, {ARCHIVE}=http://HOST/debian make dist"
        )
    security = archives.get(f"{RELEASE}-security")
    more = SECURITY.format(uri=security, keyring=KEYRING) if security else ""
    return MAIN.format(uri=main, keyring=KEYRING) + more


def newest(folder: Path, pattern: str) -> Path:
    """The file of a pattern that came last."""
    return max(folder.glob(pattern), key=lambda path: path.stat().st_mtime)
