"""The processes of a node, where there may be none to be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from k8sdoctor.host import HostError
from k8sdoctor.host.live import LiveHost

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("folder", [True, False])
def test_a_file_tree_without_processes_could_not_be_looked_at(tmp_path: Path, *, folder: bool) -> None:
    """As under the root of a disk that is mounted elsewhere: /proc is empty there, or was not copied."""
    if folder:
        (tmp_path / "proc").mkdir()

    with pytest.raises(HostError, match="is it mounted") as refused:
        LiveHost(root=str(tmp_path)).processes()

    assert refused.value.reason == "Unreadable"
