"""The app: the engine's news go down to the widgets, and what a person wants goes to the session."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Footer

from k8sdoctor import engine
from k8sdoctor.render.layout import harmless
from k8sdoctor.report import Report, merged
from k8sdoctor.tui.ascii import AsciiFilter
from k8sdoctor.tui.driver import TerminalDriver
from k8sdoctor.tui.rows import Board, Filter, Row, Waiting, find, worst
from k8sdoctor.tui.session import Broke, Case, Ended, Loaded, News, Session
from k8sdoctor.tui.widgets.checks import PATIENCE, CheckList
from k8sdoctor.tui.widgets.details import Details
from k8sdoctor.tui.widgets.diagnoses import Cause, Diagnoses
from k8sdoctor.tui.widgets.filter_bar import FilterBar
from k8sdoctor.tui.widgets.overview import Overview, Progress, Vitals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.filter import LineFilter
    from textual.screen import Screen

    from k8sdoctor.check import Check
    from k8sdoctor.diagnosis import Reference
    from k8sdoctor.finding import Finding, Fix
    from k8sdoctor.tui.widgets.line_list import LineList
    from k8sdoctor.tui.widgets.palette import Symbols

INTERVAL = 5.0
"""Seconds between two runs while watching."""

INTERRUPTED = 130
AT_FAULT = 3
_TICK = 1 / 8


class Told(Message):
    """News of a run, from its thread."""

    def __init__(self, number: int, news: News) -> None:
        """Keep them."""
        super().__init__()
        self.number = number
        self.news = news


class DoctorApp(App[None]):
    """The terminal app."""

    TITLE = "k8sdoctor"
    CSS = (files("k8sdoctor.tui") / "app.tcss").read_text("utf-8")  # not by CSS_PATH, which no archive has
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (76, "-normal"), (120, "-wide")]  # noqa: RUF012 -- Textual declares it so
    VERTICAL_BREAKPOINTS = [(0, "-lowest"), (12, "-low"), (18, "-high")]  # noqa: RUF012

    BINDINGS: ClassVar[list[BindingType]] = [
        # The footer shows as many as there is room for, so those that help the lost stand first.
        Binding("question_mark", "help", "Help", tooltip="Show all keys"),
        Binding("q", "leave", "Quit", tooltip="Leave"),
        # Priority: what is typed next may be there already, and must meet the field and not the list.
        Binding(
            "slash", "search", "Search", tooltip="Search as you type, in names and in what was found", priority=True
        ),
        Binding("enter,down", "end_search", "Keep the search", show=False, priority=True),
        Binding("escape", "drop_search", "Drop the search", show=False, priority=True),
        Binding("f", "not_fine", "Problems", tooltip="Show only what is not fine, or all"),
        Binding("r", "rerun", "Rerun", tooltip="Run this check again"),
        Binding("R", "rerun_all", "All", tooltip="Run all checks again"),
        Binding("w", "watch", "Watch", tooltip="Run all checks again every few seconds, or stop that"),
        Binding("c", "copy", "Copy", tooltip="Copy the commands that mend this"),
        Binding(
            "t",
            "terminal",
            "In the terminal",
            tooltip="Show the commands that mend this in the terminal itself, where the mouse selects each whole",
            show=False,
        ),
        Binding("S,ctrl+s", "save", "Save", tooltip="Save the report"),
        Binding("a", "area", "Area", tooltip="Show only one area, the next, or all", show=False),
        Binding("s", "skip", "Skip", tooltip="Leave this check out, or take it in again", show=False),
        Binding("K", "skip_several", "Skip several", tooltip="Choose which checks are left out", show=False),
        Binding("W", "watch_every", "Watch every …", tooltip="Watch, with another pause between runs", show=False),
        Binding("p", "profile", "Profile", tooltip="Choose which checks run", show=False),
        Binding("d", "documentation", "Documentation", tooltip="Show this check's documentation", show=False),
        Binding("e", "evidence", "Evidence", tooltip="Show all that was seen, full screen", show=False),
        Binding("space", "fold", "Fold", tooltip="Show or hide the findings of a check", show=False),
        Binding("escape", "to_list", "Back", tooltip="Back to the list; there: show all again", show=False),
        Binding("ctrl+c,ctrl+q", "leave", "Quit", show=False, priority=True, system=True),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False, system=True),
    ]

    def __init__(
        self,
        case: Case,
        *,
        symbols: Symbols = "unicode",
        light: bool = False,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing runs until the screen is there."""
        super().__init__(driver_class=TerminalDriver)
        self.report: Report | None = None
        self.trouble = ""
        self.session = Session(case, self._tell, clock)
        self.board = Board()
        self.interval = interval
        self._symbols = symbols
        self._ascii = AsciiFilter()
        self._clock = clock
        self._since: dict[str, float] = {}  # when each check that runs was started
        self._waiting_for: tuple[str, ...] = ()
        self._advanced: dict[str, tuple[int, int]] = {}  # of what, how many are done of how many
        self._watching = False
        self._next: float | None = None
        self._stale = False
        self.theme = "textual-light" if light else "textual-dark"

    @property
    def exit_code(self) -> int:
        """The last report's, 130 if there was none."""
        if self.report is not None:
            return self.report.exit_code(strict=self.session.case.strict)
        return AT_FAULT if self.trouble else INTERRUPTED

    def get_line_filters(self) -> Sequence[LineFilter]:
        """What all that is painted goes through."""
        filters = super().get_line_filters()
        return [*filters, self._ascii] if self._symbols == "ascii" else filters

    def compose(self) -> ComposeResult:
        """The screen, from top to bottom."""
        yield Overview(id="overview", symbols=self._symbols)
        yield Diagnoses(id="diagnoses", symbols=self._symbols)
        with Horizontal(id="panes"):
            with Vertical(id="list"):
                yield FilterBar()
                yield CheckList(id="checks", symbols=self._symbols)
            yield Details(id="details", symbols=self._symbols)
        yield Footer(compact=True, show_command_palette=False)  # 80 columns are all that our own keys take

    def on_mount(self) -> None:
        """Paint first, then look at the node."""
        self.set_class(self._symbols == "ascii", "-ascii")
        self.query_one("#list").border_title = "Checks"
        self.query_one("#details").border_title = "Details"
        self.query_one(CheckList).focus()
        self._ticker = self.set_interval(_TICK, self._tick)
        self._obey_signals()
        self._paint_top()
        self.call_after_refresh(self._examine)

    def _obey_signals(self) -> None:
        """Leave in good order when told to, so that the terminal is restored."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self.action_leave)

    # -- runs ----------------------------------------------------------------------------------------------------------

    def _tell(self, number: int, news: News) -> None:
        self.post_message(Told(number, news))

    def _examine(self, only: str | None = None) -> None:
        if not self._whole:
            return
        self._since.clear()
        self.board.waiting.clear()
        self._waiting_for = ()
        self._advanced.clear()
        self._next = None
        self.session.start(only=only, profile=self.report.profile if self.report is not None else None)
        self._ticker.resume()
        self._paint_soon()

    def on_told(self, message: Told) -> None:
        """A run has said something."""
        if not self.session.takes(message.number, message.news) or not self._whole:
            return
        match message.news:
            case Loaded():
                pass
            case Ended(report, partial):
                self._take(report, partial=partial)
            case Broke(error):
                self.trouble = f"this is a fault of k8sdoctor: {error}"
                self._over()
            case news:
                self._progress(news.event)
        self._paint_soon()

    def _progress(self, event: engine.Event) -> None:
        match event:
            case engine.Started(id_):
                self._since[id_] = self.session.begun
                if (known := self.session.check(id_)) is not None:
                    self.board.waiting[id_] = Waiting(id_, known.area, known.title)
            case engine.Finished(result):
                self._since.pop(result.check, None)
                self.board.results[result.check] = result
            case engine.Late(waiting_for):
                self._waiting_for = waiting_for
            case engine.Advanced(what, done, of):
                self._advanced[what] = (done, of)

    def _take(self, report: Report, *, partial: bool) -> None:
        first = self.report is None
        self.trouble = ""
        self.report = merged(self.report, report) if partial and self.report is not None else report
        self.board.history.add(self.report)
        self.board.results = {result.check: result for result in self.report.results}
        self.board.broken = self.report.broken
        self._over()
        if first and not self.query_one(CheckList).touched:
            self._paint()
            self._go_to_the_worst()

    def _over(self) -> None:
        self._since.clear()
        self.board.waiting.clear()
        self._waiting_for = ()
        self._advanced.clear()
        if self._watching:
            self._next = self._clock() + self.interval

    @property
    def _whole(self) -> bool:
        """Whether there is something to paint on: when the app closes, the widgets go before the news stop."""
        return all(self.query(kind) for kind in (Overview, Diagnoses, FilterBar, CheckList, Details))

    def _tick(self) -> None:
        if not self._whole:
            return
        now = self._clock()
        if self._next is not None and now >= self._next:
            self._examine()
        elif not self.session.running and self._next is None:
            self._ticker.pause()
        self._paint_top()
        self._paint_running()

    def _paint_running(self) -> None:
        seconds = {check: self._clock() - since for check, since in self._since.items()}
        self.query_one(CheckList).show_running(seconds, self._limit)

    @property
    def _limit(self) -> float | None:
        """Seconds that the run may take; None where a list takes as long as it is long."""
        request = self.session.request
        return None if request.lifted else request.deadline

    # -- painting ------------------------------------------------------------------------------------------------------

    def _paint_soon(self) -> None:
        """Paint when the news that wait have been taken in."""
        if not self._stale:
            self._stale = True
            self.call_later(self._paint)

    def _paint(self) -> None:
        self._stale = False
        if not self._whole:
            return
        self._paint_top()
        if self.report is not None:
            self.query_one(Diagnoses).show_report(self.report)
        self._paint_list()

    def _paint_list(self) -> None:
        listed = self.query_one(CheckList)
        self._paint_running()
        rows = self.board.rows()
        if self.report is None and not listed.touched:
            listed.show(rows, worst(rows))  # by what is known so far, and not by which check was first to be known
        else:
            listed.show(rows, find(rows, listed.selected.key if listed.selected is not None else None))
        checks = sum(row.kind == "check" for row in rows)
        everything = len(self.board.results.keys() | self.board.waiting.keys())
        self.query_one(FilterBar).show(self.board.filter, checks, everything)
        if listed.selected is None:
            self._show_nothing()

    def _show_nothing(self) -> None:
        if self.board.filter:
            text = "Nothing is shown: Escape shows all again."
        elif self.trouble:
            text = self.trouble
        else:
            text = "Finding out where this node stands, and which checks apply."
        self.query_one(Details).show_waiting("", text)

    def _paint_top(self) -> None:
        progress = None
        if self.session.running and (self.report is None or self.session.elapsed >= PATIENCE):
            progress = Progress(
                self.session.elapsed,
                self._limit,
                len(self.board.waiting) - len(self._since),
                len(self.board.waiting),
                self._waiting_for,
                dict(self._advanced),
            )
        self.query_one(Overview).show(
            Vitals(
                self.report,
                progress,
                self.board.history,
                self.interval if self._watching else None,
                max(0.0, self._next - self._clock()) if self._next is not None else None,
                self.trouble,
            )
        )

    def on_line_list_moved(self, message: LineList.Moved) -> None:
        """Show what the cursor stands on, in the list that has the keys."""
        if not self._whole:
            return
        diagnoses = self.query_one(Diagnoses)
        if isinstance(message.line, Cause):
            if diagnoses.has_focus:
                cause = message.line.diagnosis
                self.query_one(Details).show_diagnosis(cause, self.session.check(cause.cause.check))
        elif isinstance(message.line, Row) and not diagnoses.has_focus:
            self._show_row(message.line)

    def _show_row(self, row: Row) -> None:
        details = self.query_one(Details)
        if row.broken is not None:
            details.show_broken(row.broken)
            return
        check = self.session.check(row.check)
        if row.finding is None:
            details.show_waiting(row.check, f"{check.title if check else ''}: being looked at.")
            return
        details.show_finding(
            check,
            row.finding,
            about=row.key,
            cause=self._cause_of(row.check, row.finding),
            explains=self._explained_by(row.check, row.finding),
            fixed=self.board.history.fixed(row.check),
        )

    def _cause_of(self, check: str, finding: Finding) -> Reference | None:
        for diagnosis in self.report.diagnoses if self.report is not None else ():
            for symptom in diagnosis.explains:
                if (symptom.check, symptom.reason, symptom.subject) == (check, finding.reason, finding.subject):
                    return diagnosis.cause
        return None

    def _explained_by(self, check: str, finding: Finding) -> tuple[Reference, ...]:
        if self.report is None or not finding.explains:
            return ()
        for result, explains in zip(self.report.results, self.report.explains, strict=True):
            if result.check == check and finding in result.findings:
                return explains[result.findings.index(finding)]
        return ()

    # -- where one is --------------------------------------------------------------------------------------------------

    @property
    def _row(self) -> Row | None:
        """The check or finding that keys act on: at the cursor, or the cause of the diagnosis at the cursor."""
        diagnoses = self.query_one(Diagnoses)
        if diagnoses.has_focus and diagnoses.selected is not None:
            wanted = diagnoses.selected.diagnosis.cause
            return next((row for row in Board(self.board.results).rows() if _is(row, wanted)), None)
        return self.query_one(CheckList).selected

    def _known(self) -> Check[Any] | None:
        row = self._row
        return self.session.check(row.check) if row is not None else None

    def _go_to(self, cause: Reference) -> None:
        listed = self.query_one(CheckList)
        place = next((place for place, row in enumerate(listed.lines) if _is(row, cause)), None)
        if place is None and self.board.filter:
            self._show_all()
            place = next((place for place, row in enumerate(listed.lines) if _is(row, cause)), None)
        if place is not None:
            listed.select(place)

    def _go_to_the_worst(self) -> None:
        self.query_one(CheckList).to_the_top()
        if self.report is not None and self.report.diagnoses:
            self._go_to(self.report.diagnoses[0].cause)
            return
        listed = self.query_one(CheckList)
        place = worst(listed.lines)
        if place is not None:
            listed.select(place)

    def on_line_list_chosen(self, message: LineList.Chosen) -> None:
        """Open a diagnosis at its cause, and a check at its details."""
        if not self._whole:
            return
        if isinstance(message.line, Cause):
            self.query_one(CheckList).focus()
            self._go_to(message.line.diagnosis.cause)
            return
        self.default_screen.add_class("-opened")
        self.query_one(Details).focus()

    def action_to_list(self) -> None:
        """From the details to the list; in the list, show all again."""
        listed = self.query_one(CheckList)
        if self.default_screen.has_class("-opened") or not listed.has_focus:
            self.default_screen.remove_class("-opened")
            listed.focus()
        elif self.board.filter:
            self._show_all()

    # -- what is shown -------------------------------------------------------------------------------------------------

    def _filter(self, wanted: Filter) -> None:
        self.board.filter = wanted
        self._paint_list()

    def _show_all(self) -> None:
        self.query_one(FilterBar).empty()
        self._filter(Filter())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 -- Textual's
        """Which keys mean something now: a slash may be searched for, and dialogs have their own Enter."""
        if action not in ("search", "end_search", "drop_search"):
            return True  # the footer asks this of every key, each time that anything changes
        searching = self.query_one(FilterBar).searching if self._whole else False
        return not searching and self.screen is self.default_screen if action == "search" else searching

    def action_search(self) -> None:
        """Search as one types."""
        self.default_screen.remove_class("-opened")
        self.query_one(FilterBar).search()

    def on_filter_bar_searched(self, message: FilterBar.Searched) -> None:
        """The search has changed."""
        if message.text != self.board.filter.text:
            self._filter(replace(self.board.filter, text=message.text))

    def action_end_search(self) -> None:
        """Keep what is searched for, and go to the list."""
        self.default_screen.set_focus(self.query_one(CheckList))

    def action_drop_search(self) -> None:
        """Search for nothing any more."""
        self.query_one(FilterBar).empty()
        self._filter(replace(self.board.filter, text=""))
        self.action_end_search()

    def action_not_fine(self) -> None:
        """Only what is not fine, or all."""
        self._filter(replace(self.board.filter, not_fine=not self.board.filter.not_fine))

    def action_area(self) -> None:
        """The next area, and after the last one all of them."""
        areas: list[str | None] = [None, *self.board.areas()]
        now = self.board.filter.area
        place = areas.index(now) if now in areas else 0
        self._filter(replace(self.board.filter, area=areas[(place + 1) % len(areas)]))

    def action_fold(self) -> None:
        """Show or hide the findings of the check at the cursor."""
        row = self._row
        if row is not None:
            self.board.toggled ^= {row.check}
            self._paint_list()

    # -- what is done --------------------------------------------------------------------------------------------------

    def action_rerun(self) -> None:
        """Run the check at the cursor again."""
        row = self._row
        if row is None or not row.check:
            return
        if self.session.running:
            self.notify("A run is on. Wait for its end, or start all anew with R.", severity="warning")
            return
        self._examine(row.check)

    def action_rerun_all(self) -> None:
        """Run everything again; a run that is on is given up."""
        self._examine()

    def action_watch(self) -> None:
        """Run all checks every few seconds, or stop that."""
        self._watching = not self._watching
        self._next = None
        if self._watching and not self.session.running:
            self._examine()
        self._paint_soon()

    def action_skip(self) -> None:
        """Leave the check at the cursor out, or take it in again."""
        row = self._row
        if row is None or not row.check:
            return
        if self.session.running:
            self.notify("A run is on. Wait for its end.", severity="warning")
            return
        request = self.session.request
        self.session.request = replace(request, skipped=request.skipped ^ {row.check})
        self._examine(row.check)

    def action_skip_several(self) -> None:
        """Choose which checks are left out of the next runs."""
        from k8sdoctor.tui.screens.skip import SkipScreen

        def chosen(skipped: frozenset[str] | None) -> None:
            if skipped is not None and skipped != self.session.request.skipped:
                self.session.request = replace(self.session.request, skipped=skipped)
                self._examine()

        checks = self.session.registry.checks if self.session.registry is not None else []
        self.push_screen(SkipScreen(checks, self.session.request.skipped), chosen)

    def action_profile(self) -> None:
        """Choose which checks run."""
        from k8sdoctor.tui.screens.profile import ChosenProfile, ProfileScreen

        def chosen(answer: ChosenProfile | None) -> None:
            if answer is not None:
                # Checks that were named run whatever the profile, so the choice would do nothing beside them.
                self.session.request = replace(self.session.request, profile=answer.profile, named=())
                self._examine()

        self.push_screen(ProfileScreen(self.session.request.profile), chosen)

    def action_watch_every(self) -> None:
        """Watch, with another pause between runs."""
        from k8sdoctor.tui.screens.watch import WatchScreen

        def chosen(seconds: float | None) -> None:
            if seconds is not None:
                self.interval = seconds
                self._watching = False
                self.action_watch()

        self.push_screen(WatchScreen(self.interval), chosen)

    def action_save(self) -> None:
        """Save the report of the last run."""
        from k8sdoctor.tui.screens.save import SaveScreen

        if self.report is None:
            self.notify("There is no report yet.", severity="warning")
            return

        def saved(paths: list[Path] | None) -> None:
            if paths:
                self.notify("\n".join(harmless(str(path)) for path in paths), title="Saved", markup=False)

        self.push_screen(SaveScreen(self.report), saved)

    def action_documentation(self) -> None:
        """Show the documentation of the check at the cursor."""
        from k8sdoctor.tui.screens.docs import DocsScreen

        check = self._known()
        if check is not None:
            self.push_screen(DocsScreen(check))

    def action_evidence(self) -> None:
        """Show all that was seen, full screen."""
        from k8sdoctor.tui.screens.evidence import EvidenceScreen

        row = self._row
        if row is None or row.finding is None or not row.finding.evidence:
            self.notify("Nothing was seen of this but what is told here.", severity="warning")
            return
        self.push_screen(EvidenceScreen(row.finding, row.check))

    def action_help(self) -> None:
        """Show all keys."""
        from k8sdoctor.tui.screens.help import HelpScreen

        self.push_screen(HelpScreen(self.default_screen))

    def action_leave(self) -> None:
        """Leave now, whatever runs."""
        self.exit()

    def _fix(self) -> Fix | None:
        row = self._row
        return row.finding.fix if row is not None and row.finding is not None else None

    def _commands(self) -> tuple[str, str] | None:
        """Title and text of the fix of what the cursor stands on; the lack of one is told."""
        fix = self._fix()
        if fix is None:
            self.notify("There is no fix to copy here.", severity="warning")
            return None
        return fix.title, "\n".join((*fix.commands, *fix.persist))

    def action_copy(self) -> None:
        """Copy the commands that mend what the cursor stands on."""
        if (told := self._commands()) is not None:
            from k8sdoctor.tui.screens.copy import CopyScreen

            title, text = told
            self.copy_to_clipboard(text)
            self.push_screen(CopyScreen(text, title))

    def action_terminal(self) -> None:
        """Show the commands that mend what the cursor stands on outside of the app's screen."""
        if (told := self._commands()) is not None:
            from k8sdoctor.tui.screens.copy import NO_TERMINAL, in_terminal

            if not in_terminal(self, *told):
                self.notify(NO_TERMINAL, severity="warning")

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Every key's action, and Textual's own."""
        for binding in self.BINDINGS:
            if isinstance(binding, Binding) and binding.tooltip:
                yield SystemCommand(
                    binding.tooltip,
                    f"{binding.description}: key {self.get_key_display(binding)}",
                    getattr(self, f"action_{binding.action}"),
                )
        for command in super().get_system_commands(screen):
            if command.title not in ("Quit", "Keys"):
                yield command


def _is(row: Row, wanted: Reference) -> bool:
    finding = row.finding
    return (
        finding is not None
        and row.check == wanted.check
        and (finding.reason, finding.subject) == (wanted.reason, wanted.subject)
    )
