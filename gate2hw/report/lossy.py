"""The plot of a lossy build: what each accuracy would have cost."""

from __future__ import annotations

from matplotlib.ticker import PercentFormatter

from gate2hw.report.numerals import percent
from gate2hw.report.schema import Approximation
from gate2hw.report.style import INK, Plot, count_axis, new_figure, styled, svg_text

__all__ = ["approximation_plot"]


def approximation_plot(found: Approximation) -> Plot:
    """Gates and LUTs (x) against the score on the validation split (y), exact at the right."""
    curve = found["curve"]
    scores = [point["score"] for point in curve]
    with styled():
        figure, axes = new_figure(2.9)
        for name, values, marker, fill in (
            ("two-input gates", [point["n_gates"] for point in curve], "o", INK),
            ("LUT4", [point["cost"] for point in curve], "s", "white"),
        ):
            axes.plot(
                values,
                scores,
                marker=marker,
                markersize=3.5,
                color=INK,
                markerfacecolor=fill,
                linewidth=0.8,
                label=name,
            )
        axes.axhline(scores[0] - found["budget"], color="#777777", linewidth=0.7, linestyle="--")
        axes.set_xlabel("gates, LUTs of four inputs")
        axes.set_ylabel("validation score")
        axes.set_xlim(left=0)
        count_axis(axes.xaxis)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
        figure.legend(loc="outside upper left", ncols=2)
        svg = svg_text(figure)
    first, last = curve[0], curve[-1]
    caption = (
        f"From {first['n_gates']:,} gates and {first['cost']:,} LUT4 to {last['n_gates']:,} and "
        f"{last['cost']:,} for at most {percent(found['budget'])} of accuracy on "
        f"{found['n_validation']:,} validation samples (dashed)."
    )
    return Plot("Accuracy against size", svg, caption)
