"""What a lab test needs to run at all is said where the lab is, and that CI allows no skip where all tests are."""

from tests.conftest import pytest_runtest_makereport
from tests.lab.conftest import pytest_configure, pytest_runtest_setup

__all__ = ["pytest_configure", "pytest_runtest_makereport", "pytest_runtest_setup"]
