"""What engine.py prints, the keys of its results, and its goals."""

from __future__ import annotations

from typing import Any

from common import table

__all__ = ["GOALS", "floor_s", "judge", "print_tables"]

Row = dict[str, Any]

GOALS = {
    "ratio_end_to_end_vs_difflogic": (15.0, "the aim is 25"),
    "scaling_two_threads": (0.9, ""),
    "images_per_s_cifar_s": (3e6, ""),
    "images_per_s_cifar_m": (250e3, ""),
}
AT_MOST = {"plan_s_per_million_gates": 3.0}
LARGE_GATES = 500_000
"""Planned gates of the nets that tell how long a million takes."""
HEADLINE = "dense 48000"
"""The net that has the goals."""
MEMORY_GOAL = ("CIFAR G", 16e9)


def wall(row: Row, way: str, clock: str = "wall_s") -> float:
    """Median seconds an image; NaN where it was not measured."""
    times = row["times"].get(way)
    return float("nan") if times is None else float(times[clock]["median"])


def floor_s(row: Row) -> float | None:
    """Seconds to read an image once, plainly; None without the kernels in C."""
    counts = row["contestants"]["gate2hw"].get("counts")
    return None if counts is None else counts["image_bytes"] * wall(row, "gate2hw: read")


def _span(found: dict[str, float] | None) -> str:
    if found is None:
        return "-"
    return f"{found['median']:.1f} ({found['min']:.1f}..{found['max']:.1f})"


def _nets(rows: list[Row]) -> str:
    cells = [
        [
            row["net"],
            row["gates"],
            row["gates_simplified"],
            row["contestants"]["gate2hw"].get("counts", {}).get("n_ops", "-"),
            row["depth"],
            1e3 * row["simplify_s"],
            1e3 * row["plan_s"],
            1e3 * row["ready_s"],
            *(1e6 * row["latency"]["gate2hw"][key] for key in ("median_s", "p99_s")),
        ]
        for row in rows
    ]
    head = ["net", "gates", "simplified", "ops", "depth", "simplify ms", "plan ms", "ready ms"]
    return table([*head, "one image us", "99 % us"], cells)


def _kernels(rows: list[Row], threads: int) -> str:
    cells = []
    for row in rows:
        ways = [way for way in row["times"] if way.startswith("gate2hw: predict ")]
        for way in sorted(w for w in ways if not w.endswith(" threads")):
            kernel = way.removeprefix("gate2hw: predict ")
            ns, several = 1e9 * wall(row, way), 1e9 * wall(row, f"{way} {threads} threads")
            cells.append(
                [
                    row["net"],
                    kernel + (" *" if kernel == row["kernel"] else ""),
                    round(1e9 / ns),
                    ns,
                    1e9 * wall(row, way, "cpu_s"),
                    1e9 * wall(row, f"gate2hw: gates {kernel}"),
                    1e9 * wall(row, f"gate2hw: gates {kernel}", "cpu_s"),
                    several,
                    ns / several / threads,
                ]
            )
    head = ["net", "kernel", "images/s", "ns", "cpu ns", "gates ns", "gates cpu"]
    return table([*head, f"ns, {threads} threads", "scaling"], cells)


def _parts(rows: list[Row]) -> str:
    cells = []
    for row in rows:
        floor = floor_s(row)
        if floor is None:
            continue
        whole = wall(row, f"gate2hw: predict {row['kernel']}")
        gates = wall(row, f"gate2hw: gates {row['kernel']}")
        seconds = [
            whole,
            whole - wall(row, "gate2hw: no input"),
            gates,
            whole - wall(row, "gate2hw: no head"),
            wall(row, "gate2hw: large"),
            floor,
        ]
        counts = row["contestants"]["gate2hw"]["counts"]
        kilobytes = [round(counts[key] / 1e3) for key in ("slots_bytes", "program_bytes")]
        # an operand is a bit of an image
        loaded = counts["n_operands"] / 8 / gates / 1e9
        speeds = [loaded, 1e-9 / wall(row, "gate2hw: read cached")]
        nanoseconds = [1e9 * s for s in seconds]
        cells.append([row["net"], *nanoseconds, whole / floor, *speeds, *kilobytes])
    head = ["net", "ns", "input", "gates", "head", "large", "floor", "x floor", "operands GB/s"]
    return table([*head, "read GB/s", "slots kB", "plan kB"], cells)


def _peers(rows: list[Row]) -> str:
    cells = []
    for row in rows:
        for name in ("difflogic", "torchlogix"):
            if name not in row["contestants"]:
                continue
            ratios, about = row["ratios"][name], row["contestants"][name]
            cells.append(
                [
                    row["net"],
                    name,
                    round(1 / wall(row, f"{name}: end to end")),
                    *(1e9 * wall(row, f"{name}: {way}") for way in ("end to end", "kernel")),
                    1e6 * row["latency"][name]["median_s"],
                    about["compile_s"],
                    *(_span(ratios[key]) for key in ("end_to_end", "end_to_end_cpu", "kernel")),
                ]
            )
    head = ["net", "peer", "images/s", "ns", "kernel ns", "one image us", "compile s"]
    return table([*head, "x end to end", "x cpu", "x kernel"], cells)


