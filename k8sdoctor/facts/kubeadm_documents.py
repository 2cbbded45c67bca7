"""The file given by `--config` as kubeadm takes it apart: its documents, and the line of each key."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import yaml
from k8sdoctor.finding import Evidence
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.host import Host, Json


@dataclass(frozen=True)
class KubeadmDocument:
    """One document. `api_version` and `kind` are empty where the document does not say; `line` is its first.

    `lines` holds the line of each key and list item by its path, `twice` the paths of keys that stand twice in one mapping, with both lines.
    """

    line: int
    value: Mapping[str, Json]
    api_version: str = ""
    kind: str = ""
    lines: Mapping[yaml.Path, int] = field(default_factory=dict)
    twice: tuple[tuple[yaml.Path, int, int], ...] = ()

    @property
    def group(self) -> str:
        """The API group, such as `kubeadm.k8s.io`."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The API version without its group, such as `v1beta4`."""
        return self.api_version.rpartition("/")[2]

    def line_of(self, *path: str | int) -> int:
        """The line of a key, or of the nearest one above it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return self.line

    def at(self, *path: str) -> Json:
        """The value at a path of keys; None where there is none."""
        node: Json = dict(self.value)
        for key in path:
            node = node.get(key) if isinstance(node, dict) else None
        return node

    def text(self, *path: str) -> str | None:
        """The text at a path of keys; None when it is absent, empty or no text."""
        return yaml.string(self.value, *path)


@dataclass(frozen=True)
class KubeadmDocuments:
    """All documents of the file. `path` is None when no file was given; `problem` is a sentence when it is no YAML."""

    path: str | None = None
    documents: tuple[KubeadmDocument, ...] = ()
    problem: str | None = None
    text: str = ""

    def seen(self, line: int) -> Evidence:
        """A line of the file, as evidence."""
        rows = self.text.splitlines()
        return Evidence(f"{self.path}:{line}", rows[line - 1].strip() if 0 < line <= len(rows) else "")

    def of(self, kind: str) -> KubeadmDocument | None:
        """The first document of a kind."""
        return next((document for document in self.documents if document.kind == kind), None)

    @classmethod
    def observe(cls, host: Host) -> Self:
        """Take apart what the command line named."""
        given = host.given()["config"]
        return cls() if given is None else cls.parse(given["text"], given["path"])

    @classmethod
    def parse(cls, text: str, path: str) -> Self:
        """The documents of a text. Never raises: what is no YAML, and a document that is no mapping, is a `problem`."""
        try:
            found = yaml.placed(text, path)
        except yaml.YamlError as error:
            return cls(path, problem=str(error), text=text)
        documents = []
        for each in found:
            if not isinstance(each.value, dict):
                return cls(
                    path,
                    problem=f"{path}, line {each.line}: a document that is no mapping of keys to values",
                    text=text,
                )
            documents.append(
                KubeadmDocument(
                    each.line,
                    each.value,
                    yaml.string(each.value, "apiVersion") or "",
                    yaml.string(each.value, "kind") or "",
                    each.lines,
                    each.twice,
                )
            )
        if not documents:
            return cls(path, problem=f"{path} holds no document", text=text)
        return cls(path, tuple(documents), text=text)
