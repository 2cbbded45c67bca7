"""Checks are found where they may come from, and what does not load is named."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from k8sdoctor import registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLUG_IN = '''"""{id}."""
from k8sdoctor import check, passed

@check("{id}", title="Fine", area="test")
def judge():
    yield passed("Fine", "It is fine.")
'''


@pytest.fixture(autouse=True)
def modules_as_before() -> Iterator[None]:
    before = dict(sys.modules)
    yield
    for name in sys.modules.keys() - before.keys():
        if not name.startswith("k8sdoctor."):
            del sys.modules[name]


def source_of(id_: str, known: registry.Registry) -> str | None:
    entry = known.get(id_)
    return entry.source if entry else None


def test_the_built_in_checks_are_there_and_sorted() -> None:
    known = registry.load()

    ids = [entry.check.id for entry in known.entries]
    assert "ip-forward" in ids
    assert ids == sorted(ids)
    assert known.broken == []


def test_a_folder_adds_its_files_but_not_those_that_are_hidden(tmp_path: Path) -> None:
    for name in ("good", "_hidden", ".hidden"):
        (tmp_path / f"{name}.py").write_text(PLUG_IN.format(id=name.strip("_.") + "-check"))
    (tmp_path / "notes.txt").write_text("no Python")

    known = registry.load([tmp_path])

    assert source_of("good-check", known) == str(tmp_path / "good.py")
    assert known.get("hidden-check") is None
    assert known.broken == []


def test_files_of_one_name_in_two_folders_are_two_modules(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same.py").write_text(PLUG_IN.format(id=f"check-{name}"))

    known = registry.load([tmp_path / "a", tmp_path / "b"])

    assert known.get("check-a")
    assert known.get("check-b")


def test_an_id_that_is_taken_is_broken_and_the_first_stays(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUG_IN.format(id="ip-forward"))

    known = registry.load([tmp_path])

    assert source_of("ip-forward", known) == "built-in"
    [entry] = known.broken
    assert "'ip-forward' is taken already by built-in" in entry.error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(0)", "SystemExit"),
        ("1 / 0", "ZeroDivisionError"),
        ("a = '\0'", "SyntaxError"),
    ],
)
def test_a_file_that_does_not_import_is_broken_and_the_rest_loads(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "bad.py").write_text(text)
    (tmp_path / "good.py").write_text(PLUG_IN.format(id="good"))

    known = registry.load([tmp_path])

    [entry] = known.broken
    assert entry.what == str(tmp_path / "bad.py")
    assert entry.error.startswith(error)
    assert "\n" not in entry.error
    assert known.get("good")


def test_what_is_no_regular_file_is_broken_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "loop.py").symlink_to("loop.py")
    with (tmp_path / "huge.py").open("wb") as huge:
        huge.truncate(100 * 1024 * 1024)

    known = registry.load([tmp_path])

    assert [entry.what.rpartition("/")[2] for entry in known.broken] == ["folder.py", "huge.py", "loop.py", "pipe.py"]


def install(folder: Path, name: str, entry: str) -> None:
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[k8sdoctor.checks]\n{entry}\n")


def test_an_installed_plug_in_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "acme_checks"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "disk.py").write_text(PLUG_IN.format(id="acme-disk"))
    install(tmp_path, "acme", "acme = acme_checks")
    install(tmp_path, "gone", "gone = no_such_package")
    monkeypatch.syspath_prepend(str(tmp_path))

    known = registry.load()

    assert source_of("acme-disk", known) == "plug-in acme"
    [entry] = known.broken
    assert entry.what == "plug-in gone (no_such_package)"


def test_a_plug_in_may_be_installed_as_an_egg_or_named_like_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "k8sdoctor_more.py").write_text(PLUG_IN.format(id="more"))
    install(tmp_path, "k8sdoctor_more", "more = k8sdoctor_more")
    monkeypatch.syspath_prepend(str(tmp_path))

    assert source_of("more", registry.load()) == "plug-in more"


def loaded_after(call: str) -> set[str]:
    code = f"import sys; from k8sdoctor import registry; {call}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_one_built_in_check_loads_alone() -> None:
    loaded = loaded_after("registry.load(only=frozenset({'ip-forward'}))")

    assert "k8sdoctor.checks.ip_forward" in loaded
    assert "k8sdoctor.checks.pause_image" not in loaded


def test_looking_for_plug_ins_costs_nothing_where_there_are_none() -> None:
    heavy = {
        "importlib.metadata",
        "kubernetes",
        "grpc",
        "textual",
        "cryptography",
        "dns",
        "pyroute2",
        "rich",
        "urllib3",
    }

    assert not heavy & loaded_after("registry.load()")


def test_a_folder_that_was_asked_for_is_loaded_whatever_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("1 / 0")

    assert len(registry.load([tmp_path], only=frozenset({"ip-forward"})).broken) == 1
