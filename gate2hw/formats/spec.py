"""The spec of an import: what a state dict does not say about its model, as TOML.

    [input]
    shape = [1, 28, 28]            # (channels, rows, columns) or (features,)
    max_value = 255                # integers 0..max_value; the model saw x / scale + offset
    scale = 255.0                  # default: max_value
    offset = 0.0
    thresholds = [0.25, 0.5]       # of all channels, or a list for each, or the key of a tensor
    order = "channel-major"        # or "threshold-major" (difflogic), "interleaved"

    [gates]
    parametrisation = "raw"        # or "warp", "light"
    id_order = "msb"               # bit of f(0,0) in a gate id: "msb" (difflogic), "lsb" (forks)

    [[layers]]                     # only where the model has more than dense layers
    op = "conv"                    # "conv", "pool", "dense"
    key = "2"                      # prefix of its tensors
    field = 3                      # conv; window for pool; a number, or [rows, columns]
    stride = 1
    padding = 0

    [wiring]                       # of difflogic, in place of a file: how torch drew it
    seed = 0                       # torch.manual_seed before the model was built
    connections = "random"         # or "unique"
    device = "cpu"                 # of the model while it was built, or "cuda"
    before = [60000]               # sizes of what was permuted or split between seed and model

    [output]
    classes = 10
    tau = 10.0
    beta = 0.0
    class_names = ["zero", ...]

Without an input table the model reads bits: values 0 and 1, one threshold between them.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from gate2hw.errors import InputError, nearest

__all__ = ["DrawSpec", "ImportSpec", "InputSpec", "LayerSpec", "parse_spec", "read_spec"]

MAX_DRAWN: Final = 1 << 26
ORDERS: Final = ("channel-major", "threshold-major", "interleaved")
_KEYS: Final = {
    "": {"input", "gates", "layers", "wiring", "output"},
    "input": {"shape", "max_value", "scale", "offset", "thresholds", "order", "softplus"},
    "gates": {"parametrisation", "id_order"},
    "layers": {"op", "key", "field", "window", "stride", "padding"},
    "wiring": {"seed", "connections", "device", "before"},
    "output": {"classes", "tau", "beta", "class_names"},
}


@dataclass(frozen=True)
class InputSpec:
    """Where the first layer's bits come from; see the module's text.

    `softplus` is the temperature of torchlogix's learnable thresholds.
    """

    shape: tuple[int, ...] = ()
    max_value: int = 1
    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    thresholds: tuple[tuple[float, ...], ...] | str = ((0.5,),)
    order: str = "channel-major"
    softplus: float = 0.1


@dataclass(frozen=True)
class LayerSpec:
    """One layer: `field` is a conv's receptive field or a pool's window, all (rows, columns)."""

    op: str
    key: str = ""
    field: tuple[int, int] = (0, 0)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class DrawSpec:
    """How the wiring of difflogic was drawn; see the module's text."""

    seed: int
    connections: Literal["random", "unique"] = "random"
    device: Literal["cpu", "cuda"] = "cpu"
    before: tuple[int, ...] = ()


@dataclass(frozen=True)
class ImportSpec:
    """All that a spec file says; `classes` 0 and `parametrisation` "" mean not said."""

    input: InputSpec = field(default_factory=InputSpec)
    layers: tuple[LayerSpec, ...] = ()
    parametrisation: str = ""
    id_order: str = "msb"
    classes: int = 0
    tau: float = 1.0
    beta: float = 0.0
    class_names: tuple[str, ...] = ()
    drawn: DrawSpec | None = None


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


