"""Engine: a netlist's classes and scores for any number of samples, fast.

Samples are evaluated bit-parallel: one bit of a machine word is one sample, one instruction is one
gate of up to 512 samples. Gates are interpreted, not compiled, so an engine is ready in
milliseconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.engine.library import Variant, address, library, variants
from gate2hw.engine.plain import PlainProgram
from gate2hw.engine.program import Program, check_scores
from gate2hw.errors import InputError, nearest
from gate2hw.ir.netlist import Encoder, Netlist
from gate2hw.ir.simulate import check_input
from gate2hw.ir.store import file_kind, load_netlist
from gate2hw.ir.verify import verify_netlist

__all__ = ["Engine", "kernel_names"]

Classes = npt.NDArray[np.int64]
Scores = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]

_SMALL: Final = "word"
"""The kernel of at most 64 samples: its blocks are 64 wide and its slots stay in the L1 cache."""
_SMALL_GATES: Final = 50_000
_SMALL_CALLS: Final = 300
"""A second plan, for small calls, costs about as much time as it saves in so many of them; below
so many gates it costs next to nothing."""
_SLICE: Final = 1 << 16
"""Samples that are converted at a time, so that arrays larger than memory can be read."""
_LEAST_PART: Final = 4096
"""Samples that are worth a thread."""


def kernel_names() -> tuple[str, ...]:
    """What `kernel` may be on this machine, slowest first."""
    return ("numpy", *(variant.name for variant in variants()))


def _n_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _load(path: Path) -> Netlist:
    if path.is_dir():
        if not (path / "netlist.npz").exists():
            raise InputError(
                f"{path} has no netlist.npz; gate2hw compile {path} -o {path} makes it"
            )
        path = path / "netlist.npz"
    kind = file_kind(path)
    if kind == "network":
        raise InputError(
            f"{path} is a model, the engine runs netlists; gate2hw compile {path.parent} makes one"
        )
    return load_netlist(path)


def _n_samples(x: Any) -> int:
    """The length of `x`; 0 where it has none: `check_input` says what is wrong with it."""
    return len(x) if hasattr(x, "__len__") and getattr(x, "ndim", True) else 0


def _again(netlist: Netlist, threads: int, kernel: str | None) -> Engine:
    """A pickled engine; where the kernel that was asked for is not available, the fastest."""
    return Engine(netlist, threads, kernel=kernel if kernel in kernel_names() else None)


def _n_threads(threads: int | None) -> int:
    if threads is None:
        return _n_processors()
    if not isinstance(threads, Integral) or threads < 1:
        raise InputError(f"threads is {threads!r}; give 1 or more")
    return int(threads)


class Engine:
    """Classes and scores of a netlist with encoder and head; output words of any netlist.

    `netlist` is a Netlist, a netlist file, or a folder that `gate2hw compile` wrote. `threads`
    defaults to the processors of this process. `kernel` is one of `kernel_names()`; the default is
    the fastest. Raises InputError for what is none of these, and for scores beyond 32 bits, IRError
    for a Netlist that breaks a rule of its representation.

    An engine may be used by several threads at a time.
    """

    def __init__(
        self,
        netlist: Netlist | Path | str,
        threads: int | None = None,
        *,
        kernel: str | None = None,
    ) -> None:
        if isinstance(netlist, Netlist):
            verify_netlist(netlist)  # files are verified where they are read
            self.netlist = netlist
        else:
            self.netlist = _load(Path(netlist))
        self.threads = _n_threads(threads)
        if kernel is not None and kernel not in kernel_names():
            reason = library()
            raise InputError(
                f"there is no kernel {kernel!r} here; {nearest(kernel, kernel_names())}"
                + (f": {reason}" if isinstance(reason, str) else "")
            )
        found = {variant.name: variant for variant in variants()}
        self.kernel = kernel or kernel_names()[-1]
        self._variant = found.get(self.kernel)
        self._asked = kernel
        self._small = found.get(_SMALL) if kernel is None else None
        self._n_small = 0
        check_scores(self.netlist.head)
        self._programs: dict[Variant, Program] = {}
        self._pools: dict[int, ThreadPoolExecutor] = {}
        if self._variant is not None:
            self._program(self._variant)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.netlist, self.threads, self._asked)

    def _program(self, variant: Variant) -> Program:
        if variant not in self._programs:
            self._programs[variant] = Program(self.netlist, variant)
        return self._programs[variant]

    @cached_property
    def _plain(self) -> PlainProgram:
        return PlainProgram(self.netlist)

    @property
    def _pool(self) -> ThreadPoolExecutor:
        """The threads of this process: a forked one has none of its parent's."""
        if os.getpid() not in self._pools:
            self._pools[os.getpid()] = ThreadPoolExecutor(self.threads, "gate2hw-engine")
        return self._pools[os.getpid()]

    @property
    def n_classes(self) -> int:
        """C, the number of scores."""
        return self.netlist.n_classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """(C,) names of the classes; their numbers where the netlist has no names."""
        return self.netlist.names.classes or tuple(map(str, range(self.n_classes)))

    @property
    def n_ops(self) -> int:
        """Operations a block of samples takes, head not counted."""
        if self._variant is None:
            return self._plain.n_ops
        return int(self._program(self._variant).n_ops)

    def threads_for(self, n: int) -> int:
        """Threads that share `n` samples given at once."""
        return 1 if self._variant is None else min(self.threads, max(1, n // _LEAST_PART))

    def _encoder(self) -> Encoder:
        if self.netlist.encoder is None or self.n_classes == 0:
            raise InputError(
                "the netlist is a plain circuit, without encoder and classes; use simulate()"
            )
        return self.netlist.encoder

    def _features(self, x: Any, first: int = 0) -> npt.NDArray[Any]:
        """(N, *shape) samples as contiguous (N, n_features) uint8 or uint16, checked."""
        encoder = self._encoder()
        if np.ma.is_masked(x):
            raise InputError("some values of the input are masked; fill them first")
        wide = np.dtype(np.uint8 if encoder.bytes_per_feature == 1 else np.uint16)
        x = np.ma.getdata(x) if isinstance(x, np.ma.MaskedArray) else x
        if isinstance(x, np.ndarray) and x.shape[1:] == encoder.shape and x.dtype.kind in "biu":
            lowest = x.min() if x.dtype.kind == "i" and x.size else 0
            highest = encoder.max_value
            if x.dtype.itemsize > wide.itemsize or encoder.max_value not in (255, 65535):
                highest = x.max(initial=0)
            if lowest >= 0 and highest <= encoder.max_value:
                flat = x.reshape(len(x), encoder.n_features)
                return np.ascontiguousarray(flat, dtype=wide)
        return check_input(encoder, x, first=first).astype(wide)

    def _choose(self, n: int) -> Variant:
        """The kernel of `n` samples; a second one is planned when it is worth its time and memory.

        That is for small nets, and where few samples come again and again.
        """
        assert self._variant is not None
        if n > 64 or self._small is None:
            return self._variant
        self._n_small += 1
        is_cheap = self.netlist.n_gates <= _SMALL_GATES or self._n_small > _SMALL_CALLS
        return self._small if is_cheap else self._variant

    def _run(self, x: npt.NDArray[Any], classes: Classes | None, scores: Scores | None) -> None:
        """Contiguous features to classes and scores, in parts for the threads."""
        if self._variant is None:
            found = self._plain.scores(x)
            if classes is not None:
                classes[:] = found.argmax(axis=1)
            if scores is not None:
                scores[:] = found
            return
        n = len(x)
        variant = self._choose(n)
        program = self._program(variant)
        size = -(-n // self.threads_for(n) // variant.block) * variant.block if n else 0

        def part(first: int) -> None:
            count = min(size, n - first)
            program.run(
                count,
                address(x) + first * x.shape[1] * x.itemsize,
                None if classes is None else address(classes) + 8 * first,
                None if scores is None else address(scores) + 4 * first * self.n_classes,
            )

        starts = range(0, n, size) if n else ()
        if len(starts) < 2:
            for first in starts:
                part(first)
        else:
            list(self._pool.map(part, starts))

    def _parts(self, x: Any) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
        """The samples, checked and converted; a large array that needs it in several parts."""
        encoder = self._encoder()
        fits = (
            isinstance(x, np.ndarray)
            and x.flags.c_contiguous
            and x.dtype.itemsize == encoder.bytes_per_feature
            and encoder.max_value in (255, 65535)
        )
        is_array = isinstance(x, np.ndarray) and x.ndim and x.shape[1:] == encoder.shape
        if fits or not is_array or len(x) <= _SLICE:
            features = self._features(x)
            yield slice(0, len(features)), features
            return
        for first in range(0, len(x), _SLICE):
            where = slice(first, min(first + _SLICE, len(x)))
            yield where, self._features(x[where], first)

    def predict(self, x: Any) -> Classes:
        """(N, *shape) integers 0..max_value to (N,) int64 classes; ties go to the lowest class.

        uint8 arrays (uint16 where max_value is above 255) are read in place, memory maps too.
        Raises InputError for a wrong shape, type or range.
        """
        return self._both(x, want_classes=True, want_scores=False)[0]

    def scores(self, x: Any) -> Scores:
        """(N, *shape) integers 0..max_value to (N, C) int32 scores. Raises as `predict`."""
        return self._both(x, want_classes=False, want_scores=True)[1]

    def _both(self, x: Any, *, want_classes: bool, want_scores: bool) -> tuple[Classes, Scores]:
        n = _n_samples(x)
        classes = np.empty(n if want_classes else 0, np.int64)
        scores = np.empty((n if want_scores else 0, self.n_classes), np.int32)
        for where, features in self._parts(x):
            self._run(
                features,
                classes[where] if want_classes else None,
                scores[where] if want_scores else None,
            )
        return classes, scores

    def stream(self, batches: Iterable[Any]) -> Iterator[Classes]:
        """Classes of each of `batches`, one at a time: for data that does not fit in memory."""
        for batch in batches:
            yield self.predict(batch)

    def evaluate(self, x: Any, y: Any) -> float:
        """The fraction of samples whose class is `y` (N,) of integers 0..C-1."""
        n = _n_samples(x)
        if n == 0:
            self.predict(x)
            raise InputError("there are no samples to evaluate")
        self._encoder()
        labels = np.asarray(y)
        if labels.dtype.kind not in "iu" or labels.shape != (n,):
            raise InputError(
                f"the labels are {labels.dtype} of shape {labels.shape}; give {n} integers"
            )
        if labels.min() < 0 or labels.max() >= self.n_classes:
            raise InputError(
                f"the labels reach from {labels.min()} to {labels.max()}; the model's classes are "
                f"0..{self.n_classes - 1}"
            )
        return float((self.predict(x) == labels).mean())

    def simulate(self, words: Words) -> Words:
        """(n_inputs, W) uint64 input words to (n_outputs, W) words.

        Sample s is bit s % 64 of word s // 64. The same as
        `gate2hw.ir.simulate.simulate`, for plain circuits too; one thread.
        """
        array = np.asarray(words)
        if array.dtype.kind not in "iu":
            raise InputError(f"the words are {array.dtype}; give uint64, 64 samples a word")
        given = np.ascontiguousarray(array, np.uint64)
        if given.ndim != 2 or len(given) != self.netlist.n_inputs:
            raise InputError(
                f"the words have shape {given.shape}; give ({self.netlist.n_inputs}, W)"
            )
        if self._variant is None:
            return self._plain.simulate(given)
        out = np.empty((self.netlist.n_outputs, given.shape[1]), np.uint64)
        self._program(self._variant).simulate(given, out)
        return out
