"""cocotb bench of a top: both streams, stalls, back-pressure, resets and malformed frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sim.axis import AxisLink, Sink, Trace, always, at_random, never
from sim.bench import Bench
from sim.job import Manifest
from sim.scoreboard import top_answer
from sim.vectors import beats_of, frame_bytes

BENCH = Bench("top")

_ERROR_SLACK_CYCLES = 4
_RANDOM_STALL_CYCLES = 512
_BEATS_AHEAD = 1
"""Of a frame, may be in when an unrolled top shuts its input: it stores whole frames."""


def _beats(bench: Bench, numbers: Sequence[int], rng: np.random.Generator) -> Any:
    """(N, beats) unsigned integers: the frames of the vectors `numbers`."""
    manifest = bench.job.manifest
    frames = frame_bytes(bench.vectors.x[list(numbers)], manifest.bytes_per_feature)
    return beats_of(frames, manifest.bus_bytes, rng)


def _lasts(n_frames: int, n_beats: int) -> list[bool]:
    return ([False] * (n_beats - 1) + [True]) * n_frames


def _quiet(manifest: Manifest) -> int:
    """Cycles without a beat after which a top without stalls has surely given up."""
    return manifest.top_latency_cycles + 4 * (manifest.interval_cycles + manifest.result_beats) + 64


def _judge(
    bench: Bench, test: str, numbers: Sequence[int], trace: Trace, *, n_errors: int = 0
) -> dict[str, Any]:
    """Compare the results of a run, and report what its monitor saw."""
    record = bench.record
    for text in trace.violations:
        record.fault(f"{test}, {text}", 0)
    record.content["n_violations"] += trace.n_violations
    if trace.timed_out:
        record.fault(
            f"{test}: the streams stood still after {len(trace.taken)} beats in and "
            f"{len(trace.results)} of {len(numbers)} results out"
        )
    if trace.partial:
        record.fault(f"{test}: {len(trace.partial)} beats of a result frame without its tlast")
    if len(trace.errors) != n_errors:
        record.fault(
            f"{test}: frame_error was high in {len(trace.errors)} cycles, expected {n_errors}"
        )
    answers = [top_answer(bench.job.manifest, beats) for beats in trace.results]
    bad = record.compare(test, numbers, answers, trace.ended)
    return {"n_vectors": len(numbers), "mismatches": bad, "n_cycles": trace.n_cycles}


async def _good_frames(
    bench: Bench, link: AxisLink, numbers: Sequence[int], rng: np.random.Generator, **how: Any
) -> Trace:
    n_beats = bench.job.manifest.frame_beats
    data = _beats(bench, numbers, rng).ravel().tolist()
    how = {"n_quiet": _quiet(bench.job.manifest), **how}
    return await link.run(data, _lasts(len(numbers), n_beats), n_results=len(numbers), **how)


async def _fresh(dut: Any, bench: Bench) -> AxisLink:
    link = AxisLink(dut)
    for text in await link.reset():
        bench.record.fault(text)
    return link


@BENCH.test
async def back_to_back(dut: Any, bench: Bench) -> dict[str, Any]:
    """One frame alone: latency; then all without a stall: interval; both against the manifest."""
    rng = bench.rng(1)
    manifest = bench.job.manifest
    link = await _fresh(dut, bench)
    alone = bench.pick(1, rng)
    trace = await _good_frames(bench, link, alone, rng)
    cycles = trace.first_valid[0] - trace.taken[-1] if trace.first_valid and trace.taken else None
    bench.record.measured("latency_cycles", cycles)
    _judge(bench, "back_to_back", alone, trace)
    numbers = bench.pick(bench.job.frames["back_to_back"], rng)
    numbers = np.resize(numbers, max(12, len(numbers))).tolist()
    trace = await _good_frames(bench, link, numbers, rng)
    # The first frames may fill buffers faster than results can leave.
    starts = np.array(trace.taken[:: manifest.frame_beats])[len(numbers) // 2 :]
    steady = np.diff(starts)
    bench.record.measured("interval_cycles", int(steady.max()) if len(steady) else None)
    return _judge(bench, "back_to_back", numbers, trace)


@BENCH.test
async def random_stalls(dut: Any, bench: Bench) -> dict[str, Any]:
    """Both streams stall at random, in short and long runs."""
    rng = bench.rng(2)
    link = await _fresh(dut, bench)
    numbers = bench.pick(bench.job.frames["stalls"], rng)
    trace = await _good_frames(
        bench,
        link,
        numbers,
        rng,
        source=at_random(rng, 0.7),
        sink=at_random(rng, 0.5),
        n_quiet=_quiet(bench.job.manifest) + _RANDOM_STALL_CYCLES,
    )
    return _judge(bench, "random_stalls", numbers, trace)


@BENCH.test
async def every_beat_waits(dut: Any, bench: Bench) -> dict[str, Any]:
    """A sink that lets each beat of each result wait for a cycle, on results of all bits."""
    rng = bench.rng(7)
    link = await _fresh(dut, bench)
    numbers = bench.telling(bench.job.frames["stalls"])
    trace = await _good_frames(bench, link, numbers, rng, sink=_second_cycle())
    return _judge(bench, "every_beat_waits", numbers, trace)


def _second_cycle() -> Sink:
    """A sink that is ready in the second cycle of each beat, and not in the first."""
    was_ready = False

    def at(now: int, since_in: int, valid: bool) -> bool:
        nonlocal was_ready
        was_ready = valid and not was_ready
        return was_ready

    return at


class _Dam:
    """A sink that stays shut until nothing more goes in, then opens for a few cycles."""

    def __init__(self, n_still: int, rng: np.random.Generator, longest: int) -> None:
        self.n_still, self.rng, self.longest = n_still, rng, longest
        self.left = 0
        self.n_opened = 0
        self.first_opened: int | None = None
        self.valid_when_shut = False

    def __call__(self, now: int, since_in: int, valid: bool) -> bool:
        if not self.n_opened:
            self.valid_when_shut |= valid
        if self.left == 0 and since_in > self.n_still:
            self.left = int(self.rng.integers(1, self.longest + 1))
            self.n_opened += 1
            self.first_opened = now if self.first_opened is None else self.first_opened
        self.left = max(0, self.left - 1)
        return self.left > 0 or (since_in > self.n_still)


@BENCH.test
async def blocked_sink(dut: Any, bench: Bench) -> dict[str, Any]:
    """Frames pile up against a shut sink until the input stands still; nothing is lost."""
    rng = bench.rng(3)
    manifest = bench.job.manifest
    link = await _fresh(dut, bench)
    numbers = bench.pick(bench.job.frames["blocked"], rng)
    dam = _Dam(_quiet(manifest), rng, manifest.result_beats + 2)
    trace = await _good_frames(bench, link, numbers, rng, sink=dam, n_quiet=4 * _quiet(manifest))
    if numbers and not dam.valid_when_shut:
        bench.record.fault("blocked_sink: tvalid waits for tready")
    before = [cycle for cycle in trace.taken if cycle < (dam.first_opened or 0)]
    n_ahead = len(before) % manifest.frame_beats
    if manifest.arch == "unrolled" and len(before) < len(trace.taken) and n_ahead > _BEATS_AHEAD:
        bench.record.fault(
            f"blocked_sink: the input shut after {n_ahead} of {manifest.frame_beats} beats of a "
            "frame, although only whole frames wait"
        )
    return _judge(bench, "blocked_sink", numbers, trace)


@BENCH.test
async def reset_in_frame(dut: Any, bench: Bench) -> dict[str, Any]:
    """`rst` after some beats (up to two frames' worth), results blocked: then frames are good."""
    rng = bench.rng(4)
    manifest = bench.job.manifest
    n_beats = manifest.frame_beats
    link = await _fresh(dut, bench)
    kept: list[int] = []
    total = Trace()
    for turn in range(bench.job.frames["reset"] or 0):
        whole = turn % 2 == 1  # a whole frame, its result in flight or waiting
        n_sent = n_beats if whole else int(rng.integers(1, 2 * n_beats + 1))
        data = rng.integers(0, 256, n_sent).tolist()
        lasts = [whole and i == n_sent - 1 for i in range(n_sent)]
        n_wait = int(rng.integers(0, 2 * manifest.top_latency_cycles + 2))
        sink = _one_beat() if turn % 4 == 3 else never
        early = await link.run(
            data, lasts, sink=sink, n_results=0, n_quiet=_quiet(manifest), n_extra=n_wait
        )
        for text in await link.reset(1 + turn % 2):
            bench.record.fault(text)
        numbers = bench.pick(2, rng)
        trace = await _good_frames(bench, link, numbers, rng)
        kept += numbers
        total.results += trace.results
        total.ended += trace.ended
        total.partial += trace.partial
        total.errors += trace.errors
        for part in (early, trace):
            total.timed_out |= part.timed_out
            total.violations += part.violations
            total.n_violations += part.n_violations
            total.n_cycles += part.n_cycles
    return _judge(bench, "reset_in_frame", kept, total)


def _one_beat() -> Sink:
    """A sink that takes one beat of a waiting result and no more."""
    opened = False

    def at(now: int, since_in: int, valid: bool) -> bool:
        nonlocal opened
        ready = valid and not opened
        opened |= ready
        return ready

    return at


def _wrong_lengths(manifest: Manifest, n_frames: int, rng: np.random.Generator) -> list[int]:
    """Lengths in beats that no frame may have: too short by one, by much, too long, doubled."""
    n_beats = manifest.frame_beats
    drawn = [int(rng.integers(1, 3 * n_beats + 2)) for _ in range(n_frames)]
    fixed = [1, n_beats - 1, n_beats + 1, 2 * n_beats, 2 * n_beats + 1, 1, n_beats + 1]
    allowed = [length for length in fixed + drawn if 0 < length != n_beats]
    return allowed[:n_frames]


@BENCH.test
async def malformed_frames(dut: Any, bench: Bench) -> dict[str, Any]:
    """Short and long frames among good ones, without and with stalls.

    None gives a result, each pulses frame_error in one cycle, good ones are not disturbed.
    """
    rng = bench.rng(5)
    manifest = bench.job.manifest
    told: dict[str, Any] = {"n_malformed": 0, "n_vectors": 0, "mismatches": 0, "n_cycles": 0}
    for stalled in (False, True):
        link = await _fresh(dut, bench)
        lengths = _wrong_lengths(manifest, bench.job.frames["malformed"] or 0, rng)
        data: list[int] = []
        lasts: list[bool] = []
        numbers: list[int] = []
        wrong: list[tuple[int, int]] = []  # the beat that shows the fault, the frame's last beat
        for length in [*lengths, manifest.frame_beats]:
            n_good = int(rng.integers(0, 3)) + (length == manifest.frame_beats)
            chosen = bench.pick(n_good + 1, rng)
            beats = _beats(bench, chosen, rng).tolist()
            if length != manifest.frame_beats:
                frame = (beats[-1] * 4)[:length]
                wrong.append(
                    (len(data) + min(length, manifest.frame_beats) - 1, len(data) + length - 1)
                )
                data += frame
                lasts += [False] * (length - 1) + [True]
            for good in beats[:n_good]:
                data += good
                lasts += _lasts(1, manifest.frame_beats)
            numbers += chosen[:n_good]
        trace = await link.run(
            data,
            lasts,
            source=at_random(rng, 0.7) if stalled else always,
            sink=at_random(rng, 0.5) if stalled else always,
            n_results=len(numbers),
            n_quiet=_quiet(manifest) + (_RANDOM_STALL_CYCLES if stalled else 0),
        )
        test = "malformed_frames, stalled" if stalled else "malformed_frames"
        part = _judge(bench, test, numbers, trace, n_errors=len(wrong))
        _check_pulses(bench, test, trace, wrong)
        for name in part:
            told[name] += part[name]
        told["n_malformed"] += len(wrong)
    return told


def _check_pulses(bench: Bench, test: str, trace: Trace, wrong: list[tuple[int, int]]) -> None:
    """Each malformed frame's pulse comes between the beat that shows the fault and its end."""
    for (shown, end), pulse in zip(wrong, trace.errors, strict=False):
        if end >= len(trace.taken):
            return  # the run stood still, which is a fault already
        first, final = trace.taken[shown], trace.taken[end] + _ERROR_SLACK_CYCLES
        if not first <= pulse <= final:
            bench.record.fault(
                f"{test}: frame_error in cycle {pulse}, expected in {first}..{final}"
            )


@BENCH.test
async def padding_ignored(dut: Any, bench: Bench) -> dict[str, Any]:
    """Each frame with zeros, ones and noise in the bytes past the end of its last beat."""
    manifest = bench.job.manifest
    n_bytes = manifest.frame_bytes
    n_pad = manifest.frame_beats * manifest.bus_bytes - n_bytes
    if not n_pad:
        return {"skipped": "frames end with their last beat"}
    rng = bench.rng(6)
    link = await _fresh(dut, bench)
    numbers = np.repeat(bench.pick(bench.job.frames["padding"], rng), 3).tolist()
    beats = np.ascontiguousarray(_beats(bench, numbers, rng))
    raw = beats.view(np.uint8).reshape(len(numbers), -1)
    raw[0::3, n_bytes:] = 0
    raw[1::3, n_bytes:] = 255
    data = raw.view(beats.dtype).ravel().tolist()
    trace = await link.run(
        data,
        _lasts(len(numbers), manifest.frame_beats),
        n_results=len(numbers),
        n_quiet=_quiet(manifest),
    )
    return _judge(bench, "padding_ignored", numbers, trace)
