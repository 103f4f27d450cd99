"""difflogic's CompiledLogicNet on one net, for engine.py; in the environment of difflogic only.

build/peers/difflogic/bin/python benchmarks/peers/difflogic_infer.py CASE.json

Its own classes emit the C, its own `compile` runs gcc -O1, its own `forward` evaluates. Layers get
the wiring of the case and one-hot weights. `end to end` is what its users write: pixels compared
with NumPy, the call, argmax. `kernel` is its emitted `logic_gate_net` alone, on words of 64 images
that are packed already, called from a loop in C.
"""

import ctypes
import json
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from compiled import NotCompiledError, gcc_kept
from server import protocol, serve

out = protocol()
# imported by difflogic, used by it on a GPU alone
sys.modules["difflogic_cuda"] = types.ModuleType("difflogic_cuda")

from difflogic import CompiledLogicNet, GroupSum, LogicLayer  # noqa: E402

DRIVER = """#include <stddef.h>
void drive(void (*net)(long long const *, long long *), long long const *words, long long *out,
           size_t n_inputs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        net(words + i * n_inputs, out);
}
"""
LANES = 64


def model_of(arrays: Any) -> torch.nn.Sequential:
    """The net as a model of difflogic's."""
    layers = [torch.nn.Flatten()]
    n_inputs = int(arrays["n_inputs"])
    for number in range(int(arrays["n_layers"])):
        gate = torch.from_numpy(arrays[f"gate_{number}"].astype(np.int64))
        layer = LogicLayer(n_inputs, len(gate), device="cpu", implementation="python")
        layer.indices = tuple(
            torch.from_numpy(arrays[f"{side}_{number}"].astype(np.int64)) for side in "ab"
        )
        layer.weights.data = torch.nn.functional.one_hot(gate, 16).float()
        layers.append(layer)
        n_inputs = len(gate)
    return torch.nn.Sequential(*layers, GroupSum(k=int(arrays["n_classes"]), tau=1.0))


def driver(folder: Path) -> Any:
    """The loop around the emitted function."""
    source = folder / "drive.c"
    source.write_text(DRIVER)
    subprocess.check_call(["gcc", "-O1", "-shared", "-fPIC", "-o", folder / "drive.so", source])
    found = ctypes.CDLL(str(folder / "drive.so")).drive
    found.restype = None
    found.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_size_t] * 2
    return found


def packed(bits: Any) -> Any:
    """(N, I) bool to (N / 64, I) int64."""
    words = bits.reshape(-1, LANES, bits.shape[1]).transpose(0, 2, 1)
    return np.ascontiguousarray(np.packbits(words, axis=2, bitorder="little")).view(np.int64)[
        ..., 0
    ]


case = json.loads(Path(sys.argv[1]).read_text())
torch.set_num_threads(1)
arrays, x = np.load(case["layers"]), np.load(case["x"])
x = x.reshape(len(x), -1)
drive = driver(Path(case["folder"]))
note = gcc_kept(Path(case["kept"]), case["limit_s"])
net = CompiledLogicNet(model_of(arrays), device="cpu", num_bits=LANES, cpu_compiler="gcc")
loader, libraries = ctypes.cdll.LoadLibrary, []
ctypes.cdll.LoadLibrary = lambda name: libraries.append(loader(name)) or libraries[-1]
try:
    net.compile(opt_level=1)
except (NotCompiledError, MemoryError) as error:
    out.write(json.dumps({"missing": str(error), **note}) + "\n")
    out.flush()
    raise SystemExit(0) from error

feature, threshold = arrays["feature"], arrays["threshold"]
plain = np.array_equal(feature, np.arange(x.shape[1])) and len(np.unique(threshold)) == 1


def bits_of(images: Any) -> Any:
    """What the model reads: (N, I) bool."""
    return images > threshold[0] if plain else np.take(images, feature, axis=1) > threshold


def predict(images: Any) -> Any:
    """End to end."""
    return net(bits_of(images)).argmax(1)


# `forward` reads past the end of batches that are smaller than half a word: its users fill them up
padded = np.zeros((LANES, x.shape[1]), x.dtype)


def predict_one() -> Any:
    """The class of one image."""
    padded[0] = x[0]
    return predict(padded)[:1]


words = packed(bits_of(x[: len(x) // LANES * LANES]))
last = np.empty(len(arrays[f"gate_{int(arrays['n_layers']) - 1}"]), np.int64)


def kernel() -> None:
    """The emitted gates alone."""
    drive(
        ctypes.cast(libraries[0].logic_gate_net, ctypes.c_void_p),
        words.ctypes.data,
        last.ctypes.data,
        words.shape[1],
        len(words),
    )


def outputs() -> tuple[Any, Any]:
    """Scores and classes of all images."""
    return net(bits_of(x)).numpy(), predict(x).numpy()


runs: dict[str, Any] = {"end to end": (len(x), lambda: predict(x))}
if len(words):
    runs["kernel"] = (LANES * len(words), kernel)
about = {"version": metadata.version("difflogic"), "torch": torch.__version__, **note}
serve(out, about, runs, predict_one, {"": outputs}, case["least_s"])
