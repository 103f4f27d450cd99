"""Recipes: what to train on, which network, and how; TOML files with every key checked."""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

from gate2hw.errors import InputError, nearest
from gate2hw.nn.options import (
    AreaSpec,
    AugmentationSpec,
    ConvWiring,
    DenseWiring,
    DistillationSpec,
    GatesSpec,
    ThermometerSpec,
    TrainingSpec,
    WiringSpec,
)
from gate2hw.nn.options import number as _number

__all__ = [
    "AreaSpec",
    "AugmentationSpec",
    "ConvSpec",
    "DataSpec",
    "DenseSpec",
    "DistillationSpec",
    "GatesSpec",
    "HeadSpec",
    "LayerSpec",
    "PoolSpec",
    "Recipe",
    "ThermometerSpec",
    "TrainingSpec",
    "WiringSpec",
    "load_recipe",
    "parse_recipe",
    "recipes",
]


@dataclass(frozen=True)
class DataSpec:
    """Where the samples come from, and how they become integers.

    `source` is one of `gate2hw.nn.datasets.BUILT_IN` or the path of a .npz or a table (.csv,
    .parquet) whose column `target` holds the classes. Columns in `categorical` become a 0/1
    feature for each different cell, those in `leave_out` are not read. With `cuts`, every column
    of numbers becomes that many 0/1 features, ``value > cut``, at quantiles of the training
    samples; else numbers that are no small integers are quantised to `bits` bits. `check` compares
    the md5 of published files.
    """

    source: str = "digits"
    split: int = _number(0, 0, 4)
    validation_fraction: float = _number(0.15, 0, 0.5, open_low=True)
    target: str = ""
    categorical: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    cuts: int = _number(0, 0, 255)
    bits: int = _number(8, 1, 16)
    max_value: int = _number(0, 0, 65535)
    check: bool = True


@dataclass(frozen=True)
class ConvSpec:
    """A `LogicConv2d`; `candidates` is of top-k wiring, `reach` of local wiring."""

    kernels: int = _number(32, 1)
    field: int = _number(3, 1)
    depth: int = _number(2, 1, 8)
    channels_per_tree: int = _number(2, 1)
    stride: int = _number(1, 1)
    padding: int = _number(0, 0)
    wiring: ConvWiring = "balanced"
    candidates: int = _number(8, 2, 1024)
    reach: int = _number(1, 1)


@dataclass(frozen=True)
class PoolSpec:
    """An `OrPool2d`; stride 0 means the window."""

    window: int = _number(2, 1)
    stride: int = _number(0, 0)
    padding: int = _number(0, 0)


@dataclass(frozen=True)
class DenseSpec:
    """A `LogicDense`; `candidates` is of top-k wiring, `reach` of local wiring."""

    width: int = _number(1000, 1)
    wiring: DenseWiring = "balanced"
    candidates: int = _number(8, 2, 1024)
    reach: int = _number(1, 1)


_LARGEST: dict[type[Any], int | float] = {bool: 1, int: 2**31 - 1, float: 1e30}
"""No number of a recipe may be larger: weights and scores are float32, places int32."""
LayerSpec: TypeAlias = ConvSpec | PoolSpec | DenseSpec
_LAYERS: dict[str, type[Any]] = {"conv": ConvSpec, "or_pool": PoolSpec, "dense": DenseSpec}


@dataclass(frozen=True)
class HeadSpec:
    """The temperature that divides the scores in training."""

    tau: float = _number(4.0, 0, open_low=True)


@dataclass(frozen=True)
class Recipe:
    """A complete recipe; `folder` is where relative data paths start."""

    layers: tuple[LayerSpec, ...]
    name: str = "recipe"
    seed: int = _number(0, 0, 2**31 - 1)
    data: DataSpec = DataSpec()
    thermometer: ThermometerSpec = field(default_factory=ThermometerSpec)
    head: HeadSpec = HeadSpec()
    gates: GatesSpec = field(default_factory=GatesSpec)
    wiring: WiringSpec = field(default_factory=WiringSpec)
    augmentation: AugmentationSpec = field(default_factory=AugmentationSpec)
    distillation: DistillationSpec = field(default_factory=DistillationSpec)
    area: AreaSpec = field(default_factory=AreaSpec)
    training: TrainingSpec = field(default_factory=TrainingSpec)
    folder: str = field(default="", metadata={"internal": True})

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-like data, in the structure of the TOML file."""
        result = dataclasses.asdict(self)
        del result["folder"]
        names = {cls: name for name, cls in _LAYERS.items()}
        result["layers"] = [
            {"type": names[type(spec)], **dataclasses.asdict(spec)} for spec in self.layers
        ]
        plain: dict[str, Any] = json.loads(json.dumps(result))  # tuples become lists
        return plain

    def to_toml(self) -> str:
        """The recipe as TOML, every key written out."""
        tables = self.as_dict()
        layers = tables.pop("layers")
        top = {key: value for key, value in tables.items() if not isinstance(value, dict)}
        blocks = [_toml_lines(top)]
        for key, value in tables.items():
            if isinstance(value, dict):
                blocks.append([f"[{key}]", *_toml_lines(value)])
        blocks += [["[[layers]]", *_toml_lines(layer)] for layer in layers]
        return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _toml_lines(values: dict[str, Any]) -> list[str]:
    # JSON's strings, numbers and booleans are TOML's too
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def _short(value: Any) -> str:
    """`value` for a message; integers may have thousands of digits."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no integers of more than 4,300 digits
        return "far too large"
    return text if len(text) <= 60 else f"{text[:20]}... ({len(text)} characters)"


