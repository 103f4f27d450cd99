"""How accurate is the digits recipe over the five fixed test splits, and how large its netlist?

    python benchmarks/digits_splits.py [--quick] [--json FILE] [--recipe NAME] [--set key=value]

Settings of the recipe were chosen on validation samples cut from the training part of split 0, so
split 0's test samples had no say in them; those of the other splits overlap that training part.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from typing import Any

from common import arguments, save

from gate2hw.ir.store import load_network
from gate2hw.ir.unroll import unroll
from gate2hw.nn import load_recipe, train
from gate2hw.passes.manager import run_pipeline

COLUMNS = ("split", "accuracy", "accuracy_soft", "accuracy_validation", "time_s")
GATE_COLUMNS = ("gates_unique", "gates_instantiated", "gates_optimised", "depth")


def measure(recipe_name: str, split: int, overrides: list[str]) -> dict[str, Any]:
    """Train on one split; accuracies, seconds, gate counts."""
    recipe = load_recipe(recipe_name, [*overrides, f"data.split={split}"])
    with tempfile.TemporaryDirectory() as folder:
        result = train(recipe, folder)
        network = load_network(result.model_path)
    raw = unroll(network)
    optimised = run_pipeline(raw, 3).net
    return {
        "split": split,
        "accuracy": result.accuracy,
        "accuracy_soft": result.accuracy_soft,
        "accuracy_validation": result.accuracy_validation,
        "n_test": result.n_test,
        "time_s": result.time_s,
        "gates_unique": network.n_unique_gates,
        "gates_instantiated": raw.n_gates,
        "gates_optimised": optimised.n_gates,
        "depth": optimised.depth,
        "n_outputs": optimised.n_outputs,
        "n_used_inputs": len(optimised.used_inputs()),
        "digest": network.digest,
    }


def print_table(rows: list[dict[str, Any]], summary: dict[str, float]) -> None:
    """One line a split, then mean and spread."""
    print("".join(f"{name:>21}" for name in (*COLUMNS, *GATE_COLUMNS)))
    for row in rows:
        cells = [f"{row['split']}", *(f"{100 * row[name]:.2f} %" for name in COLUMNS[1:4])]
        cells += [f"{row['time_s']:.1f}", *(f"{row[name]}" for name in GATE_COLUMNS)]
        print("".join(f"{cell:>21}" for cell in cells))
    print(
        f"discretised test accuracy: mean {100 * summary['mean']:.2f} %, "
        f"{100 * summary['min']:.2f} to {100 * summary['max']:.2f} %, "
        f"standard deviation {100 * summary['stdev']:.2f}; soft mean "
        f"{100 * summary['mean_soft']:.2f} %"
    )


def main() -> int:
    """Run, print, write; 0 when all was measured."""
    parser = arguments(__doc__)
    parser.add_argument("--recipe", default="digits")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    options = parser.parse_args()
    overrides = [*options.overrides, *(["training.steps=100"] if options.quick else [])]
    splits = range(2) if options.quick else range(5)
    start = time.perf_counter()
    rows = []
    for split in splits:
        rows.append(measure(options.recipe, split, overrides))
        print(f"split {split}: {100 * rows[-1]['accuracy']:.2f} %", file=sys.stderr)
    accuracies = [row["accuracy"] for row in rows]
    summary = {
        "mean": statistics.mean(accuracies),
        "min": min(accuracies),
        "max": max(accuracies),
        "stdev": statistics.stdev(accuracies),
        "mean_soft": statistics.mean(row["accuracy_soft"] for row in rows),
    }
    print_table(rows, summary)
    result = {
        "recipe": load_recipe(options.recipe, overrides).as_dict(),
        "rows": rows,
        "summary": summary,
        "skipped": [f"split {k}" for k in range(5) if k not in splits],
        "time_s": round(time.perf_counter() - start, 2),
    }
    save("digits_splits", result, options, ("torch", "numpy", "scikit-learn"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
