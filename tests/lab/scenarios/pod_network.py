"""The pod network: its configuration, its plugins, its addresses."""

from __future__ import annotations

from functools import partial

from tests.lab.containerd import NETWORKS, PLUGINS
from tests.lab.scenarios.scenario import Scenario

CNI = f"{NETWORKS}/10-bridge.conflist"

_NETWORK = partial(Scenario, "pod network")


def _behind_its_back(take: str, give: str) -> str:
    """Shell that takes the network away, and gives it back when the runtime has seen that it is gone."""
    return (
        "seen() { grep -c 'no network config found' /var/log/containerd.log || true; }; before=$(seen)\n"
        f"{take}; until [ $(seen) -gt $before ]; do sleep 0.02; done; {give}"
    )


SCENARIOS = (
    _NETWORK("a plugin is missing", f"rm {PLUGINS}/bridge", "cni-config/PluginMissing", mends=True),
    _NETWORK("the plugin of addresses is missing", f"rm {PLUGINS}/host-local", "cni-config/PluginMissing", mends=True),
    _NETWORK(
        "a plugin may not be run",
        f"rm {PLUGINS}/portmap; install -m 644 /usr/lib/cni/portmap {PLUGINS}/portmap",
        "cni-config/PluginNotExecutable",
        mends=True,
    ),
    _NETWORK(
        "a second network is never used",
        f"sed s/cbr0/other/ {CNI} > {NETWORKS}/99-other.conflist",
        "cni-config/ConfigShadowed",
        status="warn",
        mends=True,
    ),
    _NETWORK(
        "a version that no plugin knows",
        f"sed -i 's/0[.]4[.]0/9.9.9/' {CNI}",
        "cni-config/VersionUnsupported",
        mends=True,
    ),
    _NETWORK(
        "a network that was moved in from elsewhere, which the runtime does not notice",
        _behind_its_back(f"mv {CNI} /etc/cni/aside", f"mv /etc/cni/aside {CNI}"),
        "cni-config/StaleLoad",
        ("node-ready/NetworkNotReady",),
        mends=True,
    ),
    _NETWORK(
        "the folder was made again behind the runtime's back",
        _behind_its_back(f"mv {NETWORKS} /etc/cni/old", f"mkdir {NETWORKS}; cp /etc/cni/old/* {NETWORKS}/"),
        "cni-config/StaleLoad",
        ("node-ready/NetworkNotReady",),
        heals="systemctl restart containerd",
        mends=True,
    ),
    _NETWORK("the network's file is gone", f"rm {CNI}", "cni-config/NoConfig", ("node-ready/NetworkNotReady",)),
    _NETWORK(
        "the network's file is no JSON",
        f"sed -i '1s/{{/{{,/' {CNI}",
        "cni-config/ConfigInvalid",
        ("node-ready/NetworkNotReady",),
    ),
    _NETWORK(
        "docker took the pods' addresses",
        "ip link add docker0 type bridge; ip address add 10.244.7.1/24 dev docker0",
        "subnets/SubnetInUse",
        heals="ip link delete docker0",
    ),
)
