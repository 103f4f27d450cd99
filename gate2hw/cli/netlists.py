"""convert, opt and import: netlists and models of other tools."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from gate2hw.cli.values import seconds

if TYPE_CHECKING:
    from gate2hw.cli.console import Terminal

__all__ = ["COMMANDS", "add_parsers"]

_Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

SUFFIXES = ".aig .aag .blif .v .npz .json (torchlogix Circuit) .c (difflogic)"


def _add_convert(sub: _Subparsers, common: argparse.ArgumentParser) -> None:
    p = sub.add_parser(
        "convert",
        parents=[common],
        help="a netlist from one format to another",
        description="Read the netlist IN and write it as OUT; formats by suffix: "
        f"{SUFFIXES}; IN may also be a model (.safetensors). What OUT cannot hold is said.",
        epilog="example: gate2hw convert build/digits/netlist.npz digits.blif",
    )
    p.add_argument("source", metavar="IN", help=f"netlist to read: {SUFFIXES}")
    p.add_argument("target", metavar="OUT", help="netlist to write, of any of these")


def _add_opt(sub: _Subparsers, common: argparse.ArgumentParser) -> None:
    p = sub.add_parser(
        "opt",
        parents=[common],
        help="optimise any combinational netlist, proved equal",
        description="Optimise the netlist IN, prove that the result equals it, and write OUT; "
        f"formats by suffix: {SUFFIXES}. Nothing is written without a proof (exit code 1).",
        epilog="examples: gate2hw opt adder.aig -o small.aig -O 3; "
        "gate2hw opt net.blif -o net.v --mode gates",
    )
    p.add_argument("source", metavar="IN", help="netlist to read")
    p.add_argument("-o", "--out", metavar="OUT", required=True, help="netlist to write")
    p.add_argument(
        "-O",
        dest="opt_level",
        type=int,
        choices=range(4),
        default=3,
        help="effort: 0 none .. 3 to a fixed point (default: 3)",
    )
    p.add_argument(
        "--mode",
        choices=["gates", "aiger"],
        help="cost: two-input gates (as compile does), or AND nodes, then depth, by ABC, never "
        "more than its strash (default: aiger for .aig and .aag, else gates)",
    )
    p.add_argument(
        "--care",
        choices=["none", "thermometer"],
        default="none",
        help="input codes that count: all (default), or those of the encoder in an .npz",
    )
    p.add_argument(
        "--timeout",
        type=seconds,
        default=600.0,
        metavar="S",
        help="seconds that a proof may take (default: 600)",
    )


def _add_import(sub: _Subparsers, common: argparse.ArgumentParser) -> None:
    p = sub.add_parser(
        "import",
        parents=[common],
        help="a model of torchlogix, difflogic or torch_dwn, checked equal",
        description="Read FILE as a network: a state dict (.pt, .safetensors, .npz of the same "
        "names), torchlogix's Circuit .json, or the .c that difflogic emits. The network is "
        "compared with its original before it is written.",
        epilog="examples: gate2hw import state.pt --from torchlogix --spec spec.toml -o m/model"
        ".safetensors; gate2hw import net.c --from difflogic -o m/model.safetensors; then "
        "gate2hw compile m -o build/m. A spec: [input] shape, max_value, scale, thresholds, order; "
        "[gates] parametrisation, id_order; [[layers]] op, key, field or window, stride, padding; "
        "[wiring] seed, connections, device, before (difflogic's, drawn again); "
        "[output] classes, tau, beta, class_names.",
    )
    p.add_argument("file", metavar="FILE", help="the model of another tool")
    p.add_argument(
        "--from", dest="origin", required=True, choices=["torchlogix", "difflogic", "dwn"]
    )
    p.add_argument("-o", "--out", metavar="OUT", required=True, help="model.safetensors to write")
    p.add_argument("--spec", metavar="TOML", help="what FILE does not say: input, layers, classes")
    p.add_argument("--wiring", metavar="NPZ", help="difflogic: a_0, b_0, a_1, .. of its layers")
    p.add_argument(
        "--check",
        metavar="NPZ",
        help="arrays inputs and outputs (scores or classes) of the original (default: random "
        "inputs, against a plain evaluation of FILE)",
    )


def add_parsers(sub: _Subparsers, common: argparse.ArgumentParser) -> None:
    """Register the commands of this module."""
    for add in (_add_convert, _add_opt, _add_import):
        add(sub, common)


def _convert(args: argparse.Namespace, terminal: Terminal) -> int:
    from gate2hw import flow

    result = flow.convert(args.source, args.target)
    terminal.give(result)
    terminal.notes(result["notes"])
    terminal.say(
        f"{args.target}: {result['gates']:,} gates, depth {result['depth']}, "
        f"{result['inputs']:,} inputs, {result['outputs']:,} outputs"
    )
    return 0


def _opt(args: argparse.Namespace, terminal: Terminal) -> int:
    from gate2hw import flow

    with terminal.progress("opt") as progress:
        result = flow.opt(
            args.source,
            args.out,
            level=args.opt_level,
            mode=args.mode,
            care=args.care,
            timeout_s=args.timeout,
            progress=progress,
        )
    terminal.give(result)
    terminal.notes(result["notes"])
    unit = "gates" if result["mode"] == "gates" else "ands"
    word = {"gates": "gates", "ands": "ANDs"}[unit]
    before, after, proof = result["before"], result["after"], result["proof"]
    terminal.say(
        f"{args.out}: {before[unit]:,} -> {after[unit]:,} {word}, depth {before['depth']} -> "
        f"{after['depth']}; proved {proof['result']} ({proof['method']}, {proof['time_s']:.1f} s)"
    )
    return 0


def _import(args: argparse.Namespace, terminal: Terminal) -> int:
    from gate2hw import flow

    result = flow.import_model(
        args.file, args.origin, args.out, spec=args.spec, wiring=args.wiring, check=args.check
    )
    terminal.give(result)
    check = result["check"]
    terminal.say(
        f"{args.out}: {result['gates_unique']:,} gates, {len(result['layers'])} layers, "
        f"{result['classes']} classes; equal to {' and '.join(check['compared_with'])} on "
        f"{check['n_samples']:,} inputs"
    )
    terminal.say(f"next: gate2hw compile {args.out} -o build/imported")
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace, Terminal], int]] = {
    "convert": _convert,
    "opt": _opt,
    "import": _import,
}
