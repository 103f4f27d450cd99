"""Words and picture of a design in standard cells, for the page and the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gate2hw.report.numerals import count, number
from gate2hw.report.schema_asic import AsicResult

if TYPE_CHECKING:
    from gate2hw.report.style import Plot

__all__ = ["asic_plots", "asic_sentence", "path_lines", "power_mw"]


def power_mw(asic: AsicResult, block: str) -> float | None:
    """All power of a block in mW; None where power is not known."""
    if asic["power"] is None or block not in asic["power"]["blocks"]:
        return None
    row = asic["power"]["blocks"][block]
    return row["switching_mw"] + row["internal_mw"] + row["clock_mw"] + (row["leakage_mw"] or 0.0)


def asic_sentence(asic: AsicResult) -> str:
    """Area, clock and power in one sentence, what is not known with its reason."""
    text = f"{asic['library']}: {count(round(asic['area_um2']))} um2, {count(asic['cells'])} cells"
    if asic["timing"] is None:
        text += f"; timing not known: {asic.get('timing_reason', '')}"
    else:
        met = "met" if asic["clock_met"] else "MISSED"
        text += (
            f"; {number(asic['fmax_mhz'] or 0.0)} MHz, {number(asic['clock_mhz'])} MHz asked: {met}"
        )
    power = asic["power"]
    if power is None:
        return f"{text}; power not known: {asic.get('power_reason', '')}"
    leakage = power["leakage_mw"]
    return (
        f"{text}; {number(power['dynamic_mw'])} mW at {number(power['clock_mhz'])} MHz, "
        f"{number(power['energy_nj_per_image'])} nJ an image, leakage "
        + ("not known" if leakage is None else f"{leakage:.2g} mW")
    )


def path_lines(asic: AsicResult) -> list[str]:
    """The slowest path, a line for each stretch within one block; neurons by name."""
    path = asic.get("critical_path")
    if asic["timing"] is None or path is None:
        return []
    lines: list[tuple[str, float, int, list[str]]] = []
    for point in path["points"]:
        if not lines or lines[-1][0] != point["block"]:
            lines.append((point["block"], 0.0, 0, []))
        block, delay, n_cells, neurons = lines[-1]
        found = [*neurons, point["neuron"]] if "neuron" in point else neurons
        lines[-1] = (block, delay + point["delay_ns"], n_cells + 1, found)
    return [
        f"{block}: {delay:.3f} ns through {n_cells} pins"
        + (f", neuron of {'; '.join(neurons)}" if neurons else "")
        for block, delay, n_cells, neurons in lines
    ]


def asic_plots(asic: AsicResult) -> list[Plot]:
    """Where the area is."""
    from gate2hw.report import plots

    areas = {name: round(block["area_um2"]) for name, block in asic["area_by_block"].items()}
    return [plots.cell_area_plot({asic["library"]: areas})]
