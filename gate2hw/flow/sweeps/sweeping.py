"""sweep: many trainings of a recipe, and the front of accuracy against LUTs that they make.

`DIR/trials/` holds a folder for each recipe and data that were trained, named by their digest:
what is finished there is never done again. Settings are chosen by the validation split; of the
test split, which each training measures once at its end, the front alone is reported.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from gate2hw.errors import CheckFailedError, InputError, nearest
from gate2hw.flow.build import Progress, silent
from gate2hw.flow.sweeps.sweep_search import search as search_settings
from gate2hw.flow.sweeps.sweep_space import (
    AREA_KEY,
    Settings,
    Space,
    make_space,
    overrides_of,
)
from gate2hw.flow.sweeps.sweep_trial import (
    Trial,
    failure,
    make_trial,
    read_trial,
    run_trial,
    test_accuracy,
    trial_digest,
)
from gate2hw.flow.training import find_data_dir
from gate2hw.ir.store import write_text
from gate2hw.report.pareto import Sweep, SweepPoint, front_plot, points_csv, render_sweep
from gate2hw.report.write import report_text
from gate2hw.tools.workers import held, run_jobs

if TYPE_CHECKING:
    from gate2hw.nn import Recipe

__all__ = ["SEARCHES", "Search", "front_of", "sweep"]

Search = Literal["grid", "optuna"]
SEARCHES: Final[tuple[Search, ...]] = ("grid", "optuna")
_AVERAGED: Final = ("luts4", "luts4_gates", "luts4_popcount", "gates", "outputs")


def front_of(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Which points no other beats, by rising cost: none has less cost and as much value, or the
    same cost and more value. Of equal points the first stays."""
    order = sorted(range(len(costs)), key=lambda i: (costs[i], -values[i], i))
    front: list[int] = []
    for i in order:
        if not front or values[i] > values[front[-1]]:
            front.append(i)
    return front