def _value(where: str, value: Any, hint: Any, metadata: types.MappingProxyType[Any, Any]) -> Any:
    """Check one value against its type hint and range; InputError naming the key."""
    choices = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise InputError(f"{where} is {value!r}, but must be a list, as in [1, 2]")
        return tuple(
            _value(f"{where}.{number}", item, choices[0], metadata)
            for number, item in enumerate(value)
        )
    if choices:
        if value not in choices:
            raise InputError(f"{where} is {value!r}; {nearest(str(value), choices)}")
        return value
    fits = isinstance(value, hint) or (hint is float and isinstance(value, int))
    if not fits or (isinstance(value, bool) and hint is not bool):
        wanted = {
            int: "an integer",
            float: "a number",
            str: "a text in quotes",
            bool: "true or false",
        }[hint]
        raise InputError(f"{where} is {_short(value)}, but must be {wanted}")
    if isinstance(value, int | float) and not abs(value) <= _LARGEST[hint]:
        raise InputError(
            f"{where} is {_short(value)}; it must be a number of at most {_LARGEST[hint]}"
        )
    if "low" in metadata:
        low, high, is_open = metadata["low"], metadata["high"], metadata["open_low"]
        if not low <= value <= high or (is_open and value == low) or value != value:
            bound = f"above {low}" if is_open else f"at least {low}"
            limit = "" if high == float("inf") else f" and at most {high}"
            raise InputError(f"{where} is {value}; it must be {bound}{limit}")
    return float(value) if hint is float else value


def _spec(cls: type[Any], where: str, table: Any) -> Any:
    """Build the dataclass `cls` from a TOML table, checking keys, types and ranges."""
    if not isinstance(table, dict):
        raise InputError(f"{where} is {table!r}, but must be a table of keys")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if not f.metadata.get("internal")}
    values: dict[str, Any] = {}
    for key, value in table.items():
        place = f"{where}.{key}" if where else key
        if key not in fields:
            raise InputError(f"unknown key {place!r}; {_nearest_key(key, fields)}")
        if dataclasses.is_dataclass(hints[key]):
            values[key] = _spec(typing.cast(type[Any], hints[key]), place, value)
        elif key == "layers":
            values[key] = _layers(value)
        else:
            values[key] = _value(place, value, hints[key], fields[key].metadata)
    return cls(**values)


def _nearest_key(key: str, fields: dict[str, Any]) -> str:
    """Like `nearest`, but looks into the tables of a recipe too."""
    text = nearest(key, fields)
    if "did you mean" in text or "layers" not in fields:
        return text
    inner = {
        f.name: f"{table}.{f.name}"
        for table, cls in typing.get_type_hints(Recipe).items()
        if dataclasses.is_dataclass(cls)
        for f in dataclasses.fields(cls)
    }
    close = difflib.get_close_matches(key, inner, n=1, cutoff=0.6)
    return f"did you mean {inner[close[0]]!r}? {text}" if close else text


def _layers(value: Any) -> tuple[LayerSpec, ...]:
    if not isinstance(value, list) or not value:
        raise InputError("layers must be one or more [[layers]] tables")
    specs: list[LayerSpec] = []
    for number, table in enumerate(value):
        where = f"layers.{number}"
        if not isinstance(table, dict):
            raise InputError(f"{where} is {table!r}, but must be a table of keys")
        rest = dict(table)
        kind = rest.pop("type", None)
        if not isinstance(kind, str) or kind not in _LAYERS:
            raise InputError(f"{where}.type is {kind!r}; {nearest(str(kind), _LAYERS)}")
        specs.append(_spec(_LAYERS[kind], where, rest))
    return tuple(specs)


