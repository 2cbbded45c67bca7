"""Which programs run: those of the field by name and command line, any other one as `program`."""

from __future__ import annotations

from typing import Any

from k8sdoctor.patterns import regex

_OF_THE_FIELD = regex(
    r"kubelet|kubelite|kubeadm|kubectl|kube-(?:apiserver|controller(?:-manager|s|-man)?|scheduler|proxy|router|vip|ovn.*)|hyperkube|k3s.*|k0s.*|rke2.*|microk8s.*|microshift|minikube|cluster-agent|etcd.*|coredns|node-cache|"
    r"containerd.*|ctr|crictl|crio|cri-o|cri-dockerd|dockerd|docker-.*|docker|conmon.*|runc|crun|podman|pause|"
    r"flannel.*|calico.*|cilium.*|felix|bird6?|typha|weave.*|antrea.*|ov[ns].*|multus.*|kindnetd?|"
    r"haproxy|nginx|keepalived|envoy|registry|dnsmasq|unbound|named|pdns.*|"
    r"chrony.*|ntp.*|openntpd|ptp4l|phc2sys|vmtoolsd|VBoxService|qemu-ga|"
    r"systemd.*|init|dbus-.*|NetworkManager|dhc.*|networkd.*|resolvconf|snapd|firewalld|ufw|sshd|rsyslogd|agetty|cron|auditd|k8sdoctor",
)
_WORDS = 3
"""Words of a command line in which an interpreter's program is named, such as Python's firewalld."""

_KTHREADD = 2
"""The kernel's threads are this one's children (proc(5)), and have no command line."""


def _base(word: object) -> str:
    return str(word).rpartition("/")[2]


def unnamed(process: dict[str, Any]) -> dict[str, Any]:
    """A process, or a socket with its owner, without what tells what somebody runs for themselves.

    >>> unnamed({"pid": 9, "ppid": 1, "name": "java", "cmdline": ["/usr/bin/java", "-jar", "basket.jar"]})
    {'pid': 9, 'ppid': 1, 'name': 'program', 'cmdline': ['program']}
    """
    name, words = process.get("name"), process.get("cmdline")
    if not isinstance(name, str) or not isinstance(words, list) or not (name or words):
        return process
    if not words and process.get("ppid") in (0, _KTHREADD):
        return process
    known = [name, *(_base(word) for word in words[:1]), *(_base(word) for word in words[1:_WORDS] if "/" in str(word))]
    if any(map(_OF_THE_FIELD.fullmatch, known)):
        return process
    return {**process, "name": "program", "cmdline": ["program"] if words else []}
