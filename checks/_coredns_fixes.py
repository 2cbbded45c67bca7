"""What mends CoreDNS, and what its faults explain."""

from __future__ import annotations

from k8sdoctor.facts.coredns import DnsPod
from k8sdoctor.finding import Certainty, Fix, Link, Safety

VERIFY = "k8sdoctor check coredns dns-reply-source"
SYMPTOMS = "dns-reply-source"


def links(*reasons: str, why: str) -> list[Link]:
    """What the nodes see of a CoreDNS that is at fault."""
    return [Link(SYMPTOMS, reason, why, Certainty.LIKELY) for reason in reasons]


def outside_too(why: str) -> list[Link]:
    """What else shows it: names outside the cluster, and the node's own search domains, which are outside names as well."""
    return [Link("coredns", "OutsideNamesFail", why), Link("pod-resolv-conf", "SearchDomainFails", why)]


def mend_pod(reason: str, pod: DnsPod) -> Fix:
    """What to do about a pod, by why it is not ready."""
    namespace, _, name = pod.name.partition("/")
    logs = f"kubectl -n {namespace} logs {name} --tail=50"
    commands: tuple[str, ...]
    match reason:
        case "Looping":
            return break_loop()
        case "ConfigRefused":
            return edit("Correct the line of the Corefile that it names", logs)
        case "ApiForbidden":
            return grant()
        case "NotScheduled":
            title = "See which taints, labels or resources keep it from every node"
            commands = (
                f"kubectl -n {namespace} describe pod {name} | grep -A 5 Events",
                "kubectl get nodes -o custom-columns=NAME:.metadata.name,TAINTS:.spec.taints[*].key,UNSCHEDULABLE:.spec.unschedulable",
            )
        case "ImageNotPulled":
            title = "See why its node does not get the image"
            commands = (
                f"kubectl -n {namespace} describe pod {name} | grep -i -A 8 Events",
                "k8sdoctor check images image-registries registry-config",
            )
        case "ApiNotReached":
            title = "See why the API server's service address does not answer the pod"
            commands = (logs, "kubectl get service kubernetes", "k8sdoctor check kube-proxy ip-forward apiserver-san")
        case _:
            title = "See why its container ends, or is not ready"
            commands = (
                f"kubectl -n {namespace} describe pod {name}",
                f"{logs} --previous" if reason == "CrashLoop" else logs,
            )
    return Fix(title, commands, VERIFY, Safety.MANUAL)


def grant() -> Fix:
    """Give back the rights of CoreDNS's role."""
    return Fix(
        "Give CoreDNS's role its rights back",
        (
            "kubectl auth can-i list endpointslices.discovery.k8s.io --as=system:serviceaccount:kube-system:coredns",
            "kubectl get clusterrole system:coredns -o yaml; kubectl get clusterrolebinding system:coredns -o yaml",
            "kubeadm init phase addon coredns",
        ),
        VERIFY,
        Safety.MANUAL,
    )


def break_loop() -> Fix:
    """Have it forward to others than itself."""
    return edit(
        "Have CoreDNS forward to real resolvers: by the kubelet's resolvConf, or in the Corefile",
        "grep -h nameserver /etc/resolv.conf /run/systemd/resolve/resolv.conf",
        "k8sdoctor check kubelet",
    )


def edit(title: str, *first: str) -> Fix:
    """Change the Corefile, after a look at what these commands show."""
    commands = (
        *first,
        "kubectl -n kube-system edit configmap coredns",
        "kubectl -n kube-system rollout restart deployment coredns",
    )
    return Fix(title, commands, VERIFY, Safety.MANUAL)
