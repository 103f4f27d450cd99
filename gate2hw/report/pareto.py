"""The page of a sweep: accuracy against LUTs, with the front that no other setting beats."""

from __future__ import annotations

import csv
import io
from typing import Any, TypedDict

from matplotlib.ticker import PercentFormatter

from gate2hw.report.numerals import count, percent
from gate2hw.report.style import INK, Plot, count_axis, new_figure, styled, svg_text
from gate2hw.report.templates import page_template

__all__ = ["Sweep", "SweepPoint", "front_plot", "points_csv", "render_sweep"]

TEMPLATE = "sweep.html.j2"
_LABELLED = 12
"""Up to this many points of a front bear their number."""


class SweepPoint(TypedDict):
    """One setting, averaged over its seeds; accuracies are fractions, LUTs have four inputs.

    `n_seeds` is how many of them were trained; the front has points with all of them only.
    `luts4` is `luts4_gates` + `luts4_popcount`; `accuracy_validation_std` is None with one seed;
    `accuracy_test` is given on the front only, where nothing is chosen by it.
    """

    number: int
    settings: dict[str, str]
    n_seeds: int
    accuracy_validation: float
    accuracy_validation_std: float | None
    luts4: float
    luts4_gates: float
    luts4_popcount: float
    gates: float
    outputs: float
    on_front: bool
    accuracy_test: float | None
    folders: list[str]


class Sweep(TypedDict):
    """A sweep: `points` by rising LUTs, `failed` as (settings, seed, reason)."""

    recipe: str
    n_seeds: int
    search: str
    points: list[SweepPoint]
    failed: list[dict[str, Any]]


def front_plot(points: list[SweepPoint]) -> Plot:
    """Validation accuracy (y) against LUT4 (x); bars are the standard deviation over seeds.

    One point at least must be on the front.
    """
    front = [point for point in points if point["on_front"]]
    n_seeds = front[0]["n_seeds"]
    partial = [point for point in points if point["n_seeds"] != n_seeds]
    whole = [point for point in points if point["n_seeds"] == n_seeds]
    rest = [point for point in whole if not point["on_front"]]
    with styled():
        figure, axes = new_figure(3.1)
        for chosen, name, fill, line in (
            (rest, "beaten by another", "white", "none"),
            (partial, "fewer seeds, not compared", "#bbbbbb", "none"),
            (front, "front", INK, "-"),
        ):
            if not chosen:
                continue
            axes.errorbar(
                [point["luts4"] for point in chosen],
                [point["accuracy_validation"] for point in chosen],
                yerr=[point["accuracy_validation_std"] or 0.0 for point in chosen],
                marker="o" if line == "-" else "s",
                markersize=4,
                markerfacecolor=fill,
                color=INK if line == "-" else "#777777",
                ecolor="#999999",
                elinewidth=0.7,
                linestyle=line,
                drawstyle="steps-post",
                linewidth=0.9,
                label=name,
            )
        if len(front) <= _LABELLED:
            for point in front:
                axes.annotate(
                    str(point["number"]),
                    (point["luts4"], point["accuracy_validation"]),
                    textcoords="offset points",
                    xytext=(4, -9),
                    size=7.5,
                )
        axes.set_xlabel("LUTs of four inputs, popcount included")
        axes.set_ylabel("right on validation")
        axes.margins(x=0.08, y=0.12)
        axes.set_xlim(left=0)
        count_axis(axes.xaxis)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1, symbol="\u00a0%"))
        figure.legend(loc="outside upper left", ncols=2)
        svg = svg_text(figure)
    small, large = front[0], front[-1]
    caption = (
        f"Of {len(whole)} settings, {len(front)} are beaten by no other, from "
        f"{percent(small['accuracy_validation'])} in {count(small['luts4'])} LUT4 to "
        f"{percent(large['accuracy_validation'])} in {count(large['luts4'])} LUT4."
    )
    return Plot("Accuracy against LUTs", svg, caption)


_COLUMNS = (
    "number",
    "n_seeds",
    "accuracy_validation",
    "accuracy_validation_std",
    "accuracy_test",
    "luts4",
    "luts4_gates",
    "luts4_popcount",
    "gates",
    "outputs",
    "on_front",
)


def points_csv(points: list[SweepPoint]) -> str:
    """The points as CSV: a column for each setting, then the measures; None is empty."""
    names = list(dict.fromkeys(name for point in points for name in point["settings"]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, *_COLUMNS, "folders"])
    for point in points:
        values: dict[str, Any] = {**point}
        writer.writerow(
            [point["settings"].get(name, "") for name in names]
            + ["" if values[column] is None else values[column] for column in _COLUMNS]
            + [" ".join(point["folders"])]
        )
    return text.getvalue()


def render_sweep(sweep: Sweep) -> str:
    """One self-contained page: the plot, the front, all points, and what failed.

    Every text is escaped; the same sweep gives the same page.
    """
    points = sweep["points"]
    names = list(dict.fromkeys(name for point in points for name in point["settings"]))
    return page_template(TEMPLATE, count=count, percent=percent).render(
        sweep=sweep,
        front=[point for point in points if point["on_front"]],
        points=points,
        is_uneven=any(point["n_seeds"] != sweep["n_seeds"] for point in points),
        names=names,
        plot=front_plot(points) if any(point["on_front"] for point in points) else None,
    )
