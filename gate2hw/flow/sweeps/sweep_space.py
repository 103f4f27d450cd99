"""What a sweep varies: settings as ``key=a,b,c``, all combinations of them, or a search space."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from gate2hw.errors import InputError

__all__ = ["AREA_KEY", "Settings", "Space", "make_space", "overrides_of"]

AREA_KEY: Final = "area.weight"
Settings: TypeAlias = dict[str, str]
"""Key to value, as ``--set key=value`` would give them."""


@dataclass(frozen=True)
class Space:
    """Each `axes` key with its values, in the order given; keys of one value only are `fixed`."""

    axes: dict[str, tuple[str, ...]]
    fixed: Settings

    def grid(self) -> list[Settings]:
        """All combinations; the last axis changes fastest."""
        values = itertools.product(*self.axes.values())
        return [dict(zip(self.axes, chosen, strict=True)) for chosen in values]

    def corners(self) -> list[Settings]:
        """The first value of each axis, with each value of one axis in its turn."""
        first = {key: values[0] for key, values in self.axes.items()}
        return [{**first, key: value} for key, values in self.axes.items() for value in values]

    def weights(self) -> list[float]:
        """The area weights, rising."""
        return sorted(float(text) for text in self.axes.get(AREA_KEY, ()))


def _split(text: str) -> list[str]:
    """`text` cut at commas that stand outside brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append("")
            continue
        parts[-1] += character
    return [part.strip() for part in parts]


def _axis(text: str) -> tuple[str, tuple[str, ...]]:
    key, equals, values = text.partition("=")
    key = key.strip()
    parts = tuple(dict.fromkeys(_split(values)))
    if not equals or not key or "" in parts:
        raise InputError(f"--set {text!r}: expected key=a,b,c, as in layers.3.width=500,1000")
    return key, parts


def make_space(area_weights: Sequence[float], settings: Sequence[str]) -> Space:
    """The space of `area_weights` and of texts ``key=a,b,c``; a single value is no axis.

    Raises InputError for a weight that is negative or no number, for a text without values, and
    where a key is given twice.
    """
    bad = [weight for weight in area_weights if not (0 <= weight < math.inf)]
    if bad:
        raise InputError(f"--area-weight {bad[0]}: a weight is a number from 0 on")
    axes: dict[str, tuple[str, ...]] = {}
    fixed: Settings = {}
    if area_weights:
        axes[AREA_KEY] = tuple(dict.fromkeys(f"{weight:.6g}" for weight in area_weights))
    for text in settings:
        key, values = _axis(text)
        if key in axes or key in fixed:
            raise InputError(f"--set {text!r}: {key} is given twice")
        if key == "seed":
            raise InputError("--set seed: the seeds of a sweep are given by --seeds")
        if len(values) == 1:
            fixed[key] = values[0]
        else:
            axes[key] = values
    if not axes:
        raise InputError(
            "nothing to sweep over; give --area-weight 0,0.1,0.3 or --set key=a,b with two values"
        )
    return Space(axes, fixed)


def overrides_of(space: Space, settings: Settings, seed: int) -> list[str]:
    """The ``key=value`` texts that make a recipe of `settings`."""
    chosen = {**space.fixed, **settings, "seed": json.dumps(seed)}
    return [f"{key}={value}" for key, value in chosen.items()]