class _Parser:
    def __init__(self, where: str) -> None:
        self.where = where

    def fail(self, what: str) -> InputError:
        return InputError(f"{self.where}: {what}")

    def table(self, content: Mapping[str, Any], name: str) -> dict[str, Any]:
        table = content.get(name, {}) if name else content
        if not isinstance(table, dict):
            raise self.fail(f"[{name}] is no table")
        self.known(table, name)
        return table

    def known(self, table: Mapping[str, Any], name: str) -> None:
        for key in table:
            if key not in _KEYS[name]:
                place = f"[{name}] {key}" if name else f"[{key}]"
                raise self.fail(f"{place} is unknown; {nearest(key, _KEYS[name])}")

    def number(self, table: Mapping[str, Any], key: str, default: float) -> float:
        value = table.get(key, default)
        if not _is_number(value):
            raise self.fail(f"{key} is {value!r}, not a number")
        return float(value)

    def whole(self, table: Mapping[str, Any], key: str, default: int, low: int, high: int) -> int:
        value = table.get(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self.fail(f"{key} is {value!r}, not a whole number in {low}..{high}")
        return value

    def one_of(self, table: Mapping[str, Any], key: str, default: str, allowed: Any) -> str:
        value = table.get(key, default)
        if value != default and value not in allowed:
            raise self.fail(f"{key} is {value!r}; {nearest(str(value), allowed)}")
        return str(value)

    def numbers(self, table: Mapping[str, Any], key: str, default: float) -> tuple[float, ...]:
        value = table.get(key, default)
        values = value if isinstance(value, list) else [value]
        if not values or not all(map(_is_number, values)):
            raise self.fail(f"{key} must be a number, or one for each channel")
        return tuple(map(float, values))

    def pair(self, table: Mapping[str, Any], key: str, default: int, low: int) -> tuple[int, int]:
        value = table.get(key, default)
        values = value if isinstance(value, list) else [value, value]
        if len(values) != 2 or not all(type(v) is int and low <= v < 10_000 for v in values):
            raise self.fail(f"layers: {key} is {value!r}, not a whole number or a pair")
        return values[0], values[1]

    def thresholds(self, value: object) -> tuple[tuple[float, ...], ...] | str:
        if isinstance(value, str):
            return value
        rows: list[Any] = value if isinstance(value, list) and value else [None]
        if not isinstance(rows[0], list):
            rows = [rows]
        if not all(isinstance(r, list) and r and all(map(_is_number, r)) for r in rows):
            raise self.fail("thresholds must be numbers, a list of them for each channel, or a key")
        if len({len(row) for row in rows}) > 1:
            raise self.fail("every channel must have the same number of thresholds")
        return tuple(tuple(map(float, row)) for row in rows)

    def input(self, content: Mapping[str, Any]) -> InputSpec:
        table = self.table(content, "input")
        shape = table.get("shape", [])
        sizes_good = isinstance(shape, list) and all(type(n) is int and n > 0 for n in shape)
        if not sizes_good or len(shape) not in (0, 1, 3) or math.prod(shape) > 1 << 24:
            raise self.fail(f"shape is {shape!r}, not [channels, rows, columns] or [features]")
        max_value = self.whole(table, "max_value", 1, 1, 65535)
        if max_value > 1 and "thresholds" not in table:
            raise self.fail(f"inputs up to {max_value} need thresholds")
        scale = self.numbers(table, "scale", float(max_value))
        if min(scale) <= 0:
            raise self.fail("scale must be positive")
        return InputSpec(
            tuple(shape),
            max_value,
            scale,
            self.numbers(table, "offset", 0.0),
            self.thresholds(table.get("thresholds", [0.5])),
            self.one_of(table, "order", "channel-major", ORDERS),
            self.number(table, "softplus", 0.1),
        )

    def drawn(self, content: Mapping[str, Any]) -> DrawSpec | None:
        if "wiring" not in content:
            return None
        table = self.table(content, "wiring")
        if "seed" not in table:
            raise self.fail("[wiring] needs the seed")
        before = table.get("before", [])
        if not isinstance(before, list) or not all(type(n) is int and n > 0 for n in before):
            raise self.fail(f"before is {before!r}, not a list of sizes")
        if sum(before) > MAX_DRAWN:
            raise self.fail(f"before is {before!r}: more than {MAX_DRAWN:,} numbers to draw")
        connections = self.one_of(table, "connections", "random", ("random", "unique"))
        device = self.one_of(table, "device", "cpu", ("cpu", "cuda"))
        return DrawSpec(
            self.whole(table, "seed", 0, 0, (1 << 63) - 1),
            "unique" if connections == "unique" else "random",
            "cuda" if device == "cuda" else "cpu",
            tuple(before),
        )

    def layer(self, table: object) -> LayerSpec:
        if not isinstance(table, dict):
            raise self.fail("[[layers]] is no list of tables")
        self.known(table, "layers")
        op = self.one_of(table, "op", "", ("conv", "pool", "dense"))
        key = table.get("key", "")
        if not isinstance(key, str) or not op or (not key and op != "pool"):
            raise self.fail("every layer needs an op (conv, pool, dense), and a key but for pools")
        span = {"conv": "field", "pool": "window"}.get(op)
        if span is None:
            return LayerSpec(op, key)
        if span not in table:
            raise self.fail(f"layer {key or op}: {span} is missing")
        size = self.pair(table, span, 1, 1)
        stride = self.pair(table, "stride", 1, 1)
        if op == "pool" and "stride" not in table:
            stride = size
        return LayerSpec(op, key, size, stride, self.pair(table, "padding", 0, 0))

    def parse(self, content: Mapping[str, Any]) -> ImportSpec:
        self.table(content, "")
        layers = content.get("layers", [])
        if not isinstance(layers, list):
            raise self.fail("[[layers]] is no list of tables")
        gates, output = self.table(content, "gates"), self.table(content, "output")
        names = output.get("class_names", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise self.fail("class_names is no list of names")
        tau = self.number(output, "tau", 1.0)
        if tau <= 0:
            raise self.fail(f"tau is {tau:g}, but must be positive")
        return ImportSpec(
            self.input(content),
            tuple(map(self.layer, layers)),
            self.one_of(gates, "parametrisation", "", ("raw", "warp", "light")),
            self.one_of(gates, "id_order", "msb", ("msb", "lsb")),
            self.whole(output, "classes", 0, 0, 1 << 20),
            tau,
            self.number(output, "beta", 0.0),
            tuple(names),
            self.drawn(content),
        )


def parse_spec(text: str, where: str = "spec") -> ImportSpec:
    """The spec that a TOML text holds; InputError names the entry at fault."""
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{where}: not TOML ({error})") from error
    return _Parser(where).parse(content)


def read_spec(path: Path | str) -> ImportSpec:
    """Read a spec file; InputError where it is missing or wrong."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a spec ({error})") from error
    return parse_spec(text, str(path))
