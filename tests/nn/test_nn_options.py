"""Every key of a recipe's methods is in docs/training.md, with the default that the code has."""

import dataclasses
import re
from pathlib import Path

import pytest

from gate2hw.errors import InputError
from gate2hw.nn.recipe import (
    AugmentationSpec,
    ConvSpec,
    DenseSpec,
    DistillationSpec,
    GatesSpec,
    ThermometerSpec,
    TrainingSpec,
    WiringSpec,
    load_recipe,
)

DOCS = Path(__file__).parents[2] / "docs" / "training.md"
SECTIONS = {
    "gates": GatesSpec,
    "wiring": WiringSpec,
    "thermometer": ThermometerSpec,
    "augmentation": AugmentationSpec,
    "distillation": DistillationSpec,
    "training": TrainingSpec,
}


def _documented(text: str) -> dict[str, str]:
    """Key (with its table where the docs write one) to default, from the rows of the tables."""
    found: dict[str, str] = {}
    section, in_keys = "", False
    for line in text.splitlines():
        if line.startswith("## "):
            tables = re.findall(r"`\[(\w+)\]`", line)
            section = tables[0] if len(tables) == 1 else ""
        cells = [cell.strip() for cell in line.split("|")]
        in_keys = len(cells) == 5 and (in_keys or cells[1] == "key")
        if not in_keys or not cells[1].startswith("`"):
            continue
        keys = re.findall(r"`([\w.N]+)`", cells[1])
        defaults = cells[2].split(", ")
        assert len(keys) == len(defaults), line
        for key, default in zip(keys, defaults, strict=True):
            found[key if "." in key else f"{section}.{key}"] = default.strip("`")
    return found


def _default(field: dataclasses.Field) -> str:  # type: ignore[type-arg]
    value = field.default
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return str(list(value))
    return f"{value:g}" if float(value) != 1.0 or isinstance(value, int) else "1.0"


def _wanted() -> dict[str, str]:
    wanted = {
        f"{table}.{field.name}": _default(field)
        for table, spec in SECTIONS.items()
        for field in dataclasses.fields(spec)
    }
    wanted["distillation.temperature"] = "2.0"
    for name in ("candidates", "reach"):
        for spec in (ConvSpec, DenseSpec):
            field = next(f for f in dataclasses.fields(spec) if f.name == name)
            wanted[f"layers.N.{name}"] = _default(field)
    return wanted


def test_the_docs_list_every_key_with_its_default() -> None:
    documented = _documented(DOCS.read_text(encoding="utf-8"))
    assert {key: documented.get(key) for key in _wanted()} == _wanted()


def test_a_missing_key_and_a_wrong_default_would_be_seen() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert "wiring.freeze_at" not in _documented(text.replace("| `wiring.freeze_at`", "| gone"))
    assert _documented(text.replace("| 0.9 | share", "| 0.8 | share"))["wiring.freeze_at"] == "0.8"


@pytest.mark.parametrize("key", sorted(_wanted()))
def test_every_key_is_reached_by_set(key: str) -> None:
    """A value of the wrong type is refused by the name of the key, so the key exists."""
    path = key.replace(".N.", ".1.")
    with pytest.raises(InputError, match=re.escape(path)):
        load_recipe("digits", [f"{path}={{a = 1}}"])
