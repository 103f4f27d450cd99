"""Text files of other tools, read whole."""

from __future__ import annotations

from pathlib import Path

from gate2hw.errors import ModelFileError

__all__ = ["read_source"]


def read_source(path: Path, kind: str) -> str:
    """The text of `path`, a `kind` file ("Verilog", say); ModelFileError where it is none."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{path}: not a {kind} file, it is no UTF-8 text") from error
