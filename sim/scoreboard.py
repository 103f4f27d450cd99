"""Compares results with expected answers, bit by bit, and writes the result file of a bench."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.job import Job, Manifest
from sim.logic import is_known
from sim.vectors import Vectors

__all__ = ["Answer", "Record", "core_answer", "top_answer"]

_MOST_PRINTED = 5


@dataclass(frozen=True)
class Answer:
    """What the hardware said: class and scores (None: not compiled), or why it is unreadable."""

    class_index: int | None
    scores: tuple[int, ...] | None
    fault: str = ""

    def __str__(self) -> str:
        return self.fault or f"class {self.class_index}, scores {_plain(self.scores)}"


def _plain(scores: Sequence[int] | None) -> str:
    return "not given" if scores is None else str(list(scores))


def _signed(value: int, width: int, signed: bool) -> int:
    return value - (1 << width) if signed and value >> (width - 1) else value


def core_answer(manifest: Manifest, class_bits: str, score_bits: str) -> Answer:
    """Decode the core's outputs; class 0 is in the low bits of `score_bits`."""
    if not (is_known(class_bits) and is_known(score_bits)):
        return Answer(None, None, f"X or Z: class {class_bits}, scores {score_bits}")
    if not manifest.has_scores:
        return Answer(int(class_bits, 2), None)
    width, packed = manifest.score_width, int(score_bits, 2)
    mask = (1 << width) - 1
    fields = ((packed >> (c * width)) & mask for c in range(manifest.n_classes))
    return Answer(
        int(class_bits, 2), tuple(_signed(f, width, manifest.score_signed) for f in fields)
    )


def top_answer(manifest: Manifest, beats: Sequence[str]) -> Answer:
    """Decode a result frame, one bit string a beat; lanes past its end are ignored."""
    if len(beats) != manifest.result_beats:
        return Answer(
            None, None, f"a result frame of {len(beats)} beats, expected {manifest.result_beats}"
        )
    joined = "".join(reversed(beats))[-8 * manifest.result_bytes :]
    if not is_known(joined):
        return Answer(None, None, f"X or Z in the result frame {joined}")
    frame = int(joined, 2).to_bytes(manifest.result_bytes, "little")
    index = int.from_bytes(frame[: manifest.class_bytes], "little")
    if not manifest.has_scores:
        return Answer(index, None)
    size = manifest.score_bytes
    places = range(manifest.class_bytes, manifest.result_bytes, size)
    fields = (
        int.from_bytes(frame[p : p + size], "little", signed=manifest.score_signed) for p in places
    )
    return Answer(index, tuple(fields))


class Record:
    """The result file: counts over all tests of a bench, rewritten whole after each test."""

    def __init__(self, job: Job, bench: str, vectors: Vectors, tests: Sequence[str]) -> None:
        self.job, self.vectors, self.tests = job, vectors, tuple(tests)
        expected = job.manifest
        latency = expected.core_latency_cycles if bench == "core" else expected.top_latency_cycles
        self.content: dict[str, Any] = {
            "schema": 1,
            "bench": bench,
            "simulator": "",
            "digest": expected.model_digest,
            "seed": job.seed,
            "output": expected.output,
            "n_vectors": len(vectors),
            **{f"n_{k}": vectors.count(k) for k in ("golden", "random")},
            "n_ties": vectors.count("tie"),
            "n_corners": vectors.count("corner"),
            "ties": vectors.ties,
            "n_compared": 0,
            "mismatches": 0,
            "first_mismatch": None,
            "n_violations": 0,
            "violations": [],
            "latency_cycles": None,
            "latency_cycles_expected": latency,
            "interval_cycles": None,
            "interval_cycles_expected": expected.interval_cycles if bench == "top" else None,
            "tests": {},
            "complete": False,
            "passed": False,
            "error": None,
        }
        self._faults: list[str] = []

    def begin(self) -> None:
        """Start a test: forget the faults of the one before."""
        self._faults = []

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with the test that is running, so far."""
        return tuple(self._faults)

    def fault(self, text: str, n_violations: int = 1) -> None:
        """Note a broken rule; the test that is running will fail."""
        self._faults.append(text)
        self.content["n_violations"] += n_violations
        if len(self.content["violations"]) < 20:
            self.content["violations"].append(text)

    def measured(self, what: str, cycles: int | None) -> None:
        """Note a measured number of cycles; a fault where the manifest says another."""
        self.content[what] = cycles
        expected = self.content[f"{what}_expected"]
        if cycles != expected:
            self.fault(f"{what} measured {cycles}, the manifest says {expected}")

    def compare(
        self,
        test: str,
        numbers: Sequence[int],
        answers: Sequence[Answer],
        cycles: Sequence[int] = (),
    ) -> int:
        """Compare answers, in order, with those of the vectors `numbers`; return the mismatches.

        Missing and surplus answers are mismatches too. `cycles` are those of the answers.
        """
        bad = 0
        for place in range(max(len(numbers), len(answers))):
            number = numbers[place] if place < len(numbers) else None
            answer = answers[place] if place < len(answers) else None
            if number is None or answer is None or not self._equal(number, answer):
                bad += 1
                cycle = cycles[place] if place < len(cycles) else None
                self._mismatch(test, place, number, answer, bad, cycle)
        self.content["n_compared"] += len(numbers)
        self.content["mismatches"] += bad
        if bad:
            self._faults.append(f"{bad} of {len(numbers)} results differ")
        return bad

    def _equal(self, number: int, answer: Answer) -> bool:
        if answer.fault or answer.class_index != int(self.vectors.classes[number]):
            return False
        if answer.scores is None:
            return not self.job.manifest.has_scores
        return bool(np.array_equal(self.vectors.scores[number], answer.scores))

    def _mismatch(
        self,
        test: str,
        place: int,
        number: int | None,
        answer: Answer | None,
        count: int,
        cycle: int | None,
    ) -> None:
        actual = "lost" if answer is None else str(answer)
        found: dict[str, Any] = {
            "test": test,
            "place": place,
            "cycle": cycle,
            "vector": number,
            "kind": None,
            "actual": actual,
            "actual_class": answer.class_index if answer else None,
            "actual_scores": list(answer.scores) if answer and answer.scores else None,
            "expected_class": None,
            "expected_scores": None,
            "x": None,
        }
        told = f"{test}, result {place}: {actual}, but nothing was expected"
        if number is not None:
            kind, wanted = self.vectors.kind_of(number), self.vectors.scores[number].tolist()
            winner = int(self.vectors.classes[number])
            found |= {"kind": kind, "expected_class": winner, "expected_scores": wanted}
            found["x"] = self.vectors.x[number].tolist()
            told = (
                f"{test}, result {place}: vector {number} ({kind}) expected class {winner}, "
                f"scores {wanted}; got {actual}"
            )
        if self.content["first_mismatch"] is None:
            self.content["first_mismatch"] = found
        if count <= _MOST_PRINTED:
            self._faults.append(told)

    def finish(self, test: str, simulator: str, **numbers: Any) -> str:
        """End a test, write the file, and return its faults, one a line (empty: passed)."""
        content = self.content
        content["simulator"] = simulator
        content["tests"][test] = {"passed": not self._faults, **numbers}
        content["complete"] = set(content["tests"]) == set(self.tests)
        content["passed"] = content["complete"] and all(
            entry["passed"] for entry in content["tests"].values()
        )
        write_result(self.job.result, content)
        return "\n".join(self._faults)


def write_result(path: Path, content: dict[str, Any]) -> None:
    """Write a result file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)
