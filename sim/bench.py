"""What the two benches share: one job, one set of vectors and one result file a process."""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import cocotb
import numpy as np

from sim.job import Job, JobError, check_scores, load_job, result_path
from sim.scoreboard import Record, write_result
from sim.vectors import Vectors, choose_bits, make_vectors, result_bits

__all__ = ["Bench", "BenchTest"]

_MANY = 8
BenchTest: TypeAlias = Callable[[Any, "Bench"], Awaitable[dict[str, Any]]]


class Bench:
    """Opens the job when the first test asks for it; `test` makes a cocotb test of a function.

    A refused job fails every test with its sentence, which the result file holds as ``error``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.functions: dict[str, BenchTest] = {}
        self.job: Job
        self.vectors: Vectors
        self.record: Record
        self._refused = ""
        self._is_open = False

    def open(self) -> None:
        """Read the job and make the vectors, once; the result file says ``complete: false``."""
        if self._refused:
            raise JobError(self._refused)
        if self._is_open:
            return
        try:
            self.job = job = load_job()
            self.vectors = make_vectors(
                job.net,
                job.golden,
                seed=job.seed,
                n_golden=job.n_golden,
                n_random=job.n_random,
                n_ties=job.n_ties,
                n_corners=job.n_corners,
            )
            if len(self.vectors) == 0:
                raise JobError("the job asks for no vectors at all")
            scores = self.vectors.scores
            check_scores(job.manifest, int(scores.min()), int(scores.max()))
        except ValueError as error:
            self._refuse(str(error))
            raise
        except Exception as error:
            self._refuse(f"the job could not be read: {error}")
            raise
        self.restart()
        write_result(job.result, self.record.content)
        self._is_open = True

    def restart(self) -> None:
        """Forget all tests that have run."""
        self.record = Record(self.job, self.kind, self.vectors, tuple(self.functions))

    def _refuse(self, sentence: str) -> None:
        self._refused = sentence
        path = result_path()
        if path is not None:
            content = {"schema": 1, "bench": self.kind, "simulator": cocotb.SIM_NAME}
            content |= {"error": sentence, "complete": False, "passed": False, "tests": {}}
            content |= {"n_vectors": 0, "mismatches": None, "first_mismatch": None}
            write_result(path, content)

    def rng(self, stream: int) -> np.random.Generator:
        """The random numbers of one test; the same job gives the same numbers."""
        return np.random.default_rng([self.job.seed, stream])

    def pick(self, n_vectors: int | None, rng: np.random.Generator) -> list[int]:
        """Numbers of `n_vectors` vectors, None: all, in order. Up to half of more than a few are
        such that bits of results are 0 and 1; the others are drawn from all kinds alike."""
        total = len(self.vectors)
        if n_vectors is None:
            return list(range(total))
        kinds = [np.flatnonzero(self.vectors.kind == kind) for kind in range(4)]
        pools = [rng.permutation(numbers) for numbers in kinds if len(numbers)]
        picked = self.telling(n_vectors // 2) if n_vectors >= _MANY else []
        picked += [
            int(pools[i % len(pools)][(i // len(pools)) % len(pools[i % len(pools)])])
            for i in range(n_vectors - len(picked))
        ]
        return rng.permutation(picked).tolist() if n_vectors >= _MANY else picked

    def telling(self, n_most: int | None) -> list[int]:
        """At most `n_most` vectors that together show the bits of results that any vector shows."""
        return self._telling[:n_most]

    @functools.cached_property
    def _telling(self) -> list[int]:
        shown = result_bits(self.job.net, self.vectors.scores)
        return choose_bits(shown, np.zeros(shown.shape[1], bool), len(shown))

    def test(self, function: BenchTest) -> Any:
        """Register ``async function(dut, bench) -> numbers`` as a cocotb test of its name."""
        name = getattr(function, "__name__", "test")
        self.functions[name] = function

        @functools.wraps(function)
        async def run(dut: Any) -> None:
            self.open()
            self.record.begin()
            start = time.perf_counter()
            numbers = await function(dut, self)
            numbers["time_s"] = round(time.perf_counter() - start, 3)
            faults = self.record.finish(name, cocotb.SIM_NAME, **numbers)
            assert not faults, faults

        del run.__wrapped__  # cocotb would read the parameters of what is wrapped
        return cocotb.test(run)
