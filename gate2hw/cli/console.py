"""What a command says while it works and when it is done: bars, lines, tables, JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

from gate2hw.flow.build import Progress, silent

__all__ = ["Terminal"]

LINE_EVERY_S = 5.0


class Terminal:
    """Progress and remarks go to stderr, results to stdout; `--quiet` and `--json` obeyed here."""

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet = quiet
        self.as_json = as_json
        self.err = Console(stderr=True, highlight=False, soft_wrap=True)
        self.out = Console(highlight=False, soft_wrap=True)

    @contextmanager
    def progress(self, title: str) -> Iterator[Progress]:
        """Give a progress callback: a bar on a terminal, a line now and then elsewhere."""
        if self.quiet:
            yield silent
        elif self.err.is_terminal:
            with self._bar(title) as callback:
                yield callback
        else:
            yield self._lines(title)

    @contextmanager
    def _bar(self, title: str) -> Iterator[Progress]:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with RichProgress(*columns, console=self.err, transient=True) as bar:
            task = bar.add_task(title, total=None)

            def update(done: int, total: int, message: str) -> None:
                text = f"{title}: {message}" if message else title
                bar.update(task, completed=done, total=total or None, description=text)

            yield update

    def _lines(self, title: str) -> Progress:
        shown: tuple[float, str] = (0.0, "")

        def update(done: int, total: int, message: str) -> None:
            nonlocal shown
            now = time.monotonic()
            kind = message.split(",")[0]
            if kind == shown[1] and now - shown[0] < LINE_EVERY_S:
                return
            shown = (now, kind)
            count = f" [{done}/{total}]" if total else ""
            print(f"{title}: {message}{count}", file=sys.stderr, flush=True)

        return update

    def say(self, text: Any) -> None:
        """A result for people; nothing with --quiet or --json."""
        if not self.quiet and not self.as_json:
            self.out.print(text)

    def give(self, result: Any) -> None:
        """The result as JSON on stdout, with --json."""
        if self.as_json:
            sys.stdout.write(json.dumps(result, indent=2, sort_keys=True, default=str) + "\n")

    def notes(self, notes: Iterable[str]) -> None:
        """What is worth knowing of a result, on stderr; nothing with --quiet."""
        for note in () if self.quiet else notes:
            self.error(f"note: {note}")

    def error(self, text: str) -> None:
        """One sentence on stderr."""
        print(f"gate2hw: {text}", file=sys.stderr)
