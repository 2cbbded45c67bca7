"""Known error lines: the table holds together, and lines as programs print them are recognised."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from k8sdoctor import registry
from k8sdoctor.documentation import Documentation
from k8sdoctor.known_errors import LINE_LIMIT, first_known, known_errors, links, message_of, recognise

CHECKS = {check.id: {each.reason for each in Documentation.of(check).reasons} for check in registry.load().checks}


def look_at(line: str) -> tuple[str, ...]:
    match = recognise(line)
    return match.look_at if match else ()


# -- the table -----------------------------------------------------------------------------------------------------------


def test_each_entry_is_whole() -> None:
    assert [error.text for error in known_errors() if not (error.means and error.causes and error.source)] == []
    assert [
        error.text for error in known_errors() if not (error.look_at or error.commands or error.wraps or error.weak)
    ] == []
    assert [error.text for error in known_errors() if bool(error.mend) != bool(error.commands)] == []


def test_what_only_a_planned_configuration_is_judged_by_mends_no_other_error() -> None:
    assert [error.text for error in known_errors() if error.look_at[:1] == ("kubeadm-config",) and not error.mend] == []


def test_each_source_has_an_address() -> None:
    named = {name: address for error in known_errors() for name, address in links(error.source)}

    assert [name for name, address in named.items() if address is None or " " in address] == []
    assert {address.partition("://")[0] for address in named.values() if address} == {"https"}


def test_each_entry_points_to_what_there_is() -> None:
    targets = {target for error in known_errors() for target in (*error.look_at, *error.at_registry)}
    checks = {target.partition("/")[0] for target in targets}

    assert checks - CHECKS.keys() == set()
    assert {
        target
        for target in targets
        if "/" in target
        and target.partition("/")[0] in CHECKS
        and target.partition("/")[2] not in CHECKS[target.partition("/")[0]]
    } == set()


def test_each_text_is_recognised_in_its_own_words() -> None:
    texts = [text for error in known_errors() for text in error.text]
    matches = {text: recognise(re.sub(r"<[a-z]+>", "/some.thing", text)) for text in texts}

    assert [text for text, match in matches.items() if match is None or text not in match.error.text] == []


def test_no_text_stands_in_two_entries() -> None:
    texts = [text.lower() for error in known_errors() for text in error.text]

    assert sorted({text for text in texts if texts.count(text) > 1}) == []


# -- lines as they are printed -------------------------------------------------------------------------------------------


# In the shapes in which kubeadm, kubelet, runtimes, CNI plugins, CoreDNS, kube-proxy, etcd, kubectl, the kernel and others print them.
PRINTED = [
    line.split("\t", 1) for line in (Path(__file__).parent / "data" / "error-lines.tsv").read_text("utf-8").splitlines()
]


@pytest.mark.parametrize(("where", "line"), PRINTED, ids=range(len(PRINTED)))
def test_a_line_as_it_is_printed_leads_to_the_check_that_judges_it(where: str, line: str) -> None:
    assert look_at(line)[:1] == (where,)


def test_the_innermost_error_counts() -> None:
    line = (
        'E1120 09:00:00.000000  812 pod_workers.go:1301] "Error syncing pod, skipping" err="failed to \\"CreatePodSandbox\\" for '
        '\\"web\\" with CreatePodSandboxError: \\"Failed to create sandbox for pod: rpc error: code = Unknown desc = failed to get '
        'sandbox image \\\\\\"registry.k8s.io/pause:3.8\\\\\\": failed to pull image: failed to pull and unpack image '
        '\\\\\\"registry.k8s.io/pause:3.8\\\\\\": failed to resolve reference: failed to do request: Head '
        '\\\\\\"https://registry.k8s.io/v2/pause/manifests/3.8\\\\\\": dial tcp 198.51.100.7:443: i/o timeout\\"" pod="default/web"'
    )
    match = recognise(line)

    assert match
    assert match.words == "dial tcp 198.51.100.7:443: i/o timeout"


def test_a_weak_error_gives_way_to_one_that_says_more_wherever_it_stands() -> None:
    line = "cni config load failed: no network config found in /etc/cni/net.d: cni plugin not initialized: failed to load cni config"

    assert look_at(line) == ("cni-config/NoConfig", "cni-config/WrongFolder")
    assert look_at("network plugin returns error: cni plugin not initialized")[0] == "cni-config/NoConfig"


def test_a_wrapper_alone_still_says_something() -> None:
    match = recognise('failed to pull and unpack image "x": unheard of')

    assert match
    assert match.error.wraps


def test_a_time_that_is_over_and_one_that_has_not_begun_are_two_things() -> None:
    line = "x509: certificate has expired or is not yet valid: current time 2026-11-20T10:00:00Z is {} 2026-01-01T00:00:00Z"

    assert look_at(line.format("after"))[0] == "apiserver-san/CertificateExpired"
    assert look_at(line.format("before"))[0] == "time-sync"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            'E0113 03:25:40.008430    3674 server.go:302] "Failed to run kubelet" err="x"',
            '"Failed to run kubelet" err="x"',
        ),
        (
            "Jun 12 12:23:42 fed-node systemd[1]: kubelet.service: Failed with result 'exit-code'.",
            "kubelet.service: Failed with result 'exit-code'.",
        ),
        (
            'time="2019-03-04T09:52:59.921084000+01:00" level=error msg="RunPodSandbox failed, error" error="x"',
            '"RunPodSandbox failed, error" error="x"',
        ),
        ("FATA[0000] validate service connection: x", "validate service connection: x"),
        ("2016-10-06T00:17:09.669794202Z stdout P log content 1", "log content 1"),
        ('{"log":"content 1","stream":"stdout"}', 'content 1","stream":"stdout"}'),
        ("[1454500.910215] nf_conntrack: table full, dropping packet", "nf_conntrack: table full, dropping packet"),
        ("[Tue Nov 20 22:30:22 2018] nf_conntrack: table full", "nf_conntrack: table full"),
        (
            '{"level":"info","ts":"2025-04-14T07:23:25.134294Z","caller":"flags/flag.go:113","msg":"boo"}',
            'boo"}',
        ),
        ("2022-07-01 09:31:06.551 [ERROR][4035329] plugin.go 121: Final result", "Final result"),
        ("Warning  FailedCreatePodSandBox  3m15s (x17 over 6m45s)  kubelet  (combined): y", "(combined): y"),
        ("\t[ERROR CRI]: container runtime is not running", "[ERROR CRI]: container runtime is not running"),
        (
            "2026-11-20T10:00:00.123456+01:00 n1 kubelet[812]: E1120 10:00:00.000001     812 run.go:72] \x1b[31mred\x1b[0m",
            "red",
        ),
    ],
)
def test_prefixes_are_taken_off(line: str, message: str) -> None:
    assert message_of(line) == message


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        "\0" * 100,
        "\udcff\udcfe",
        "kubelet is posting ready status",
        "İ" * 3000,
        "[ERROR ",
        '"' * 9000,
        "\\" * 9000,
    ],
)
def test_a_line_of_any_kind_breaks_nothing(line: str) -> None:
    assert recognise(line) is None


def test_a_long_line_is_looked_at_from_both_ends() -> None:
    noise = "lookup on udp read <-> plugin/errors: 2 " * LINE_LIMIT

    assert look_at(f"running with swap on is not supported, please disable swap{noise}") == ("swap/SwapOn",)
    assert look_at(f"{noise}running with swap on is not supported, please disable swap") == ("swap/SwapOn",)


def test_lower_case_that_is_longer_does_not_shift_what_is_quoted() -> None:
    match = recognise("İİİ cni plugin not initialized")

    assert match
    assert match.words == "cni plugin not initialized"


def test_of_several_lines_the_first_that_says_more_counts() -> None:
    lines = [
        'Get "https://10.0.0.1:6443": dial tcp 10.0.0.1:6443: connect: connection refused',
        "kubelet.service: Failed with result 'exit-code'.",
        "command failed: unknown flag: --network-plugin",
    ]
    told = first_known(lines)
    only = first_known(lines[:1])

    assert told
    assert told.error.look_at == ("kubelet/FlagRemoved", "static-pods/FlagRemoved")
    assert only
    assert only.words == "connect: connection refused"
    assert first_known(["all is well"]) is None
