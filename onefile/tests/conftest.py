"""What a lab test needs to run at all is said where the lab is."""

from tests.lab.conftest import pytest_configure, pytest_runtest_setup

__all__ = ["pytest_configure", "pytest_runtest_setup"]