def print_tables(rows: list[Row], threads: int) -> None:
    """Nets; ours by kernel; the default kernel in parts, beside the floor; peers."""
    print("dense and CIFAR nets are SYNTHETIC; all times are medians, of one image")
    print(_nets(rows))
    print("\nours, end to end from uint8; gates: without encoder and head; *: the default")
    print(_kernels(rows, threads))
    print("\nwhere the time goes (saved by leaving it out), ns an image; floor: one plain read")
    print(_parts(rows))
    if any(len(row["contestants"]) > 1 for row in rows):
        print("\npeers; x: how many times longer than ours (least..greatest of the rounds)")
        print(_peers(rows))
    for row in rows:
        for name, about in row["missing"].items():
            print(f"{row['net']}: no {name}: {about['missing']}")
        if "memory_peak_bytes" in row:
            print(f"{row['net']}: {row['memory_peak_bytes'] / 1e9:.1f} GB at most")


def keys_of(rows: list[Row], headline: str) -> dict[str, Any]:
    """The keys of the issue; None where nothing was measured."""
    named = {row["net"]: row for row in rows}

    def speed(name: str) -> float | None:
        row = named.get(name)
        return None if row is None else 1 / wall(row, f"gate2hw: predict {row['kernel']}")

    row = named.get(headline)
    found = row["ratios"] if row else {}

    def ratio(peer: str, key: str) -> dict[str, float] | None:
        spread: dict[str, float] | None = found.get(peer, {}).get(key)
        return spread

    def median(value: dict[str, float] | None) -> float | None:
        return None if value is None else value["median"]

    difflogic = ratio("difflogic", "end_to_end")
    return {
        "synthetic": True,
        "headline_net": headline,
        "ratio_end_to_end_vs_difflogic": median(difflogic),
        "ratio_end_to_end_vs_difflogic_spread": difflogic,
        "ratio_end_to_end_vs_difflogic_cpu": median(ratio("difflogic", "end_to_end_cpu")),
        "ratio_kernel_vs_difflogic": median(ratio("difflogic", "kernel")),
        "ratio_end_to_end_vs_torchlogix": median(ratio("torchlogix", "end_to_end")),
        "ratio_end_to_end_vs_torchlogix_spread": ratio("torchlogix", "end_to_end"),
        "scaling_two_threads": median(found.get("scaling")),
        "scaling_two_threads_spread": found.get("scaling"),
        "images_per_s": speed(headline),
        "ready_s": row["ready_s"] if row else None,
        "images_per_s_cifar_s": speed("CIFAR S"),
        "images_per_s_cifar_m": speed("CIFAR M"),
        "images_per_s_cifar_g": speed("CIFAR G"),
        "plan_s_per_million_gates": max(
            (
                1e6 * row["plan_s"] / row["gates_simplified"]
                for row in rows
                if row["gates_simplified"] >= LARGE_GATES
            ),
            default=None,
        ),
    }


def judge(rows: list[Row], headline: str, threads: int) -> tuple[dict[str, Any], bool]:
    """Print the keys and the goals; the keys, and whether a goal is missed or a peer missing.

    Goals are those of the full run's headline net.
    """
    keys = keys_of(rows, headline)
    if threads != 2:
        keys["scaling_two_threads"] = keys["scaling_two_threads_spread"] = None
    missed = []
    full = headline == HEADLINE
    for key, value in keys.items():
        most = AT_MOST.get(key)
        goal, note = GOALS.get(key, (None, "")) if full or "cifar" in key else (None, "")
        if value is None and goal is not None and "cifar" not in key:
            missed.append(key)
            print(f"{key}: not measured (goal {goal:,g})")
        if not isinstance(value, float):
            continue
        shown = f"{value:,.0f}" if value > 1000 else f"{value:.3g}"
        if goal is None and most is None:
            print(f"{key}: {shown}")
            continue
        met = value <= most if most is not None else value >= goal
        missed += [] if met else [key]
        verdict = "met" if met else "missed"
        wanted = f"{goal:,g}" if most is None else f"at most {most:g}"
        print(f"{key}: {shown} (goal {wanted}{', ' + note if note else ''}: {verdict})")
    for row in rows:
        if row["net"] == MEMORY_GOAL[0] and row["memory_peak_bytes"] > MEMORY_GOAL[1]:
            missed.append(f"memory of {row['net']}")
    absent = sorted(
        {
            name
            for row in rows
            for name, about in row["missing"].items()
            if about.get("not_installed") or row["net"] == headline
        }
    )
    reasons = {
        name: about["missing"]
        for row in rows
        if row["net"] == headline
        for name, about in row["missing"].items()
    }
    if missed:
        print(f"missed: {', '.join(missed)}")
    return {**keys, "missed": missed, "missing_peers": reasons}, bool(missed or absent)
