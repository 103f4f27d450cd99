"""How the plots of a report look: grey and hatched, so that they survive a black-and-white print.

Same data, same bytes: ids are hashed with a fixed salt and no date is written. Texts stay texts
(nothing is embedded), drawn with the reader's fonts.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

__all__ = [
    "AFTER",
    "BEFORE",
    "FILLS",
    "INK",
    "WIDTH",
    "Plot",
    "count_axis",
    "new_figure",
    "short",
    "styled",
    "svg_text",
]

WIDTH = 4.7
INK = "#1a1a1a"
BEFORE: dict[str, Any] = {
    "facecolor": "white",
    "edgecolor": "#555555",
    "hatch": "////",
    "linewidth": 0.7,
}
AFTER: dict[str, Any] = {"facecolor": "#333333", "edgecolor": INK, "linewidth": 0.7}
FILLS: tuple[tuple[str, str], ...] = (
    ("#ffffff", "////"),
    ("#333333", ""),
    ("#b5b5b5", ""),
    ("#ffffff", "||||"),
    ("#7d7d7d", ""),
    ("#ffffff", ""),
)

_STYLE: Any = {
    "svg.hashsalt": "gate2hw",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.parse_math": False,
    "axes.titlesize": 8.5,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "hatch.linewidth": 0.6,
    "hatch.color": "#555555",
    "legend.frameon": False,
    "figure.facecolor": "white",
}


@dataclass(frozen=True)
class Plot:
    """`svg` is a whole SVG document, `caption` what to see in it (also its alternative text)."""

    title: str
    svg: str
    caption: str


@contextmanager
def styled() -> Iterator[None]:
    """The plots' own settings, whatever the user's matplotlibrc says."""
    with mpl.rc_context(), warnings.catch_warnings():
        # the reader's fonts draw the texts: that ours lacks a script does not matter
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def new_figure(height: float) -> tuple[Figure, Axes]:
    """A figure of the page's column width and `height` inches, with one pair of axes."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def svg_text(figure: Figure) -> str:
    """`figure` as a whole SVG document, without date or version."""
    stream = io.StringIO()
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(stream, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    # the page's own fonts first; matplotlib measured the widest of them
    return text.replace("'DejaVu Sans'", "Helvetica, Arial, 'DejaVu Sans'")


def short(name: str, length: int = 14) -> str:
    """`name` cut to `length` characters, without what XML cannot hold."""
    name = "".join(character if character.isprintable() else "\ufffd" for character in name)
    return name if len(name) <= length else f"{name[: length - 1]}…"


def count_axis(axis: Any) -> None:
    """Whole numbers with thousands separators."""
    axis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
