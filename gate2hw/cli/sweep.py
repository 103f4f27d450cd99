"""sweep: the front of accuracy against LUTs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from gate2hw.cli.console import Terminal

__all__ = ["COMMANDS", "add_parsers"]

_Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _weights(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers such as 0,0.1") from None


def _from_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def add_parsers(sub: _Subparsers, common: argparse.ArgumentParser) -> None:
    """Register the commands of this module."""
    p = sub.add_parser(
        "sweep",
        parents=[common],
        help="train many settings; the front of accuracy against LUTs",
        description="Train RECIPE with many settings and write the front of validation accuracy "
        "against LUTs of four inputs (after mapping, popcounts included) to DIR: sweep.html, "
        "sweep.json, front.csv, points.csv, front.svg. Run again, it goes on where it stopped.",
        epilog="example: gate2hw sweep digits -o build/sweep --area-weight 0,0.03,0.1,0.3 "
        "--set layers.4.width=200,500 --seeds 3 --jobs 4",
    )
    p.add_argument("recipe", metavar="RECIPE", help="TOML file, or a shipped recipe's name")
    p.add_argument("-o", "--out", metavar="DIR", required=True, help="folder to write")
    p.add_argument(
        "--area-weight",
        type=_weights,
        default=[],
        metavar="W,W",
        help="weights of the area in the loss: what 1,000 LUTs may cost in cross-entropy; from "
        "0.03 to 1 for small networks, less for large ones",
    )
    p.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=A,B",
        help="values of a recipe entry, e.g. layers.3.width=250,500; may be given often",
    )
    p.add_argument(
        "--search",
        choices=["grid", "optuna"],
        default="grid",
        help="grid: all combinations; optuna: --trials of them, chosen by NSGA-II, area weights "
        "anywhere between the least and the greatest given, and 0 once (default: grid)",
    )
    p.add_argument("--trials", type=_from_one, default=0, metavar="N", help="with --search optuna")
    p.add_argument(
        "--seeds", type=_from_one, default=1, metavar="N", help="trainings a setting (default: 1)"
    )
    p.add_argument(
        "--jobs", type=_from_one, default=1, metavar="N", help="trainings at once (default: 1)"
    )
    p.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="train on the workers of this Dask scheduler, which see DIR, the data and a RECIPE of "
        "your own under the same names; e.g. tcp://host:8786",
    )
    p.add_argument("--data", metavar="DIR", help="folder of data files (default: $GATE2HW_DATA)")
    p.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="default: cpu")


def _table(points: list[dict[str, Any]], n_seeds: int) -> Any:
    from rich.table import Table

    front = [point for point in points if point["on_front"]]
    names = list(dict.fromkeys(name for point in front for name in point["settings"]))
    columns = ["no.", *names, "LUT4", "gates' LUT4", "popcount's", "validation", "test*"]
    table = Table(*columns, title="front", title_justify="left")
    for point in front:
        spread, test = point["accuracy_validation_std"], point["accuracy_test"]
        table.add_row(
            str(point["number"]),
            *(point["settings"].get(name, "") for name in names),
            *(f"{point[key]:,.0f}" for key in ("luts4", "luts4_gates", "luts4_popcount")),
            f"{point['accuracy_validation']:.2%}" + (f" ± {spread:.2%}" if spread else ""),
            "" if test is None else f"{test:.2%}",
        )
    table.caption = f"means over {n_seeds} seed(s); * looked at once, after the choice"
    table.caption_justify = "left"
    return table


def _sweep(args: argparse.Namespace, terminal: Terminal) -> int:
    from gate2hw import flow

    with terminal.progress(f"sweep {Path(args.recipe).stem}") as progress:
        result = flow.sweep(
            args.recipe,
            args.out,
            area_weights=args.area_weight,
            settings=args.settings,
            seeds=args.seeds,
            search=args.search,
            trials=args.trials,
            jobs=args.jobs,
            dask=args.dask,
            data_dir=args.data,
            device=args.device,
            progress=progress,
        )
    terminal.give(result)
    terminal.say(_table(result["points"], args.seeds))
    for failure in result["failed"]:
        chosen = ", ".join(f"{key}={value}" for key, value in failure["settings"].items())
        terminal.error(f"failed: {chosen}, seed {failure['seed']}: {failure['reason']}")
    partial = sum(0 < point["n_seeds"] < args.seeds for point in result["points"])
    if partial:
        terminal.error(
            f"{partial} setting(s) were trained with fewer than {args.seeds} seeds; they are not "
            "on the front, see n_seeds in points.csv"
        )
    terminal.say(f"page: {result['files']['sweep.html']}")
    return 1 if result["failed"] else 0


COMMANDS: dict[str, Callable[[argparse.Namespace, Terminal], int]] = {"sweep": _sweep}
