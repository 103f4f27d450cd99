"""The command line's grammar; stable: later versions add, never rename."""

from __future__ import annotations

import argparse
from typing import TypeAlias

from gate2hw import __version__
from gate2hw.cli import asic, boards, export, netlists, predict, sweep, wave
from gate2hw.cli.values import fraction, mhz

__all__ = ["make_parser"]

_Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    group = common.add_argument_group("output")
    group.add_argument("--quiet", action="store_true", help="no progress and no tables")
    group.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    return common


def _positive(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)


def _add_train(sub: _Subparsers, common: argparse.ArgumentParser) -> None:
    p = sub.add_parser(
        "train",
        parents=[common],
        help="train a recipe; writes model.safetensors and golden.npz",
        description="Train a logic gate network by RECIPE: a TOML file or the name of a shipped "
        "recipe. Ctrl-C stops cleanly; --resume goes on where it stopped.",
        epilog="example: gate2hw train digits -o build/digits --set training.steps=500. "
        "Every key of a recipe, with advice: docs/training.md; data sets: docs/data.md.",
    )
    p.add_argument("recipe", metavar="RECIPE", help="TOML file, or a shipped recipe's name")
    p.add_argument("-o", "--out", metavar="DIR", help="folder to write (default: build/RECIPE)")
    p.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a recipe entry, e.g. training.steps=500; may be given often",
    )
    p.add_argument("--data", metavar="DIR", help="folder of data files (default: $GATE2HW_DATA)")
    p.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="default: cpu")
    p.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint")


def _add_compile(sub: _Subparsers, common: argparse.ArgumentParser) -> None:
    p = sub.add_parser(
        "compile",
        parents=[common],
        help="model to optimised netlist and Verilog",
        description="Discretised model to optimised netlist and generic RTL (under DIR/rtl).",
        epilog="example: gate2hw compile build/digits -o build/digits --bus-bytes 4",
    )
    p.add_argument("model", metavar="MODEL", help="model.safetensors, or the folder it lies in")
    p.add_argument("-o", "--out", metavar="DIR", required=True, help="build folder to write")
    p.add_argument("--name", default="lgn", help="prefix of all Verilog modules (default: lgn)")
    p.add_argument(
        "-O",
        dest="opt_level",
        type=int,
        choices=range(4),
        default=3,
        help="effort: 0 none, 1 constant, equal and dead gates, 2 + local rules, sharing, what the "
        "encoder guarantees and the head, 3 + SAT sweeping and resynthesis by ABC (default: 3)",
    )
    p.add_argument(
        "--output",
        choices=["class", "scores"],
        default="class",
        help="what the result frame holds: the class, or the class and all scores",
    )
    p.add_argument(
        "--bus-bytes",
        type=int,
        choices=[1, 2, 4, 8],
        default=1,
        help="width of the AXI4-Stream buses in bytes (default: 1)",
    )
    p.add_argument(
        "--care",
        choices=["thermometer", "none"],
        default="thermometer",
        help="thermometer: input codes that the encoder cannot make do not count; none: a core "
        "that is right on all codes (default: thermometer)",
    )
    p.add_argument(
        "--arch",
        choices=["unrolled", "stream", "auto"],
        default="unrolled",
        help="unrolled: gates for every position, an image a clock; stream: one tree for each "
        "kernel, pixels in raster order; auto: stream where unrolled is too large for --target, "
        "or 20,000 LUTs (default: unrolled)",
    )
    p.add_argument(
        "--positions-per-clock",
        type=_positive,
        default=1,
        metavar="P",
        help="stream: columns that work side by side; divides the row and the pixels of a beat",
    )
    p.add_argument("--target", metavar="NAME", help="what --arch auto must fit; see targets")
    group = p.add_argument_group(
        "lossy",
        "Smaller hardware for a little accuracy. The result is another function, with a golden "
        "file of its own; the report shows the curve.",
    )
    group.add_argument(
        "--accuracy-budget",
        type=fraction,
        metavar="F",
        help="largest fall of validation accuracy, a fraction such as 0.003 (default: lossless)",
    )
    group.add_argument(
        "--samples",
        metavar="FILE",
        help=".npz of x, y, x_validation, y_validation (default: by the recipe beside the model)",
    )
    group.add_argument("--data", metavar="DIR", help="the recipe's data (default: $GATE2HW_DATA)")


