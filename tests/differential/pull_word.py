"""Say of each line on stdin, as often as asked, what `pause-image` finds on this node: run inside of it, where its network is.

A process that stays, since to start one costs more than to look.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from k8sdoctor import Finding, Unobserved, check, passed
from k8sdoctor.checks._pull_judgement import reason, verdict
from k8sdoctor.facts.pull import PullAttempts  # noqa: TC001 -- the engine reads the annotation
from k8sdoctor.facts.registry_hosts import RegistryHosts  # noqa: TC001 -- the engine reads the annotation
from k8sdoctor.host.live import LiveHost
from k8sdoctor.testing import report_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.registry_visit import Attempt


def _asked(attempt: Attempt) -> dict[str, object]:
    why = "" if attempt.outcome == "serves" else reason(attempt)
    return {"url": attempt.host.base_url, "reason": why, "resolved": attempt.resolved}


def main() -> None:
    for _ in sys.stdin:
        seen: list[dict[str, object]] = []

        @check("pull-seen", title="The pull is seen", area="images")
        def tell(pull: PullAttempts, hosts: RegistryHosts | Unobserved) -> Iterator[Finding]:
            assert not isinstance(hosts, Unobserved), hosts
            found = verdict(pull, hosts)
            seen.append(  # noqa: B023 -- called before the next turn
                {
                    "kind": found.kind,
                    "reason": found.reason,
                    "asked": [] if found.stopper else [_asked(each) for each in pull.reached],
                    "present": pull.present,
                }
            )
            yield passed("Seen", "It was seen.")

        report = report_of(LiveHost(), "pause-image", tell)
        assert not report.broken, report.broken
        findings = next(each.findings for each in report.results if each.check == "pause-image")
        seen[0]["findings"] = [[each.status, each.reason, each.message] for each in findings]
        sys.stdout.write(json.dumps(seen[0]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
