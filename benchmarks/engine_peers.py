"""The processes of engine.py: started, compared with the right scores, asked in turn."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from engine_nets import Subject, write_difflogic, write_ours, write_torchlogix

__all__ = ["PEERS", "Process", "Wrong", "compare", "contestants", "rounds", "spread"]

HERE = Path(__file__).parent
BUILD = HERE.parent / "build"
ENVIRONMENTS = BUILD / "peers"
KEPT = BUILD / "engine-peers"
"""Libraries that peers' compilers made, by the digest of their source."""
PEERS = ("difflogic", "torchlogix")
_WRITERS = {"difflogic": write_difflogic, "torchlogix": write_torchlogix}

ANSWER_S = 1800.0
"""Seconds until a process that says nothing is ended."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class Wrong(SystemExit):
    """Outputs differ: nothing is measured."""


class Process:
    """A process that serves one net, see peers/server.py."""

    def __init__(self, python: Path | str, script: str, case: Path) -> None:
        self.script = script
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)
        self.process = subprocess.Popen(
            [str(python), str(HERE / "peers" / script), str(case)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, **ONE_THREAD, "PYTHONFAULTHANDLER": "1"},
        )
        try:
            self.about: dict[str, Any] = self._answer()
        except RuntimeError as error:
            self.about = {"missing": str(error)}

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        timer = threading.Timer(ANSWER_S, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            said = " / ".join(self.errors.read().strip().splitlines()[-12:])
            raise RuntimeError(
                f"{self.script} ended with code {self.process.returncode}: {said[-600:]}"
            )
        return json.loads(line)

    def ask(self, *question: Any) -> Any:
        """The answer to one question; RuntimeError where the process ended."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self.errors.close()


@dataclass
class Contest:
    """Who takes part in the measurement of one net, and why others do not."""

    running: dict[str, Process] = field(default_factory=dict)
    missing: dict[str, dict[str, Any]] = field(default_factory=dict)

    def close(self) -> None:
        """End all processes."""
        for process in self.running.values():
            process.close()


def contestants(
    subject: Subject, folder: Path, settings: Mapping[str, Any], peers: Sequence[str]
) -> Contest:
    """Ours and `peers`, each in a process of its own; SystemExit where ours does not start."""
    common = {**settings, "folder": str(folder), "kept": str(KEPT), **write_ours(subject, folder)}

    def start(name: str, python: Path | str, script: str, more: dict[str, str]) -> None:
        case = folder / f"{name}.json"
        case.write_text(json.dumps({**common, **more}))
        process = Process(python, script, case)
        if "missing" in process.about:
            process.close()
            found.missing[name] = process.about
        else:
            found.running[name] = process

    found = Contest()
    start("gate2hw", sys.executable, "gate2hw_infer.py", {})
    if "gate2hw" in found.missing:
        raise SystemExit(f"{subject.name}: our engine: {found.missing['gate2hw']['missing']}")
    for name in peers:
        python = ENVIRONMENTS / name / "bin" / "python"
        if not python.is_file():
            reason = f"{name} is not installed; run: make peers"
            found.missing[name] = {"missing": reason, "not_installed": True}
            continue
        try:
            more = _WRITERS[name](subject, folder)
        except ValueError as error:
            found.missing[name] = {"missing": str(error)}
            continue
        start(name, python, f"{name}_infer.py", more)
    return found


def compare(subject: Subject, who: str, scores: Any, classes: Any) -> None:
    """Raise Wrong unless scores and classes are, bit for bit, those of the LogicNetwork."""
    n = len(scores)
    wanted, right = subject.scores[:n], subject.classes[:n]
    if scores.shape != wanted.shape or classes.shape != right.shape or not n:
        raise Wrong(f"{subject.name}: {who} gives scores {scores.shape}, not {wanted.shape}")
    for what, given, expected in (("scores", scores, wanted), ("classes", classes, right)):
        bad = np.argwhere(np.asarray(given, np.int64) != expected)
        if len(bad):
            at = tuple(bad[0].tolist())
            raise Wrong(
                f"{subject.name}: {who} is wrong in {len(bad):,} of {expected.size:,} {what}, "
                f"first at {at}: {given[at]}, not {expected[at]}"
            )


def compare_all(subject: Subject, contest: Contest, folder: Path) -> list[str]:
    """Compare every way of every contestant; their names."""
    checked = []
    for name, process in contest.running.items():
        for way in process.about["outputs"]:
            path = folder / "outputs.npz"
            process.ask("outputs", way, str(path))
            with np.load(path) as found:
                compare(subject, f"{name} {way}".strip(), found["scores"], found["classes"])
            checked.append(f"{name} {way}".strip())
    return checked


def rounds(contest: Contest, n_rounds: int) -> dict[str, list[dict[str, float]]]:
    """Seconds an image, one entry a round; each round asks everyone for everything in turn.

    The turn goes forth and back, so that what drifts with time meets all alike.
    """
    times: dict[str, list[dict[str, float]]] = {}
    asked = [
        (name, way) for name, process in contest.running.items() for way in process.about["runs"]
    ]
    for number in range(n_rounds):
        for name, way in asked[:: -1 if number % 2 else 1]:
            found = contest.running[name].ask("time", way)
            times.setdefault(f"{name}: {way}", []).append(found)
    return times


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}
