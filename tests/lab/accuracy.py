"""How often the doctor names the cause first: every scenario broken on a whole node, and printed as a table. `make accuracy`.

    make accuracy                        all scenarios, and the healthy nodes
    make accuracy ARGS="DNS images"      those whose area or name holds one of these words
    make accuracy ARGS=--pairs           each two unrelated causes at once, which must be two diagnoses; this takes an hour or more
    make accuracy ARGS="--pairs etcd"    those of which one is about etcd
    make accuracy ARGS="--pairs --jobs=2"  on two nodes side by side
    make accuracy ARGS="--pairs --some=150"  so many of them, drawn by a seed that is printed (and taken by --seed=)

A miss stays in the table; the exit code tells of the harness alone.
"""

from __future__ import annotations

import itertools
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from tests.lab.containerd import NETWORKS, PLUGINS
from tests.lab.node import LabNode, wait_for
from tests.lab.registry import NAME, Registries
from tests.lab.scenarios import SCENARIOS, Scenario
from tests.lab.scenarios.ways import API
from tests.lab.whole_node import DNS_SERVICE, IMAGES, WholeNode, alarms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.lab.node import Outcome
    from tests.lab.scenarios import Role

SWITCHES = "net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1 net.ipv4.ip_forward=1"

_RULES = "/run/kube-proxy.rules"

CRICTL = f"""\
#!/bin/sh
# A container of kube-proxy's that is ended is started again, and writes its rules. Each UDP service that has a backend is new to it, and
# it lets go who is held at an old one (pkg/proxy/conntrack).
case "$1" in
ps) echo 1f0 ;;
stop)
    iptables-save | grep -v KUBE- | iptables-restore -w && iptables-restore -w --noflush {_RULES} || exit
    conntrack -D --orig-dst {DNS_SERVICE} -p udp >/dev/null 2>&1 || true ;;
esac
"""

_CERTS_D = """
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
"""

_say = partial(print, flush=True)

_PATIENT = ("--deadline", "60")
"""The machine may be busy with other tests: what it is too slow for is no miss."""

_LOOKS = 8
"""containerd sees a change of its folder of networks a moment later than we look, so a wrong answer is asked for again."""


@dataclass(frozen=True)
class Verdict:
    """How one scenario was told: what was wrong about it, as words. None of them is a hit."""

    scenario: Scenario
    first: str
    missed: tuple[str, ...]
    false: tuple[str, ...]
    unexplained: tuple[str, ...]
    seconds: float
    replayed: tuple[str, ...] = ()
    """In what the report of the run's bundle differs, judged outside of the node."""

    @property
    def named_first(self) -> bool:
        """Whether the first diagnosis is the cause, as bad as it is."""
        return self.first == f"{self.scenario.cause} ({self.scenario.status})"

    @property
    def wrong(self) -> frozenset[str]:
        """All that is to be mended: `first X`, `missed X`, `false X`, `unexplained X`, `replayed otherwise X`."""
        first = () if self.named_first else (f"first {self.first}",)
        told = (
            *(("missed", self.missed), ("false", self.false), ("unexplained", self.unexplained)),
            ("replayed otherwise", self.replayed),
        )
        return frozenset((*first, *(f"{word} {each}" for word, names in told for each in names)))


def causes(outcome: Outcome) -> list[tuple[str, list[str]]]:
    """Each diagnosis' cause with what it explains, in the report's order."""
    return [
        (name(diagnosis["cause"]), [name(symptom) for symptom in diagnosis["explains"]])
        for diagnosis in outcome.report["diagnoses"]
    ]


def name(reference: dict[str, Any]) -> str:
    """`check/Reason` of a report's reference."""
    return f"{reference['check']}/{reference['reason']}"


def judge(scenario: Scenario, outcome: Outcome, seconds: float = 0.0) -> Verdict:
    """Compare what was said with what was expected."""
    told = outcome.report["diagnoses"]
    first = f"{name(told[0]['cause'])} ({told[0]['status']})" if told else "nothing"
    under = {name(each) for one in told if name(one["cause"]) == scenario.cause for each in one["explains"]}
    explained = {name(each) for one in told for each in one["explains"]}
    return Verdict(
        scenario,
        first,
        tuple(sorted(set(scenario.symptoms) - under)),
        tuple(sorted({name(one["cause"]) for one in told} - {scenario.cause})),
        tuple(sorted(_unknown(outcome) - explained)),
        seconds,
    )


