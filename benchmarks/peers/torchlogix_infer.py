"""torchlogix's compiled Circuit on one net, for engine.py; in the environment of torchlogix only.

build/peers/torchlogix/bin/python benchmarks/peers/torchlogix_infer.py CASE.json

Its own `simplify`, its own `compile` (gcc -O1, 64 images a word), its own call. `end to end`:
pixels compared with NumPy, the call, argmax. `kernel` is its emitted function on packed words; the
counting of each class is part of that function and cannot be left out.
"""

import ctypes
import json
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from compiled import NotCompiledError, gcc_kept
from server import protocol, serve

out = protocol()

from torchlogix.circuit import Circuit  # noqa: E402

LANES = 64

case = json.loads(Path(sys.argv[1]).read_text())
arrays, x = np.load(case["layers"]), np.load(case["x"])
x = x.reshape(len(x), -1)
note = gcc_kept(Path(case["kept"]), case["limit_s"])
circuit = Circuit.from_json_file(case["circuit"])
clock = time.perf_counter()
circuit.simplify()
note["simplify_s"] = time.perf_counter() - clock
try:
    circuit.compile(opt_level=1, pack_bits=LANES)
except (NotCompiledError, MemoryError) as error:
    out.write(json.dumps({"missing": str(error), **note}) + "\n")
    out.flush()
    raise SystemExit(0) from error

feature, threshold = arrays["feature"], arrays["threshold"]
plain = np.array_equal(feature, np.arange(x.shape[1])) and len(np.unique(threshold)) == 1
whole = len(x) // LANES * LANES


def scores_of(images: Any) -> Any:
    """(N, C) scores; whole words alone are taken, so the rest is filled up."""
    bits = images > threshold[0] if plain else np.take(images, feature, axis=1) > threshold
    missing = -len(bits) % LANES
    if missing:
        bits = np.concatenate([bits, np.zeros((missing, bits.shape[1]), bool)])
    return circuit(bits, use_compiled=True)[: len(images)]


def predict(images: Any) -> Any:
    """End to end."""
    return scores_of(images).argmax(axis=1)


bits = (x[:whole, feature] > threshold).reshape(-1, LANES, len(feature)).transpose(0, 2, 1)
words = np.ascontiguousarray(np.packbits(bits, axis=2, bitorder="little")).view(np.uint64)[..., 0]
words = np.ascontiguousarray(words)
word_t, score_t = circuit._lib.circuit_bench.argtypes[:2]
room = np.empty(whole * int(arrays["n_classes"]), np.dtype(score_t._type_))


def kernel() -> None:
    """The emitted function alone."""
    circuit._lib.circuit_bench(
        words.ctypes.data_as(word_t), room.ctypes.data_as(score_t), ctypes.c_int(len(words))
    )


runs: dict[str, Any] = {"end to end": (len(x), lambda: predict(x))}
if whole:
    runs["kernel"] = (whole, kernel)
about = {
    "version": metadata.version("torchlogix"),
    "gates_after_simplify": len(circuit.gates),
    **note,
}
serve(
    out,
    about,
    runs,
    lambda: predict(x[:1]),
    {"": lambda: (scores_of(x), predict(x))},
    case["least_s"],
)
