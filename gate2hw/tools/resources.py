"""Where the data folders are: inside an installed wheel, or in a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from gate2hw.errors import InputError

__all__ = ["DataKind", "data_dir"]

DataKind = Literal["flows", "rtl_templates", "sim"]


def data_dir(kind: DataKind) -> Path:
    """Return the folder that holds `kind`.

    A wheel carries it as `gate2hw/_data/<kind>`; a checkout (editable installs included) has it
    beside the package.

    Raises:
        InputError: neither folder exists.
    """
    package = Path(__file__).resolve().parent.parent
    in_wheel = package / "_data" / kind
    in_checkout = package.parent / kind
    for candidate in (in_wheel, in_checkout):
        if candidate.is_dir():
            return candidate
    raise InputError(
        f"the data folder {kind!r} is neither at {in_wheel} nor at {in_checkout}: "
        "reinstall gate2hw, or run it from a complete checkout"
    )