def judge_both(one: Scenario, other: Scenario, outcome: Outcome) -> frozenset[str]:
    """What is wrong about two causes at once: `missed X` (or `missed X, under Y`), `false X`, and `symptom X is not under Y`."""
    told = causes(outcome)
    under = {cause: {each for name, explained in told if name == cause for each in explained} for cause, _ in told}
    wrong = [f"false {cause}" for cause in under if cause not in (one.cause, other.cause)]
    for scenario in (one, other):
        if scenario.cause in under:
            away = sorted(set(scenario.symptoms) - under[scenario.cause])
            wrong += [f"symptom {each} is not under {scenario.cause}" for each in away]
        else:
            takers = sorted(cause for cause, explained in under.items() if scenario.cause in explained)
            wrong.append(f"missed {scenario.cause}" + (f", under {', '.join(takers)}" if takers else ""))
    return frozenset(wrong)


def _unknown(outcome: Outcome) -> set[str]:
    return {each.partition(" ")[0] for each in alarms(outcome) if each.endswith("(unknown)")}


@dataclass
class Ward:
    """Whole nodes, one for each role, made when the first scenario wants it and healed after each."""

    _stack: ExitStack = field(default_factory=ExitStack)
    _nodes: dict[Role, WholeNode] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def node(self, role: Role) -> WholeNode:
        """The node of a role, whole."""
        if role not in self._nodes:
            self._nodes[role] = self._make(role)
        return self._nodes[role]

    def _make(self, role: Role) -> WholeNode:
        lab = self._stack.enter_context(LabNode("cp1" if role == "control-plane" else "worker-1"))
        node = WholeNode(lab, "control-plane" if role == "control-plane" else "worker", paired=role == "paired")
        if role == "prepared":
            node.prepare()
            node.keep()
        else:
            node.start()
        if role == "mirrored":
            lose_images(node)
        remember(node)
        return node

    def examine(self, role: Role) -> Outcome:
        """What is said of a healthy node."""
        return self.node(role).check(*(["--profile", "init"] if role == "prepared" else []))

    def look(self, scenario: Scenario) -> Verdict:
        """Break the node of its role, examine it once, and heal it."""
        node = self.node(scenario.role)
        try:
            break_(node, scenario)
            begin = time.monotonic()
            outcome, replayed = node.record(*scenario.options, *_PATIENT)
            verdict = replace(judge(scenario, outcome, time.monotonic() - begin), replayed=tuple(replayed))
            for _ in range(_LOOKS if scenario.area == "pod network" else 0):
                if not verdict.wrong or verdict.replayed:
                    break
                time.sleep(0.2)
                verdict = judge(scenario, node.check(*scenario.options, *_PATIENT), verdict.seconds)
            return verdict
        finally:
            heal(node, scenario)

    def look_at_both(self, one: Scenario, other: Scenario) -> frozenset[str]:
        """Break the node in two ways at once: all that is told wrongly of them, as `judge_both` words it."""
        node = self.node(one.role)
        try:
            break_(node, one)
            break_(node, other)
            wrong: frozenset[str] = frozenset()
            for look in range(_LOOKS if "pod network" in (one.area, other.area) else 1):
                time.sleep(0.2 if look else 0)
                wrong = judge_both(one, other, node.check(*dict.fromkeys((*one.options, *other.options)), *_PATIENT))
                if not wrong:
                    break
            return wrong
        finally:
            heal(node, one, other)


def break_(node: WholeNode, scenario: Scenario) -> None:
    """Do to a node what the scenario says."""
    if isinstance(scenario.breaks, str):
        node.lab.shell(scenario.breaks)
    else:
        scenario.breaks(node)


def lose_images(node: WholeNode) -> None:
    """Take all images of a worker that runs on without them, and give it a mirror that has them."""
    lab, registries = node.lab, Registries(node.lab)
    registries.start()
    lab.write("/etc/hosts", f"{lab.read('/etc/hosts')}192.0.2.10 {lab.name}\n")
    registries.push(*(image.removeprefix("registry.k8s.io/") for image in IMAGES))
    lab.write("/etc/containerd/config.toml", lab.read("/etc/containerd/config.toml") + _CERTS_D)
    lab.shell("ctr -n k8s.io images ls -q | xargs -r ctr -n k8s.io images rm --sync")
    node.containerd.restart()
    registries.mirror(f"http://{NAME}:5001")
    node.keep()


