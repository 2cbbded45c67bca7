"""The app on a node whose every file holds every kind of secret shows none of them, and saves and copies none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input

from k8sdoctor import engine, registry
from k8sdoctor.host.live import LiveHost
from k8sdoctor.render import FORMATS
from k8sdoctor.tui.screens.choices import Choices
from k8sdoctor.tui.screens.save import SUFFIX, SaveScreen
from k8sdoctor.tui.session import Case
from tests.canaries import leaks
from tests.canary_root import EVERY, PLUG_IN, planted
from tests.tui.nodes import app, examined, screen, settled, the, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio

QUOTING = frozenset({"kubeconfig", "kubelet", "proxy", "registry-config", "static-pods"})
"""Checks that quote files in which secrets are; the command line's test runs all of them."""


async def test_no_secret_is_on_the_screen_or_in_a_file_that_the_app_saves(tmp_path: Path) -> None:
    root, out, plug_ins = planted(tmp_path / "root", whole=True), tmp_path / "out", tmp_path / "checks"
    for folder in (out, plug_ins):
        folder.mkdir()
    (plug_ins / "quoting.py").write_text(PLUG_IN)
    case = Case(
        lambda: LiveHost(
            str(root),
            given={"config": {"path": "kubeadm.yaml", "text": EVERY}, "kubeconfig": None, "endpoints": []},
            offline=True,
        ),
        lambda: registry.load([plug_ins], plug_ins=False, only=QUOTING),
        engine.Request(deadline=60.0),
    )
    shown = []
    async with app(case).run_test(size=(200, 60), notifications=True) as pilot:
        await examined(pilot)
        report = the(pilot).report
        assert report is not None
        for key in ("j", "e"):  # a finding, and all that was seen for it
            shown.append(screen(the(pilot)))
            await pilot.press(key)
        await settled(pilot)
        shown.append(screen(the(pilot)))
        await pilot.press("escape")
        await pilot.press("S")
        await until(pilot, lambda app: isinstance(app.screen, SaveScreen))
        dialog = the(pilot).screen
        dialog.query_one(Input).value = str(out / "r")
        for format_ in FORMATS:
            dialog.query_one(Choices).choose(format_)
        await pilot.press("enter")
        await until(pilot, lambda app: "Saved:" in screen(app))

    saved = {path.name: path.read_text() for path in out.iterdir()}
    assert set(saved) == {f"r{suffix}" for suffix in SUFFIX.values()}
    assert "REDACTED-" in report.broken[0].traceback
    assert "REDACTED-" in saved["r.json"]
    assert {name: leaks(text) for name, text in saved.items() if leaks(text)} == {}
    assert [text for text in shown if leaks(text)] == []