@dataclass(frozen=True)
class _Runner:
    """Trains settings with all seeds, several at once, and says how far it is."""

    recipe: Path | str
    space: Space
    out_dir: Path
    seeds: tuple[int, ...]
    n_workers: int
    dask: str | None
    data_dir: Path | None
    device: str
    progress: Progress
    planned: dict[tuple[str, ...], list[Trial] | str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """Reasons of the trials that failed in this sweep, by digest; they are not done again."""

    def data_digest(self, recipe: Recipe) -> str:
        """The digest of a recipe's data, loaded once for each [data]; InputError for bad ones."""
        from gate2hw.nn import load_recipe_data

        key = repr(asdict(recipe.data))
        if key not in self.data:
            self.data[key] = load_recipe_data(recipe, self.data_dir).digest
        return self.data[key]

    def plan(self, settings: Settings) -> list[Trial]:
        """The trials of one setting, one a seed; InputError where they make no valid recipe."""
        from gate2hw.nn import load_recipe

        overrides = [overrides_of(self.space, settings, seed) for seed in self.seeds]
        data_digest = self.data_digest(load_recipe(self.recipe, overrides[0]))
        return [
            make_trial(
                self.recipe,
                texts,
                self.out_dir / "trials",
                data_dir=self.data_dir,
                data_digest=data_digest,
                device=self.device,
            )
            for texts in overrides
        ]

    def trials(self, settings: Settings) -> list[Trial]:
        """The trials of one setting, planned once; none where they make no valid recipe."""
        planned = self._planned(settings)
        return [] if isinstance(planned, str) else planned

    def _planned(self, settings: Settings) -> list[Trial] | str:
        key = tuple(f"{name}={value}" for name, value in settings.items())
        if key not in self.planned:
            try:
                self.planned[key] = self.plan(settings)
            except InputError as error:
                self.planned[key] = str(error)
        return self.planned[key]

    def distinct(self, tried: Sequence[Settings]) -> list[Settings]:
        """`tried` without those that make the same recipes as one before, as 0.1 and 0.10 do."""
        found: dict[tuple[str, ...], Settings] = {}
        for settings in tried:
            planned = self._planned(settings)
            texts = (planned, str(settings)) if isinstance(planned, str) else ()
            found.setdefault(texts or tuple(t.digest for t in self.trials(settings)), settings)
        return list(found.values())

    def reasons(self, settings: Settings) -> list[str | None]:
        """Why the trials of one setting have no result, one a seed; None for one that has."""
        planned = self._planned(settings)
        if isinstance(planned, str):
            return [planned] * len(self.seeds)
        return [
            None
            if read_trial(trial) is not None
            else self.failed.get(trial.digest) or failure(trial)
            for trial in planned
        ]

    def results(self, chosen: Sequence[Settings], before: int, total: int) -> None:
        """Do the trials of `chosen` that are not done; `before` of `total` are done already."""
        trials = {trial.digest: trial for one in chosen for trial in self.trials(one)}
        todo = [
            trial
            for trial in trials.values()
            if trial.digest not in self.failed and read_trial(trial) is None
        ]
        done = before + len(trials) - len(todo)
        self.progress(done, total, f"training {len(todo)} of {len(trials)} networks")
        alone = self.n_workers == 1 and self.dask is None
        work: Callable[[Trial], dict[str, Any]] = run_trial
        if alone:
            work = self._watched(lambda: done, total)
        for number, found in run_jobs(work, todo, n_workers=self.n_workers, dask=self.dask):
            done += 1
            if "failed" in found:
                self.failed[todo[number].digest] = str(found["failed"])
            name = ", ".join(todo[number].overrides)
            text = f"FAILED: {found['failed']}" if "failed" in found else _line(found)
            self.progress(done, total, f"{name}: {text}")

    def _watched(self, done: Callable[[], int], total: int) -> Callable[[Trial], dict[str, Any]]:
        """`run_trial`, telling the progress within a trial too."""

        def work(trial: Trial) -> dict[str, Any]:
            def inner(step: int, steps: int, message: str) -> None:
                # up to its first comma a message says of what kind it is: see cli/console.py
                share = f"{100 * step // steps} %: " if steps else ""
                self.progress(done(), total, f"trial {done() + 1}, {share}{message}")

            return run_trial(trial, inner)

        return work


def _line(found: dict[str, Any]) -> str:
    return f"{found['accuracy_validation']:.2%} on validation, {found['luts4']:,} LUT4"


def _point(runner: _Runner, settings: Settings) -> SweepPoint | None:
    """The mean over the seeds that were trained; None if none was."""
    found = [(trial, read_trial(trial)) for trial in runner.trials(settings)]
    done = [(trial, result) for trial, result in found if result is not None]
    if not done:
        return None
    results = [result for _, result in done]
    accuracies = [float(result["accuracy_validation"]) for result in results]
    mean = {key: statistics.fmean(float(result[key]) for result in results) for key in _AVERAGED}
    return SweepPoint(
        number=0,
        settings=settings,
        n_seeds=len(done),
        accuracy_validation=statistics.fmean(accuracies),
        accuracy_validation_std=statistics.stdev(accuracies) if len(done) > 1 else None,
        luts4=mean["luts4"],
        luts4_gates=mean["luts4_gates"],
        luts4_popcount=mean["luts4_popcount"],
        gates=mean["gates"],
        outputs=mean["outputs"],
        on_front=False,
        accuracy_test=None,
        folders=[f"trials/{Path(trial.folder).name}" for trial, _ in done],
    )


def _points(runner: _Runner, tried: Sequence[Settings]) -> list[SweepPoint]:
    """All settings by rising LUTs, the front marked, and its test accuracy looked up at last.

    A mean over fewer seeds than asked for is no match for the others: it is not on the front.
    """
    points = [point for one in tried if (point := _point(runner, one)) is not None]
    points.sort(key=lambda point: (point["luts4"], -point["accuracy_validation"]))
    whole = [i for i, point in enumerate(points) if point["n_seeds"] == len(runner.seeds)]
    front = front_of(
        [points[i]["luts4"] for i in whole], [points[i]["accuracy_validation"] for i in whole]
    )
    for number, point in enumerate(points, start=1):
        point["number"] = number
    for place in front:
        point = points[whole[place]]
        point["on_front"] = True
        found = [test_accuracy(trial) for trial in runner.trials(point["settings"])]
        known = [value for value in found if value is not None]
        if len(known) == len(found):
            point["accuracy_test"] = statistics.fmean(known)
    return points


def _failures(runner: _Runner, tried: Sequence[Settings]) -> list[dict[str, Any]]:
    failed = []
    for settings in tried:
        for seed, reason in zip(runner.seeds, runner.reasons(settings), strict=True):
            if reason is not None:
                failed.append({"settings": settings, "seed": seed, "reason": reason})
    return failed


def _search(runner: _Runner, first: Recipe, n_trials: int) -> list[Settings]:
    """The settings that Optuna chose; before them, if 0 is among the weights, the recipe with
    area weight 0 and the first value of each other key. `first`, without any of them, and its data
    say which study it is."""
    space, n_seeds = runner.space, len(runner.seeds)
    plain: list[Settings] = []
    if 0 in space.weights():
        plain = [{**space.corners()[0], AREA_KEY: "0"}]
    total = (len(plain) + n_trials) * n_seeds
    runner.results(plain, 0, total)

    def measure(batch: Sequence[Settings], n_before: int) -> list[tuple[float, float] | None]:
        runner.results(batch, (len(plain) + n_before) * n_seeds, total)
        points = [_point(runner, one) for one in batch]
        return [
            (point["accuracy_validation"], point["luts4"])
            if point is not None and point["n_seeds"] == n_seeds
            else None
            for point in points
        ]

    chosen = search_settings(
        space,
        runner.out_dir,
        about={
            "trial": trial_digest(first.to_toml(), runner.data_digest(first)),
            "seeds": runner.seeds,
        },
        n_trials=n_trials,
        n_at_once=max(1, runner.n_workers // n_seeds),
        measure=measure,
    )
    tried = plain + [one for one in chosen if one not in plain]
    runner.results(tried, 0, len(tried) * n_seeds)  # what failed, or lost its record, before now
    return tried


def _write(out_dir: Path, found: Sweep) -> dict[str, str]:
    """Write the pages of a sweep; their paths by kind."""
    points = found["points"]
    pages = {
        "sweep.json": report_text(found),
        "sweep.html": render_sweep(found),
        "points.csv": points_csv(points),
        "front.csv": points_csv([point for point in points if point["on_front"]]),
    }
    if any(point["on_front"] for point in points):
        pages["front.svg"] = front_plot(points).svg
    for name, text in pages.items():
        write_text(out_dir / name, text)
    return {name: str(out_dir / name) for name in pages}


def _swept(runner: _Runner, first: Recipe, n_trials: int) -> Sweep:
    """Train what is to be tried (all combinations, or `n_trials` of a search) and sum it up."""
    n_seeds = len(runner.seeds)
    if n_trials:
        tried = runner.distinct(_search(runner, first, n_trials))
    else:
        tried = runner.distinct(runner.space.grid())
        runner.results(tried, 0, len(tried) * n_seeds)
    return Sweep(
        recipe=first.name,
        n_seeds=n_seeds,
        search=f"{n_trials} trials by Optuna's NSGA-II" if n_trials else "all combinations",
        points=_points(runner, tried),
        failed=_failures(runner, tried),
    )


def sweep(
    recipe: Path | str,
    out_dir: Path | str,
    *,
    area_weights: Sequence[float] = (),
    settings: Sequence[str] = (),
    seeds: int = 1,
    search: Search = "grid",
    trials: int = 0,
    jobs: int = 1,
    dask: str | None = None,
    data_dir: Path | str | None = None,
    device: str = "cpu",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train `recipe` with many settings and find the front of accuracy against LUT4.

    `area_weights` and `settings` (texts ``key=a,b,c``) span the space. ``search="grid"`` tries all
    combinations, ``"optuna"`` `trials` of them, with area weights anywhere between the least and
    the greatest. Each is trained with the recipe's seed and the `seeds` - 1 after it. `jobs`
    processes work at once, or the workers of the Dask scheduler at the address `dask` (`jobs` is
    then how many a search asks for at once). Writes sweep.json, sweep.html, front.svg, front.csv
    and points.csv into `out_dir`, and a build folder for each training under `out_dir`/trials;
    finished ones are kept, killed ones go on from their checkpoint.
    Returns what sweep.json holds, and the paths as ``files``. Raises InputError for a value that
    makes no valid recipe together with the first values of the other keys, before anything is
    trained; any other combination that makes none is among the failed ones. Raises InputError too
    while another sweep works in `out_dir`, and CheckFailedError where every trial failed.
    """
    from gate2hw.nn import load_recipe

    if search not in SEARCHES:
        raise InputError(f"unknown search {search!r}; {nearest(search, SEARCHES)}")
    if seeds < 1 or jobs < 1:
        raise InputError(f"--seeds {seeds}, --jobs {jobs}: both must be at least 1")
    if (search == "optuna") != (trials > 0):
        raise InputError("--trials N and --search optuna go together")
    space = make_space(area_weights, settings)
    first = load_recipe(recipe, [f"{key}={value}" for key, value in space.fixed.items()])
    runner = _Runner(
        recipe,
        space,
        Path(out_dir),
        tuple(range(first.seed, first.seed + seeds)),
        jobs,
        dask,
        find_data_dir(data_dir),
        device,
        progress,
    )
    for one in space.corners():
        runner.plan(one)
    with held(runner.out_dir) as is_ours:
        if not is_ours:
            raise InputError(
                f"{out_dir}: another sweep works in this folder; wait for it, or name another one"
            )
        found = _swept(runner, first, trials)
        files = _write(runner.out_dir, found)
    if not found["points"]:
        reason = found["failed"][0]["reason"]
        raise CheckFailedError(f"all {len(found['failed'])} trials failed; the first: {reason}")
    return {**found, "files": files}
