"""How a whole node is broken, one cause at a time, and what must be said of it: the tables behind `make accuracy`, a file for each area.

A row's cause and symptoms are written down before the doctor sees it; what it then does otherwise stands in `KNOWN`.
"""

from tests.lab.scenarios import (
    before_init,
    between_nodes,
    certificates,
    control_plane,
    dns,
    images,
    kubelet,
    pod_network,
)
from tests.lab.scenarios.scenario import Role, Scenario

__all__ = ["SCENARIOS", "Role", "Scenario"]

SCENARIOS: tuple[Scenario, ...] = (
    *dns.SCENARIOS,
    *between_nodes.SCENARIOS,
    *pod_network.SCENARIOS,
    *images.SCENARIOS,
    *kubelet.SCENARIOS,
    *certificates.SCENARIOS,
    *control_plane.SCENARIOS,
    *before_init.SCENARIOS,
)
