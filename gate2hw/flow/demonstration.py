"""demo: digits from training to four routed targets and a report, in one call."""

from __future__ import annotations

import json
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from gate2hw.errors import InputError
from gate2hw.flow.build import BuildFolder, Progress, key_of, silent
from gate2hw.flow.compiling import compile
from gate2hw.flow.reporting import report
from gate2hw.flow.synthesis import synth
from gate2hw.flow.training import recipe_digest, train
from gate2hw.flow.verifying import verify
from gate2hw.tools.run import stop_all

__all__ = ["DEMO_TARGETS", "demo"]

DEMO_TARGETS = ("ice40-hx8k", "ice40-up5k", "ecp5-25k", "ecp5-85k")
RECIPE = "digits"


class _Steps:
    """Joins the progress of steps that run side by side into one line."""

    def __init__(self, progress: Progress, n_steps: int) -> None:
        self.progress = progress
        self.n_steps = n_steps
        self.done = 0

    def note(self, message: str) -> None:
        self.progress(self.done, self.n_steps, message)

    def finish(self, message: str) -> None:
        self.done += 1
        self.note(message)


def _train_once(out: Path, progress: Progress) -> None:
    folder = BuildFolder(out)
    key = key_of(step="train", recipe=recipe_digest(RECIPE))

    def work() -> tuple[list[Path], dict[str, Any]]:
        # a model means that the run before came to its end: only a broken-off one is resumed
        was_stopped = not (out / "model.safetensors").is_file()
        try:
            resume = was_stopped and (out / "checkpoint.safetensors").is_file()
            result = train(RECIPE, out, resume=resume, progress=progress)
        except InputError:
            if not resume:
                raise
            # the checkpoint is of another recipe or version
            result = train(RECIPE, out, progress=progress)
        return [out / "model.safetensors", out / "golden.npz"], json.loads(
            json.dumps(result, default=str)
        )

    folder.run("train", key, work)


def demo(out_dir: Path | str = "build/digits", *, progress: Progress = silent) -> dict[str, Any]:
    """Train, compile, verify, synthesise for four targets, verify those, report.

    A second call redoes only what changed. Where the simulator's tools are missing its links are
    "not checked" and the rest is done all the same. Returns what `report` returns and ``failed``:
    whether a check failed, or a target does not fit or misses its clock.
    """
    out = Path(out_dir)
    _train_once(out, progress)
    compile(out, out, progress=progress)
    steps = _Steps(progress, 1 + 2 * len(DEMO_TARGETS))
    failed = False

    def place(target: str) -> bool:
        steps.note(f"{target}: synthesis, place and route")
        result = synth(out, target)
        steps.finish(f"{target}: routed" if result["fits"] else f"{target}: does not fit")
        if not result["fits"]:
            return True
        return _checked(target) or not result["clock_met"]

    def _checked(target: str | None) -> bool:
        steps.note(f"{target or 'model to Verilog'}: checks")
        result = verify(out, target=target, links="target" if target else "generic")
        steps.finish(f"{target or 'model to Verilog'}: checked")
        return bool(result["failed"] or result["undecided"])

    with ThreadPoolExecutor(max_workers=2) as pool:
        jobs = [pool.submit(place, target) for target in DEMO_TARGETS]
        jobs.insert(0, pool.submit(_checked, None))
        try:
            wait(jobs, return_when=FIRST_EXCEPTION)
            failed = True in {job.result() for job in jobs}
        except BaseException:
            for job in jobs:
                job.cancel()
            stop_all()
            raise
    return {**report(out), "failed": failed}
