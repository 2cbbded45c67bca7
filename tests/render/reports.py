"""Reports to be rendered, as the engine makes them."""

from __future__ import annotations

from k8sdoctor import Certainty, Evidence, Finding, Fix, Link, Profile, Safety, fail, passed, skip, unknown, warn
from k8sdoctor.report import Broken, Report, Result, make_report
from k8sdoctor.testing import FakeHost

LONG_COMMAND = (
    "echo 'net.bridge.bridge-nf-call-iptables = 1' > /etc/sysctl.d/99-bridge-nf-call-iptables.conf && sysctl --system"
)

FIX = Fix(
    title="Let bridged packets pass iptables",
    commands=("modprobe br_netfilter", "sysctl -w net.bridge.bridge-nf-call-iptables=1"),
    persist=(LONG_COMMAND,),
    verify="sysctl -n net.bridge.bridge-nf-call-iptables",
    safety=Safety.DISRUPTIVE,
)
CAUSE = fail(
    "BridgeNfCallOff",
    "net.bridge.bridge-nf-call-iptables is 0, so packets between pods on the bridge cni0 do not pass iptables at all.",
    subject="cni0",
    evidence=[Evidence("/proc/sys/net/bridge/bridge-nf-call-iptables", "0\n")],
    fix=FIX,
    explains=[Link("dns-reply-source", "UnexpectedSource", "The reply stays on the bridge.", Certainty.PROVEN)],
)
SYMPTOM = fail(
    "UnexpectedSource",
    "10.96.0.10 was asked and 8 of 8 replies came from 10.244.0.3 instead.",
    subject="10.96.0.10",
    evidence=[Evidence("DNS asked from pod default/web-0", "\n".join(f"line {number}" for number in range(40)))],
    fix=Fix("Do something else", ("something-else",), "true", Safety.SAFE),
)
BLIND = unknown("NotPermitted", "Permission denied: /etc/kubernetes/pki; run as root to look.")
BROKEN = Broken("plug-in acme (acme.checks)", "ImportError: no acme", "Traceback (most recent call last):\n  …")


def report(*results: tuple[str, Finding | tuple[Finding, ...]], broken: tuple[Broken, ...] = ()) -> Report:
    """A report of some checks with one finding or several each."""
    host = FakeHost()
    return make_report(
        host,
        identity=host.identity(),
        started_at=host.now(),
        seconds=0.25,
        profile=Profile.NODE,
        stage="worker",
        results=[
            Result(check, "test", f"{check} is fine", 0.1, found if isinstance(found, tuple) else (found,))
            for check, found in results
        ],
        broken=broken,
    )


def wanting_root(number: int) -> tuple[tuple[str, Finding], ...]:
    """Checks that root alone may look at, each with words of its own."""
    return tuple(
        (f"check-{each}", unknown("NotPermitted", f"Permission denied: /{each}; run as root to look."))
        for each in range(number)
    )


SICK = report(
    ("br-netfilter", CAUSE),
    ("dns-reply-source", SYMPTOM),
    ("ip-forward", passed("ForwardingOn", "IPv4 forwarding is on.")),
    ("apiserver-san", skip("NoCertificateYet", "Nothing serves there yet.")),
    ("pause-image", (warn("MirrorIgnored", "The mirror is never asked."), BLIND)),
    broken=(BROKEN,),
)
HEALTHY = report(("ip-forward", passed("ForwardingOn", "IPv4 forwarding is on.")))

MARKUP = "<script>alert(1)</script> & `ticks` ``` | *bold* [link](http://x) ]]> <!-- # ~~~"
SPIKED = report(
    (
        "odd",
        fail(
            "Odd",
            MARKUP,
            subject=MARKUP,
            evidence=[Evidence(MARKUP, f"{MARKUP}\n```\n</pre>{MARKUP}")],
            fix=Fix(MARKUP, (f"echo '{MARKUP}'",), "true", Safety.MANUAL),
        ),
    )
)


def long_report(checks: int, lines: int = 60) -> Report:
    """A report of many checks that all found something, with a lot of evidence, long words and other scripts in it."""
    kinds = (fail, warn, unknown)
    return report(
        *(
            (
                f"check-{number:02}",
                kinds[number % 3](
                    "SomethingLong",
                    f"日本語 مرحبا {'x' * 300} of /etc/kubernetes/{'manifests-' * 30}{number} is not as it should be.",
                    subject=f"/etc/kubernetes/{'y' * 200}",
                    evidence=[
                        Evidence(f"/var/log/{'pods-' * 40}", "\n".join(f"{line} {'z' * 200}" for line in range(lines)))
                    ],
                    fix=Fix(
                        f"Mend number {number}",
                        (f"echo {'w' * 300}", "systemctl restart kubelet"),
                        "true",
                        Safety.DISRUPTIVE,
                    ),
                ),
            )
            for number in range(checks)
        ),
        broken=(BROKEN,),
    )
