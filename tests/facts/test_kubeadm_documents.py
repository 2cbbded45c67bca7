"""The documents of a kubeadm configuration with their lines, and the field lists that they are held against."""

from __future__ import annotations

import pytest

from k8sdoctor.checks._kubeadm_fields import faults
from k8sdoctor.facts import kubeadm_fields
from k8sdoctor.facts.kubeadm_documents import KubeadmDocuments
from k8sdoctor.testing import FakeHost

TEXT = """\
# comment
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
apiServer:
  extraArgs:
  - name: v
    value: "4"
  - {name: v, value: "5"}
---
---
kind: Other
kind: Another
"""


def test_each_document_knows_the_line_of_each_key_and_item() -> None:
    cluster, other = KubeadmDocuments.parse(TEXT, "/k.yaml").documents

    assert (cluster.api_version, cluster.kind, cluster.group, cluster.version) == (
        "kubeadm.k8s.io/v1beta4",
        "ClusterConfiguration",
        "kubeadm.k8s.io",
        "v1beta4",
    )
    assert cluster.line_of("apiServer", "extraArgs", 0, "value") == 7
    assert cluster.line_of("apiServer", "extraArgs", 1, "value") == 8
    assert cluster.line_of("apiServer", "certSANs") == 4  # the nearest above it
    assert cluster.line_of("networking") == 2
    assert (other.kind, other.twice) == ("Another", ((("kind",), 11, 12),))


def test_a_line_is_evidence() -> None:
    seen = KubeadmDocuments.parse(TEXT, "/k.yaml").seen(7)

    assert (seen.source, seen.content) == ("/k.yaml:7", 'value: "4"')


def test_without_config_there_is_nothing() -> None:
    assert KubeadmDocuments.observe(FakeHost()) == KubeadmDocuments()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [}", "/k.yaml, line 1, column 5"),
        ("a: b\n\tc: d", "/k.yaml, line 2, column 1"),
        ("- a", "/k.yaml, line 1: a document that is no mapping"),
        ("just text", "no mapping"),
        ("", "/k.yaml holds no document"),
        ("---\n---\n", "/k.yaml holds no document"),
        ("\x00", "/k.yaml"),
        ("a: !!python/object:os.system x", "/k.yaml, line 1"),
        ("a: " + "[" * 4000, "/k.yaml"),
    ],
)
def test_what_is_no_configuration_is_a_problem_with_its_place(text: str, words: str) -> None:
    problem = KubeadmDocuments.parse(text, "/k.yaml").problem

    assert problem is not None
    assert words in problem


def test_an_alias_of_itself_ends() -> None:
    [document] = KubeadmDocuments.parse(
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\ndns: &a {b: *a}\n", "/k"
    ).documents

    assert [fault.kind for fault in faults(document)] == ["unknown"]


def test_merged_keys_are_fields_and_not_repeated_ones() -> None:
    text = "a: &base {x: 1}\nc: &more {y: 1}\nb:\n  <<: *base\n  <<: *more\n  x: 2\n"

    [document] = KubeadmDocuments.parse(text, "/k").documents

    assert (document.at("b", "x"), document.twice) == (2, ())


@pytest.mark.parametrize("api_version", ["v1beta3", "v1beta4"])
def test_each_kind_of_a_field_is_known(api_version: str) -> None:
    for version in (f"{kubeadm_fields.GROUP}/{api_version}", kubeadm_fields.KUBELET, kubeadm_fields.KUBE_PROXY):
        known = kubeadm_fields.structures(version)
        assert known is not None
        leaves = {"text", "switch", "number", "duration", "any"}
        used = {kind.lstrip("[{") for fields in known.values() for kind in fields.values()}
        assert used - leaves <= known.keys()
        assert known.keys() - used == set(kubeadm_fields.kinds(version))  # every structure is used by a document


def test_a_version_that_is_not_here_has_no_structures() -> None:
    assert kubeadm_fields.structures("kubeadm.k8s.io/v9") is None
    assert kubeadm_fields.kinds("kubeadm.k8s.io/v9") == ()
