"""Training steps of a torchlogix layer, for train_step.py; in the environment of torchlogix only.

build/peers/torchlogix/bin/python benchmarks/peers/torchlogix_train.py CASE
"""

import json
import sys
from importlib import metadata

import torch
from stepper import serve
from torchlogix.layers import LogicConv2d, LogicDense, OrPooling2d

case = json.loads(sys.argv[1])
torch.set_num_threads(case["threads"])
torch.manual_seed(0)
names = {"softmax16": "raw", "inputwise": "light"}
options = {"parametrization": names[case["parametrisation"]], "device": "cpu"}
if case["kind"] == "dense":
    width = case["width"]
    layers = [LogicDense(width, width, **options) for _ in range(case["layers"])]
    x = torch.rand(case["batch"], case["width"])
else:
    channels, height, width = case["shape"]
    layers = [
        LogicConv2d(
            (height, width),
            channels=channels,
            num_kernels=case["kernels"],
            tree_depth=3,
            receptive_field_size=case["field"],
            padding=case["padding"],
            connections_kwargs={"channel_group_size": 2} if channels > 2 else {},
            **options,
        ),
        OrPooling2d(kernel_size=2, stride=2),
    ]
    x = torch.rand(case["batch"], channels, height, width)
serve(torch.nn.Sequential(*layers), x, {"version": metadata.version("torchlogix")})
