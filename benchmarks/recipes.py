"""What do the shipped recipes reach: accuracy, gates, LUT4 and time, with the command of each?

    python benchmarks/recipes.py [--only NAME ...] [--data DIR] [--ship] [--quick] [--json FILE]

Trains each recipe with its seeds, compiles it at -O3, and writes results/recipes.json and
results/recipes.md. What is finished is kept in build/recipes and not done again; recipes that were
not run this time keep their rows. The accuracy on the test split is of the discrete network, read
once, after training. LUT4 counts gates and popcounts, without encoder and argmax.
--ship writes the networks of the first seed into examples/models, each with golden vectors:
the test samples of digits, and for data sets that are not ours to ship, random inputs.
Exit code 1 where a recipe was skipped, for want of its data.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, arguments, save

from gate2hw.errors import Gate2HWError
from gate2hw.flow.sweeps.sweep_trial import make_trial, run_trial
from gate2hw.ir.simulate import random_features
from gate2hw.ir.store import load_golden, load_network, save_golden, save_network, write_text
from gate2hw.ir.unroll import census, encoder_of
from gate2hw.nn import load_recipe
from gate2hw.nn.discretize import from_network
from gate2hw.nn.results import golden_of

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "examples" / "models"
MAX_BYTES = 1_000_000
N_RANDOM = 1_000
RANDOM_BYTES = 400_000
"""Random inputs do not compress."""


@dataclass(frozen=True)
class Entry:
    """A recipe, its seeds, and whether its network is small enough to be shipped."""

    name: str
    seeds: tuple[int, ...] = (0, 1, 2)
    ships: bool = True


ENTRIES = (
    Entry("digits"),
    Entry("monk-1"),
    Entry("monk-2"),
    Entry("monk-3"),
    Entry("adult"),
    Entry("breast-cancer"),
    Entry("mnist-tiny", (0,)),
    Entry("mnist-s", (0,)),
)


def measure(name: str, seed: int, data_dir: Path | None, quick: bool) -> dict[str, Any]:
    """One training, or what is kept of it; Gate2HWError where it fails."""
    overrides = [f"seed={seed}", *(["training.steps=50"] if quick else [])]
    recipe = load_recipe(name, overrides)
    folder = ROOT / "build" / "recipes" / name
    trial = make_trial(name, overrides, folder, data_dir=data_dir)

    def progress(done: int, total: int, message: str) -> None:
        if total and done % max(1, total // 10) == 0:
            print(f"{name} seed {seed}: {message} [{done}/{total}]", file=sys.stderr)

    result = run_trial(trial, progress)
    if "failed" in result:
        raise Gate2HWError(result["failed"])
    network = load_network(Path(trial.folder) / "model.safetensors")
    data = "" if recipe.data.source == "digits" else " --data DIR"
    return {
        "recipe": name,
        "seed": seed,
        "command": f"gate2hw train {name} -o DIR --set seed={seed}{data}",
        "accuracy": load_golden(Path(trial.folder) / "golden.npz").accuracy,
        "accuracy_validation": result["accuracy_validation"],
        "n_test": network.info["n_test"],
        "time_s": network.info["time_s"],
        "gates_unique": network.n_unique_gates,
        "gates_instantiated": census(network).n_gates,
        "gates": result["gates"],
        "luts4": result["luts4"],
        "luts4_gates": result["luts4_gates"],
        "luts4_popcount": result["luts4_popcount"],
        "outputs": result["outputs"],
        "digest": network.digest,
        "folder": str(Path(trial.folder).relative_to(ROOT)),
    }


def ship(row: dict[str, Any]) -> None:
    """Write the network of `row` and golden vectors into examples/models."""
    source, target = ROOT / row["folder"], MODELS / row["recipe"]
    network = load_network(source / "model.safetensors")
    kept = ("command", "accuracy", "accuracy_validation", "gates", "luts4", "time_s")
    measured = {key: row[key] for key in kept}
    network = replace(network, info={**network.info, "measured": measured})
    target.mkdir(parents=True, exist_ok=True)
    save_network(target / "model.safetensors", network)
    golden = load_golden(source / "golden.npz")
    if row["recipe"] != "digits":
        rng = np.random.default_rng(row["seed"])
        encoder = encoder_of(network.thermometer)
        left = MAX_BYTES * 9 // 10 - (target / "model.safetensors").stat().st_size
        most = min(RANDOM_BYTES, left) // (encoder.n_features * encoder.bytes_per_feature)
        x = random_features(encoder, min(N_RANDOM, most), rng)
        golden = golden_of(from_network(network), network, x, np.full(len(x), -1, np.int64))
        golden = replace(golden, info={"dataset": "random inputs"})
    save_golden(target / "golden.npz", golden)
    size = sum(path.stat().st_size for path in target.iterdir())
    print(f"{target.relative_to(ROOT)}: {size:,} bytes")
    if size >= MAX_BYTES:
        raise SystemExit(f"{target} is larger than {MAX_BYTES:,} bytes; it is not for shipping")


def _spread(values: list[float]) -> str:
    text = f"{100 * statistics.mean(values):.2f}"
    return text if len(values) == 1 else f"{text} ± {100 * statistics.stdev(values):.2f}"


def markdown(rows: list[dict[str, Any]]) -> str:
    """One line a recipe; figures of the first seed, accuracy as mean and standard deviation."""
    lines = [
        "# Recipes, measured",
        "",
        "`python benchmarks/recipes.py`; machine, versions, every seed: `recipes.json`. Accuracy",
        "is of the discrete network on the test split, in %, mean and standard deviation over the",
        "seeds; gates and LUT4 are those of the first seed at -O3, LUT4 with popcount, without",
        "encoder and argmax.",
        "",
        "| recipe | seeds | test accuracy | validation | trained gates | unrolled | after passes "
        "| LUT4 (gates + popcount) | training, s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["recipe"] for row in rows):
        own = [row for row in rows if row["recipe"] == name]
        first = own[0]
        lines.append(
            f"| {name} | {len(own)} | {_spread([r['accuracy'] for r in own])} "
            f"| {_spread([r['accuracy_validation'] for r in own])} | {first['gates_unique']:,} "
            f"| {first['gates_instantiated']:,} | {first['gates']:,} | {first['luts4']:,} "
            f"({first['luts4_gates']:,} + {first['luts4_popcount']:,}) | {first['time_s']:,.0f} |"
        )
    commands = [f"    {row['command']}" for row in rows if row["seed"] == 0]
    lines += ["", "Commands (other seeds by `--set seed=1`):", "", *commands, ""]
    return "\n".join(lines)


def main() -> int:
    """Run, print, write; 1 where a recipe was skipped."""
    parser = arguments(__doc__)
    names = [entry.name for entry in ENTRIES]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", default=names)
    parser.add_argument("--data", type=Path, default=os.environ.get("GATE2HW_DATA"))
    parser.add_argument("--ship", action="store_true", help="write examples/models")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    for entry in (entry for entry in ENTRIES if entry.name in options.only):
        for seed in entry.seeds[:1] if options.quick else entry.seeds:
            try:
                data_dir = None if options.data is None else Path(options.data)
                rows.append(measure(entry.name, seed, data_dir, options.quick))
            except Gate2HWError as error:
                skipped[f"{entry.name}, seed {seed}"] = str(error)
                print(f"{entry.name}, seed {seed}: skipped: {error}", file=sys.stderr)
        if options.ship and entry.ships and rows and rows[-1]["recipe"] == entry.name:
            ship(next(row for row in rows if row["recipe"] == entry.name))
    kept = RESULTS / "recipes.json"
    if kept.is_file() and not options.quick:
        done = {row["recipe"] for row in rows}
        rows += [r for r in json.loads(kept.read_text())["rows"] if r["recipe"] not in done]
    rows.sort(key=lambda row: (names.index(row["recipe"]), row["seed"]))
    text = markdown(rows) if rows else "nothing was measured\n"
    print(text)
    if rows and not options.quick:
        write_text(RESULTS / "recipes.md", text)
    save("recipes", {"rows": rows, "skipped": skipped}, options, ("torch", "numpy"))
    return 1 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
