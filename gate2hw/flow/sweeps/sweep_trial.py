"""One trial of a sweep: train, compile, count; done once, in a folder named by recipe and data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gate2hw import __version__
from gate2hw.errors import Gate2HWError, InputError, ModelFileError
from gate2hw.flow.build import Progress, silent
from gate2hw.flow.compiling import compile as compile_model
from gate2hw.flow.training import train
from gate2hw.ir.counters import popcount_cost
from gate2hw.ir.store import load_golden, load_netlist, write_text
from gate2hw.tools.workers import held

__all__ = [
    "TRIAL",
    "Trial",
    "failure",
    "make_trial",
    "read_trial",
    "run_trial",
    "test_accuracy",
    "trial_digest",
]

TRIAL: Final = "trial.json"
SCHEMA: Final = 1
BUSY: Final = "another process trains it; run the same command again when that is done"
_MEASURED: Final = {
    "accuracy_validation": float,
    "luts4": int,
    "luts4_gates": int,
    "luts4_popcount": int,
    "gates": int,
    "outputs": int,
    "time_s": float,
}


@dataclass(frozen=True)
class Trial:
    """What a worker needs to know; `digest` is the `trial_digest` of recipe, seed and data."""

    recipe: str
    overrides: tuple[str, ...]
    digest: str
    folder: str
    data_dir: str | None = None
    device: str = "cpu"
    data_digest: str = ""


def trial_digest(recipe_toml: str, data_digest: str) -> str:
    """sha256 (hex) of a whole recipe and, where it is given, the digest of its data."""
    text = f"{recipe_toml}\n# data {data_digest}\n" if data_digest else recipe_toml
    return hashlib.sha256(text.encode()).hexdigest()


def make_trial(
    recipe: Path | str,
    overrides: Sequence[str],
    trials_dir: Path,
    *,
    data_dir: Path | None = None,
    data_digest: str = "",
    device: str = "cpu",
) -> Trial:
    """The trial of a recipe with `overrides`; InputError where they make no valid recipe.

    With `data_digest`, `gate2hw.nn.Dataset.digest`, the same recipe on other data is another trial.
    A recipe's file is named by its whole path, for workers that run elsewhere.
    """
    from gate2hw.nn import load_recipe

    digest = trial_digest(load_recipe(recipe, list(overrides)).to_toml(), data_digest)
    return Trial(
        str(Path(recipe).resolve() if Path(recipe).is_file() else recipe),
        tuple(overrides),
        digest,
        str((trials_dir / digest[:16]).resolve()),
        None if data_dir is None else str(data_dir.resolve()),
        device,
        data_digest,
    )


def read_trial(trial: Trial) -> dict[str, Any] | None:
    """What a finished trial measured; None where it is not finished, failed or is another's."""
    path = Path(trial.folder) / TRIAL
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if found["schema"] != SCHEMA or found["digest"] != trial.digest or "failed" in found:
            return None
        if [type(found[key]) for key in _MEASURED] != list(_MEASURED.values()):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found


def failure(trial: Trial) -> str:
    """Why a trial that `read_trial` knows no result of has none."""
    try:
        found = json.loads((Path(trial.folder) / TRIAL).read_text(encoding="utf-8"))
        if found["digest"] == trial.digest:
            return str(found["failed"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return "it left no record; run the same command again"


def test_accuracy(trial: Trial) -> float | None:
    """Accuracy on the test split, by the golden file of a finished trial; None without one."""
    path = Path(trial.folder) / "golden.npz"
    return load_golden(path).accuracy if path.is_file() else None


def _measure(trial: Trial, progress: Progress) -> dict[str, Any]:
    """Train (from the checkpoint, if there is one) and compile; accuracy and LUT4."""
    from gate2hw.nn import load_recipe

    recipe = load_recipe(trial.recipe, list(trial.overrides))
    if trial_digest(recipe.to_toml(), trial.data_digest) != trial.digest:
        raise InputError(
            f"{trial.recipe}: was edited after the sweep began, or is another file where the "
            "training runs; run the sweep again"
        )

    def train_it(resume: bool) -> dict[str, Any]:
        return train(
            trial.recipe,
            trial.folder,
            overrides=trial.overrides,
            data_dir=trial.data_dir,
            device=trial.device,
            resume=resume,
            progress=progress,
        )

    try:
        trained = train_it(resume=True)
    except ModelFileError:  # the checkpoint is cut short, or of another version
        trained = train_it(resume=False)
    step = compile_model(trial.folder, trial.folder, progress=progress)
    net = load_netlist(Path(trial.folder) / "netlist.npz")
    luts, head = step.result["luts4"]["luts"], popcount_cost(net).luts4
    return {
        "accuracy_validation": float(trained["accuracy_validation"]),
        "luts4": luts + head,
        "luts4_gates": luts,
        "luts4_popcount": head,
        "gates": net.n_gates,
        "outputs": net.n_outputs,
        "time_s": round(float(trained["time_s"]) + step.time_s, 3),
    }


def run_trial(trial: Trial, progress: Progress = silent) -> dict[str, Any]:
    """What a trial measured, from its folder if it is finished, and written there if not.

    Accuracies are fractions; `luts4` counts gates and popcounts, without encoder and argmax. A
    trial that fails gives ``{"failed": reason}`` instead, so that the others go on; the next sweep
    or search tries it again. So does one that another process trains at this moment, but nothing
    is written then.
    """
    with held(Path(trial.folder)) as is_ours:
        found = read_trial(trial)
        if found is not None:
            return found
        if not is_ours:
            return {"failed": BUSY}
        return _run(trial, progress)


def _run(trial: Trial, progress: Progress) -> dict[str, Any]:
    about = {
        "schema": SCHEMA,
        "digest": trial.digest,
        "overrides": list(trial.overrides),
        "version": __version__,
    }
    try:
        measured = _measure(trial, progress)
    except Gate2HWError as error:
        measured = {"failed": str(error)}
    except Exception as error:  # whatever it is, the other trials must not be lost
        measured = {"failed": f"{type(error).__name__}: {error}"}
    about |= measured
    text = json.dumps(about, indent=1, sort_keys=True) + "\n"
    write_text(Path(trial.folder) / TRIAL, text)
    return about
