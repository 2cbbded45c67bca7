"""What gives a cloned machine marks of its own."""

from __future__ import annotations

from k8sdoctor.facts.machine import FILES
from k8sdoctor.facts.machine_marks import PRODUCT_UUID
from k8sdoctor.finding import Fix, Safety

SETUP = (
    *(f"[ ! -e {path} ] || mv {path} {path}.shared" for path in FILES),
    "systemd-machine-id-setup",
)

MACHINE_ID = Fix(
    "Make a new ID on the clone, and reboot it (a virtual machine's is made of its UUID, so that one first)",
    SETUP,
    f"cat {FILES[0]}",
    Safety.MANUAL,
)

UUID = Fix(
    "Give the clone a UUID where its virtual machine is defined (uuid of libvirt, uuid.bios of VMware), and reboot",
    (f"cat {PRODUCT_UUID}",),
    f"cat {PRODUCT_UUID}",
    Safety.MANUAL,
)
