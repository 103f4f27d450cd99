"""Write report.json and report.html."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gate2hw.errors import InputError
from gate2hw.ir.store import atomic_path
from gate2hw.report.html import render_html
from gate2hw.report.schema_check import check_report

__all__ = ["report_text", "write_report"]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def report_text(report: Mapping[str, Any]) -> str:
    """`report` as JSON: keys sorted, indented by 2; InputError for what JSON cannot hold."""
    try:
        text = json.dumps(report, default=_plain, sort_keys=True, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"the report cannot be written as JSON: {error}") from error
    return text + "\n"


def write_report(report: Mapping[str, Any], out_dir: Path | str) -> tuple[Path, Path]:
    """Check `report` and write `out_dir`/report.json and report.html; return their paths.

    numpy values and paths become plain JSON. Raises InputError where a field is missing or
    wrong (see `check_report`), or where the folder cannot be written.
    """
    text = report_text(report)
    plain = json.loads(text)
    check_report(plain)
    pages = {"report.json": text, "report.html": render_html(plain)}
    paths = []
    for name, content in pages.items():
        path = Path(out_dir) / name
        with atomic_path(path) as temporary:
            temporary.write_bytes(content.encode("utf-8", "xmlcharrefreplace"))
        paths.append(path)
    return paths[0], paths[1]
