"""How do I use a trained network in Python, where there is no FPGA?

Compiles the digits model that lies beside this file, classifies its test images by the CPU engine,
puts it among scikit-learn's classifiers, and says how fast it is on this computer.

    python examples/predict.py [--smoke] [-o DIR]
"""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import numpy as np
from sklearn.metrics import confusion_matrix
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import gate2hw
from gate2hw.engine.classifier import GateClassifier

MODEL = Path(__file__).parent / "models" / "digits"


def main() -> None:
    """Compile, classify, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="less optimisation, short timing")
    parser.add_argument("-o", "--out", type=Path, default=Path("build/predict"))
    args = parser.parse_args()
    step = gate2hw.compile(MODEL, args.out, name="digits", opt_level=1 if args.smoke else 3)
    print(f"{step.result['gates']['optimised']} gates")

    # files: one class name a line; the same as gate2hw predict DIR DATA -o FILE
    found = gate2hw.predict(args.out, MODEL / "golden.npz", args.out / "classes.txt")
    print(f"{found['accuracy']:.1%} of {found['images']} test images right, see {found['out']}")

    # scikit-learn: pictures as brightness 0..1, the network reads 0..16
    network = GateClassifier(args.out)
    classifier = make_pipeline(FunctionTransformer(lambda image: np.rint(16 * image)), network)
    with np.load(MODEL / "golden.npz") as golden:
        images, digits = golden["x"].reshape(-1, 64) / 16, golden["y"]
    print(f"scikit-learn counts {classifier.score(images, digits):.1%}; digits against guesses:")
    print(confusion_matrix(digits, classifier.predict(images)))
    again = pickle.loads(pickle.dumps(network))
    assert (again.predict(16 * images) == network.predict(16 * images)).all()

    speed = gate2hw.bench(args.out, seconds=0.2 if args.smoke else 3.0)
    (row,) = speed["kernels"]
    print(f"ready in {row['ready_ms']:.1f} ms; one image in {row['latency_us']['median']:.0f} µs")
    for run in row["runs"]:
        print(f"{run['images_per_s']:,.0f} images/s on {run['threads']} thread(s)")
    print("report:", gate2hw.report(args.out)["html"])


if __name__ == "__main__":
    main()
