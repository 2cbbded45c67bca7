"""Which images of a list are asked for, and how far it has come is told."""

from __future__ import annotations

from typing import Any

from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.listed_pulls import ListedPulls
from k8sdoctor.facts.lists import ListedImages
from k8sdoctor.facts.runtime_images import RuntimeImages
from k8sdoctor.finding import Unobserved
from k8sdoctor.testing import FakeHost
from tests.facts.registry_web import Web, good
from tests.facts.test_pulls_of_many import CONTAINERD, pull_config

NAMES = [f"registry.lab/app{number}:3.6" for number in range(5)]
LISTED = ListedImages("images.list", tuple(map(ImageReference.parse, NAMES)))


def observe(present: RuntimeImages | Unobserved) -> tuple[ListedPulls, Web, list[tuple[str, int, int]]]:
    answers: dict[str, Any] = {}
    for number in range(5):
        answers |= good("https://registry.lab/v2", f"app{number}")
    web = Web(answers)
    host = FakeHost({"/etc/containerd/config.toml": CONTAINERD}, http=web)
    told: list[tuple[str, int, int]] = []
    host.listener = lambda *progress: told.append(progress)
    found = ListedPulls.observe(host, LISTED, present, pull_config(host, "containerd"))
    return found, web, told


def test_what_the_runtime_has_is_not_asked_for_and_counts_as_done() -> None:
    found, web, told = observe(RuntimeImages(frozenset(NAMES[:3])))

    assert list(found.pulls) == NAMES[3:]
    assert all(pull.serving for pull in found.pulls.values())
    assert not any("app0" in request["url"] for request in web.asked)
    assert told == [("images", 4, 5), ("images", 5, 5)]


def test_where_the_runtime_cannot_be_asked_all_are_asked_for_in_the_order_of_the_list() -> None:
    found, _, told = observe(Unobserved("RuntimeUnreachable", "nobody listens"))

    assert list(found.pulls) == NAMES
    assert [done for _, done, _ in told] == [1, 2, 3, 4, 5]


def test_a_list_that_was_not_given_asks_nobody() -> None:
    host = FakeHost({"/etc/containerd/config.toml": CONTAINERD})

    found = ListedPulls.observe(host, ListedImages(), RuntimeImages(frozenset()), pull_config(host, "containerd"))

    assert found == ListedPulls()
