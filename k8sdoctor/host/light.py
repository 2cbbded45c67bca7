"""Importing one module of a big library without the rest of it.

`import kubernetes` takes 0.3 s of CPU and `import pyroute2` 0.2 s, for all that they can do; we need a corner of each.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from types import ModuleType

_lock = threading.Lock()


def module(name: str, *packages: str) -> ModuleType:
    """Import `name` without running the `__init__.py` of the packages named, outermost first.

    Empty packages stand in for them during the import and are taken away, so that `import kubernetes` still means the whole. Where the
    whole has been imported already, or a package lies elsewhere than in a folder, it is an ordinary import.
    """
    with _lock:
        try:
            return _without(name, packages)
        except ImportError:  # another version of the library, whose module leans on what its package offers
            return importlib.import_module(name)


def _without(name: str, packages: tuple[str, ...]) -> ModuleType:
    stand_ins: dict[str, ModuleType] = {}
    try:
        for package in packages:
            if package in sys.modules:
                continue
            found = importlib.util.find_spec(package)
            if found is None or found.submodule_search_locations is None:
                break
            stand_ins[package] = stand_in = ModuleType(package)
            stand_in.__path__ = list(found.submodule_search_locations)
            sys.modules[package] = stand_in
        return importlib.import_module(name)
    finally:
        for package, stand_in in stand_ins.items():
            if sys.modules.get(package) is stand_in:
                del sys.modules[package]
