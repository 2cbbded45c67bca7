"""The command line: what was asked for, the run, and where the report goes.

The report goes to stdout, progress and remarks to stderr. Exit codes are those of `Report.exit_code`, and 2 for wrong usage.
"""

import sys

sys.dont_write_bytecode = True  # we write nothing on the node: no __pycache__ beside a plug-in either

import contextlib  # noqa: E402 -- the line above must come first
import gc  # noqa: E402
import os  # noqa: E402
import warnings  # noqa: E402
from typing import TYPE_CHECKING, NoReturn  # noqa: E402

from k8sdoctor.host import own_limits  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main", "run"]

WRONG_USAGE = 2
AT_FAULT = 3
INTERRUPTED = 130

OBJECTS = 50_000
"""Objects after which Python looks for rings that nobody holds. Its own 700 makes it look hundreds of times at modules while they are imported."""

BUILD = ""
"""What `--version` says below the version, in lines of at most 80 characters: a build that differs from a package says so here before `main`."""


def main() -> NoReturn:
    """Run the command line of this process, and end the process.

    Never by a normal exit: a probe that hangs in the kernel may hold its thread for good, and all output is flushed by then.
    """
    code = AT_FAULT
    own_limits.lift()
    gc.set_threshold(OBJECTS)
    try:
        code = run(sys.argv[1:])
        _flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        os._exit(code)


def run(argv: "Sequence[str]") -> int:
    """Run a command line, and return its exit code."""
    warnings.simplefilter("ignore")  # a library's deprecation is no remark for the one who looks after a node
    try:
        from k8sdoctor.cli import arguments, commands

        return commands.execute(arguments.parse(argv))
    except KeyboardInterrupt:
        _remark("k8sdoctor: interrupted before there was anything to report")
        return INTERRUPTED
    except SystemExit as leaving:  # --help and --version print by themselves
        return leaving.code if isinstance(leaving.code, int) else 0
    except BrokenPipeError:  # the reader has seen enough; only help texts get here
        return 0
    except Exception as error:  # noqa: BLE001 -- nobody at a terminal is helped by a traceback
        return _told(error)


def _told(error: Exception) -> int:
    from k8sdoctor.cli.values import WrongUsageError

    line = " ".join(str(error).split())
    if isinstance(error, WrongUsageError):
        _remark(f"k8sdoctor: {line}")
        return WRONG_USAGE
    _remark(f"k8sdoctor: this is a fault of k8sdoctor: {type(error).__name__}: {line}; K8SDOCTOR_DEBUG=1 shows where")
    if os.environ.get("K8SDOCTOR_DEBUG"):
        import traceback

        _remark("".join(traceback.format_exception(error)))
    return AT_FAULT


def _remark(text: str) -> None:
    from k8sdoctor.cli.terminal import remark

    remark(text)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # gone, closed, or never there
            stream.flush()
