"""What the processes of engine.py have in common: a question a line, answered in JSON.

`time NAME`: seconds an image, wall and processor time, over as many calls as fill `least_s`.
`latency N`: seconds of N calls on one image: median, 99th percentile, least.
`outputs NAME FILE`: an .npz with `scores` (N, C) and `classes` (N,) of all images.

A process that cannot serve says why in its first answer: {"missing": reason}.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np

__all__ = ["Run", "protocol", "serve"]

Run = tuple[int, Callable[[], Any]]
"""Images that a call takes, and the call."""


def protocol() -> TextIO:
    """Where answers go; what others print goes to stderr from now on."""
    out, sys.stdout = sys.stdout, sys.stderr
    return out


def _timed(run: Run, least_s: float) -> dict[str, float]:
    n_images, call = run
    n_calls, wall_s, cpu_s = 0, 0.0, 0.0
    at_once = 1
    while wall_s < least_s:
        clock, cpu = time.perf_counter(), time.process_time()
        for _ in range(at_once):
            call()
        cpu_s += time.process_time() - cpu
        wall_s += time.perf_counter() - clock
        n_calls += at_once
        at_once = 2 * n_calls
        at_once = max(1, min(at_once, round(n_calls * (least_s - wall_s) / wall_s)))
    images = n_images * n_calls
    return {"wall_s": wall_s / images, "cpu_s": cpu_s / images, "calls": n_calls}


def _latency(call: Callable[[], Any], n_calls: int) -> dict[str, float]:
    found = []
    call()  # what is prepared once does not count
    for _ in range(n_calls):
        clock = time.perf_counter()
        call()
        found.append(time.perf_counter() - clock)
    found.sort()
    return {
        "median_s": statistics.median(found),
        "p99_s": found[min(n_calls - 1, round(0.99 * n_calls))],
        "least_s": found[0],
    }


def serve(
    out: TextIO,
    about: dict[str, Any],
    runs: dict[str, Run],
    one: Callable[[], Any],
    outputs: dict[str, Callable[[], tuple[Any, Any]]],
    least_s: float,
) -> None:
    """Say `about` and the names of `runs` and `outputs`; then answer until the input ends."""

    def say(answer: Any) -> None:
        out.write(json.dumps(answer) + "\n")
        out.flush()

    for _, call in runs.values():
        call()
    say({**about, "runs": list(runs), "outputs": list(outputs)})
    for line in sys.stdin:
        what, *names = json.loads(line)
        if what == "time":
            say(_timed(runs[names[0]], least_s))
        elif what == "latency":
            say(_latency(one, names[0]))
        elif what == "outputs":
            scores, classes = outputs[names[0]]()
            np.savez(names[1], scores=np.asarray(scores), classes=np.asarray(classes))
            say(True)
        else:
            raise SystemExit(f"unknown question {what!r}")
