"""map_luts: a Netlist covered by LUTs, as few as ABC and the encoder's guarantees allow.

Several ways of restructuring and covering are tried (`lut_search`), on the netlist itself and on
other structures of it (`lut_starts`), each result is simulated against the netlist, and the one
with the fewest LUTs (then levels) is kept; the plain structural mapping is always among them. With
the care set of the encoder, gates are first resubstituted behind a prefix that makes exactly the
legal codes (`ir.care.legalised`); a legal code is its own preimage, so the prefix itself drops away
and is never counted.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from gate2hw.errors import CheckFailedError, InputError, ToolFailedError, ToolTimeoutError
from gate2hw.ir.care import CareSet, check_care
from gate2hw.ir.lutnetlist import LutNetlist, from_netlist, to_netlist
from gate2hw.ir.luttables import simplified
from gate2hw.ir.netlist import Head, Names, Netlist
from gate2hw.ir.simulate import random_words, simulate, unpack
from gate2hw.passes.mapping.lut_expand import expand
from gate2hw.passes.mapping.lut_origin import with_origins
from gate2hw.passes.mapping.lut_search import EFFORTS, FAST_GATES, Search, Trial
from gate2hw.passes.mapping.lut_starts import located
from gate2hw.passes.proof.equivalence import Proof, prove_equal
from gate2hw.tools.run import stop_all

__all__ = ["EFFORTS", "Mapping", "Trial", "check_mapping", "effort_for", "map_luts", "search"]

Progress: TypeAlias = Callable[[int, int, str], None]

MIN_K, MAX_K = 3, 6
_EFFORT_GATES: Final = (30_000, 15_000, 4_000)
LOCATING: Final = 0.5
"""Share of the time, at most, for finding the outputs among those of the starts."""
PROBE_SLACK: Final = 1.01
"""A start whose probe takes more LUTs than this times the least of those before is given up."""
_N_THREADS: Final = 2

_T = TypeVar("_T")


@dataclass(frozen=True)
class Mapping:
    """The best mapping found, all that were tried, and the bound on its depth.

    `start` is the number of the structure that it was made of: 0 the netlist itself, n the n-th of
    the other starts. `optimal_depth` is the depth of a plain mapping of that structure for depth
    (ABC ``&kf -K k``): as low as its cuts go, not the least of all circuits of that function.
    `depth_bound` is what was allowed, and is that plus EXTRA_LEVELS unless it was given.
    """

    luts: LutNetlist
    trials: tuple[Trial, ...]
    optimal_depth: int
    depth_bound: int
    time_s: float
    start: int = 0


@dataclass(frozen=True)
class _Options:
    """What `search` was asked for, checked; `deadline` is of `time.monotonic`."""

    k: int
    care: CareSet
    effort: int
    max_depth: int | None
    starts: tuple[Netlist, ...]
    deadline: float
    progress: Progress


def effort_for(n_gates: int) -> int:
    """The effort that takes up to about 15 s up to 400,000 gates; above, the least."""
    return sum(n_gates <= limit for limit in _EFFORT_GATES)


def _each(work: Callable[[Search], _T], searches: Iterable[Search]) -> list[_T]:
    """``work(search)`` of each, two at a time; the first error is raised after all have ended."""
    chosen = list(searches)
    n_threads = min(_N_THREADS, os.cpu_count() or 1, len(chosen))
    if n_threads < 2:
        return [work(one) for one in chosen]
    with ThreadPoolExecutor(max_workers=n_threads) as pool:
        try:
            return [job.result() for job in [pool.submit(work, one) for one in chosen]]
        except KeyboardInterrupt:
            stop_all()
            raise


@dataclass(frozen=True)
class _Start:
    """A structure to map, each signal that is one of its outputs once and uncomplemented.

    ABC would build a LUT for each output also where several are one signal, and what it finds
    depends on their order: so a netlist is mapped here as it is on its own, whatever it is a start
    for. Output o of the netlist that is wanted is output ``place[o]`` of `like` and of `gates`,
    which is `like` simplified, complemented where ``flip[o]``. `number` is 0 for that netlist
    itself.
    """

    number: int
    like: Netlist
    gates: Netlist
    place: npt.NDArray[np.intp]
    flip: npt.NDArray[np.int64]

    @staticmethod
    def of(number: int, structure: Netlist, wanted: npt.NDArray[np.int64], care: CareSet) -> _Start:
        """`wanted` (O,) are literals of outputs of `structure`."""
        driver = np.unique(structure.outputs >> 1)
        driver = np.union1d(driver, wanted[wanted <= 1] >> 1)
        like = structure.with_(outputs=2 * driver, head=Head.none(len(driver)), names=Names())
        gates = to_netlist(simplified(from_netlist(like, 2), care=care))
        return _Start(number, like, gates, np.searchsorted(driver, wanted >> 1), wanted & 1)

    def restored(self, luts: LutNetlist, net: Netlist, care: CareSet) -> LutNetlist:
        """`luts`, of the outputs of `gates`, with those of `net`."""
        luts = luts.with_(
            outputs=luts.outputs[self.place] ^ self.flip,
            head=net.head,
            encoder=net.encoder,
            names=net.names,
            digest=net.digest,
        )
        # outputs that only the structure has are gone
        return with_origins(simplified(luts, care=care) if self.number else luts, net)


def _starts(net: Netlist, options: _Options) -> list[_Start]:
    """The structures to start from, the netlist itself last; the same one not twice."""
    others = options.starts if options.effort and net.n_gates <= FAST_GATES else ()
    found: dict[str, _Start] = {}
    # half of the time is for mapping, whatever comes of the starts
    share_s = LOCATING * (options.deadline - time.monotonic()) / max(1, len(others))
    for number, other in enumerate(others, start=1):
        if other.n_gates > FAST_GATES:
            continue
        wanted = located(net, other, care=options.care, timeout_s=share_s)
        if wanted is not None:
            start = _Start.of(number, other, wanted, options.care)
            found[start.gates.content_digest()] = start
    start = _Start.of(0, net, net.outputs, options.care)
    # in its place among them, should it be one of them
    found[start.gates.content_digest()] = start
    return list(found.values())


def _worthwhile(searches: Sequence[Search], probes: Sequence[int | None]) -> list[Search]:
    """The searches to go on with: those whose probe is near the least of those before them.

    So what is done with a start depends on those before it only, and a higher level, whose first
    starts are those of the level below, does all that the level below does.
    """
    chosen, least = [], None
    for search_, probe in zip(searches, probes, strict=True):
        if probe is None or least is None or probe <= PROBE_SLACK * least:
            chosen.append(search_)
        if probe is not None:
            least = probe if least is None else min(least, probe)
    return chosen


def _run(starts: Sequence[_Start], options: _Options, folder: Path) -> list[Search]:
    """A search of each start, done."""
    lock, n_done = Lock(), 0
    n_steps = len(starts) * (1 + options.effort)

    def report(trial: Trial) -> None:
        nonlocal n_done
        found = trial.reason or f"{trial.n_luts:,} LUTs, depth {trial.depth}"
        place = f"start {trial.start}, " if trial.start else ""
        with lock:
            n_done += 1
            options.progress(n_done, max(n_done, n_steps), f"{place}{trial.name}: {found}")

    searches = []
    for start in starts:
        place = folder / str(start.number)
        place.mkdir()
        searches.append(
            Search(
                start.like,
                start.gates,
                k=options.k,
                care=options.care,
                effort=options.effort,
                max_depth=options.max_depth,
                folder=place,
                deadline=options.deadline,
                report=report,
                start=start.number,
            )
        )
    errors: list[ToolTimeoutError | ToolFailedError] = []

    def prepare(one: Search) -> int | None:
        try:
            return one.prepare(probe=len(searches) > 1)
        except (ToolTimeoutError, ToolFailedError) as error:
            errors.append(error)
            return None

    probes = _each(prepare, searches)
    if errors and all(one.best is None for one in searches):
        raise errors[-1]
    _each(Search.improve, _worthwhile(searches, probes))
    return searches


def _best(net: Netlist, options: _Options, clock: float) -> Mapping:
    """The best mapping of all starts."""
    starts = _starts(net, options)
    for start in starts:
        if start.gates.n_gates == 0:
            wires = from_netlist(start.gates, 2).with_(fanin=np.zeros((0, options.k), np.int32))
            luts = start.restored(wires, net, options.care)
            return Mapping(luts, (), 0, 0, time.monotonic() - clock, start.number)
    with tempfile.TemporaryDirectory(prefix="gate2hw-luts-") as folder:
        searches = _run(starts, options, Path(folder))
    trials = tuple(trial for one in searches for trial in one.trials)
    found = [
        (start.restored(one.best, net, options.care), start.number, one)
        for start, one in zip(starts, searches, strict=True)
        if one.best is not None
    ]
    if not found:
        least = min(trial.depth for trial in trials if trial.depth is not None)
        raise InputError(
            f"max_depth = {options.max_depth}: the shallowest mapping found has {least} levels; "
            "allow those"
        )
    luts, number, best = min(found, key=lambda row: (row[0].n_luts, row[0].depth, row[1]))
    if not np.array_equal(simulate(luts, best.words), simulate(net, best.words)):
        raise CheckFailedError(f"start {number} of the mapping does not compute what it should")
    time_s = time.monotonic() - clock
    return Mapping(luts, trials, best.optimal_depth, best.depth_bound, time_s, number)


def search(
    net: Netlist,
    *,
    k: int = 4,
    care: CareSet = "thermometer",
    effort: int | None = None,
    max_depth: int | None = None,
    starts: Sequence[Netlist] = (),
    timeout_s: float = 600.0,
    progress: Progress | None = None,
) -> Mapping:
    """As `map_luts`, with all that was tried beside the result."""
    clock = time.monotonic()
    check_care(care)
    effort = effort_for(net.n_gates) if effort is None else effort
    if effort not in EFFORTS:
        raise InputError(f"effort {effort!r} is unknown. Allowed: {', '.join(map(str, EFFORTS))}")
    if not MIN_K <= k <= MAX_K:
        raise InputError(f"k = {k}: netlists are mapped to LUTs of {MIN_K}..{MAX_K} inputs")
    if max_depth is not None and max_depth < 1:
        raise InputError(f"max_depth = {max_depth}: a mapping has at least one level")
    options = _Options(
        k,
        care if net.encoder is not None else "none",
        effort,
        max_depth,
        tuple(starts),
        clock + timeout_s,
        progress or (lambda done, total, message: None),
    )
    found = _best(net, options, clock)
    found.luts.verify()
    return found


def map_luts(
    net: Netlist,
    *,
    k: int = 4,
    care: CareSet = "thermometer",
    effort: int | None = None,
    max_depth: int | None = None,
    starts: Sequence[Netlist] = (),
    timeout_s: float = 600.0,
    progress: Progress | None = None,
) -> LutNetlist:
    """Return `net` covered by LUTs of up to `k` inputs (3..6), in stage 0; the head stays apart.

    `effort` 0 is the plain structural mapping; 1 adds restructuring, the don't-cares behind the
    encoder, structural choices, and SAT on windows of the cover; 2 other choices beside; 3 repeats
    these while they pay; None chooses by size (`effort_for`). Each level tries what the one below
    tries, so it is never worse but where time runs out: after `timeout_s` the best so far is
    returned, and only if there is none yet is that an error. With `care` "thermometer" the result
    equals `net` on legal codes of its encoder only. `max_depth` bounds the levels; without it they
    stay within EXTRA_LEVELS of a plain mapping for depth.

    `starts` are netlists of the same inputs that compute the same in other gates, such as the
    snapshots of a pipeline, lowest level first. From effort 1, up to FAST_GATES gates, they are
    mapped as well, as far as their signals are proved equal to the outputs of `net`; two at a time
    and `net` last. One whose restructured gates take more than PROBE_SLACK times the LUTs of one
    before it goes no further. `progress` gets (done, total, message).
    Raises InputError for options out of range or a depth that is not reached, ToolError where ABC
    is missing, fails or is too slow for the plain mapping, CheckFailedError where a result differs.
    """
    return search(
        net,
        k=k,
        care=care,
        effort=effort,
        max_depth=max_depth,
        starts=starts,
        timeout_s=timeout_s,
        progress=progress,
    ).luts


def check_mapping(
    net: Netlist,
    luts: LutNetlist,
    *,
    care: CareSet,
    work_dir: Path,
    timeout_s: float,
    n_words: int = 64,
    seed: int = 0,
) -> Proof:
    """Prove that `luts` computes every output of `net`, not the scores only.

    First ``64 * n_words`` random inputs on the LUTs themselves (legal codes with `care`
    "thermometer"), then ABC `cec` of their expansion into gates, files kept in `work_dir`. The
    verdict "different" comes with an input on which an output differs.
    """
    check_care(care)
    clock = time.monotonic()
    plain = [side.with_(head=Head.none(side.n_outputs)) for side in (net, expand(luts))]
    given = net if care == "thermometer" else net.with_(encoder=None)
    words = random_words(given, n_words, np.random.default_rng(seed))
    differs = simulate(net, words) ^ simulate(luts, words)
    if differs.any():
        word = int(np.argmax(differs.any(axis=0)))
        column = int(np.bitwise_or.reduce(differs[:, word]))
        sample = (column & -column).bit_length() - 1
        example = unpack(words[:, word : word + 1], 64)[sample]
        time_s = time.monotonic() - clock
        return Proof("different", "random simulation of the LUTs", example, time_s)
    return prove_equal(*plain, work_dir=work_dir, timeout_s=timeout_s, seed=seed, care=care)
