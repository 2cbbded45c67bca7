"""The only code that touches a machine: few verbs, whose arguments and answers JSON can hold."""

from k8sdoctor.host.base import Host, HostError, Json

__all__ = ["Host", "HostError", "Json"]
