"""Measurements; `make bench` runs them. No test depends on how long something takes."""
