"""The HTML report in a real browser: readable in both colour schemes, on a phone and on paper, without loading anything."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor import render
from tests.lab.browser import Browser
from tests.render.reports import LONG_COMMAND, MARKUP, SICK, SPIKED, long_report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from k8sdoctor.report import Report

pytestmark = [pytest.mark.lab, pytest.mark.needs("chromium")]

SCHEMES = ("light", "dark")

# The contrast of every text with what is behind it (WCAG 2, 1.4.3), as [ratio, text, …], the worst first.
CONTRASTS = """(() => {
  const parts = colour => colour.match(/[0-9.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parts(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim(), element = walker.currentNode.parentElement;
    if (!text || !element.checkVisibility()) continue;
    const [a, b] = [light(parts(getComputedStyle(element).color)), light(behind(element))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), text.slice(0, 40)]);
  }
  return found.sort((a, b) => a[0] - b[0]);
})()"""

UNFOLD = "document.querySelectorAll('details').forEach(each => each.open = true)"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
HEADINGS = "[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(each => Number(each.tagName[1]))"
DANGLING = "[...document.links].filter(each => !document.querySelector(each.getAttribute('href'))).length"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as started:
        yield started


def show(browser: Browser, folder: Path, report: Report) -> Path:
    page = folder / "report.html"
    page.write_text(render.report(report, "html"), "utf-8")
    browser.look(width=1100)
    browser.open(page)
    return page


def text(browser: Browser) -> str:
    shown: str = browser.evaluate("document.body.innerText")
    return shown


def test_what_matters_is_in_sight_and_the_rest_is_folded(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path, SICK)
    shown = text(browser)

    for seen in ("BridgeNfCallOff", "modprobe br_netfilter", LONG_COMMAND, "disruptive", "ImportError: no acme"):
        assert seen in shown
    assert (
        shown.index("Diagnoses") < shown.index("modprobe") < shown.index("What was found") < shown.index("All checks")
    )
    for folded in ("line 39", "IPv4 forwarding is on.", "Traceback (most recent"):
        assert folded not in shown
    browser.evaluate(UNFOLD)
    for folded in ("line 39", "IPv4 forwarding is on.", "Traceback (most recent"):
        assert folded in text(browser)


def test_the_page_loads_nothing_and_the_browser_complains_of_nothing(browser: Browser, tmp_path: Path) -> None:
    for report in (SICK, SPIKED):
        page = show(browser, tmp_path, report)

        assert browser.requests() == [page.as_uri()]
        assert browser.complaints() == []
        assert browser.evaluate("[document.scripts.length, document.images.length, document.styleSheets.length]") == [
            0,
            0,
            1,
        ]


def test_markup_of_the_host_is_shown_as_text(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path, SPIKED)
    browser.evaluate(UNFOLD)

    assert text(browser).count(MARKUP) >= 6  # title, subject, source, content twice, fix
    assert f"</pre>{MARKUP}" in text(browser)


@pytest.mark.parametrize("report", [SICK, SPIKED, long_report(9)], ids=["sick", "spiked", "long"])
def test_every_text_stands_out_from_what_is_behind_it(browser: Browser, tmp_path: Path, report: Report) -> None:
    show(browser, tmp_path, report)
    browser.evaluate(UNFOLD)
    pages: dict[str, Any] = {}
    for scheme in SCHEMES:
        for media in ("screen", "print"):
            browser.look(width=1100, scheme=scheme, media=media)
            contrasts = browser.evaluate(CONTRASTS)

            assert len(contrasts) > 10
            assert [each for each in contrasts if each[0] < 4.5] == []
            pages[f"{scheme} {media}"] = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert pages["light screen"] != pages["dark screen"]
    assert pages["light print"] == pages["dark print"] == "rgb(255, 255, 255)"  # ink is dear


@pytest.mark.parametrize("width", [320, 375, 800, 1100])
def test_nothing_is_wider_than_the_screen(browser: Browser, tmp_path: Path, width: int) -> None:
    for report in (SICK, SPIKED, long_report(6)):
        show(browser, tmp_path, report)
        browser.evaluate(UNFOLD)
        for media in ("screen", "print"):
            browser.look(width=width, media=media)

            assert browser.evaluate(OVERFLOW) <= 0


def test_on_paper_all_is_unfolded(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path, SICK)
    seen = "[...document.querySelectorAll('details > :not(summary)')].filter(each => each.checkVisibility()).length"
    folded = browser.evaluate("document.querySelectorAll('details > :not(summary)').length")

    assert folded > 3
    assert browser.evaluate(seen) == 0
    browser.look(width=700, media="print")
    assert browser.evaluate(seen) == folded
    assert browser.paper().startswith(b"%PDF-")


def test_one_click_selects_a_whole_command(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path, SICK)
    browser.look(width=375)
    browser.evaluate("document.querySelectorAll('.commands code')[2].scrollIntoView({block: 'center'})")
    left, top = browser.evaluate(
        "(({x, y}) => [x + 5, y + 5])(document.querySelectorAll('.commands code')[2].getClientRects()[0])"
    )
    for kind in ("mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, x=left, y=top, button="left", clickCount=1)

    assert browser.evaluate("getSelection().toString()") == LONG_COMMAND


def test_the_keyboard_reaches_and_unfolds_what_is_folded(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path, SICK)
    reached = []
    for _ in range(40):
        browser.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(browser.evaluate("document.activeElement.tagName"))
        if reached[-1] == "SUMMARY":
            break
    browser.call(
        "Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
    )
    browser.call("Input.dispatchKeyEvent", type="keyUp", key="Enter", code="Enter", windowsVirtualKeyCode=13)

    assert reached[0] == "A"
    assert reached[-1] == "SUMMARY"
    assert browser.evaluate("document.activeElement.parentElement.open") is True
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_headings_landmarks_and_the_table_lead_a_screen_reader(browser: Browser, tmp_path: Path) -> None:
    show(browser, tmp_path, SICK)
    levels = browser.evaluate(HEADINGS)

    assert levels[0] == 1
    assert levels.count(1) == 1
    assert [pair for pair in itertools.pairwise(levels) if pair[1] > pair[0] + 1] == []
    assert browser.evaluate("['header', 'main'].map(each => document.querySelectorAll('body > ' + each).length)") == [
        1,
        1,
    ]
    assert browser.evaluate("document.documentElement.lang") == "en"
    assert browser.evaluate("document.title") == "node1: something is broken - k8sdoctor"
    assert browser.evaluate("[...document.querySelectorAll('th')].filter(each => !each.scope).length") == 0
    assert browser.evaluate("document.querySelectorAll('table > caption').length") == 1
    assert browser.evaluate(DANGLING) == 0
    browser.evaluate(UNFOLD)
    for width in (1100, 375):
        browser.look(width=width)
        tree = browser.call("Accessibility.getFullAXTree")["nodes"]
        roles = Counter(each["role"]["value"] for each in tree if not each["ignored"])

        assert (roles["table"], roles["row"], roles["rowheader"]) == (1, 1 + len(SICK.results), len(SICK.results))
