"""The errors of gate2hw: what was found, where, and the way out.

Every error that a user can cause or mend is a `Gate2HWError`. Its text is one sentence that names
the place (layer, channel, gate, file, option) and what is allowed; `exit_code` is what the command
line ends with.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "CheckFailedError",
    "DoesNotFitError",
    "Gate2HWError",
    "IRError",
    "InputError",
    "ModelFileError",
    "ToolError",
    "ToolFailedError",
    "ToolMissingError",
    "ToolTimeoutError",
    "nearest",
]


class Gate2HWError(Exception):
    """Base of all errors that gate2hw raises on purpose."""

    exit_code = 2


class InputError(Gate2HWError):
    """A recipe, option, array or file that cannot be used as given."""


class ModelFileError(InputError):
    """A model, network or netlist file that is truncated, foreign or inconsistent."""


class IRError(InputError):
    """A network or netlist that breaks a rule of its representation."""


class ToolError(Gate2HWError):
    """An external tool could not do its work."""


class ToolMissingError(ToolError):
    """An external tool was not found; the text says how to get it."""


class ToolFailedError(ToolError):
    """An external tool died, or ended well without a complete result."""


class ToolTimeoutError(ToolError):
    """An external tool did not end within its time limit."""


class CheckFailedError(Gate2HWError):
    """Two things that must be equal are not; the text holds the counter-example.

    `details` is what the check measured, JSON-like, for reports.
    """

    exit_code = 1

    def __init__(self, text: str, *, details: dict[str, Any] | None = None) -> None:
        super().__init__(text)
        self.details: dict[str, Any] = details or {}


class DoesNotFitError(Gate2HWError):
    """The design is larger than the target; the text says by how much."""

    exit_code = 1


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return the tail of an error sentence: the nearest allowed name and the whole list."""
    names = sorted(allowed)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Allowed: {', '.join(names)}"