def remember(node: WholeNode) -> None:
    """Keep what `heal` brings back."""
    lab = node.lab
    lab.write("/usr/local/bin/crictl", CRICTL, mode=0o755)
    for tool in ("ebtables", "ethtool", "socat"):  # which kubeadm's packages bring along, and this machine may lack
        lab.run(["ln", "-sf", "/bin/true", f"/usr/local/bin/{tool}"])
    if node.apis:
        lab.write(_RULES, node.rules)
        lab.shell(f"cp -a {API} /run/lab-api")
    lab.shell(f"cp -a {NETWORKS} /run/networks; cp -a {PLUGINS} /run/plugins; iptables-save > /run/healthy.rules")


def heal(node: WholeNode, *scenarios: Scenario) -> None:
    """Bring back whatever scenarios break: files, switches, rules, networks, daemons."""
    node.restore()
    for scenario in scenarios:  # after the files, which a runtime that is started anew reads
        if scenario.heals:
            node.lab.shell(scenario.heals)
    lines = [f"sysctl -qw {SWITCHES}", "iptables-restore -w < /run/healthy.rules"]
    lines.append("iptables -w -t raw -F 2>/dev/null || true; nft delete table inet fw 2>/dev/null || true")
    lines.append("for each in eth0 cni0; do sysctl -qw net.ipv4.conf.$each.forwarding=1 2>/dev/null || true; done")
    lines.append("[ ! -d /sys/class/net/cni0 ] || echo 0 > /sys/class/net/cni0/bridge/nf_call_iptables")
    if node.apis:
        # Clients are held where a rule that was broken led them, for as long as the kernel remembers them.
        lines.append(f"cp -a /run/lab-api/. {API}/; conntrack -F 2>/dev/null || true")
    node.lab.shell("\n".join(lines))
    heal_networks(node)
    if node.apis:
        _revive(node, scenarios)


def heal_networks(node: WholeNode) -> None:
    """What the runtime reads of networks and plugins, as it was; it sees a folder of the old name and number."""
    node.lab.shell(
        f"cp -a /run/plugins/. {PLUGINS}/; rm -f /usr/lib/sysctl.d/zz-vendor.conf\n"
        f"rm -rf /etc/cni/old; find {NETWORKS} -mindepth 1 -delete; cp -a /run/networks/. {NETWORKS}/"
    )
    if not node.containerd.running:
        node.containerd.start()
    node.containerd.wait_until_ready()
    if not node.apis:
        return
    end = time.monotonic() + 3
    while not node.containerd.network_ready and time.monotonic() < end:
        time.sleep(0.02)
    if not node.containerd.network_ready:  # it watches a folder that is no longer there
        node.containerd.restart()
        wait_for(lambda: node.containerd.network_ready, "the network")


def _revive(node: WholeNode, scenarios: Sequence[Scenario]) -> None:
    if not node.kubelet.running:
        node.start_kubelet()
    if not node.kube_proxy.running:
        node.start_kube_proxy()
    if node.role == "control-plane":
        if not node.etcd.running:
            node.start_etcd()
        node.serve_health()
    if any("DNS server" in each.name for each in scenarios):
        node.dns.stop()
        node.serve_dns()
    if node.paired:
        node.heal_far()
    if not node.upstream.running or any("upstream" in each.name for each in scenarios):
        node.upstream.stop()
        node.serve_upstream()
    if any("API server" in each.name or "certificates" in each.name for each in scenarios):
        node.serve_api(node.leaf())
        node.keep()  # the certificate is another


def pairs(scenarios: Iterable[Scenario] = SCENARIOS) -> Iterator[tuple[Scenario, Scenario]]:
    """Two causes of different areas on one node, of which neither hides or explains the other."""
    for one, other in itertools.combinations(scenarios, 2):
        if (
            one.role == other.role
            and one.area != other.area
            and one.cause != other.cause
            and other.area not in one.blinds
            and one.area not in other.blinds
            and not {one.cause, *one.symptoms} & {other.cause, *other.symptoms}
            and other.cause not in one.takes
            and one.cause not in other.takes
        ):
            yield one, other


def one_of_each_cause(scenarios: Iterable[Scenario]) -> list[Scenario]:
    """The first scenario of each cause on each kind of node."""
    return list({(each.role, each.cause): each for each in reversed(list(scenarios))}.values())[::-1]


