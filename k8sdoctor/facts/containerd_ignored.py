"""What was written into containerd's configuration in vain: the right key, where this release does not read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.facts import toml, versions
from k8sdoctor.facts.containerd_files import FULL_NAMES, V1, V2, V3_IMAGES, V3_RUNTIME, leaves, merge
from k8sdoctor.facts.settings import IgnoredSetting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from k8sdoctor.facts.containerd_files import File, Merged
    from k8sdoctor.facts.toml import Setting
    from k8sdoctor.facts.versions import Version

_TABLES = (V1, V2, V3_IMAGES, V3_RUNTIME)

# Where people write the sandbox image, whatever their release reads: advice for one release is pasted into the other's file.
_SANDBOX = tuple(
    (table, *key) for table in _TABLES for key in (("sandbox_image",), ("pinned_images", "sandbox"), ("sandbox",))
)


def ignored(files: Sequence[File], merged: Merged, version: Version) -> Iterator[IgnoredSetting]:
    """Settings of the sandbox image and of mirrors that do not count, and whose value differs from what does."""
    chosen = next(iter(_sandbox_of(merged, version)), None)
    for file in files:
        for keys in _SANDBOX:
            found = toml.setting(file.plugins, *keys)
            if found is not None and found.value and (chosen is None or found.value != chosen.value):
                yield from _told(found, file, files, merged, version, chosen)
        for table in _TABLES:
            registry = toml.table(file.plugins, table, "registry")
            for key in ("config_path", "mirrors"):
                for found in leaves(registry.get(key)):
                    counting = toml.setting(merged.images, *found.keys[2:])
                    if found.value and (counting is None or counting.value != found.value):
                        yield from _told(found, file, files, merged, version, counting)


def _told(  # noqa: PLR0913, PLR0917 -- all that the answer depends on
    found: Setting,
    file: File,
    files: Sequence[File],
    merged: Merged,
    version: Version,
    counting: Setting | None,
) -> Iterator[IgnoredSetting]:
    release = f"containerd {versions.text(version)}"
    value = ", ".join(map(str, found.value)) if isinstance(found.value, list) else str(found.value)
    counts = counting.key if counting is not None else _right_key(found, merged, version)
    if not _counts(found, merge([file], version), version):
        says = f"version = {file.version}" if file.version else "no version"
        why = f"in a file with {says}, {release} reads {counts} and not this key"
        yield IgnoredSetting("wrong-table", found.key, value, found.source, why, counts)
    elif counting is None:  # it would count, had not another file taken its place without saying anything of the kind
        others = [other for other in files if other is not file]
        if version < (2, 0, 0):
            name = found.keys[1]
            later = next((other.path for other in reversed(others) if name in other.plugins), others[-1].path)
            why = f'{later} has a table plugins."{name}" of its own, which {release} takes in place of this one, whole'
        else:
            names = " and ".join(f"{other.path} (version = {other.version})" for other in others if other.version)
            why = f"together with {names or others[-1].path}, {release} reads {counts} and not this key"
        yield IgnoredSetting("shadowed", found.key, value, found.source, why, counts)
    # Otherwise a later file overrides it with a value of its own, which is what drop-ins are for.


def _sandbox_of(merged: Merged, version: Version) -> Iterator[Setting]:
    inner = ("pinned_images", "sandbox") if version >= (2, 0, 0) else ("sandbox_image",)
    found = toml.setting(merged.images, *inner)
    if found is not None:
        yield found


def _counts(found: Setting, merged: Merged, version: Version) -> bool:
    counting = [*_sandbox_of(merged, version), *leaves(toml.table(merged.images, "registry"))]
    return any(found is one for one in counting)


def _right_key(found: Setting, merged: Merged, version: Version) -> str:
    """The key by which this release would read it."""
    if version < (2, 0, 0):
        table = V1 if merged.schema < FULL_NAMES else V2
    else:
        table = V2 if merged.schema == FULL_NAMES else V3_IMAGES
    if "registry" in found.keys:
        return toml.dotted(("plugins", table, *found.keys[2:]))
    inner = ("pinned_images", "sandbox") if table == V3_IMAGES else ("sandbox_image",)
    return toml.dotted(("plugins", table, *inner))
