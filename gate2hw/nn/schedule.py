"""What changes over a run: pure functions of the step, so that a checkpoint need not hold them."""

from __future__ import annotations

import math
from typing import Final, Literal

__all__ = ["SCHEDULES", "Schedule", "anneal", "rate_factor"]

Schedule = Literal["cosine", "constant"]
SCHEDULES: Final[tuple[Schedule, ...]] = ("cosine", "constant")


def rate_factor(
    step: int, n_steps: int, *, warmup_steps: int = 0, kind: Schedule = "cosine"
) -> float:
    """Share of the full learning rate at `step`: a linear warm-up, then `kind`.

    ``cosine`` falls from 1 to 0 over the steps after the warm-up (Loshchilov and Hutter,
    "SGDR", ICLR 2017, arXiv 1608.03983, section 3, without restarts); ``constant`` stays at 1.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    if kind == "constant":
        return 1.0
    share = (step - warmup_steps) / max(1, n_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * share))


def anneal(start: float, end: float, share: float) -> float:
    """From `start` (share 0) to `end` (share 1) in equal ratios; `end` 0 means `start`."""
    if end <= 0 or end == start:
        return start
    return float(start * (end / start) ** min(1.0, max(0.0, share)))