def main(words: Sequence[str]) -> None:
    """Print the table."""
    wanted = [word for word in words if not word.startswith("-")]
    jobs, some, seeds = (
        [int(word.partition("=")[2]) for word in words if word.startswith(f"{name}=")]
        for name in ("--jobs", "--some", "--seed")
    )
    chosen = [each for each in SCENARIOS if not wanted or any(word in f"{each.area}: {each.name}" for word in wanted)]
    if "--pairs" in words:
        both = [pair for pair in pairs(one_of_each_cause(SCENARIOS)) if {*pair} & {*chosen}]
        if some:
            seed = seeds[0] if seeds else random.randrange(10**6)
            _say(f"at most {some[0]} of {len(both)} pairs, seed {seed}")
            both = random.Random(seed).sample(both, min(some[0], len(both)))
        _tell_pairs(both, *jobs)
    else:
        with Ward() as ward:
            _tell(ward, chosen)


def _tell(ward: Ward, scenarios: Sequence[Scenario]) -> None:
    verdicts = []
    for scenario in scenarios:
        verdict = ward.look(scenario)
        verdicts.append(verdict)
        _say(f"{'yes' if verdict.named_first else 'NO ':3}  {scenario.area}: {scenario.name}")
        _say(f"     expected {scenario.cause} ({scenario.status}), {verdict.seconds:.1f} s")
        for wrong in sorted(verdict.wrong):
            _say(f"     {wrong}")
    roles = dict.fromkeys(each.role for each in scenarios)
    healthy = {role: alarms(ward.examine(role)) for role in roles}
    for role, told in healthy.items():
        _say(f"{'NO ' if told else 'yes'}  healthy: {role}{''.join(f', false {each}' for each in sorted(told))}")
    _say()
    _say(f"{'area':22}{'scenarios':>10}{'first':>7}{'missed':>8}{'false':>7}{'unexplained':>13}")
    for area in (*dict.fromkeys(each.area for each in scenarios), ""):
        some = [each for each in verdicts if area in ("", each.scenario.area)]
        _say(
            f"{area or 'all':22}{len(some):10}{sum(each.named_first for each in some):7}"
            f"{sum(len(each.missed) for each in some):8}{sum(len(each.false) for each in some):7}"
            f"{sum(len(each.unexplained) for each in some):13}"
        )
    _say(f"healthy nodes: {len(healthy)}, with a false alarm: {sum(map(bool, healthy.values()))}")


def _tell_pairs(both: Sequence[tuple[Scenario, Scenario]], jobs: int = 1) -> None:
    todo, lock = iter(both), threading.Lock()
    found: list[frozenset[str]] = []

    def work() -> None:
        with Ward() as ward:
            while True:
                with lock:
                    pair = next(todo, None)
                if pair is None:
                    return
                try:
                    wrong = ward.look_at_both(*pair)
                except AssertionError as error:  # of the doctor's own, or of the lab
                    wrong = frozenset({f"broken: {str(error).strip().rpartition(chr(10))[2]}"})
                with lock:
                    found.append(wrong)
                    _say(f"{'NO ' if wrong else 'yes'}  {' + '.join(f'{each.area}: {each.name}' for each in pair)}")
                    for each in sorted(wrong):
                        _say(f"     {each}")

    with ThreadPoolExecutor(jobs) as pool:  # which only waits: nodes and doctor are processes
        for done in [pool.submit(work) for _ in range(jobs)]:
            done.result()
    _say()
    for what, count in pair_table(found).items():
        _say(f"{what:52}{count:6}")


def pair_table(found: Sequence[frozenset[str]]) -> dict[str, int]:
    """How many pairs were told in which way; one that is wrong in several ways counts in each."""

    def count(word: str) -> int:
        return sum(any(each.startswith(word) for each in wrong) for wrong in found)

    return {
        "pairs of unrelated causes": len(found),
        "two diagnoses, each with its symptoms": sum(not wrong for wrong in found),
        "both causes named": len(found) - count("missed "),
        "a cause missed": count("missed "),
        "both causes missed": sum(sum(each.startswith("missed ") for each in wrong) == 2 for wrong in found),
        "a false diagnosis beside them": count("false "),
        "a symptom that is not under its cause": count("symptom "),
        "could not be examined": count("broken"),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
