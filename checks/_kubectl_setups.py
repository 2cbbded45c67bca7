"""What kubectl finds: without a kubeconfig it asks localhost:8080, a fault where somebody would use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor import Evidence, Finding, fail, passed, skip, warn
from k8sdoctor.checks import _kubeconfig_fixes as fixes
from k8sdoctor.checks._kubeconfig_scene import Scene
from k8sdoctor.checks._words import listed
from k8sdoctor.facts.kubeconfig import ADMIN, Kubeconfigs
from k8sdoctor.facts.kubectl import Kubectl, Setup
from k8sdoctor.finding import Certainty, Link

if TYPE_CHECKING:
    from collections.abc import Iterator


def for_people(kubectl: Kubectl, kubeconfigs: Kubeconfigs, scene: Scene) -> Iterator[Finding]:
    """Without a kubeconfig, kubectl asks localhost:8080: a fault where somebody would use it."""
    setups = kubectl.setups
    if any(setup.unread for setup in setups):
        return  # told as unknown
    good = [setup for setup in setups if not setup.falls_back]
    bad = [setup for setup in setups if setup.falls_back]
    for setup in good:
        if setup.config is None or setup.config.problem:
            continue  # told with the file
        path = setup.config.path
        rest = "".join(f"; kubectl of {other.person} has no kubeconfig and asks localhost:8080" for other in bad)
        yield passed(
            "KubectlConfigured", f"kubectl of {setup.person} uses {path}{rest}.", subject=path, evidence=_seen(setup)
        )
    if good or not bad:
        return
    yield _fallen_back(kubectl, kubeconfigs, bad, scene)


def _fallen_back(kubectl: Kubectl, kubeconfigs: Kubeconfigs, bad: list[Setup], scene: Scene) -> Finding:
    caller, wanted = bad[0], bad[-1]
    people = " and ".join(setup.person for setup in bad)
    asks = "so kubectl asks http://localhost:8080, where no API server answers"
    evidence = [each for setup in bad for each in _seen(setup)]
    fix = fixes.use_admin(wanted, caller=wanted is caller)
    if kubectl.program is None or scene.stage.fresh:
        where = (
            "no kubectl is installed"
            if kubectl.program is None
            else "this machine is no node of a cluster that kubeadm made"
        )
        return skip("KubectlNotConfigured", f"kubectl of {people} has no kubeconfig here, and {where}.")
    if caller.variable and set(caller.missing) == set(caller.paths):
        tell = warn if scene.stage.stage == "worker" else fail
        message = f"KUBECONFIG of {caller.person} names {listed(caller.missing)}, which does not exist, {asks}."
        return tell("KubeconfigMissing", message, subject=caller.missing[0], evidence=evidence, fix=fix)
    with_content = next((setup for setup in bad if setup.contexts or not (setup.empty or setup.missing)), None)
    if with_content is not None:
        path = next(path for path in with_content.paths if path not in with_content.missing)
        message = f"{path} of {with_content.person} names no current-context, {asks}."
        link = Link(
            "apiserver-san",
            "KubeconfigInvalid",
            "what is said of this file elsewhere is the same trouble",
            Certainty.PROVEN,
            frozenset({f"file:{path}"}),
        )
        return warn(
            "NoCurrentContext",
            message,
            subject=path,
            evidence=evidence,
            fix=fixes.choose_context(path, with_content.contexts),
            explains=[link],
        )
    denied = any(path == ADMIN for path, _ in kubeconfigs.unreadable)
    if kubeconfigs.at(ADMIN) is None and not denied:
        message = f"kubectl of {people} has no kubeconfig here, as is usual on a machine without {ADMIN}."
        return skip("KubectlNotConfigured", message)
    tried = listed([path for setup in bad for path in setup.paths])
    return warn(
        "NoKubeconfig",
        f"kubectl of {people} finds no kubeconfig in {tried}, {asks}.",
        subject=caller.paths[0],
        evidence=evidence,
        fix=fix,
    )


def _seen(setup: Setup) -> list[Evidence]:
    states = [f"{path} ({'does not exist' if path in setup.missing else 'is there'})" for path in setup.paths]
    return [Evidence(f"{setup.variable or 'home'} of {setup.person}", ", ".join(states))]
