"""YAML that others wrote: what is none is told in one sentence."""

from __future__ import annotations

import pytest

from k8sdoctor.facts import yaml
from k8sdoctor.host import HostError
from k8sdoctor.host.keys import told


@pytest.mark.parametrize("value", ["!!bool x", "!!int ''", "!!timestamp x"])
def test_a_value_that_does_not_fit_its_tag_makes_a_text_no_yaml(value: str) -> None:
    for read in (yaml.documents, yaml.placed):
        with pytest.raises(yaml.YamlError, match=r"^/x: a value does not fit its tag"):
            read(f"a: {value}\n", "/x")
    with pytest.raises(HostError, match="/x is not YAML"):
        told("public_key", "/x", "me", lambda _path: f"a: {value}\n")


@pytest.mark.parametrize("value", ["!!bool yes", "!!int '7'", "!!timestamp 2026-11-20"])
def test_a_value_that_fits_its_tag_is_read(value: str) -> None:
    assert len(yaml.documents(f"a: {value}\n", "/x")) == 1