def parse_recipe(table: dict[str, Any], *, name: str = "recipe", folder: str = "") -> Recipe:
    """Build and check a `Recipe` from TOML-like data; InputError names the key that is wrong."""
    if "layers" not in table:
        raise InputError(f"recipe {name!r} has no [[layers]]; give at least one")
    recipe: Recipe = _spec(Recipe, "", {"name": name, **table})
    _check_combinations(recipe)
    return dataclasses.replace(recipe, folder=folder)


def _check_combinations(recipe: Recipe) -> None:
    """Raise InputError where two keys of a recipe contradict each other."""
    thermometer, training = recipe.thermometer, recipe.training
    if (thermometer.kind == "fixed") != bool(thermometer.thresholds):
        raise InputError(
            f"thermometer.kind is {thermometer.kind!r} and thermometer.thresholds is "
            f"{list(thermometer.thresholds)}; give a list of thresholds with kind 'fixed', and "
            "only there"
        )
    if training.warmup_steps >= training.steps:
        raise InputError(
            f"training.warmup_steps is {training.warmup_steps}; it must be below training.steps, "
            f"{training.steps}"
        )
    if all(isinstance(layer, PoolSpec) for layer in recipe.layers):
        raise InputError("layers are pools only; give at least one of type 'conv' or 'dense'")
    if recipe.area.start >= recipe.area.end:
        raise InputError(
            f"area.start is {recipe.area.start}; it must be below area.end, {recipe.area.end}"
        )
    gates = recipe.gates
    if gates.harden_until and not gates.harden_at <= gates.harden_until < 1:
        raise InputError(
            f"gates.harden_until is {gates.harden_until}; it must be at least gates.harden_at, "
            f"{gates.harden_at}, and below 1"
        )
    augmentation = recipe.augmentation
    changes = augmentation.shift or augmentation.crop or augmentation.flip
    if recipe.distillation.teacher_logits and changes:
        raise InputError(
            "distillation.teacher_logits are of the samples as they are, so that augmentation "
            "would ask for others; switch one of the two off, or give train() a teacher to call"
        )


def recipes() -> tuple[str, ...]:
    """Names of the shipped recipes."""
    folder = resources.files("gate2hw.nn") / "recipes"
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name[:-5] for name in names if name.endswith(".toml")))


def _override(table: dict[str, Any], text: str) -> None:
    """Apply one ``a.b=value``; the value is TOML, or a bare text."""
    path, equals, raw = text.partition("=")
    if not equals or not path.strip():
        raise InputError(f"--set {text!r}: expected key=value, as in training.steps=100")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except ValueError:  # TOMLDecodeError, or an integer of thousands of digits
        value = raw.strip()
    place: Any = table
    *parents, last = path.strip().split(".")
    for depth, key in enumerate([*parents, last]):
        is_last = depth == len(parents)
        if isinstance(place, list):
            if not key.isdigit() or int(key) >= len(place):
                raise InputError(
                    f"--set {text!r}: there is no layer {key!r}, allowed are 0..{len(place) - 1}"
                )
            if is_last:
                place[int(key)] = value
            else:
                place = place[int(key)]
        elif not isinstance(place, dict):
            raise InputError(f"--set {text!r}: {key!r} lies below a value, not a table")
        elif is_last:
            place[key] = value
        else:
            place = place.setdefault(key, {})


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Load a shipped recipe by name or a TOML file by path, then apply ``a.b=value`` overrides.

    Layers are addressed by number: ``layers.1.width=500``. Raises InputError for an unknown
    recipe, unreadable TOML, an unknown key (with the nearest one), a wrong type or range.
    """
    path = Path(name_or_path)
    shipped = recipes()
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            raise InputError(f"{path}: no such recipe file; shipped recipes: {', '.join(shipped)}")
        try:
            text, folder = path.read_text(encoding="utf-8"), str(path.resolve().parent)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read as a recipe ({error})") from error
    elif str(name_or_path) in shipped:
        resource = resources.files("gate2hw.nn") / "recipes" / f"{name_or_path}.toml"
        text, folder = resource.read_text(encoding="utf-8"), ""
    else:
        raise InputError(
            f"unknown recipe {str(name_or_path)!r}; {nearest(str(name_or_path), shipped)}, "
            "or the path of a .toml file"
        )
    try:
        table = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or an integer of thousands of digits
        raise InputError(f"recipe {name_or_path}: not valid TOML ({error})") from error
    for override in overrides:
        _override(table, override)
    return parse_recipe(table, name=path.stem, folder=folder)
