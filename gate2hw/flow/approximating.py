"""The lossy step of compile: an accuracy budget buys smaller hardware, and a new root of the chain.

The budget is spent on the validation split. A few hundred validation images move in steps of half
a percent, so a second, smooth measure guards it: the mean probability that softmax(score / tau),
tau as in training, gives the right class on training and validation samples may not fall by more
than the budget either. The test split is looked at once, when all is done.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.flow.build import Progress
from gate2hw.flow.training import find_data_dir
from gate2hw.ir.netlist import Encoder, Netlist
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.simulate import check_input, classes, encode, pack, scores
from gate2hw.ir.store import Golden
from gate2hw.passes.approximate import approximate

__all__ = ["Lossy", "Samples", "approximate_within", "load_samples"]

MAX_TRAINING: Final = 4096
"""Training samples that decide which signals agree; more cost time and change little."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Samples:
    """Quantised training and validation samples, (N, *shape) and (N,)."""

    x_train: npt.NDArray[Any]
    y_train: Integers
    x_validation: npt.NDArray[Any]
    y_validation: Integers
    where: str = "samples"

    def check(self, encoder: Encoder, n_classes: int) -> None:
        """Raise InputError, naming file and array, where the samples do not fit the model."""
        for part in ("train", "validation"):
            x, y = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
            where = f"{self.where}, {part} samples"
            try:
                check_input(encoder, x)
            except InputError as error:
                raise InputError(f"{where}: {error}") from error
            if y.min() < 0 or y.max() >= n_classes:
                raise InputError(
                    f"{where}: labels {y.min()}..{y.max()}, the model has {n_classes} classes "
                    f"(0..{n_classes - 1})"
                )

    def digest(self) -> str:
        """sha256 (hex) of all samples."""
        sha = hashlib.sha256()
        for array in (self.x_train, self.y_train, self.x_validation, self.y_validation):
            sha.update(f"{array.dtype.str}{array.shape}".encode())
            sha.update(np.ascontiguousarray(array).tobytes())
        return sha.hexdigest()


@dataclass(frozen=True)
class Lossy:
    """The new root, its golden file (None without one before), and what the report says of it."""

    net: Netlist
    golden: Golden | None
    record: dict[str, Any]


def _from_file(path: Path) -> Samples:
    names = ("x", "y", "x_validation", "y_validation")
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in names if name not in archive.files]
            arrays = {name: archive[name] for name in names if name not in missing}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: not a readable .npz; samples are the arrays {', '.join(names)} in one"
        ) from error
    if missing:
        raise InputError(
            f"{path}: lacks {', '.join(missing)}; the samples of an accuracy budget are the arrays "
            f"{', '.join(names)}"
        )
    for part in ("", "_validation"):
        x, y = arrays[f"x{part}"], arrays[f"y{part}"]
        if not x.ndim or y.ndim != 1 or y.dtype.kind not in "iu" or not len(x) == len(y) > 0:
            raise InputError(
                f"{path}: x{part} has shape {x.shape} and y{part} shape {y.shape} of {y.dtype}; "
                "expected (N, ...) and (N,) integers, N at least 1"
            )
    x, y, x_validation, y_validation = (arrays[name] for name in names)
    return Samples(x, y, x_validation, y_validation, where=str(path))


def load_samples(
    model: Path | None, samples: Path | str | None, data_dir: Path | str | None
) -> Samples:
    """Training and validation samples: from the .npz `samples`, else by the recipe of `model`.

    The recipe is `recipe.toml` beside the model file; `data_dir` is where its data lie. Reading
    by recipe needs torch, as training does. Raises InputError where neither is there.
    """
    if samples is not None:
        return _from_file(Path(samples))
    recipe = None if model is None else model.with_name("recipe.toml")
    if recipe is None or not recipe.is_file():
        raise InputError(
            "an accuracy budget needs training samples, and no recipe.toml stands beside the "
            "model: give --samples FILE.npz with x, y, x_validation and y_validation"
        )
    from gate2hw.nn import load_recipe
    from gate2hw.nn.data import load_recipe_data

    data = load_recipe_data(load_recipe(recipe), find_data_dir(data_dir))
    return Samples(data.x_train, data.y_train, data.x_validation, data.y_validation)


def _probability(score: Integers, y: Integers, tau: float) -> float:
    """Mean softmax(score / tau) of the right class."""
    power = np.exp((score - score.max(axis=1, keepdims=True)) / tau)
    right = power[np.arange(len(y)), y] / power.sum(axis=1)
    return float(right.mean())


def _measure(net: Netlist, samples: Samples, tau: float) -> Callable[[Netlist], float]:
    """Validation accuracy, or what is left of it by the smooth measure if that is less."""
    x = np.concatenate([samples.x_train, samples.x_validation])
    y = np.concatenate([samples.y_train, samples.y_validation])
    n_train = len(samples.y_train)

    def both(candidate: Netlist) -> tuple[float, float]:
        found = scores(candidate, x)
        right = classes(found)[n_train:] == samples.y_validation
        return float(right.mean()), _probability(found, y, tau)

    accuracy, probability = both(net)

    def score(candidate: Netlist) -> float:
        hard, soft = both(candidate)
        return min(hard, accuracy + soft - probability)

    return score


def _accuracy(net: Netlist, x: npt.NDArray[Any], y: Integers) -> float:
    return float((classes(scores(net, x)) == y).mean())


def _new_golden(golden: Golden, net: Netlist) -> Golden:
    """What the new root says on the same test inputs, by the reference simulator."""
    found = scores(net, golden.x)
    return Golden(
        golden.x, golden.y, found, classes(found), net.digest, golden.class_names, golden.info
    )


def approximate_within(
    net: Netlist,
    network: LogicNetwork,
    samples: Samples,
    golden: Golden | None,
    *,
    budget: float,
    count_luts: Callable[[Netlist], int],
    progress: Progress,
) -> Lossy:
    """Approximate the optimised `net` within `budget`, a fraction of validation accuracy.

    The result's digest is its own; the record holds the curve of gates, LUTs and accuracy
    (fractions) and the accuracies of before and after. Raises InputError for samples that do not
    fit the model.
    """
    assert net.encoder is not None
    samples.check(net.encoder, net.n_classes)
    few = Samples(
        samples.x_train[:MAX_TRAINING],
        samples.y_train[:MAX_TRAINING],
        samples.x_validation,
        samples.y_validation,
    )
    found = approximate(
        net,
        words=pack(encode(net.encoder, few.x_train)),
        n_samples=len(few.x_train),
        score=_measure(net, few, network.group_sum.tau),
        budget=budget,
        cost=count_luts,
        progress=progress,
    )
    root = found.net
    x, y = few.x_validation, few.y_validation
    record: dict[str, Any] = {
        "budget": budget,
        "exact_digest": net.digest,
        "n_training": len(few.x_train),
        "n_validation": len(y),
        "validation": {"exact": _accuracy(net, x, y), "approximate": _accuracy(root, x, y)},
        "curve": [asdict(point) for point in found.curve],
    }
    new_golden = None
    if golden is not None:
        new_golden = _new_golden(golden, root)
        record["test"] = {"exact": golden.accuracy, "approximate": new_golden.accuracy}
    return Lossy(root, new_golden, record)
