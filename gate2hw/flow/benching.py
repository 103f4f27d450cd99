"""bench: how fast the CPU engine runs a model here, after it was checked bit for bit."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw import __version__
from gate2hw.engine import Engine, kernel_names
from gate2hw.errors import InputError
from gate2hw.flow.build import Progress, silent
from gate2hw.flow.models import SHIFTED, FoundNetlist, find_netlist
from gate2hw.flow.predicting import check_classifier, check_out
from gate2hw.flow.signoff.comparing import compare_scores
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.simulate import classes, random_features, scores
from gate2hw.ir.store import write_text

__all__ = ["bench", "check_engine"]

Array = npt.NDArray[Any]

N_CHECKED: Final = 577
"""Images compared with the reference: no multiple of a block; half of them random, two corners."""
_MOST_IMAGES: Final = 1 << 18
_MOST_BYTES: Final = 1 << 28
_LATENCY_CALLS: Final = 2000
_PROBE: Final = 4096
_LEAST_ROUNDS: Final = 3


@dataclass
class _Run:
    """One kernel on one number of threads, and its times so far."""

    engine: Engine
    images_per_s: list[float] = field(default_factory=list)

    def once(self, x: Array) -> float:
        start = time.perf_counter()
        self.engine.predict(x)
        time_s = time.perf_counter() - start
        self.images_per_s.append(len(x) / time_s)
        return time_s

    def facts(self) -> dict[str, Any]:
        return {
            "threads": self.engine.threads,
            "images_per_s": statistics.median(self.images_per_s),
            "least": min(self.images_per_s),
            "greatest": max(self.images_per_s),
            "runs": len(self.images_per_s),
        }


def _lines_of(path: str) -> Iterator[tuple[str, str]]:
    """(name, value) of the lines ``name: value`` of a file of /proc; none where it is not there."""
    with suppress(OSError), Path(path).open(encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            yield name.strip(), value.strip()


def _processor() -> str:
    """The model name of the CPU, as Linux says it, else what Python knows of it."""
    named = dict(_lines_of("/proc/cpuinfo")).get("model name")
    return named or platform.processor() or platform.machine()


def _check_room(n: int, image_bytes: int) -> None:
    """InputError where `n` images and their classes take more than a quarter of the free memory."""
    free = dict(_lines_of("/proc/meminfo")).get("MemAvailable", "").removesuffix("kB").strip()
    most = max(_MOST_BYTES, 1024 * int(free) // 4) if free.isdecimal() else 4 * _MOST_BYTES
    n_most = most // (image_bytes + 8)
    if n > n_most:
        raise InputError(
            f"n_images is {n}: at {image_bytes:,} bytes an image too much for the memory; give at "
            f"most {n_most}"
        )


def _images(found: FoundNetlist, n: int) -> tuple[Array, str]:
    """(n, *shape) uint8 or uint16 images, and where they come from."""
    encoder = found.net.encoder
    assert encoder is not None
    dtype = np.uint8 if encoder.bytes_per_feature == 1 else np.uint16
    golden = found.golden()
    if golden is not None and len(golden.x):
        return np.resize(golden.x.astype(dtype), (n, *encoder.shape)), "golden"
    rng = np.random.default_rng(0)
    return rng.integers(0, encoder.max_value + 1, (n, *encoder.shape), dtype), "random"


def check_engine(engine: Engine, x: Array, expected: npt.NDArray[np.int64]) -> int:
    """Number of images on which scores and classes are those of the reference, `expected` (N, C).

    Batches of 1, of 65 and of all images are compared. Raises CheckFailedError with the first
    image that differs.
    """
    what = f"engine kernel {engine.kernel} against the reference evaluator"
    for n in sorted({1, min(65, len(x)), len(x)}):
        compare_scores(what, expected[:n], engine.scores(x[:n]).astype(np.int64), x[:n])
        winners = classes(expected[:n])
        compare_scores(f"{what}, classes", winners[:, None], engine.predict(x[:n])[:, None], x[:n])
    return len(x)


def _checked(net: Netlist, images: Array, engines: list[Engine], progress: Progress) -> int:
    """Check every engine on images, random ones and the two corners."""
    assert net.encoder is not None
    rng = np.random.default_rng(1)
    given = images[: N_CHECKED // 2]
    random = random_features(net.encoder, N_CHECKED - len(given), rng).astype(images.dtype)
    x = np.concatenate([given, random])
    x[0], x[-1] = 0, net.encoder.max_value
    expected = scores(net, x)
    for number, engine in enumerate(engines):
        progress(number, len(engines), f"checking {engine.kernel}")
        check_engine(engine, x, expected)
    return len(x)


def _ready_ms(net: Netlist, kernel: str | None, image: Array) -> float:
    """Milliseconds from a netlist in memory to the first class; the median of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        Engine(net, 1, kernel=kernel).predict(image)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def _latency_us(engine: Engine, images: Array, limit_s: float) -> dict[str, float]:
    """Microseconds of a call with a single image: median, 99th percentile, number of calls."""
    times: list[int] = []
    end = time.perf_counter() + limit_s
    while len(times) < _LATENCY_CALLS and (len(times) < 3 or time.perf_counter() < end):
        at = len(times) % len(images)
        image = images[at : at + 1]
        start = time.perf_counter_ns()
        engine.predict(image)
        times.append(time.perf_counter_ns() - start)
    median, p99 = (np.percentile(times, [50, 99]) / 1000).tolist()
    return {"median": median, "p99": p99, "calls": len(times)}


