"""What the processes of train_step.py have in common: answer each line of input with one of JSON.

`time`: seconds of one forward and backward pass, the median of as many as fill a tenth of a second
(at most 20): in training, too, one follows the other. `memory`: the most bytes of tensors that such
a pass holds over what was held before it. `copy`: seconds to copy the output once.
"""

import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

__all__ = ["serve"]


def _memory_bytes(model: torch.nn.Module, x: torch.Tensor, step: Callable[[], Any]) -> int:
    step()  # what is loaded and worked out once does not count
    model.zero_grad(set_to_none=True)
    x.grad = None
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        step()
    events = found.profiler.kineto_results.events()
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    return max(itertools.accumulate(n_bytes for _, n_bytes in sorted(changes)))


def serve(model: torch.nn.Module, x: torch.Tensor, about: dict[str, Any]) -> None:
    """Answer until the input ends; first say `about`."""
    model.train()
    x.requires_grad_()

    with torch.no_grad():
        out = model(x)
    grad, copied = torch.randn_like(out), torch.empty_like(out)

    def step() -> None:
        model.zero_grad(set_to_none=True)
        x.grad = None
        model(x).backward(grad)

    memory = _memory_bytes(model, x, step)
    answers = {
        "memory": lambda: memory,
        "time": lambda: _median_seconds(step),
        "copy": lambda: _seconds(lambda: copied.copy_(out)),
    }
    print(json.dumps({"torch": torch.__version__, **about}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answers[line.strip()]()), flush=True)


def _median_seconds(run: Callable[[], Any]) -> float:
    times = [_seconds(run)]
    while sum(times) < 0.1 and len(times) < 20:
        times.append(_seconds(run))
    return statistics.median(times)


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