def _add_verify(sub: _Subparsers, common: argparse.ArgumentParser) -> None:
    p = sub.add_parser(
        "verify",
        parents=[common],
        help="check every link from model to Verilog, and to the mapped netlist",
        description="Check exactly the files in DIR: digests, scores, proof by ABC, simulation by "
        "cocotb; with --target also that target's RTL and its netlist after synthesis.",
        epilog="example: gate2hw verify build/digits --target ice40-hx8k",
    )
    p.add_argument("dir", metavar="DIR", help="build folder")
    p.add_argument("--target", metavar="NAME", help="check what synth made for this target too")
    p.add_argument("--simulator", choices=["verilator", "icarus"], default="verilator")
    p.add_argument(
        "--vectors",
        type=_positive,
        default=1000,
        metavar="N",
        help="random vectors beside the test set (default: 1000)",
    )
    p.add_argument("--golden", metavar="FILE", help="golden file (default: DIR/golden.npz)")
    p.add_argument("--no-proof", action="store_true", help="skip the proofs, simulate only")


def _add_synth(sub: _Subparsers, common: argparse.ArgumentParser) -> None:
    p = sub.add_parser(
        "synth",
        parents=[common],
        help="synthesise, place and route for a target",
        description="Synthesise, place and route for a target; bitstream and results go to "
        "DIR/NAME. With --clock-mhz or --latency-cycles pipeline registers are added and the "
        "design routed again until the goal is met or nothing more is gained; a search that was "
        "interrupted goes on. The logs of Yosys and nextpnr grow there while these run (those of a "
        "search in DIR/NAME/tries). Exit code 1 if the design does not fit or misses its clock.",
        epilog="example: gate2hw synth build/digits --target ecp5-25k --clock-mhz 40",
    )
    p.add_argument("dir", metavar="DIR", help="build folder")
    p.add_argument("--target", metavar="NAME", required=True, help="see: gate2hw targets")
    p.add_argument(
        "--clock-mhz",
        type=mhz,
        metavar="F",
        help="the clock to meet, with as little latency as may be (default: none; one run with "
        "the registers that compile gave, for the target's own clock)",
    )
    p.add_argument(
        "--latency-cycles",
        type=_positive,
        metavar="N",
        help="the fastest clock within N cycles from the last input beat to the result",
    )
    p.add_argument(
        "--stages",
        metavar="TEXT",
        help="which registers, in one run: gates=N,popcount=N are ranks within the gates and the "
        "score adders; with 0 or 1, outputs, scores and result are registers behind the gates, the "
        "adders and the winner, tree between the levels that find it, compare within these; what "
        "is left out is as compile gave it",
    )
    p.add_argument(
        "--tries",
        type=_positive,
        metavar="N",
        default=10,
        help="most runs of place and route in a search (default: 10)",
    )
    p.add_argument("--seed", type=_positive, default=1, metavar="N", help="placement seed")
    p.add_argument(
        "--mapper",
        choices=["auto", "gate2hw", "yosys"],
        default="auto",
        help="who maps the gates to LUTs: gate2hw (the compiled luts4.npz; Yosys sees only what "
        "surrounds it) or yosys; auto: gate2hw where compile mapped them",
    )
    p.add_argument(
        "--popcount",
        choices=["auto", "luts", "adder", "compressor"],
        default="auto",
        help="score adders: luts (cells of our own, the smallest), adder (carry chains, the "
        "fastest), compressor; auto: the smallest that the mapper allows",
    )
    asic.add_options(p)


def _add_rest(sub: _Subparsers, common: argparse.ArgumentParser) -> None:
    sub.add_parser("targets", parents=[common], help="list the targets")
    p = sub.add_parser("report", parents=[common], help="write report.json and report.html")
    p.add_argument("dir", metavar="DIR", help="build folder")
    p = sub.add_parser("info", parents=[common], help="say what a model or netlist file holds")
    p.add_argument("file", metavar="FILE", help="model, network, netlist or golden file")
    p = sub.add_parser(
        "demo",
        parents=[common],
        help="digits from training to four routed targets and a report",
        description="Train the digits classifier, compile it, check every link, place and route "
        "it for two iCE40 and two ECP5 targets, and write the report. A second run redoes only "
        "what changed.",
    )
    p.add_argument("-o", "--out", metavar="DIR", default="build/digits", help="build folder")
    sub.add_parser("doctor", parents=[common], help="which tools are there, how to get the others")


def make_parser() -> argparse.ArgumentParser:
    """The parser of the `gate2hw` command."""
    parser = argparse.ArgumentParser(
        prog="gate2hw",
        description="The compiler from trained logic gate networks to hardware.",
        epilog="Start with: gate2hw demo. Exit codes: 0 good; 1 a check failed or was "
        "not decided, or the design does not fit or misses its clock; 2 bad input or missing tool; "
        "130 Ctrl-C; 143 SIGTERM.",
    )
    parser.add_argument("--version", action="version", version=f"gate2hw {__version__}")
    sub = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = _common()
    for add in (_add_train, _add_compile, _add_verify, _add_synth, _add_rest):
        add(sub, common)
    netlists.add_parsers(sub, common)
    sweep.add_parsers(sub, common)
    export.add_parsers(sub, common)
    predict.add_parsers(sub, common)
    boards.add_parsers(sub, common)
    wave.add_parsers(sub, common)
    return parser
