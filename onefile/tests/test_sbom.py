"""What the executable says that it is made of."""

from __future__ import annotations

import hashlib
import json
import zipfile
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import k8sdoctor
from onefile import debian
from onefile.tests.bare_root import executable


@pytest.fixture(scope="module")
def bill() -> Any:
    text = executable().with_name(f"{executable().name}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    return json.loads(text)


def test_it_is_about_this_very_file(bill: Any) -> None:
    about = bill["metadata"]["component"]

    assert (about["name"], about["version"]) == ("k8sdoctor", k8sdoctor.__version__)
    assert about["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(executable().read_bytes()).hexdigest()}]


def test_every_package_of_debian_and_every_wheel_with_something_inside_is_named_with_its_version(bill: Any) -> None:
    named = {(each["purl"].partition("/")[0], each["name"]) for each in bill["components"]}
    with zipfile.ZipFile(executable()) as archive:
        folders = {name.partition("/")[0] for name in archive.namelist()}

    assert {("pkg:deb", package) for package in debian.PACKAGES} <= named
    assert {
        ("pkg:pypi", name) for name in ("cryptography", "grpcio", "kubernetes", "psutil", "pyroute2", "textual")
    } <= named
    assert "aiohttp" not in folders
    assert ("pkg:pypi", "aiohttp") not in named
    assert all("@" in each["purl"] for each in bill["components"])
