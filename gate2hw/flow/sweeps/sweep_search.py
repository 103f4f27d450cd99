"""The search of a sweep, by Optuna: NSGA-II on (accuracy, LUT4), resumable from its journal.

Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE Transactions on
Evolutionary Computation 6(2), 2002.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from gate2hw.errors import InputError
from gate2hw.flow.sweeps.sweep_space import AREA_KEY, Settings, Space
from gate2hw.tools.workers import need_package

__all__ = ["JOURNAL", "Measure", "search"]

JOURNAL: Final = "study.journal"
_LEAST_POPULATION: Final = 4
Values: TypeAlias = tuple[float, float]
Measure: TypeAlias = Callable[[Sequence[Settings], int], list[Values | None]]
"""Trains settings, after so many others; (accuracy, LUT4) of each, None for what failed."""


def _suggest(trial: Any, space: Space) -> Settings:
    """The settings of a trial: a weight between the given ones, on a log scale; others as given."""
    settings: Settings = {}
    for key, values in space.axes.items():
        if key == AREA_KEY:
            low, high = _weight_range(space)
            settings[key] = f"{trial.suggest_float(key, low, high, log=True):.6g}"
        else:
            settings[key] = trial.suggest_categorical(key, list(values))
    return settings


def _weight_range(space: Space) -> tuple[float, float]:
    positive = [weight for weight in space.weights() if weight > 0]
    if len(positive) < 2:
        raise InputError(
            "a search needs two area weights above 0, the least and the greatest, as in "
            "--area-weight 0.01,1"
        )
    return positive[0], positive[-1]


def _open_study(optuna: Any, out_dir: Path, name: str, n_trials: int, seed: int) -> Any:
    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir / JOURNAL
    population = max(_LEAST_POPULATION, n_trials // 4)
    try:
        return optuna.create_study(
            study_name=name,
            storage=optuna.storages.JournalStorage(
                optuna.storages.journal.JournalFileBackend(str(path))
            ),
            sampler=optuna.samplers.NSGAIISampler(population_size=population, seed=seed),
            directions=["maximize", "minimize"],
            load_if_exists=True,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: is no journal of a search, or a damaged one ({type(error).__name__}: "
            f"{error}); delete it: finished trainings stay in trials/"
        ) from error


def search(
    space: Space,
    out_dir: Path,
    *,
    about: dict[str, Any],
    n_trials: int,
    n_at_once: int,
    measure: Measure,
    seed: int = 0,
) -> list[Settings]:
    """Try `n_trials` settings of `space`; returns all that were tried, in order.

    The journal in `out_dir` is resumed if it is of the same space and `about`: what was finished
    stays, what was begun is measured again under its number. The positive area weights that were
    given are tried first. `measure` is called with up to `n_at_once` settings.
    Raises ToolMissingError without Optuna, InputError for a space without a range to search.
    """
    if AREA_KEY in space.axes:
        _weight_range(space)
    optuna = need_package("optuna", "--search optuna", "sweep")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    key = json.dumps({"axes": space.axes, "fixed": space.fixed, **about}, sort_keys=True)
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    study = _open_study(optuna, out_dir, name, n_trials, seed)
    states = optuna.trial.TrialState
    if not study.trials:
        for weight in space.weights():
            if weight > 0:
                study.enqueue_trial({AREA_KEY: weight})
    begun = [trial for trial in study.trials if trial.state == states.RUNNING]
    # a killed sweep leaves trials that run nowhere: they come first, if they got as far as settings
    waiting = [(trial.number, dict(trial.user_attrs)) for trial in begun if trial.user_attrs]
    for trial in begun:
        if not trial.user_attrs:
            study.tell(trial.number, state=states.FAIL)
    finished = [states.COMPLETE, states.FAIL]
    while True:
        n_finished = len(study.get_trials(deepcopy=False, states=finished))
        left = n_trials - n_finished
        while len(waiting) < min(n_at_once, left):
            asked = study.ask()
            settings = _suggest(asked, space)
            for setting, value in settings.items():
                asked.set_user_attr(setting, value)
            waiting.append((asked.number, settings))
        if not waiting:
            break
        batch, waiting = waiting[:n_at_once], waiting[n_at_once:]
        found = measure([settings for _, settings in batch], n_finished)
        for (number, _), values in zip(batch, found, strict=True):
            if values is None:
                study.tell(number, state=states.FAIL)
            else:
                study.tell(number, list(values))
    tried = [dict(trial.user_attrs) for trial in study.trials if trial.user_attrs]
    return [settings for at, settings in enumerate(tried) if settings not in tried[:at]]
