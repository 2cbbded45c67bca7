"""Registries that were frozen or closed, by what those who run them said."""

from __future__ import annotations

from k8sdoctor.records import dataclass


@dataclass(frozen=True, slots=True)
class Retired:
    """One registry, or a folder of one, that new nodes should not depend on.

    `name` is `host` or `host/path`; one that begins with a dot stands for all hosts below a domain, but `but`. `why` ends a sentence about it. `instead` is
    what serves the same images under the same paths below `name`; None where nothing does. `azure_china` is true for what only
    machines of Azure in China may ask.
    """

    name: str
    why: str
    source: str
    instead: str | None = None
    but: tuple[str, ...] = ()
    azure_china: bool = False

    def covers(self, repository: str) -> bool:
        """Whether a repository (`host[:port]/path`) lies there.

        >>> Retired("gcr.io/google_containers", "", "").covers("gcr.io/google_containers/etcd")
        True
        >>> Retired(".azk8s.cn", "", "", but=("mcr.azk8s.cn",)).covers("mcr.azk8s.cn/oss")
        False
        """
        registry = repository.partition("/")[0]
        if self.name.startswith("."):
            return registry.endswith(self.name) and registry not in self.but
        return repository == self.name or repository.startswith(f"{self.name}/")


_AZURE_CHINA = "answers nobody but machines of Azure in China since April 2020"
_AZURE_SAYS = "Azure/container-service-for-azure-china issue 58"

RETIRED = (
    Retired(
        "k8s.gcr.io",
        "is frozen since 3 April 2023: it has nothing newer, and is only redirected to registry.k8s.io",
        "kubernetes.io/blog/2023/02/06/k8s-gcr-io-freeze-announcement",
        "registry.k8s.io",
    ),
    *(
        Retired(
            f"gcr.io/{name}",
            "was given up for k8s.gcr.io in 2018, which is frozen itself since 3 April 2023",
            "kubernetes/minikube issue 20303",
            "registry.k8s.io",
        )
        for name in ("google_containers", "google-containers")
    ),
    *(
        Retired(f"gcr.azk8s.cn/{name}", _AZURE_CHINA, _AZURE_SAYS, "registry.k8s.io", azure_china=True)
        for name in ("google_containers", "google-containers")
    ),
    Retired("dockerhub.azk8s.cn", _AZURE_CHINA, _AZURE_SAYS, "docker.io", azure_china=True),
    Retired("quay.azk8s.cn", _AZURE_CHINA, _AZURE_SAYS, "quay.io", azure_china=True),
    # Microsoft's own images are still served there to everybody (pull request 72 of the same repository).
    Retired(".azk8s.cn", _AZURE_CHINA, _AZURE_SAYS, but=("mcr.azk8s.cn",), azure_china=True),
    Retired(
        "docker.mirrors.ustc.edu.cn",
        "answers 403 to everybody outside its university since August 2022",
        "ustclug/mirrorhelp issue 214",
        "docker.io",
    ),
    Retired(
        "docker.mirrors.sjtug.sjtu.edu.cn",
        "was discontinued in June 2024",
        "sjtug/mirror-requests issue 369",
        "docker.io",
    ),
    Retired(
        "reg-mirror.qiniu.com",
        "ended on 30 May 2020",
        "docker-practice/docker-registry-cn-mirror-test issue 3",
        "docker.io",
    ),
    Retired("registry.docker-cn.com", "is gone since 2019", "docker/docs issue 8793", "docker.io"),
)
"""The most special first."""


def retired(repository: str, *, azure: bool = False) -> Retired | None:
    """What is known of a repository's end; None where nothing is."""
    found = next((each for each in RETIRED if each.covers(repository)), None)
    return None if found is None or (found.azure_china and azure) else found
