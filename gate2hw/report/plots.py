"""The plots of a report, each from the part of report.json that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from gate2hw.report.chain import utilisation_of
from gate2hw.report.numerals import percent
from gate2hw.report.schema import (
    AreaEstimate,
    Confusion,
    EncoderUse,
    FittedTarget,
    FunctionGates,
    LayerGates,
    LevelGates,
    Training,
)
from gate2hw.report.style import (
    AFTER,
    BEFORE,
    FILLS,
    INK,
    WIDTH,
    Plot,
    count_axis,
    new_figure,
    short,
    styled,
    svg_text,
)

__all__ = [
    "area_plot",
    "area_share_plot",
    "cell_area_plot",
    "confusion_plot",
    "function_plot",
    "layer_plot",
    "level_plot",
    "never_read_plot",
    "training_plot",
    "utilisation_plot",
]

MAX_ANNOTATED_CLASSES = 20
MAX_CHANNELS = 4
PARTS = ("encoder", "gates", "popcount", "argmax", "stream")


def _floats(values: Sequence[float | None]) -> Any:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def training_plot(training: Training) -> Plot:
    """Validation accuracy, soft and discretised, over steps; the loss below."""
    step = _floats(training["step"])
    hard, soft = (
        _floats(training[key]) for key in ("accuracy_validation", "accuracy_validation_soft")
    )
    with styled():
        figure = Figure(figsize=(WIDTH, 3.3), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
        mark = max(1, len(step) // 12)
        for values, label, line in (
            (soft, "soft", {"color": "#777777", "linestyle": "--", "marker": "o", "mfc": "white"}),
            (hard, "discretised", {"color": INK, "linestyle": "-", "marker": "s"}),
        ):
            known = np.isfinite(values)
            if known.any():
                upper.plot(
                    step[known],
                    values[known],
                    label=label,
                    linewidth=1.2,
                    markersize=3.5,
                    markevery=mark,
                    **line,
                )
                upper.legend(loc="lower right")
        upper.yaxis.set_major_formatter(PercentFormatter(1.0, symbol="\u00a0%"))
        upper.set_ylabel("right on validation")
        loss = _floats(training["loss"])
        known = np.isfinite(loss)
        lower.plot(step[known], loss[known], color=INK, linewidth=1.0)
        lower.set_ylabel("loss")
        lower.set_xlabel("training step")
        count_axis(lower.xaxis)
        figure.align_ylabels()
        svg = svg_text(figure)
    caption = "No validation accuracy was logged."
    if np.isfinite(hard).any():
        best = int(np.nanargmax(hard))
        caption = (
            f"Best discretised validation accuracy {percent(hard[best])} at step {step[best]:,.0f} "
            f"of {step[-1]:,.0f}."
        )
    return Plot("Training", svg, caption)


def confusion_plot(confusion: Confusion, names: list[str]) -> Plot:
    """Samples by true and predicted class; few errors must still be seen next to many hits."""
    matrix = np.array(confusion["matrix"], np.int64)
    n_classes = len(matrix)
    with styled():
        figure, axes = new_figure(WIDTH * 0.86)
        norm = PowerNorm(0.35, vmin=0, vmax=max(1, int(matrix.max())))
        axes.imshow(matrix, cmap="Greys", norm=norm, interpolation="nearest")
        step = 1 if n_classes <= MAX_ANNOTATED_CLASSES else -(-n_classes // 10)
        ticks = np.arange(0, n_classes, step)
        labels = [short(names[tick]) for tick in ticks]
        turned = 90 if max(map(len, labels)) > 3 else 0
        axes.set_xticks(ticks, labels, rotation=turned)
        axes.set_yticks(ticks, labels)
        axes.tick_params(length=0)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        if n_classes <= MAX_ANNOTATED_CLASSES:
            for row, column in np.argwhere(matrix):
                count = int(matrix[row, column])
                ink = "white" if norm(count) > 0.5 else INK
                axes.text(column, row, f"{count:,}", ha="center", va="center", color=ink, size=7.5)
        svg = svg_text(figure)
    hits = int(np.trace(matrix))
    errors = matrix - np.diag(np.diag(matrix))
    caption = f"{hits:,} of {confusion['n_labelled']:,} right"
    if errors.any():
        true, predicted = np.unravel_index(int(errors.argmax()), errors.shape)
        caption += (
            f"; the most frequent error is {names[true]} taken for {names[predicted]} "
            f"({int(errors.max()):,} times)"
        )
    caption += f". {confusion['n_ties']:,} had two equal highest scores; the lower index wins."
    return Plot("Confusion matrix", svg, caption)


def _pair_bars(labels: list[str], before: list[int], after: list[int]) -> str:
    """Horizontal pairs of bars, before and after passes, with their numbers; the first on top."""
    with styled():
        figure, axes = new_figure(0.75 + 0.3 * len(labels))
        place = np.arange(len(labels))
        top = max([*before, *after, 1])
        for values, offset, fill, name in (
            (before, -0.2, BEFORE, "instantiated"),
            (after, 0.2, AFTER, "after passes"),
        ):
            axes.barh(place + offset, values, height=0.36, label=name, **fill)
            for row, value in enumerate(values):
                axes.text(value + 0.01 * top, row + offset, f"{value:,}", va="center", size=7)
        axes.set_yticks(place, [short(label, 18) for label in labels])
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(0, top * 1.14)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_xlabel("two-input gates")
        count_axis(axes.xaxis)
        figure.legend(loc="outside upper left", ncols=2)
        return svg_text(figure)


def layer_plot(layers: list[LayerGates]) -> Plot:
    """Gates of each layer before and after passes."""
    before = [layer["instantiated"] for layer in layers]
    after = [layer["optimised"] for layer in layers]
    svg = _pair_bars([layer["name"] for layer in layers], before, after)
    caption = f"{sum(before):,} gates instantiated, {sum(after):,} after passes."
    return Plot("Gates per layer", svg, caption)


def function_plot(functions: list[FunctionGates]) -> Plot:
    """Gates of each function in use, most frequent first."""
    rows = [f for f in functions if f["instantiated"] or f["optimised"]]
    rows.sort(key=lambda f: (-f["instantiated"], -f["optimised"], f["tt"]))
    before = [f["instantiated"] for f in rows]
    svg = _pair_bars([f["name"] for f in rows], before, [f["optimised"] for f in rows])
    free = sum(f["instantiated"] for f in rows if f["tt"] in (0, 3, 5, 10, 12, 15))
    share = free / sum(before) if sum(before) else 0.0
    caption = f"{percent(share, 0)} of the instantiated gates are constants, wires or inverters."
    return Plot("Gates per function", svg, caption)


def level_plot(levels: LevelGates) -> Plot:
    """Depth histogram: gates of each level; outline before, filled after passes."""
    before, after = levels["instantiated"], levels["optimised"]
    with styled():
        figure, axes = new_figure(2.7)
        for values, fill, name in (
            (before, BEFORE, "instantiated"),
            (after, AFTER, "after passes"),
        ):
            wide = 0.86 if fill is BEFORE else 0.5
            axes.bar(np.arange(1, len(values) + 1), values, wide, label=name, **fill)
        axes.set_xlabel("level (1 reads only inputs)")
        axes.set_ylabel("two-input gates")
        count_axis(axes.xaxis)
        count_axis(axes.yaxis)
        axes.set_xlim(0.4, max(len(before), len(after), 1) + 0.6)
        figure.legend(loc="outside upper left", ncols=2)
        svg = svg_text(figure)
    return Plot("Depth", svg, f"{len(before)} levels instantiated, {len(after)} after passes.")


def _never_read_maps(encoder: EncoderUse) -> tuple[list[Any], list[str]]:
    """2-D maps of bits read, and their titles: one a channel, or one of all channels."""
    bits = np.array(encoder["bits_read"], np.int64)
    if bits.ndim == 3 and len(bits) > MAX_CHANNELS:
        return [bits.sum(axis=0)], [f"all {len(bits)} channels"]
    if bits.ndim == 3:
        names = [f"channel {index}" for index in range(len(bits))] if len(bits) > 1 else [""]
        return list(bits), names
    columns = min(32, bits.size)
    padded = np.full(-(-bits.size // columns) * columns, -1, np.int64)
    padded[: bits.size] = bits.ravel()
    return [padded.reshape(-1, columns)], ["features, row by row"]


def never_read_plot(encoder: EncoderUse) -> Plot:
    """The input as an image: grey by bits read, crossed black where nothing is ever read."""
    maps, titles = _never_read_maps(encoder)
    top = max(1, max(int(bits.max()) for bits in maps))
    with styled():
        rows, columns = maps[0].shape
        each = WIDTH * (0.5 if len(maps) == 1 else 0.98) / len(maps)
        height = min(5.0, each * rows / columns if rows > 3 else 0.6) + 0.85
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        panels = figure.subplots(1, len(maps), squeeze=False)[0]
        # few enough shades for a black-and-white print to tell apart, none of them black
        greys = [str(grey) for grey in np.linspace(0.45, 1.0, top)]
        shades = ListedColormap(greys).with_extremes(under="#000000")
        image = None
        lined = maps[0].size <= 1024
        for axes, bits, title in zip(panels, maps, titles, strict=True):
            shown = np.ma.masked_less(bits, 0)
            image = axes.imshow(
                shown, cmap=shades, vmin=0.5, vmax=top + 0.5, interpolation="nearest"
            )
            for y, x in np.argwhere(bits == 0) if lined else ():
                axes.text(x, y, "×", color="white", ha="center", va="center", size=7)
            axes.set_title(title)
            axes.set_xticks(np.arange(0.5, columns - 1) if lined else [], [])
            axes.set_yticks(np.arange(0.5, rows - 1) if lined else [], [])
            axes.set_xticklabels([])
            axes.set_yticklabels([])
            axes.grid(color="#bbbbbb", linewidth=0.5)
            axes.tick_params(length=0)
            axes.spines[:].set_visible(True)
        assert image is not None
        bar = figure.colorbar(image, ax=list(panels), shrink=0.8, extend="min", pad=0.03)
        bar.set_ticks([int(t) for t in np.unique(np.linspace(1, top, min(top, 6)).round())])
        bar.set_label("bits read (black: none)")
        svg = svg_text(figure)
    word = "pixels" if len(encoder["shape"]) == 3 else "features"
    caption = (
        f"{encoder['features_never_read']:,} of {encoder['features']:,} {word} are never read "
        f"(black, crossed); {encoder['bits_used']:,} of {encoder['bits']:,} thermometer bits are "
        f"used ({percent(encoder['fraction_used'], 0)})."
    )
    return Plot(f"{word.capitalize()} never read", svg, caption)


def utilisation_plot(targets: dict[str, FittedTarget]) -> Plot:
    """How full each target is, the six fullest resources of each."""
    rows = [
        (target, row, first == 0)
        for target, data in targets.items()
        for first, row in enumerate(utilisation_of(data)[:6])
    ]
    with styled():
        figure, axes = new_figure(0.7 + 0.23 * len(rows) + 0.12 * len(targets))
        place = np.cumsum([1.0 + 0.6 * first for _, _, first in rows])
        for y, (target, (_, used, available, share), first) in zip(place, rows, strict=True):
            axes.barh(y, 1.0, height=0.62, facecolor="white", edgecolor="#bbbbbb", linewidth=0.6)
            axes.barh(y, share, height=0.62, **AFTER)
            label = f"{percent(share, 0)} ({used:,} of {available:,})"
            axes.text(1.02, y, label, va="center", size=7)
            if first:
                axes.text(0, y - 0.72, target, va="center", size=8, weight="bold")
        axes.set_yticks(place, [short(row[0], 18) for _, row, _ in rows])
        axes.tick_params(axis="y", length=0, labelsize=7)
        axes.set_xlim(0, 1.55)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25", "50", "75", "100 %"])
        axes.set_ylim(place[-1] + 0.6, 0.3)
        axes.spines[["left", "bottom"]].set_visible(False)
        svg = svg_text(figure)
    return Plot("Utilisation", svg, "Share of each resource in use after place and route.")


def _stacked(rows: dict[str, dict[str, int]], unit: str) -> str:
    named = dict.fromkeys(part for row in rows.values() for part in row)
    parts = sorted(named, key=lambda part: (PARTS.index(part) if part in PARTS else 99, part))
    with styled():
        figure, axes = new_figure(0.95 + 0.42 * len(rows))
        for y, row in enumerate(rows.values()):
            total = sum(row.values()) or 1
            left = 0.0
            for index, part in enumerate(parts):
                share = row.get(part, 0) / total
                fill, hatch = FILLS[index % len(FILLS)]
                label = part if y == 0 else None
                axes.barh(
                    y,
                    share,
                    left=left,
                    height=0.6,
                    facecolor=fill,
                    hatch=hatch,
                    edgecolor=INK,
                    linewidth=0.6,
                    label=label,
                )
                left += share
            axes.text(1.01, y, f"{sum(row.values()):,}", va="center", size=7)
        axes.set_yticks(range(len(rows)), [short(name, 18) for name in rows])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, 1.13)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25", "50", "75", "100 %"])
        axes.set_xlabel(unit)
        axes.spines[["left"]].set_visible(False)
        figure.legend(loc="outside upper left", ncols=min(len(parts), 5), handlelength=1.4)
        return svg_text(figure)


def area_plot(estimate: AreaEstimate) -> Plot:
    """Shares of encoder, gates, popcount and argmax by the estimate."""
    svg = _stacked({"estimate": estimate["gates"]}, "share of two-input gates")
    total = sum(estimate["gates"].values()) or 1
    shares = ", ".join(
        f"{part} {percent(estimate['gates'][part] / total, 0)}" for part in PARTS[:4]
    )
    return Plot("Where the logic is (estimate)", svg, f"Counted as two-input gates: {shares}.")


def cell_area_plot(areas: dict[str, dict[str, int]]) -> Plot:
    """um2 of each part, by library, as synthesis counted them."""
    svg = _stacked(areas, "share of cell area")
    return Plot("Where the cell area is", svg, "Area of the cells by part of the design, in um2.")


def area_share_plot(areas: dict[str, dict[str, int]]) -> Plot:
    """LUTs of each part, by target, as synthesis counted them."""
    svg = _stacked(areas, "share of LUTs")
    return Plot("Where the LUTs are", svg, "LUTs by part of the design, as synthesis counted them.")
