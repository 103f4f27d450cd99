"""Makes the samples in this folder with the packages of the peers themselves.

    python3.12 -m venv peers && peers/bin/pip install torchlogix==0.2.2 torch==2.13.0 safetensors
    peers/bin/pip download --no-deps --no-build-isolation --no-binary :all: difflogic==0.1.0 \
        torch-dwn==1.1.1    # source archives; unpack them, their folders are the arguments
    peers/bin/python tests/formats/data/make_samples.py difflogic-0.1.0 torch_dwn-1.1.1/src

Every sample NAME.pt (a state dict) or NAME.json, NAME.c has a NAME.check.npz of inputs (integers)
and outputs, computed by the package in eval mode. torch_dwn evaluates on CUDA only: its outputs
are those of its layers' arithmetic (address of a table: input i is bit i), done here with torch.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchlogix.circuit import Circuit
from torchlogix.layers import GroupSum, LogicConv2d, LogicDense, OrPooling2d
from torchlogix.layers.binarization import FixedBinarization, LearnableBinarization

HERE = Path(__file__).parent
N = 64


def randomise(model: nn.Module) -> None:
    """Random weights, so that all functions occur."""
    for name, parameter in model.named_parameters():
        if "raw_diffs" not in name:
            nn.init.normal_(parameter)


def save(name: str, model: nn.Module, x: torch.Tensor, scale: float) -> None:
    model.eval()
    with torch.no_grad():
        y = model(x.float() / scale)
    torch.save(model.state_dict(), HERE / f"{name}.pt")
    np.savez_compressed(
        HERE / f"{name}.check.npz", inputs=x.numpy().astype(np.uint8), outputs=y.numpy()
    )


def bits(n: int) -> torch.Tensor:
    return torch.randint(0, 2, (N, n))


def dense(kind: str, rank: int, **extra: object) -> nn.Sequential:
    options = {"parametrization": kind, "lut_rank": rank, **extra}
    first = LogicDense(12, 24, **options)
    plain = {"parametrization": kind, "lut_rank": rank}
    model = nn.Sequential(first, LogicDense(24, 18, **plain), GroupSum(3, tau=2.5))
    randomise(model)
    return model


def torchlogix_samples() -> None:
    save("raw", dense("raw", 2), bits(12), 1)
    save("warp", dense("warp", 2), bits(12), 1)
    save("warp4", dense("warp", 4), bits(12), 1)
    save("light4", dense("light", 4), bits(12), 1)
    learnable = {"connections": "learnable", "connections_kwargs": {"num_candidates": 3}}
    save("learnable", dense("raw", 2, **learnable), bits(12), 1)
    thresholds = torch.tensor([[0.2, 0.5, 0.5001], [0.0, 0.4, 1.0]])
    model = nn.Sequential(
        FixedBinarization(thresholds, feature_dim=1),
        LogicConv2d(
            in_dim=(6, 5),
            channels=6,
            num_kernels=4,
            tree_depth=2,
            receptive_field_size=3,
            padding=1,
        ),
        OrPooling2d(kernel_size=2, stride=2),
        nn.Flatten(),
        LogicDense(4 * 3 * 2, 20),
        GroupSum(2, tau=1.0, beta=3.0),
    )
    randomise(model)
    save("conv", model, torch.randint(0, 256, (N, 2, 6, 5)), 255)
    model = nn.Sequential(
        LearnableBinarization(torch.tensor([0.3, 0.6]), feature_dim=-2),
        nn.Flatten(),
        LogicDense(1 * 4 * 4 * 2, 30, parametrization="light"),
        GroupSum(3),
    )
    randomise(model)
    save("interleaved", model, torch.randint(0, 256, (N, 1, 4, 4)), 255)


def circuit_samples() -> None:
    for name, simplify in (("circuit", False), ("circuit_simplified", True)):
        torch.manual_seed(5)
        model = nn.Sequential(LogicDense(8, 16), LogicDense(16, 12), GroupSum(3))
        randomise(model)
        x = bits(8)
        save(name, model, x, 1)
        (HERE / f"{name}.pt").unlink()
        circuit = Circuit.from_model(model, [8])
        if simplify:
            circuit.simplify()
        circuit.write_json(str(HERE / f"{name}.json"))
        y = circuit(x.bool()).numpy()
        given = np.load(HERE / f"{name}.check.npz")["outputs"]
        assert (y == given).all(), "torchlogix's circuit differs from its model"


def difflogic_samples(folder: Path) -> None:
    sys.path.insert(0, str(folder))
    sys.modules["difflogic_cuda"] = types.ModuleType("difflogic_cuda")
    from difflogic import CompiledLogicNet, GroupSum, LogicLayer

    layers = [LogicLayer(10, 16, device="cpu"), LogicLayer(16, 12, device="cpu")]
    model = nn.Sequential(nn.Flatten(), *layers, GroupSum(3, tau=4.0))
    randomise(model)
    save("difflogic", model, bits(10), 1)
    wiring = {
        f"{s}_{i}": t.cpu().numpy()
        for i, layer in enumerate(layers)
        for s, t in zip("ab", layer.indices, strict=True)
    }
    np.savez_compressed(HERE / "difflogic.wiring.npz", **wiring)
    for n_bits in (8, 64):
        code = CompiledLogicNet(model, num_bits=n_bits).get_c_code()
        (HERE / f"difflogic{n_bits}.c").write_text(code, encoding="utf-8")


def dwn_samples(folder: Path) -> None:
    sys.path.insert(0, str(folder))
    import importlib.util

    # the modules themselves: the package needs its CUDA extension to be imported
    parts = {}
    package = types.ModuleType("torch_dwn")
    package.__path__ = [str(folder / "torch_dwn")]
    sys.modules["torch_dwn"] = package
    for path in sorted((folder / "torch_dwn").glob("[a-z]*.py")):
        name = f"torch_dwn.{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        parts[path.stem] = sys.modules[name] = importlib.util.module_from_spec(spec)
    for name in ("mapping", "utils", "lut_layer"):
        parts[name].__spec__.loader.exec_module(parts[name])
    make = parts["lut_layer"].LUTLayer
    model = nn.Sequential(
        make(9, 14, n=3, mapping="learnable"), make(14, 10, n=4), parts["utils"].GroupSum(3, 2.0)
    )
    x = bits(9)
    signals = x
    for layer in list(model)[:2]:
        mapping = layer.mapping
        if isinstance(mapping, nn.Module):
            mapping = mapping.weights.argmax(dim=0).reshape(layer.output_size, layer.n)
        address = (signals[:, mapping.long()] << torch.arange(layer.n)).sum(-1)
        signals = (layer.luts[torch.arange(layer.output_size), address] > 0).long()
    y = model[2](signals.float())
    torch.save(model.state_dict(), HERE / "dwn.pt")
    np.savez_compressed(HERE / "dwn.check.npz", inputs=x.numpy().astype(np.uint8), outputs=y)


if __name__ == "__main__":
    torch.manual_seed(0)
    torchlogix_samples()
    circuit_samples()
    difflogic_samples(Path(sys.argv[1]))
    dwn_samples(Path(sys.argv[2]))
