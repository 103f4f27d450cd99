"""How do I turn my own table of numbers into a classifier on an FPGA?

Makes a small two-class data set as a CSV file, trains a logic gate network on it by a recipe
written here, compiles it, checks the Verilog, and (without --smoke) places and routes it.

    python examples/own_data.py [--smoke] [-o DIR]
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

import gate2hw

RECIPE = """
name = "rings"
seed = 0

[data]
source = "rings.csv"
target = "ring"

[thermometer]
n_thresholds = 15

[[layers]]
type = "dense"
width = 600

[[layers]]
type = "dense"
width = 300

[[layers]]
type = "dense"
width = 100

[head]
tau = 4.0

[training]
steps = {steps}
"""


def write_rings(path: Path, n_samples: int) -> None:
    """Points of the plane: "inner" within a radius, "outer" beyond it."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-1.0, 1.0, size=(n_samples, 2))
    names = np.where(np.hypot(*points.T) < 0.75, "inner", "outer")
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["x", "y", "ring"])
        writer.writerows(
            [f"{x:.4f}", f"{y:.4f}", n] for (x, y), n in zip(points, names, strict=True)
        )


def main() -> None:
    """Train, compile, check and, unless it is a smoke run, place and route."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a few steps, no place and route")
    parser.add_argument("-o", "--out", type=Path, default=Path("build/rings"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    write_rings(args.out / "rings.csv", n_samples=1500)
    recipe = args.out / "rings.toml"
    recipe.write_text(RECIPE.format(steps=100 if args.smoke else 500))

    trained = gate2hw.train(recipe, args.out, data_dir=args.out)
    print(f"{trained['accuracy']:.1%} of {trained['n_test']} test points right")
    step = gate2hw.compile(args.out, args.out, name="rings")
    print(f"{step.result['gates']['optimised']} gates after optimisation")
    checked = gate2hw.verify(args.out, n_random=200)
    for link in checked["links"]:
        print(f"  {link['result']}: {link['name']}")
    if not args.smoke:
        placed = gate2hw.synth(args.out, "ice40-up5k")
        print(f"ice40-up5k: {placed['luts']} LUTs, {placed['fmax_mhz']:.0f} MHz")
    print("report:", gate2hw.report(args.out)["html"])


if __name__ == "__main__":
    main()
