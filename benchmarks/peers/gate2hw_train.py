"""Training steps of a layer of ours, for train_step.py. GATE2HW_KERNELS chooses the kernels.

python benchmarks/peers/gate2hw_train.py CASE
"""

import json
import sys

import numpy as np
import torch
from stepper import serve

from gate2hw.nn import LogicConv2d, LogicDense, OrPool2d, native


class FusedConv(torch.nn.Module):
    """A convolution with its pool, as LogicModel runs them."""

    def __init__(self, conv: LogicConv2d) -> None:
        super().__init__()
        self.conv = conv
        self.pool = OrPool2d(conv.output_shape, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.conv(x, self.pool)
        return out


case = json.loads(sys.argv[1])
torch.set_num_threads(case["threads"])
torch.manual_seed(0)
parametrisation = case["parametrisation"]
layer: torch.nn.Module
if case["kind"] == "dense":
    n_signals = case["width"]
    layer = torch.nn.Sequential(
        *(
            LogicDense(
                n_signals,
                n_signals,
                parametrisation=parametrisation,
                rng=np.random.default_rng(number),
            )
            for number in range(case["layers"])
        )
    )
else:
    channels, height, width = case["shape"]
    layer = FusedConv(
        LogicConv2d(
            (channels, height, width),
            case["kernels"],
            field=case["field"],
            depth=3,
            padding=case["padding"],
            parametrisation=parametrisation,
        )
    )
    n_signals = channels * height * width
about = {"kernels": native.kernels_in_use(), "set": native.status()["set"]}
serve(layer, torch.rand(n_signals, case["batch"]), about)
