"""Flags and admission plugins that a release of Kubernetes no longer knows, each with the change that took it away.

A program ends at once with `unknown flag` when it is given one. Read in the release notes of 1.19 to 1.37; only what they say outright.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from k8sdoctor.facts.versions import Version


class Removed(NamedTuple):
    """What is gone since `since` (major, minor), the pull request that says so, and what to use in its place."""

    name: str
    since: tuple[int, int]
    source: str
    instead: str = ""


def _all(since: tuple[int, int], source: str, instead: str, *names: str) -> tuple[Removed, ...]:
    return tuple(Removed(name, since, source, instead) for name in names)


# Of every component: https://kubernetes.io/docs/concepts/cluster-administration/system-logs/
_KLOG = _all(
    (1, 26),
    "kubernetes/kubernetes#112120",
    "programs write to stderr",
    *("--add-dir-header", "--alsologtostderr", "--log-backtrace-at", "--log-dir", "--log-file", "--log-file-max-size"),
    *("--logtostderr", "--one-output", "--skip-headers", "--skip-log-headers", "--stderrthreshold"),
)

KUBELET: tuple[Removed, ...] = (
    *_KLOG,
    Removed("--chaos-chance", (1, 22), "kubernetes/kubernetes#101057"),
    Removed("--seccomp-profile-root", (1, 23), "kubernetes/kubernetes#103941"),
    *_all(
        (1, 24),
        "kubernetes/kubernetes#106907",
        "they belonged to the built-in Docker support; CNI is the runtime's own business",
        *("--network-plugin", "--network-plugin-mtu", "--cni-conf-dir", "--cni-bin-dir", "--cni-cache-dir"),
        *("--docker-endpoint", "--image-pull-progress-deadline", "--experimental-dockershim-root-directory"),
    ),
    Removed("--experimental-check-node-capabilities-before-mount", (1, 24), "kubernetes/kubernetes#104732"),
    Removed("--non-masquerade-cidr", (1, 24), "kubernetes/kubernetes#107096"),
    Removed(
        "--experimental-kernel-memcg-notification",
        (1, 25),
        "kubernetes/kubernetes#109388",
        "--kernel-memcg-notification",
    ),
    Removed("--container-runtime", (1, 27), "kubernetes/kubernetes#114017", "remote was its only value since 1.24"),
    Removed("--master-service-namespace", (1, 27), "kubernetes/kubernetes#116015"),
    Removed("--keep-terminated-pod-volumes", (1, 31), "kubernetes/kubernetes#122082"),
    *_all((1, 31), "kubernetes/kubernetes#122363", "", "--iptables-masquerade-bit", "--iptables-drop-bit"),
    Removed("--runonce", (1, 32), "kubernetes/kubernetes#126336"),
    Removed("--cloud-config", (1, 34), "kubernetes/kubernetes#130161"),
    Removed("--register-schedulable", (1, 34), "kubernetes/kubernetes#122384", "--register-with-taints"),
    Removed(
        "--pod-infra-container-image",
        (1, 35),
        "kubernetes/kubernetes#133779",
        "the runtime's own sandbox image",
    ),
    *_all(
        (1, 37),
        "kubernetes/kubernetes#139870",
        "",
        *("--application-metrics-count-limit", "--boot-id-file", "--container-hints", "--containerd"),
        *("--containerd-namespace", "--enable-load-reader", "--event-storage-age-limit"),
        *("--event-storage-event-limit", "--global-housekeeping-interval", "--log-cadvisor-usage", "--machine-id-file"),
        *("--storage-driver-user", "--storage-driver-password", "--storage-driver-host", "--storage-driver-db"),
        *("--storage-driver-table", "--storage-driver-secure", "--storage-driver-buffer-duration"),
    ),
)

COMPONENTS: dict[str, tuple[Removed, ...]] = {
    "kube-apiserver": (
        *_KLOG,
        Removed("--basic-auth-file", (1, 19), "kubernetes/kubernetes#89069"),
        *_all(
            (1, 24),
            "kubernetes/kubernetes#106859",
            "--secure-port and --bind-address",
            *("--insecure-port", "--insecure-bind-address", "--port", "--address"),
        ),
        Removed(
            "--experimental-encryption-provider-config",
            (1, 24),
            "kubernetes/kubernetes#108423",
            "--encryption-provider-config",
        ),
        Removed("--target-ram-mb", (1, 24), "kubernetes/kubernetes#108457"),
        Removed("--master-service-namespace", (1, 27), "kubernetes/kubernetes#114446"),
        *_all((1, 33), "kubernetes/kubernetes#130162", "", "--cloud-provider", "--cloud-config"),
    ),
    "kube-controller-manager": (
        *_KLOG,
        Removed("--horizontal-pod-autoscaler-use-rest-clients", (1, 22), "kubernetes/kubernetes#90368"),
        *_all((1, 24), "kubernetes/kubernetes#106860", "--secure-port and --bind-address", "--port", "--address"),
        Removed("--deployment-controller-sync-period", (1, 24), "kubernetes/kubernetes#107178"),
        *_all(
            (1, 25),
            "kubernetes/kubernetes#109612",
            "",
            *("--deleting-pods-qps", "--deleting-pods-burst", "--register-retry-count"),
        ),
        Removed(
            "--experimental-cluster-signing-duration",
            (1, 25),
            "kubernetes/kubernetes#108476",
            "--cluster-signing-duration",
        ),
        *_all(
            (1, 27),
            "kubernetes/kubernetes#115840",
            "pods carry the time that they stay in their tolerations",
            *("--enable-taint-manager", "--pod-eviction-timeout"),
        ),
        *_all(
            (1, 31),
            "kubernetes/kubernetes#124948",
            "",
            *("--horizontal-pod-autoscaler-upscale-delay", "--horizontal-pod-autoscaler-downscale-delay"),
        ),
        *_all(
            (1, 31),
            "kubernetes/kubernetes#124017",
            "",
            *("--volume-host-cidr-denylist", "--volume-host-allow-local-loopback"),
        ),
        Removed("--concurrent-service-syncs", (1, 37), "kubernetes/kubernetes#138002"),
    ),
    "kube-scheduler": (
        *_KLOG,
        Removed("--algorithm-provider", (1, 22), "kubernetes/kubernetes#102239", "--config"),
        *_all(
            (1, 22),
            "kubernetes/kubernetes#102805",
            "--config",
            *("--hard-pod-affinity-symmetric-weight", "--scheduler-name"),
        ),
        *_all((1, 24), "kubernetes/kubernetes#106865", "--secure-port and --bind-address", "--port", "--address"),
        *_all(
            (1, 28),
            "kubernetes/kubernetes#119130",
            "--leader-elect-resource-namespace and --leader-elect-resource-name",
            *("--lock-object-namespace", "--lock-object-name"),
        ),
    ),
}

ADMISSION_PLUGINS: tuple[Removed, ...] = (
    Removed("PodSecurityPolicy", (1, 25), "kubernetes/kubernetes#109798", "PodSecurity"),
    Removed("SecurityContextDeny", (1, 30), "kubernetes/kubernetes#122612", "PodSecurity"),
    Removed("PersistentVolumeLabel", (1, 31), "kubernetes/kubernetes#124505"),
)


def gone(table: Iterable[Removed], names: Iterable[str], version: Version) -> Iterator[Removed]:
    """Those of the names that this version no longer knows, in the table's order."""
    given = set(names)
    return (each for each in table if each.name in given and version[:2] >= each.since)
