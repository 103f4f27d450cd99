"""predict and bench: the CPU engine on data, and how fast it is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from gate2hw.cli.values import seconds

if TYPE_CHECKING:
    from gate2hw.cli.console import Terminal

__all__ = ["COMMANDS", "add_parsers"]

_Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _from_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def _add_engine(p: argparse.ArgumentParser, kernels: str) -> None:
    p.add_argument(
        "--threads", type=_from_one, metavar="N", help="default: all processors it may use"
    )
    p.add_argument("--kernel", metavar="NAME", help=kernels)


def add_parsers(sub: _Subparsers, common: argparse.ArgumentParser) -> None:
    """Register the commands of this module."""
    p = sub.add_parser(
        "predict",
        parents=[common],
        help="classes of the samples in a file, on this computer",
        description="Classify the samples of DATA by MODEL (a build folder, a netlist.npz or a "
        "trained model): one class name a line. DATA is .npy (read in blocks, larger than memory "
        "too), .npz (x, and y if there), .csv (tables as in training, quantised in the same way) "
        "or an idx file as of MNIST. With --json the classes are in the result, unless -o is "
        "given.",
        epilog="example: gate2hw predict build/mnist t10k-images-idx3-ubyte.gz "
        "--labels t10k-labels-idx1-ubyte.gz -o classes.txt",
    )
    p.add_argument("model", metavar="MODEL", help="build folder, netlist.npz or model")
    p.add_argument("data", metavar="DATA", help=".npy, .npz, .csv or idx file")
    p.add_argument("-o", "--out", metavar="FILE", help="file to write (default: stdout)")
    p.add_argument("--scores", action="store_true", help="write .csv: class, score of each class")
    p.add_argument(
        "--labels",
        metavar="FILE|COLUMN",
        help="what the classes should be: a file (.npy, .npz with y, idx, or a .txt with one a "
        "line), or a column of the .csv (default: y of the .npz, the column trained on)",
    )
    _add_engine(p, "how to compute (default: the fastest of gate2hw bench MODEL --kernel all)")
    p = sub.add_parser(
        "bench",
        parents=[common],
        help="how fast a model runs on this computer",
        description="Check the CPU engine against the reference evaluator, bit for bit, then time "
        "it on MODEL: until ready, a single image, and images/s from bytes to classes.",
        epilog="example: gate2hw bench build/digits --kernel all",
    )
    p.add_argument("model", metavar="MODEL", help="build folder, netlist.npz or model")
    p.add_argument(
        "--images", type=_from_one, metavar="N", help="images a run (default: as many as pay)"
    )
    p.add_argument(
        "--seconds", type=seconds, default=3.0, metavar="S", help="time a kernel (default: 3)"
    )
    p.add_argument("-o", "--out", metavar="FILE", help="write the result there too, as JSON")
    _add_engine(p, "a kernel, or all (default: the fastest)")


def _predict(args: argparse.Namespace, terminal: Terminal) -> int:
    from gate2hw import flow

    out = args.out if args.out or terminal.as_json else sys.stdout
    with terminal.progress("predict") as progress:
        result = flow.predict(
            args.model,
            args.data,
            out,
            scores=args.scores,
            threads=args.threads,
            kernel=args.kernel,
            labels=args.labels,
            progress=progress,
        )
    names = result["class_names"]
    if "classes" in result:
        result["classes"] = [names[number] for number in result["classes"].tolist()]
    if "scores" in result:
        result["scores"] = result["scores"].tolist()
    terminal.give(result)
    terminal.notes(result["notes"])
    if not terminal.quiet:
        print(_closing(result), file=sys.stderr)
    return 0


def _closing(result: dict[str, Any]) -> str:
    threads = "1 thread" if result["threads"] == 1 else f"{result['threads']} threads"
    line = (
        f"{result['images']:,} images, {result['images_per_s']:,.0f} images/s "
        f"(kernel {result['kernel']}, {threads}, reading and writing included)"
    )
    if result["accuracy"] is not None:
        every = "" if result["labelled"] == result["images"] else f" of {result['labelled']:,}"
        line += f", accuracy {result['accuracy']:.2%}{every}"
    return line + (f", {result['out']}" if result["out"] else "")


def _rate(per_s: float) -> str:
    """Three digits of a number a second: 12.3 M, 456 k, 7.89."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if per_s >= size:
            return f"{per_s / size:#.3g}".rstrip(".") + f" {unit}"
    return f"{per_s:.3g}"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.1f}"


def _table(result: dict[str, Any]) -> Any:
    from rich.table import Table

    most = result["threads"]
    columns = ["kernel", "ready\nms", "1 image\nµs", "99 %\nµs", "images/s\n1 thread"]
    if most > 1:
        columns.append(f"images/s\n{most} threads")
    table = Table(*columns, "ops", "images", title=result["model"], title_justify="left")
    for row in result["kernels"]:
        table.add_row(
            row["kernel"],
            _short(row["ready_ms"]),
            _short(row["latency_us"]["median"]),
            _short(row["latency_us"]["p99"]),
            *(_rate(run["images_per_s"]) for run in row["runs"]),
            f"{row['ops']:,}",
            f"{row['images']:,}",
        )
    table.caption = (
        f"{result['gates']:,} gates, {result['inputs']:,} inputs, {result['classes']} classes; "
        f"{result['image_bytes']:,} bytes an image ({result['images_from']}), at most "
        f"{result['data_mb']:,.1f} MB a run; {result['checked']} images checked bit for bit"
    )
    table.caption_justify = "left"
    return table


def _bench(args: argparse.Namespace, terminal: Terminal) -> int:
    from gate2hw import flow

    with terminal.progress("bench") as progress:
        result = flow.bench(
            args.model,
            out=args.out,
            n_images=args.images,
            seconds=args.seconds,
            threads=args.threads,
            kernel=args.kernel,
            progress=progress,
        )
    terminal.give(result)
    terminal.notes(result["notes"])
    terminal.say(_table(result))
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace, Terminal], int]] = {
    "predict": _predict,
    "bench": _bench,
}
