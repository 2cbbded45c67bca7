"""What to do about a container runtime that does not answer, for the checks that ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.finding import Fix, Safety

if TYPE_CHECKING:
    from k8sdoctor.facts.runtime import Runtime


def see_why_silent(runtime: Runtime) -> Fix:
    """Its service's state and last words tell whether it was never started, ended, or hangs."""
    return Fix(
        title=f"See whether {runtime.label} runs, and what it says",
        commands=(
            f"systemctl status --no-pager {runtime.unit}",
            f"journalctl -u {runtime.unit} -n 30 --no-pager",
        ),
        verify=f"systemctl is-active {runtime.unit}",
        safety=Safety.SAFE,
    )