def _n_that_pays(engine: Engine, images: Array, limit_s: float) -> int:
    """As many of the images as `engine` classifies within `limit_s`, by a probe: whole blocks."""
    probe = images[:_PROBE]
    engine.predict(probe[:64])
    start = time.perf_counter()
    engine.predict(probe)
    time_s = time.perf_counter() - start
    n = int(len(probe) * limit_s / time_s) // _PROBE * _PROBE
    return max(min(len(images), _PROBE), min(len(images), n))


def _kernels(kernel: str | None) -> list[str | None]:
    if kernel != "all":
        return [kernel]
    return list(reversed(kernel_names()))


def _row(engine: Engine, runs: list[_Run], facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "kernel": engine.kernel,
        "ops": engine.n_ops,
        **facts,
        "runs": [run.facts() for run in runs],
    }


def bench(
    model: Path | str,
    *,
    out: Path | str | None = None,
    n_images: int | None = None,
    seconds: float = 3.0,
    threads: int | None = None,
    kernel: str | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Time the CPU engine on `model` (as `predict` takes it), on the golden images or random ones.

    First every kernel is compared with `gate2hw.ir.simulate`, bit for bit. Then, for `kernel` (one
    of `kernel_names()`, or ``"all"``; default: the fastest), in about `seconds` each: `ready_ms`
    from a netlist in memory to the first class, `latency_us` of a single image, and `runs` with
    `images_per_s` end to end, from bytes in memory to classes, on one thread and on `threads`
    (default: all), kernels interleaved. `out` names a file for the result, as JSON.

    Raises InputError for a plain circuit, CheckFailedError where a kernel computes something else.
    """
    if n_images is not None and n_images < 1:
        raise InputError(f"n_images is {n_images}; give 1 or more")
    start = time.perf_counter()
    found = find_netlist(model, progress=progress)
    load_ms = 1000 * (time.perf_counter() - start)
    encoder = check_classifier(found)
    image_bytes = encoder.n_features * encoder.bytes_per_feature
    if n_images is not None:
        _check_room(n_images, image_bytes)
    if out is not None:
        check_out(out, found)
    fit = max(_PROBE, min(_MOST_IMAGES, _MOST_BYTES // image_bytes))
    images, images_from = _images(found, n_images or fit)
    many = [Engine(found.net, threads, kernel=name) for name in _kernels(kernel)]
    n_checked = _checked(found.net, images, many, progress)
    rows: list[tuple[Engine, list[_Run], dict[str, Any]]] = []
    for number, engine in enumerate(many):
        progress(number, len(many), f"timing one image, {engine.kernel}")
        name = None if kernel is None else engine.kernel
        one = Engine(found.net, 1, kernel=name)
        n = n_images or _n_that_pays(one, images, 0.15 * seconds)
        facts = {
            "images": n,
            "ready_ms": _ready_ms(found.net, name, images[:1]),
            "latency_us": _latency_us(one, images, 0.1 * seconds),
        }
        engines = [one, engine] if engine.threads > 1 else [one]
        rows.append((engine, [_Run(each) for each in engines], facts))
    _timed(rows, images, seconds, progress)
    result = {
        "model": str(found.path),
        "digest": found.net.content_digest(),
        "gates": found.net.n_gates,
        "inputs": found.net.n_inputs,
        "classes": found.net.n_classes,
        "load_ms": load_ms,
        "threads": many[0].threads,
        "images_from": images_from,
        "image_bytes": image_bytes,
        "data_mb": max(facts["images"] for _, _, facts in rows) * image_bytes / 1e6,
        "checked": n_checked,
        "kernels": [_row(*row) for row in rows],
        "machine": {"processor": _processor(), "system": platform.platform()},
        "version": __version__,
        "notes": [note for note in found.notes if note != SHIFTED],
    }
    if out is not None:
        write_text(out, json.dumps(result, indent=2, sort_keys=True) + "\n")
    return result


def _timed(
    rows: list[tuple[Engine, list[_Run], dict[str, Any]]],
    images: Array,
    seconds: float,
    progress: Progress,
) -> None:
    """Run all kernels and numbers of threads in turn, round after round, until time is up."""
    limit_s = 0.7 * seconds * len(rows)
    used_s, n_rounds = 0.0, 0
    while n_rounds < _LEAST_ROUNDS or used_s < limit_s:
        for _, runs, facts in rows:
            for run in runs:
                used_s += run.once(images[: facts["images"]])
        n_rounds += 1
        progress(min(100, int(100 * used_s / limit_s)), 100, "timing images/s")
