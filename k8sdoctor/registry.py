"""Finds checks: the built-in ones, those of installed plug-ins, and those of a folder.

What does not import, and an id that is taken already, is a `Broken` entry: never a crash, never silence.
"""

from __future__ import annotations

import importlib.util
import os
import pkgutil
import stat
import sys
from dataclasses import field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from k8sdoctor import checks
from k8sdoctor.check import Check
from k8sdoctor.host.base import READ_LIMIT
from k8sdoctor.records import dataclass
from k8sdoctor.report import Broken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

GROUP = "k8sdoctor.checks"
BUILT_IN = "k8sdoctor.checks"


@dataclass(frozen=True)
class Registered:
    """A check, and where it comes from: `built-in`, `plug-in NAME` or a file's path."""

    check: Check[Any]
    source: str


@dataclass()
class Registry:
    """All checks that could be loaded, by id, and what could not."""

    _entries: dict[str, Registered] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)

    @property
    def entries(self) -> list[Registered]:
        """The checks, sorted by id."""
        return [self._entries[id_] for id_ in sorted(self._entries)]

    @property
    def checks(self) -> list[Check[Any]]:
        """The checks alone, sorted by id."""
        return [entry.check for entry in self.entries]

    def get(self, id_: str) -> Registered | None:
        """A check by its id."""
        return self._entries.get(id_)

    def add_module(self, name: str, source: str) -> None:
        """Import a module, or every module of a package, and keep its checks."""
        module = self._try(f"{source} ({name})", partial(import_module, name))
        if module is None:
            return
        self._collect(module, source)
        for each in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{name}."):
            if not each.name.rpartition(".")[2].startswith("_"):
                found = self._try(f"{source} ({each.name})", partial(import_module, each.name))
                if found is not None:
                    self._collect(found, source)

    def add_folder(self, folder: Path) -> None:
        """Load each `*.py` of a folder whose name does not start with `_` or `.`."""
        for path in sorted(folder.glob("*.py")):
            if path.name.startswith(("_", ".")):
                continue
            module = self._try(str(path), partial(_load, path))
            if module is not None:
                self._collect(module, str(path))

    def _try(self, what: str, load: Callable[[], ModuleType]) -> ModuleType | None:
        try:
            return load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- whatever a plug-in does, the report goes on
            import traceback

            line = " ".join(f"{type(error).__name__}: {error}".split())
            self.broken.append(Broken(what, line, "".join(traceback.format_exception(error))))
            return None

    def _collect(self, module: ModuleType, source: str) -> None:
        for value in vars(module).values():
            if not isinstance(value, Check) or value.function.__module__ != module.__name__:
                continue  # an imported check belongs to the module that made it
            taken = self._entries.get(value.id)
            if taken is None:
                self._entries[value.id] = Registered(value, source)
            elif taken.check is not value:
                error = f"the id {value.id!r} is taken already by {taken.source}"
                self.broken.append(Broken(f"{source} ({module.__name__})", error, ""))


def load(folders: Iterable[Path] = (), *, only: frozenset[str] | None = None, plug_ins: bool = True) -> Registry:
    """The built-in checks, then installed plug-ins by name, then the folders'.

    `only` are the ids that matter: when all of them are built in, nothing else is imported but the folders, which were named
    on purpose. One cheap check then starts in a fraction of the time.
    """
    registry = Registry()
    if only is not None and (modules := _built_in(only)) is not None:
        for name in modules:
            registry.add_module(name, "built-in")
    else:
        registry.add_module(BUILT_IN, "built-in")
        if plug_ins:
            for name, value in sorted(_plug_ins()):
                registry.add_module(value, f"plug-in {name}")
    for folder in folders:
        registry.add_folder(folder)
    return registry


def is_built_in(id_: str) -> bool:
    """Whether a built-in check has this id; nothing is imported to tell."""
    return _built_in([id_]) is not None


def _built_in(ids: Iterable[str]) -> list[str] | None:
    """The modules of some built-in checks; None when an id is not built in. A file is named as its check, by a test."""
    known = {name for _, name, _ in pkgutil.iter_modules(checks.__path__)}
    names = [id_.replace("-", "_") for id_ in sorted(ids)]
    return [f"{BUILT_IN}.{name}" for name in names] if known.issuperset(names) else None


def _plug_ins() -> list[tuple[str, str]]:
    """The entry points of the group, less our own, which is loaded also where no metadata is installed."""
    if not any(map(_offers_checks, sys.path)):
        return []
    from importlib.metadata import entry_points

    return [(entry.name, entry.module) for entry in entry_points(group=GROUP) if entry.value != BUILT_IN]


def _offers_checks(folder: str) -> bool:
    """Whether anything installed in a folder of sys.path but ourselves can have an entry point of the group.

    Only a look whether importlib.metadata is worth its 40 ms, which is most of the time of a cheap check; it reads what is there.
    """
    try:
        with os.scandir(folder or ".") as entries:
            found = [
                entry.path
                for entry in entries
                if entry.name.endswith((".dist-info", ".egg-info"))
                and not entry.name.startswith(("k8sdoctor-", "k8sdoctor.egg-info"))
            ]
    except NotADirectoryError:
        return folder.endswith((".egg", ".whl"))  # an archive: the library knows how to look inside
    except OSError:
        return False
    return any(_names_group(f"{path}/entry_points.txt") for path in found)


def _names_group(path: str) -> bool:
    try:
        with Path(path).open("rb") as file:
            return GROUP.encode() in file.read()
    except OSError:
        return False


def _load(path: Path) -> ModuleType:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ImportError(f"{path} is not a regular file")  # a FIFO would wait for a writer
    if found.st_size > READ_LIMIT:
        raise ImportError(f"{path} holds {found.st_size >> 20} MiB, which is no Python file that a person wrote")
    name = f"k8sdoctor_checks_dir.{path.stem}_{abs(hash(path)):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and type hints look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
