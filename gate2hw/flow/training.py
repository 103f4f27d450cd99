"""train: a recipe to a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gate2hw.flow.build import Progress, silent

__all__ = ["train"]


def train(
    recipe: Path | str,
    out_dir: Path | str,
    *,
    overrides: Sequence[str] = (),
    data_dir: Path | str | None = None,
    device: str = "cpu",
    resume: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train `recipe` (a TOML file or a shipped recipe's name) into the folder `out_dir`.

    `overrides` are ``"section.key=value"`` texts. Writes `model.safetensors`, `golden.npz`,
    `history.csv`, `recipe.toml` and `checkpoint.safetensors`; returns the accuracies
    (fractions 0..1), `n_test`, `time_s` and the paths. Raises InputError for a bad recipe or data.
    """
    from gate2hw.nn import load_recipe
    from gate2hw.nn import train as train_network

    result = train_network(
        load_recipe(recipe, list(overrides)),
        Path(out_dir),
        data_dir=None if data_dir is None else Path(data_dir),
        device=device,
        resume=resume,
        progress=progress,
    )
    return asdict(result)
