"""How many images a second does the CPU engine classify, and how many difflogic's own C?

    python benchmarks/engine.py [--quick] [--json FILE] [--models FOLDER] [--net NAME ...]

Nets: SYNTHETIC dense ones (784 pixels, one threshold, six layers, ten classes, drawn with a trained
net's mix: `synthetic.py`) of 48,000 gates, which is difflogic's MNIST model, and of 384,000; the
trained nets of examples/models and of --models; SYNTHETIC LogicTreeNets for CIFAR-10 (`models.py`).
Ours gets the netlist after `run_pipeline(unroll_shared(network), 1)`, CIFAR S and M that of level
2; that and the planning are `ready_s`. Peers get the gates as the network has them, as their users'
models do: difflogic's CompiledLogicNet and torchlogix's Circuit (simplified by its own `simplify`)
emit their C and run gcc -O1 themselves, with a time limit (--limit); libraries are kept by content
under build/, with the seconds that they took. Each contestant is a process of its own, with one
thread unless a name says otherwise. `make peers` installs them; without one its ratios are null and
the exit code is 1.

End to end is uint8 images in memory to classes: for ours `Engine.predict`, for peers what users
write (pixels compared with NumPy, the call, argmax). Kernel is the gates alone on bits that are
packed already; torchlogix's includes its counting. Before anything is timed, all scores and classes
of everyone are compared, bit for bit, with those of an evaluator of the LogicNetwork that shares no
code with any of them; a difference ends the run with exit code 1.

In every round everyone is asked in turn, back and forth; a time is that of as many calls on all
images as fill --least seconds, after one that is not timed. The images of a call fit the cache of
the processor's last level; those of `large` are ten times as many. Times are medians over rounds,
ratios are taken in each round and come with their least and greatest; processor time stands beside
the wall clock.

The floor is a plain read of the images, measured in the same rounds. What the operands of all gates
are loaded with, in bytes a second, stands beside a plain read of what the first-level cache holds;
that is no bound, a processor may load more in a cycle than such a read asks for.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import arguments, in_process, save
from engine_nets import EXAMPLES, prepare
from engine_peers import PEERS, compare_all, contestants, rounds, spread
from engine_tables import judge, print_tables

from gate2hw.engine import kernel_names

DENSE = ("dense 48000", "dense 384000")
QUICK_DENSE = ("dense 4000",)
QUICK_TRAINED = ("adult",)
SCALE = {"CIFAR S": 10_240, "CIFAR M": 2_048, "CIFAR G": 1_024}
"""Images of each: a multiple of every block, and few enough for the evaluator."""
N_DISTINCT = {"CIFAR G": 128}
"""Images that differ, where the evaluator needs gigabytes for more."""
N_LARGE = 10
MEMORY_BYTES = 20 * 10**9
"""No process may have more: the goal for CIFAR G is 16 GB, beyond is no use to know."""
N_LATENCY = {False: 2_000, True: 200}


def over(
    times: dict[str, list[dict[str, float]]], above: str, below: str, clock: str = "wall_s"
) -> dict[str, float] | None:
    """How many times longer `above` takes than `below`, round by round; None without both."""
    if above not in times or below not in times:
        return None
    pairs = zip(times[above], times[below], strict=True)
    return spread([one[clock] / other[clock] for one, other in pairs])


def ratios(times: dict[str, list[dict[str, float]]], kernel: str, threads: int) -> dict[str, Any]:
    """Peers over ours, and one thread over several."""
    ours, gates = f"gate2hw: predict {kernel}", f"gate2hw: gates {kernel}"
    found: dict[str, Any] = {}
    for peer in PEERS:
        whole = f"{peer}: end to end"
        found[peer] = {
            "end_to_end": over(times, whole, ours),
            "end_to_end_cpu": over(times, whole, ours, "cpu_s"),
            "kernel": over(times, f"{peer}: kernel", gates),
        }
    speedup = over(times, "gate2hw: large", f"gate2hw: large {threads} threads")
    found["scaling"] = speedup and {key: value / threads for key, value in speedup.items()}
    return found


def measure(name: str, options: argparse.Namespace, peers: tuple[str, ...]) -> dict[str, Any]:
    """Everything about one net."""
    scale = name in SCALE
    n_images = SCALE.get(name, options.images)
    subject = prepare(name, n_images, 1 if scale else 3, N_DISTINCT.get(name))
    settings = {
        "kernels": list(kernel_names()[-1:]) if scale else [],
        "threads": 1 if scale else options.threads,
        "n_plans": 1 if scale else 5,
        "n_numpy": min(1_024, len(subject.x)),
        "n_large": N_LARGE * len(subject.x) if not scale else 0,
        "least_s": options.least,
        "limit_s": options.limit,
    }
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        contest = contestants(subject, folder, settings, peers)
        try:
            checked = compare_all(subject, contest, folder)
            times = rounds(contest, 3 if scale else options.rounds)
            latency = {
                who: process.ask("latency", 20 if scale else N_LATENCY[options.quick])
                for who, process in contest.running.items()
            }
        finally:
            contest.close()
    kernel = contest.running["gate2hw"].about["kernel"]
    plan_s = spread(contest.running["gate2hw"].about["plan_s"])
    return {
        **subject.about(),
        "kernel": kernel,
        "plan_s": plan_s["median"],
        "ready_s": subject.simplify_s + plan_s["median"],
        "compared": checked,
        "contestants": {who: process.about for who, process in contest.running.items()},
        "missing": contest.missing,
        "latency": latency,
        "times": {
            way: {
                "wall_s": spread([entry["wall_s"] for entry in found]),
                "cpu_s": spread([entry["cpu_s"] for entry in found]),
            }
            for way, found in times.items()
        },
        "ratios": ratios(times, kernel, options.threads),
    }


def peak_bytes() -> int:
    """The most memory of this process and of its largest child, together."""
    return sum(
        resource.getrusage(who).ru_maxrss * 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )


def in_own_process(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """A large net, whose memory counts."""
    argv = ["--measure", name, "--least", str(options.least), "--limit", str(options.limit)]
    return in_process(__file__, *argv, timeout_s=3600)


def chosen(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Names of the nets to measure, and what is left out, with the reason."""
    shipped = sorted(str(path) for path in EXAMPLES.iterdir() if path.is_dir())
    found = [path for path in shipped if not options.quick or Path(path).name in QUICK_TRAINED]
    skipped = []
    folder = options.models
    trained = sorted(folder.glob("*/model.safetensors")) if folder else []
    if not trained:
        reason = f"{folder} has no */model.safetensors" if folder else "no --models given"
        skipped.append(f"trained nets of --models: {reason}")
    found += [str(path.parent) for path in trained]
    names = [*(QUICK_DENSE if options.quick else DENSE), *found]
    if options.quick:
        skipped.append(f"--quick: {', '.join([*DENSE, *SCALE])}, most of examples/models")
    else:
        names += list(SCALE)
    if options.net:
        skipped.append(f"all but {', '.join(options.net)}: --net")
        names = options.net
    return names, skipped


