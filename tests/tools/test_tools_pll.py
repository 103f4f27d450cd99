"""The PLL arithmetic: its own laws, and the answers of icepll and ecppll."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gate2hw.errors import InputError
from gate2hw.tools.pll import ecp5_pll, ice40_pll

PAIRS = [(12.0, 48.0), (12.0, 30.0), (12.0, 100.25), (48.0, 20.0)]
ECP5_PAIRS = [(25.0, 60.0), (25.0, 150.0), (48.0, 100.0), (25.0, 12.5)]


def test_ice40_dividers_are_legal_and_make_the_clock():
    for wanted in range(16, 276, 7):
        found = ice40_pll(12.0, float(wanted))
        vco = 12.0 / (found.divr + 1) * (found.divf + 1)
        assert 533 <= vco <= 1066
        assert found.clock_mhz == pytest.approx(vco / 2**found.divq)
        assert abs(found.clock_mhz - wanted) / wanted < 0.03
        assert (found.divr, found.filter_range) == (0, 1)


def test_ecp5_dividers_are_legal_and_make_the_clock():
    for wanted in range(10, 401, 13):
        found = ecp5_pll(25.0, float(wanted))
        assert found.clock_mhz == pytest.approx(25.0 * found.clkfb_div / found.clki_div)
        assert 400 <= found.clock_mhz * found.clkop_div <= 800
        assert 25.0 / found.clki_div >= 3.125
        assert abs(found.clock_mhz - wanted) / wanted < 0.06


@pytest.mark.parametrize(
    ("make", "clocks"),
    [(ice40_pll, (12.0, 300.0)), (ice40_pll, (5.0, 48.0)), (ecp5_pll, (25.0, 5.0))],
)
def test_clocks_out_of_range_are_refused(make, clocks):
    with pytest.raises(InputError, match="outside the PLL's"):
        make(*clocks)


def _asked(program: str, *argv: str) -> str:
    path = Path(sys.executable).with_name(f"yowasp-{program}")
    if not path.is_file():
        pytest.skip(f"{path.name} is not installed")
    return subprocess.run(
        [path, *argv], capture_output=True, text=True, check=True, timeout=120
    ).stdout


def _number(text: str, what: str) -> float:
    found = re.search(rf"{what}:\s+([\d.]+)", text)
    assert found is not None, text
    return float(found[1])


@pytest.mark.parametrize(("given", "wanted"), PAIRS)
@pytest.mark.slow
def test_icepll_says_the_same(given, wanted):
    said = _asked("icepll", "-i", f"{given}", "-o", f"{wanted}")
    found = ice40_pll(given, wanted)
    assert [_number(said, name) for name in ("DIVR", "DIVF", "DIVQ", "FILTER_RANGE")] == [
        found.divr,
        found.divf,
        found.divq,
        found.filter_range,
    ]


@pytest.mark.parametrize(("given", "wanted"), ECP5_PAIRS)
@pytest.mark.slow
def test_ecppll_says_the_same(given, wanted):
    said = _asked("ecppll", "-i", f"{given}", "-o", f"{wanted}")
    found = ecp5_pll(given, wanted)
    names = ("Refclk divisor", "Feedback divisor", "clkout0 divisor")
    assert [_number(said, name) for name in names] == [
        found.clki_div,
        found.clkfb_div,
        found.clkop_div,
    ]
