"""train: a recipe to a model folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gate2hw.errors import InputError
from gate2hw.flow.build import Progress, silent

__all__ = ["find_data_dir", "recipe_digest", "train"]


DATA_VARIABLE = "GATE2HW_DATA"


def find_data_dir(given: Path | str | None) -> Path | None:
    """The folder of data files: the given one, else the environment's."""
    text = given if given is not None else os.environ.get(DATA_VARIABLE)
    if not text:
        return None
    if not Path(text).is_dir():
        name = "--data" if given is not None else DATA_VARIABLE
        raise InputError(f"{name} names {text}, which is no folder")
    return Path(text)


def recipe_digest(recipe: Path | str) -> str:
    """sha256 (hex) of everything that a recipe says."""
    from gate2hw.nn import load_recipe

    return hashlib.sha256(load_recipe(recipe).to_toml().encode()).hexdigest()


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

    `overrides` are ``"section.key=value"`` texts; `data_dir` is where data files are looked for
    (default: the environment variable GATE2HW_DATA). Writes `model.safetensors`, `golden.npz`,
    `history.csv`, `recipe.toml` and `checkpoint.safetensors`; returns the accuracies
    (fractions 0..1), `n_test`, `time_s` and the paths. Raises InputError for a bad recipe or data.
    """
    from gate2hw.nn import load_recipe
    from gate2hw.nn import train as train_network

    result = train_network(
        load_recipe(recipe, list(overrides)),
        Path(out_dir),
        data_dir=find_data_dir(data_dir),
        device=device,
        resume=resume,
        progress=progress,
    )
    return asdict(result)
