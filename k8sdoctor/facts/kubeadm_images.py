"""The images that a release of kubeadm wants for a cluster, and how its configuration changes them.

The rules are those of kubeadm's `app/images/images.go` (GetControlPlaneImages, GetDNSImage, GetEtcdImage), the tags those of its
`app/constants/constants.go` by release, as minikube lists them for each (`pkg/minikube/constants/constants_kubeadm_images.go`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import versions
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig, KubeadmBinary, KubeadmConfig
from k8sdoctor.facts.sandbox_image import kubeadm_pause_image
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.facts.kubeadm import KubeadmAddons
    from k8sdoctor.facts.versions import Version
    from k8sdoctor.host import Host

CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
NEW = "registry.k8s.io"

# By minor release: from which patch on, which tag.
_ETCD: Mapping[int, tuple[tuple[int, str], ...]] = {
    18: ((0, "3.4.3-0"),),
    19: ((0, "3.4.9-1"), (1, "3.4.13-0")),
    20: ((0, "3.4.13-0"),),
    21: ((0, "3.4.13-0"),),
    22: ((0, "3.5.0-0"), (17, "3.5.6-0")),
    23: ((0, "3.5.1-0"), (14, "3.5.5-0"), (15, "3.5.6-0")),
    24: ((0, "3.5.3-0"), (8, "3.5.5-0"), (9, "3.5.6-0")),
    25: ((0, "3.5.4-0"), (4, "3.5.5-0"), (5, "3.5.6-0"), (15, "3.5.9-0")),
    26: ((0, "3.5.6-0"), (10, "3.5.9-0"), (13, "3.5.10-0")),
    27: ((0, "3.5.7-0"), (7, "3.5.9-0"), (10, "3.5.10-0"), (12, "3.5.12-0")),
    28: ((0, "3.5.9-0"), (6, "3.5.10-0"), (8, "3.5.12-0"), (14, "3.5.15-0")),
    29: ((0, "3.5.10-0"), (3, "3.5.12-0"), (9, "3.5.15-0"), (11, "3.5.16-0")),
    30: ((0, "3.5.12-0"), (5, "3.5.15-0")),
    31: ((0, "3.5.15-0"), (14, "3.5.24-0")),
    32: ((0, "3.5.16-0"), (10, "3.5.24-0")),
    33: ((0, "3.5.21-0"), (6, "3.5.24-0")),
    34: ((0, "3.6.4-0"), (2, "3.6.5-0")),
    35: ((0, "3.6.6-0"),),
    36: ((0, "3.6.8-0"),),
    37: ((0, "3.7.0-0"),),
}
_COREDNS: Mapping[int, tuple[tuple[int, str], ...]] = {
    18: ((0, "1.6.7"),),
    19: ((0, "1.7.0"),),
    20: ((0, "1.7.0"),),
    21: ((0, "v1.8.0"),),
    22: ((0, "v1.8.4"),),
    23: ((0, "v1.8.6"),),
    24: ((0, "v1.8.6"),),
    25: ((0, "v1.9.3"),),
    26: ((0, "v1.9.3"),),
    27: ((0, "v1.10.1"),),
    28: ((0, "v1.10.1"),),
    29: ((0, "v1.11.1"),),
    30: ((0, "v1.11.1"), (5, "v1.11.3")),
    31: ((0, "v1.11.1"), (1, "v1.11.3")),
    32: ((0, "v1.11.3"),),
    33: ((0, "v1.12.0"),),
    34: ((0, "v1.12.1"),),
    35: ((0, "v1.13.1"),),
    36: ((0, "v1.14.2"),),
    37: ((0, "v1.14.6"),),
}
_FOLDER: Version = (1, 21, 0)
_FOLDER_OF_OURS: Version = (1, 21, 2)

_RELEASE = regex(r"v?\d+\.\d+\.\d+")
"""Else it is a label such as `stable-1`, which kubeadm looks up in the network."""


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of a release that are not its own number; None where they are not known."""

    pause: str | None
    etcd: str | None
    coredns: str | None

    @classmethod
    def of_release(cls, version: Version) -> Self:
        """Those of our table.

        >>> Tags.of_release((1, 34, 3))
        Tags(pause='3.10.1', etcd='3.6.5-0', coredns='v1.12.1')
        """
        pause = kubeadm_pause_image(version, None)
        minor = version[1] if version[0] == 1 else -1
        return cls(
            pause.rpartition(":")[2] if pause else None,
            _tag(_ETCD.get(minor, ()), version[2]),
            _tag(_COREDNS.get(minor, ()), version[2]),
        )

    @classmethod
    def of_list(cls, text: str) -> Self:
        r"""Those of `kubeadm config images list`.

        >>> Tags.of_list("registry.k8s.io/coredns/coredns:v1.14.2\nregistry.k8s.io/pause:3.10.2\nregistry.k8s.io/etcd:3.6.8-0\n")
        Tags(pause='3.10.2', etcd='3.6.8-0', coredns='v1.14.2')
        """
        tags: dict[str, str] = {}
        for line in text.splitlines():
            name, colon, tag = line.strip().rpartition("/")[2].partition(":")
            if colon and tag:
                tags[name] = tag
        return cls(tags.get("pause"), tags.get("etcd"), tags.get("coredns"))


@dataclass(frozen=True, slots=True)
class KubeadmImage:
    """An image that kubeadm wants: its name, the component that it is of, and where the official one lies."""

    image: str
    component: str
    official: str


