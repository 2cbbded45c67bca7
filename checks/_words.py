"""How what was seen stands in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.patterns import regex

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from k8sdoctor.finding import Unobserved


def enumerated(words: Sequence[str]) -> str:
    """Words in a sentence.

    >>> enumerated(["a"]), enumerated(["a", "b"]), enumerated(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def listed(words: Sequence[str]) -> str:
    """Some words in a sentence, not more than four of them.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    most = 4
    some = [*words] if len(words) <= most else [*words[: most - 1], f"{len(words) - most + 1} more"]
    return enumerated(some)


def sentence(text: str) -> str:
    """A text that begins and ends as a sentence; a path keeps its first letter."""
    text = text if text.startswith("/") else text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else f"{text}."


def all_of(number: int, one: str, many: str) -> str:
    """All that there are of something, however many, as a sentence begins with them.

    >>> all_of(1, "file of list answers", "files of list answer"), all_of(3, "file of list answers", "files of list answer")
    ('The one file of list answers', 'All 3 files of list answer')
    """
    return f"The one {one}" if number == 1 else f"All {number} {many}"


_DENIED = regex(r"Permission denied: (?P<path>[^;]+)(?P<advice>; .+)")


def together(messages: Sequence[str]) -> str:
    """Why several things could not be looked at; files that one advice would open are named together.

    >>> together(["Permission denied: /a; run as root to look", "/b is a fifo", "Permission denied: /c; run as root to look"])
    'Permission denied: /a and /c; run as root to look; /b is a fifo'
    """
    told: dict[str, list[str]] = {}
    for message in messages:
        denied = _DENIED.fullmatch(message)
        told.setdefault(denied["advice"] if denied else message, []).append(denied["path"] if denied else "")
    return "; ".join(
        f"Permission denied: {enumerated(paths)}{text}" if paths[0] else text for text, paths in told.items()
    )


def by_reason(found: Iterable[Unobserved]) -> dict[str, list[str]]:
    """What could not be looked at, grouped by why, each once."""
    reasons: dict[str, list[str]] = {}
    for each in found:
        messages = reasons.setdefault(each.reason, [])
        if each.message not in messages:
            messages.append(each.message)
    return reasons
