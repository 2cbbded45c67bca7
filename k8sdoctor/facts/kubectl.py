"""Which kubeconfig kubectl uses for whoever runs the doctor, and for who called him by sudo."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import yaml
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from k8sdoctor.facts.kubeconfig import Kubeconfig
    from k8sdoctor.host import Host, Json

PROGRAMS = tuple(
    f"{folder}/kubectl" for folder in ("/usr/bin", "/usr/local/bin", "/usr/sbin", "/opt/bin", "/bin", "/snap/bin")
)


@dataclass(frozen=True)
class Setup:
    """What kubectl finds for one person.

    `paths` are the files that it looks for, named by `variable` (`KUBECONFIG`) or, where that is None, in the person's home. `missing` are those that do
    not exist, which it passes over. `config` is what they amount to, merged as client-go does (tools/clientcmd/loader.go); None where
    they name no context: then kubectl asks http://localhost:8080 (client_config.go, getDefaultServer). `empty` is true where all that exist hold nothing, `contexts` are the names that they hold.
    `unread` says why one could not be looked at, and then nothing is known.
    """

    person: str
    home: str
    variable: str | None
    paths: tuple[str, ...]
    missing: tuple[str, ...] = ()
    empty: bool = False
    contexts: tuple[str, ...] = ()
    config: Kubeconfig | None = None
    unread: Unobserved | None = None

    @property
    def falls_back(self) -> bool:
        """Whether kubectl asks localhost:8080."""
        return self.config is None and self.unread is None


@dataclass(frozen=True)
class Kubectl:
    """kubectl on this node: `program` is where it lies (None: in no usual folder), `setups` what it finds for each person, the caller first."""

    program: str | None
    setups: tuple[Setup, ...]

    @classmethod
    def observe(cls, host: Host) -> Self:
        """Read the files. Raises NotRecorded where a recording does not tell who looked."""
        user = host.user()
        named = tuple(user["kubeconfig"])
        home = user["home"].rstrip("/")
        setups = [
            _setup(host, Setup(user["name"], home, "KUBECONFIG" if named else None, named or (f"{home}/.kube/config",)))
        ]
        other = (user["sudo_home"] or "").rstrip("/")
        if user["sudo_user"] and other and other != home:
            setups.append(_setup(host, Setup(user["sudo_user"], other, None, (f"{other}/.kube/config",))))
        return cls(_program(host), tuple(setups))


def _program(host: Host) -> str | None:
    for path in PROGRAMS:
        try:
            if host.exists(path):
                return path
        except HostError:
            continue
    return None


def _setup(host: Host, setup: Setup) -> Setup:
    from k8sdoctor.facts.kubeconfig import Kubeconfig, context_names

    documents: list[tuple[str, Mapping[str, Json]]] = []
    missing: list[str] = []
    for path in setup.paths:
        try:
            text = host.read_optional(path)
        except HostError as error:
            return replace(setup, unread=Unobserved(error.reason, error.message))
        if text is None:
            missing.append(path)
            continue
        try:
            documents.append((path, yaml.mapping(text, path)))
        except yaml.YamlError as error:
            return replace(setup, config=Kubeconfig(path, problem=str(error), personal=True))
    contexts = tuple(name for _, document in documents for name in context_names(document))
    empty = not any(document for _, document in documents)
    setup = replace(setup, missing=tuple(missing), empty=empty, contexts=contexts)
    current = _current(documents)
    if current is None:
        return setup
    return replace(setup, config=replace(Kubeconfig.resolve(host, documents, current), personal=True))


def _current(documents: Sequence[tuple[str, Mapping[str, Json]]]) -> str | None:
    """The context of the first file that names one."""
    return next((name for _, document in documents if (name := yaml.string(document, "current-context"))), None)