@dataclass(frozen=True)
class KubeadmImages:
    """What kubeadm wants here, by the configuration that is given or that the cluster was made with.

    `source` says by which configuration, `version` is the cluster's release, `repository` the one that its images come from. `workers` are the
    images that a node without control plane needs, `images` those of a control plane. `joins` is `worker` or `control-plane` where a
    JoinConfiguration was given. `told` is who told the tags: kubeadm, or our table of its releases.
    """

    source: str
    version: Version
    repository: str
    images: tuple[KubeadmImage, ...]
    told: str = ""
    joins: str | None = None

    @property
    def workers(self) -> tuple[KubeadmImage, ...]:
        """What a worker needs of them; which pause image it needs is the runtime's choice."""
        return tuple(each for each in self.images if each.component == "kube-proxy")

    @classmethod
    def observe(
        cls,
        host: Host,
        stage: Stage,
        planned: KubeadmConfig,
        made: ClusterKubeadmConfig | Unobserved,
        program: KubeadmBinary,
    ) -> Self:
        """Take what is planned, or on a node what its cluster was made with, else what kubeadm would do by default.

        Raises NotFound where none of these is known, and why the cluster's configuration could not be read.
        """
        config, source = planned, planned.source or ""
        if stage.joined:
            if isinstance(made, Unobserved):
                raise HostError(made.reason, made.message)
            config, source = made.config, made.config.source or ""
        if config.problem is not None:
            raise HostError("Unreadable", config.problem)
        written = config.kubernetes_version or ""
        if written and not _RELEASE.match(written):
            raise HostError("NotFound", f"{source}: kubernetesVersion {written} is only resolved when kubeadm runs")
        version = versions.parse(written) or program.version
        if version is None:
            raise HostError("NotFound", "neither a kubeadm nor a configuration of it is here")
        # On a node etcd, CoreDNS and pause are named by what runs them, so that kubeadm need not be asked for their tags.
        tags, told = _tags(host, version, KubeadmBinary(None) if stage.joined else program)
        repository = config.image_repository or _default(version)
        release = written.removeprefix("v").replace("+", "_") or versions.text(version)
        return cls(
            source=source or f"kubeadm {versions.text(program.version or version)} without a configuration",
            version=version,
            repository=repository,
            images=images_of(f"v{release}", repository, config.addons, tags),
            told=told,
            joins=("control-plane" if config.addons.control_plane else "worker") if config.joins else None,
        )


def images_of(release: str, repository: str, addons: KubeadmAddons, tags: Tags) -> tuple[KubeadmImage, ...]:
    """The images of a control plane in the order in which kubeadm lists them; without those whose tag is not known.

    `release` is the tag of Kubernetes' own images, such as `v1.36.2`.
    """
    names = [*CONTROL_PLANE, "kube-proxy"] if addons.proxy else [*CONTROL_PLANE]
    found = [KubeadmImage(f"{repository}/{name}:{release}", name, f"{NEW}/{name}:{release}") for name in names]
    coredns, etcd = addons.dns_tag or tags.coredns, addons.etcd_tag or tags.etcd
    where = _coredns(versions.parse(release) or (0, 0, 0), addons.dns_repository or repository)
    if coredns and addons.dns:
        found.append(KubeadmImage(f"{where}:{coredns}", "coredns", f"{NEW}/coredns/coredns:{coredns}"))
    if tags.pause:
        found.append(KubeadmImage(f"{repository}/pause:{tags.pause}", "pause", f"{NEW}/pause:{tags.pause}"))
    if etcd and not addons.external_etcd:
        where = addons.etcd_repository or repository
        found.append(KubeadmImage(f"{where}/etcd:{etcd}", "etcd", f"{NEW}/etcd:{etcd}"))
    return tuple(found)


def _coredns(version: Version, repository: str) -> str:
    """Where CoreDNS's image lies: in kubeadm's own registry in a folder of its own since 1.21, elsewhere right in the repository.

    1.21.0 and 1.21.1 looked for the folder everywhere (kubernetes/kubernetes#102502).

    >>> _coredns((1, 36, 2), "registry.k8s.io"), _coredns((1, 36, 2), "mirror.lab/k8s"), _coredns((1, 21, 1), "mirror.lab/k8s")
    ('registry.k8s.io/coredns/coredns', 'mirror.lab/k8s/coredns', 'mirror.lab/k8s/coredns/coredns')
    """
    foldered = version >= _FOLDER and (version < _FOLDER_OF_OURS or repository == _default(version))
    return f"{repository}/coredns/coredns" if foldered else f"{repository}/coredns"


def _default(version: Version) -> str:
    """The registry that kubeadm of that release takes its images from."""
    pause = kubeadm_pause_image(version, None)
    return pause.partition("/")[0] if pause else NEW


def _tag(steps: tuple[tuple[int, str], ...], patch: int) -> str | None:
    return next((tag for first, tag in reversed(steps) if patch >= first), None)


def _tags(host: Host, version: Version, program: KubeadmBinary) -> tuple[Tags, str]:
    """The tags for a cluster of that release. kubeadm knows best; it asks the network for nothing when it is told the release."""
    if program.version is not None:
        words = ("config", "images", "list", "--kubernetes-version", f"v{versions.text(version)}")
        try:
            result = host.run("kubeadm", *words)
        except HostError:
            pass
        else:
            tags = Tags.of_list(result["out"])
            if result["code"] == 0 and tags.pause and tags.coredns and tags.etcd:
                return tags, f"kubeadm {' '.join(words)}"
    return Tags.of_release(version), "kubeadm's constants by release"
