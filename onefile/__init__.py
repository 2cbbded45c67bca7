"""The doctor in one file, for nodes without Python: how it is built, and its tests."""