def parse() -> argparse.Namespace:
    """The options."""
    parser = arguments(__doc__)
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="of folders of trained nets")
    parser.add_argument(
        "--net", action="append", help="this net only, as 'dense 48000', 'CIFAR S' or a folder"
    )
    parser.add_argument("--rounds", type=int, help="default 9, with --quick 3")
    parser.add_argument("--least", type=float, help="seconds of a time, default 0.2, 0.05")
    parser.add_argument("--images", type=int, default=10_240, help="of a call (default 10240)")
    parser.add_argument("--threads", type=int, default=2, help="for the scaling (default 2)")
    parser.add_argument(
        "--limit",
        type=float,
        default=600.0,
        help="seconds that a peer's compiler has (default 600)",
    )
    parser.add_argument("--no-peers", action="store_true", help="ours alone")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 9)
    options.least = options.least or (0.05 if options.quick else 0.2)
    return options


def main() -> int:
    """Measure, print, save; 1 where outputs differ, a peer is missing or a goal is missed."""
    options = parse()
    if options.measure:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
        row = measure(options.measure, options, ())
        print(json.dumps({**row, "memory_peak_bytes": peak_bytes()}))
        return 0
    names, skipped = chosen(options)
    peers = () if options.no_peers else PEERS
    if options.no_peers:
        skipped.append("peers: --no-peers")
    rows = []
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        own = in_own_process(name, options) if name in SCALE else measure(name, options, peers)
        rows.append(own)
    print_tables(rows, options.threads)
    headline = QUICK_DENSE[0] if options.quick else DENSE[0]
    keys, failed = judge(rows, headline, options.threads)
    # a chosen few are a look, not the table of all
    options.quick = options.quick or bool(options.net) or options.no_peers
    for line in skipped:
        print(f"skipped: {line}")
    settings = {key: getattr(options, key) for key in ("rounds", "least", "images", "threads")}
    save("engine", {**keys, "settings": settings, "skipped": skipped, "rows": rows}, options)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
