"""Where a node stands, told by the files that kubeadm and packages leave."""

from __future__ import annotations

import pytest

from k8sdoctor.facts import stage as stages
from k8sdoctor.facts.brought_runtimes import DISTRIBUTIONS
from k8sdoctor.facts.stage import API_SERVER_MANIFEST, KUBELET_KUBECONFIG, Stage
from k8sdoctor.testing import FakeHost, Recorder, Recording


def stage(*files: str, denied: tuple[str, ...] = ()) -> Stage:
    return Stage.observe(FakeHost(dict.fromkeys(files, ""), denied=denied))


def test_a_machine_without_kubelet_and_runtime_is_bare() -> None:
    assert stage().stage == "bare"


def test_a_machine_with_a_runtime_is_prepared_and_no_node_yet() -> None:
    found = stage("/run/containerd/containerd.sock")

    assert (found.stage, found.joined, found.fresh) == ("prepared", False, True)


@pytest.mark.parametrize("socket", DISTRIBUTIONS)
def test_a_machine_with_a_distributions_runtime_is_prepared(socket: str) -> None:
    assert stage(socket).stage == "prepared"


def test_a_recording_from_before_these_runtimes_were_looked_for_is_still_of_a_bare_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder = Recorder(FakeHost())
    with monkeypatch.context() as earlier:
        earlier.setattr(stages, "_LATER", ())
        Stage.observe(recorder)

    assert Stage.observe(Recording(recorder.dump())).stage == "bare"


def test_a_machine_with_a_kubelet_alone_is_prepared() -> None:
    assert stage("/usr/bin/kubelet").stage == "prepared"


def test_a_machine_with_kubelet_conf_is_a_worker() -> None:
    found = stage("/usr/bin/kubelet", KUBELET_KUBECONFIG)

    assert (found.stage, found.joined, found.fresh) == ("worker", True, False)


def test_a_node_with_the_api_server_s_manifest_is_a_control_plane() -> None:
    assert stage(KUBELET_KUBECONFIG, API_SERVER_MANIFEST).stage == "control-plane"


def test_a_manifest_left_behind_without_kubelet_conf_makes_no_node() -> None:
    assert stage("/usr/bin/kubelet", API_SERVER_MANIFEST).stage == "prepared"


def test_what_we_may_not_look_at_makes_the_stage_unknown_and_never_bare() -> None:
    found = stage(denied=(KUBELET_KUBECONFIG,))

    assert (found.stage, found.joined, found.fresh) == ("unknown", False, False)
    assert "Permission denied" in found.why
