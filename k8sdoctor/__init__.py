"""k8sdoctor examines a Kubernetes node, names the cause of what is wrong, and says which commands mend it."""

from k8sdoctor.check import Check, Profile, check
from k8sdoctor.finding import (
    Certainty,
    Evidence,
    Finding,
    Fix,
    Link,
    Safety,
    Status,
    Unobserved,
    fail,
    passed,
    skip,
    unknown,
    warn,
)
from k8sdoctor.host.base import Host, HostError

__version__ = "0.1.0"

__all__ = [
    "Certainty",
    "Check",
    "Evidence",
    "Finding",
    "Fix",
    "Host",
    "HostError",
    "Link",
    "Profile",
    "Safety",
    "Status",
    "Unobserved",
    "check",
    "fail",
    "passed",
    "skip",
    "unknown",
    "warn",
]
