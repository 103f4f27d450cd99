"""The command line: parses, calls flow, prints, and turns errors into exit codes."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gate2hw.cli.parser import make_parser
from gate2hw.errors import Gate2HWError

__all__ = ["main"]

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM unwinds as Ctrl-C does: tools are killed, and nothing is left half-written."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt("SIGTERM")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0, 1, 2, 130 (Ctrl-C) or 143 (SIGTERM)."""
    args = make_parser().parse_args(argv)
    from gate2hw.cli.commands import COMMANDS
    from gate2hw.cli.console import Terminal

    terminal = Terminal(quiet=args.quiet, as_json=args.json)
    try:
        with _terminated_like_interrupted():
            return COMMANDS[args.command](args, terminal)
    except Gate2HWError as error:
        terminal.error(str(error))
        terminal.give({"error": str(error), "exit_code": error.exit_code})
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        again = "with --resume " if args.command == "train" else ""
        by = str(interrupt) or "Ctrl-C"
        terminal.error(f"stopped by {by}; run the same command again {again}to go on")
        return EXIT_TERMINATED if by == "SIGTERM" else EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "gate2hw":
            raise
        terminal.error(
            f"the Python package {error.name} is missing; get it with: "
            f"{sys.executable} -m pip install {error.name}"
        )
        return 2
    except OSError as error:
        # disk full, no permission, a file where a folder should be
        where = f"{error.filename}: " if error.filename else ""
        terminal.error(f"{where}{error.strerror or error}; make room, or choose another folder")
        return 2


if __name__ == "__main__":
    sys.exit(main())
