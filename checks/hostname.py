"""The machine has a host name that a Node can have, and resolves it.

## What it looks at
The host name, and what the machine's own resolver makes of it.

## Why it matters
The host name becomes the Node's name, the kubelet's identity and a name in certificates, unless kubeadm is told another. A name that no Node can have ends
`kubeadm init` or `join`; two machines of one name take the Node from each other. kubeadm warns of a name that does not resolve.

## How it is decided
As kubeadm takes it: in lower case, and then by RFC 1123 (letters, digits, dashes and dots). An underscore fails, which kubeadm's own preflight lets
through and the API server refuses. Warns of `localhost`, which each machine is called that nobody has named, and of a name that does not
resolve. With `--config` the check `kubeadm-config` judges the name; a node has its name already.

## Reasons
- `HostnameFits` (pass): a Node can have this name, and it resolves
- `Planned` (skip): a configuration was given, and `kubeadm-config` judges the name that it leads to
- `Joined` (skip): this machine is a node
- `OtherInstallation` (skip): another distribution of Kubernetes runs here
- `HostnameInvalid` (fail): no Node can have this name
- `HostnameLocal` (warn): the machine is called `localhost`
- `HostnameNotResolved` (warn): this machine does not resolve its own name
- `NotPermitted`, `NotRecorded` (unknown): it could not be looked at

## What it sends
A question to the node's own resolver for the machine's name, where it is no node and nothing is planned; nothing with `--offline`.

## How to fix
`hostnamectl set-hostname NAME` before the machine joins; afterwards it would be another Node. A line in `/etc/hosts` makes the name resolve.

## How to verify
`getent hosts "$(hostname)"` prints an address.

## References
- kubernetes cmd/kubeadm/app/preflight/checks.go (HostnameCheck), cmd/kubeadm/app/apis/kubeadm/validation
- kubernetes staging/src/k8s.io/component-helpers/node/util/hostname.go
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.check import Profile, check
from k8sdoctor.checks._kubeadm_values import is_name
from k8sdoctor.facts.machine_name import MachineName
from k8sdoctor.facts.role import Role
from k8sdoctor.finding import Evidence, Finding, Fix, Safety, fail, passed, skip, unknown, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNNAMED = frozenset({"", "localhost", "localhost.localdomain", "(none)"})

_RENAME = Fix(
    "Give the machine a name of its own, of lower-case letters, digits and dashes",
    ('hostnamectl set-hostname "${NAME:?the name that it is to have}"',),
    "hostname",
    Safety.MANUAL,  # which name, nobody else knows
)


@check(
    "hostname",
    title="The machine's name can be a Node's",
    area="node",
    profiles=frozenset({Profile.INIT, Profile.JOIN}),
)
def hostname(found: MachineName, role: Role) -> Iterator[Finding]:
    """Judge the name, then what it resolves to."""
    seen = [Evidence("host name", found.name)]
    if role.name == "unknown":
        yield unknown("NotPermitted", f"Whether this machine is a node could not be told: {role.why}.")
    elif role.joined:
        yield skip("Joined", f"This machine is a node already ({role.why}).")
    elif role.name == "other":
        yield skip("OtherInstallation", f"This is no machine for kubeadm: {role.why}.")
    elif role.planned:
        yield skip("Planned", f"kubeadm-config judges the name, since {role.planned} may give another.")
    elif found.name in _UNNAMED:
        yield warn(
            "HostnameLocal",
            f'This machine\'s host name is "{found.name}", as that of each that nobody has named; a second such node would take its place.',
            subject=found.name or None,
            evidence=seen,
            fix=_RENAME,
        )
    elif not is_name(found.name):
        yield fail(
            "HostnameInvalid",
            f'The host name is "{found.name}", which no Node can have: letters, digits, dashes and dots, with a letter or digit at both ends.',
            subject=found.name,
            evidence=seen,
            fix=_RENAME,
        )
    else:
        yield _resolved(found)


def _resolved(found: MachineName) -> Finding:
    if found.unasked is not None:
        make = skip if found.unasked.reason == "Offline" else unknown
        return make(
            found.unasked.reason, f"Whether the name {found.name} resolves is not known: {found.unasked.message}."
        )
    if found.addresses:
        return passed(
            "HostnameFits",
            f"The host name {found.name} can be a Node's, and resolves to {', '.join(found.addresses)}.",
            subject=found.name,
        )
    error = (found.error or "no address").rstrip(".")
    return warn(
        "HostnameNotResolved",
        f"This machine does not resolve its own name {found.name}: {error}.",
        subject=found.name,
        evidence=[Evidence(f"resolving {found.name}", error)],
        fix=Fix(
            "Write the name into /etc/hosts, as Debian's installer does",
            (f"echo '127.0.1.1 {found.name}' >> /etc/hosts",),
            f"getent hosts {found.name}",
            Safety.SAFE,
        ),
    )
