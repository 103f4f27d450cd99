"""What surrounds a training run: threads, Ctrl-C, TensorBoard events, the history file."""

from __future__ import annotations

import contextlib
import csv
import io
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import torch

from gate2hw.ir.store import write_text

__all__ = [
    "HISTORY_COLUMNS",
    "deferred_interrupt",
    "event_log",
    "float_type",
    "threads",
    "write_history",
]

HISTORY_COLUMNS: Final = (
    "step",
    "time_s",
    "loss",
    "accuracy_validation_soft",
    "accuracy_validation",
    "lr",
)
_ONE_THREAD_ELEMENTS: Final = 4_000_000
"""Up to this many activations a step, more threads only cost time (spinning, small tiles)."""


@contextlib.contextmanager
def threads(wanted: int, n_elements: int) -> Iterator[None]:
    """Use `wanted` torch threads inside the block; 0 is one for small networks, else torch's."""
    before = torch.get_num_threads()
    if wanted or n_elements <= _ONE_THREAD_ELEMENTS:
        torch.set_num_threads(wanted or 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def float_type(name: str) -> Iterator[None]:
    """Make "float32" or "float64" torch's default inside the block: bits and scores follow it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64 if name == "float64" else torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def deferred_interrupt(*, patient: bool = False) -> Iterator[Callable[[], bool]]:
    """Hold Ctrl-C and SIGTERM back until asked for, so that no step is cut in two.

    A second one is at once, unless `patient`: several processes stop together. What leaves is a
    KeyboardInterrupt, with the text ``SIGTERM`` where that was the signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    seen: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]

    def hold(number: int, frame: Any) -> None:
        if seen and not patient:
            raise KeyboardInterrupt
        seen.append(number)

    for number in numbers:
        signal.signal(number, hold)
    try:
        yield lambda: bool(seen)
    except KeyboardInterrupt as interrupt:
        if signal.SIGTERM in seen:
            raise KeyboardInterrupt("SIGTERM") from interrupt
        raise
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextlib.contextmanager
def event_log(out_dir: Path, step: int) -> Iterator[Callable[[dict[str, float]], None]]:
    """A function that writes a history row as TensorBoard scalars."""
    from torch.utils.tensorboard.writer import SummaryWriter

    folder = out_dir / "tensorboard"
    if step == 0 and folder.is_dir():
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
    writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def write(row: dict[str, float]) -> None:
        for key, value in row.items():
            if key not in ("step", "time_s"):
                writer.add_scalar(key, value, int(row["step"]))

    try:
        yield write
    finally:
        writer.close()


def write_history(path: Path, rows: list[dict[str, float]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
