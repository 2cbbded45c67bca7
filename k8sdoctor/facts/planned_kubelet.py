"""The kubelet's configuration that kubeadm will write: the KubeletConfiguration among the documents of `--config`."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import versions, yaml
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.host import Host, Json


@dataclass(frozen=True)
class PlannedKubelet:
    """`config` is the document, `version` the Kubernetes version of the documents; `source` is None where nothing is planned."""

    source: str | None = None
    version: versions.Version | None = None
    config: Mapping[str, Json] = field(default_factory=dict)

    @classmethod
    def observe(cls, host: Host) -> Self:
        """Read the file given on the command line. Never raises: what does not parse is told elsewhere, and plans nothing."""
        given = host.given()["config"]
        if given is None:
            return cls()
        try:
            documents = [each for each in yaml.documents(given["text"], given["path"]) if isinstance(each, dict)]
        except yaml.YamlError:
            return cls()
        kinds = {yaml.string(each, "kind"): each for each in documents}
        version = yaml.string(kinds.get("ClusterConfiguration", {}), "kubernetesVersion")
        config = kinds.get("KubeletConfiguration", {})
        return cls(f"--config {given['path']}", versions.parse(version) if version else None, config)
