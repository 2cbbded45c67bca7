"""Tests of what `make dist` has built: run them after it."""
