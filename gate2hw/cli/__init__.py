"""The command line: parses, calls flow, prints, and turns errors into exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gate2hw.cli.parser import make_parser
from gate2hw.errors import Gate2HWError

__all__ = ["main"]

EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0, 1, 2 or 130."""
    args = make_parser().parse_args(argv)
    from gate2hw.cli.commands import COMMANDS
    from gate2hw.cli.console import Terminal

    terminal = Terminal(quiet=args.quiet, as_json=args.json)
    try:
        return COMMANDS[args.command](args, terminal)
    except Gate2HWError as error:
        terminal.error(str(error))
        terminal.give({"error": str(error), "exit_code": error.exit_code})
        return error.exit_code
    except KeyboardInterrupt:
        again = "with --resume " if args.command == "train" else ""
        terminal.error(f"stopped by Ctrl-C; run the same command again {again}to go on")
        return EXIT_INTERRUPTED
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
