"""Each test of the engine starts with nothing observed, and leaves nothing hanging."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engine.samples import observed, released

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    observed.clear()
    released.clear()
    yield
    released.set()  # whatever a test left hanging ends with it
