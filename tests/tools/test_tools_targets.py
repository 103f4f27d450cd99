"""Targets as data, and the check that a design fits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from gate2hw.errors import DoesNotFitError, InputError
from gate2hw.tools import targets as module
from gate2hw.tools.targets import check_fits, load_target, targets


@dataclass(frozen=True)
class Mapped:
    lut_sites: int
    ffs: int


def test_the_four_targets() -> None:
    found = {t.name: (t.family, t.luts, t.ios) for t in targets()}
    assert found == {
        "ecp5-25k": ("ecp5", 24288, 197),
        "ecp5-85k": ("ecp5", 83640, 205),
        "ice40-hx8k": ("ice40", 7680, 206),
        "ice40-up5k": ("ice40", 5280, 39),
    }


def test_unknown_target_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'ice40-hx8k'"):
        load_target("ice40-hx8")


def test_too_big_is_refused_with_the_count() -> None:
    target = load_target("ice40-up5k")
    check_fits(target, Mapped(5280, 5280), 39)
    check_fits(target, None, 39)
    with pytest.raises(DoesNotFitError, match="needs 81 pins, ice40-up5k has 39: 42 too many"):
        check_fits(target, None, 81)
    with pytest.raises(
        DoesNotFitError, match="needs 9,120 LUTs, ice40-up5k has 5,280: 3,840 too many"
    ):
        check_fits(target, Mapped(9120, 1), 20)
    with pytest.raises(DoesNotFitError, match=r"40 pins.*1 too many; needs 5,281 FFs.*1 too many"):
        check_fits(target, Mapped(1, 5281), 40)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("luts = 7680", "luts = 0", "luts must be a positive int, not 0"),
        ("luts = 7680", 'luts = "many"', "luts must be a positive int"),
        ("luts = 7680", "lutz = 7680", "unknown key 'lutz'; did you mean 'luts'"),
        ("luts = 7680", "", "key 'luts' is missing"),
        ('family = "ice40"', 'family = "ice50"', "family must be one of ice40, ecp5"),
        ("yosys_options = [", "yosys_options = [1, ", "list of strings"),
        ("luts = 7680", "luts = = 1", "cannot be read as TOML"),
    ],
)
def test_bad_target_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, message: str
) -> None:
    text = (module.data_dir("flows") / "ice40-hx8k" / "target.toml").read_text()
    assert old in text
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "target.toml").write_text(text.replace(old, new))
    monkeypatch.setattr(module, "data_dir", lambda _: tmp_path)
    with pytest.raises(InputError, match=message):
        load_target("mine")
