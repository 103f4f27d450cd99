"""Dividers of the PLLs of both families for a wanted clock: the arithmetic of icepll and ecppll."""

from __future__ import annotations

from dataclasses import dataclass

from gate2hw.errors import InputError

__all__ = ["Ecp5Pll", "Ice40Pll", "ecp5_pll", "ice40_pll"]

# Lattice, iCE40 sysCLOCK PLL design and usage guide (FPGA-TN-02052), MHz
_ICE40_INPUT = (10.0, 133.0)
_ICE40_OUTPUT = (16.0, 275.0)
_ICE40_PFD = (10.0, 133.0)
_ICE40_VCO = (533.0, 1066.0)
_ICE40_FILTER = ((17, 1), (26, 2), (44, 3), (66, 4), (101, 5))
# Lattice, ECP5 and ECP5-5G sysCLOCK PLL/DLL design and usage guide (FPGA-TN-02200), MHz
_ECP5_INPUT = (8.0, 400.0)
_ECP5_OUTPUT = (10.0, 400.0)
_ECP5_PFD = (3.125, 400.0)
_ECP5_VCO = (400.0, 800.0)
_ECP5_VCO_BEST = 600.0


@dataclass(frozen=True)
class Ice40Pll:
    """SB_PLL40 with simple feedback: f_out = f_in (divf + 1) / (2 ** divq (divr + 1))."""

    divr: int
    divf: int
    divq: int
    filter_range: int
    clock_mhz: float


@dataclass(frozen=True)
class Ecp5Pll:
    """EHXPLLL with feedback from CLKOP: f_out = f_in clkfb_div / clki_div; the oscillator runs at
    f_out clkop_div. `clkop_cphase` shifts CLKOP by half a period, as Lattice's own tool does."""

    clki_div: int
    clkfb_div: int
    clkop_div: int
    clkop_cphase: int
    clock_mhz: float


def _check(what: str, mhz: float, limits: tuple[float, float]) -> None:
    low, high = limits
    if not low <= mhz <= high:
        raise InputError(f"{what} of {mhz:g} MHz is outside the PLL's {low:g} to {high:g} MHz")


def ice40_pll(input_mhz: float, wanted_mhz: float) -> Ice40Pll:
    """The dividers that come nearest to `wanted_mhz`; of equally good ones the smallest.

    Raises InputError where input or output are outside the PLL's range.
    """
    _check("an input clock", input_mhz, _ICE40_INPUT)
    _check("a clock", wanted_mhz, _ICE40_OUTPUT)
    best: Ice40Pll | None = None
    for divr in range(16):
        pfd = input_mhz / (divr + 1)
        if not _ICE40_PFD[0] <= pfd <= _ICE40_PFD[1]:
            continue
        filter_range = next((code for below, code in _ICE40_FILTER if pfd < below), 6)
        for divf in range(128):
            vco = pfd * (divf + 1)
            if not _ICE40_VCO[0] <= vco <= _ICE40_VCO[1]:
                continue
            for divq in range(1, 7):
                found = vco / 2**divq
                if best is None or abs(found - wanted_mhz) < abs(best.clock_mhz - wanted_mhz):
                    best = Ice40Pll(divr, divf, divq, filter_range, found)
    assert best is not None, "an allowed input clock gives at least one oscillator clock"
    return best


def ecp5_pll(input_mhz: float, wanted_mhz: float) -> Ecp5Pll:
    """The dividers that come nearest to `wanted_mhz`, the oscillator then nearest to 600 MHz.

    Raises InputError where input or output are outside the PLL's range.
    """
    _check("an input clock", input_mhz, _ECP5_INPUT)
    _check("a clock", wanted_mhz, _ECP5_OUTPUT)
    best: tuple[float, float] | None = None
    chosen: Ecp5Pll | None = None
    for clki_div in range(1, 129):
        pfd = input_mhz / clki_div
        if not _ECP5_PFD[0] <= pfd <= _ECP5_PFD[1]:
            continue
        for clkfb_div in range(1, 81):
            found = pfd * clkfb_div
            for clkop_div in range(1, 129):
                vco = found * clkop_div
                if not _ECP5_VCO[0] <= vco <= _ECP5_VCO[1]:
                    continue
                badness = (round(abs(found - wanted_mhz), 9), abs(vco - _ECP5_VCO_BEST))
                if best is None or badness < best:
                    best = badness
                    chosen = Ecp5Pll(clki_div, clkfb_div, clkop_div, clkop_div // 2, found)
    assert chosen is not None, "an allowed input clock gives at least one oscillator clock"
    return chosen
