"""Training by several processes that share each batch: the same network as one process trains.

``torchrun --nproc-per-node 2 -m gate2hw train RECIPE -o DIR``, on one machine or several that see
the same folders; --device cuda gives each process a GPU of its own. Every process draws the joined
batch of the recipe, with its augmentation and its noise, and works on its part of the samples;
`DistributedDataParallel` adds the gradients up, each weighted by its number of samples. The result
does not depend on the number of processes, but for rounding. The first process writes the files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed, nn

from gate2hw.errors import Gate2HWError, InputError
from gate2hw.nn.topk import LearnedWiring

__all__ = ["Ranks", "join_ranks", "state_digest"]

_VARIABLES: Final = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_TIMEOUT: Final = timedelta(days=1)
"""How long a process waits for others that live: the first evaluates the test split alone."""
_LOST: Final = ("onnection closed", "onnection reset", "roken pipe", "ead error", "rite error")
_DIGEST_BYTES: Final = 32


def state_digest(state: Mapping[str, Tensor]) -> str:
    """sha256 (hex) of all tensors of a `state_dict`, names, types and values."""
    digest = hashlib.sha256()
    for name in sorted(state):
        array = state[name].detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Ranks:
    """This process among all that train together; by default the only one.

    `control` is the group for messages on the processor, beside that of the gradients.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    control: Any = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def device(self, device: torch.device) -> torch.device:
        """`device`, or the GPU of this process; InputError where there are too few of them."""
        if device.type != "cuda" or self.size == 1:
            return device
        n_devices = torch.cuda.device_count()
        if self.local_rank >= n_devices:
            raise InputError(
                f"process {self.local_rank + 1} on this machine has no GPU, there are {n_devices}; "
                f"start torchrun with --nproc-per-node {n_devices}"
            )
        own = torch.device("cuda", self.local_rank)
        torch.cuda.set_device(own)
        return own

    def part(self, n_samples: int) -> slice:
        """The samples of this process among `n_samples`: slices in order, as equal as possible."""
        return slice(n_samples * self.rank // self.size, n_samples * (self.rank + 1) // self.size)

    def weight(self, n_own: int, n_samples: int) -> float:
        """What a mean over `n_own` samples counts, so that the mean over all processes is that
        over `n_samples`."""
        return n_own * self.size / n_samples

    def check_batch(self, n_samples: int) -> None:
        """Raise InputError where a process would have no samples of a batch."""
        if n_samples < self.size:
            raise InputError(
                f"a batch of {n_samples} samples cannot be shared by {self.size} processes; raise "
                "training.batch_size or start fewer"
            )

    def wrap(self, model: nn.Module) -> nn.Module:
        """`model`, or around it what adds up the gradients of all processes in backward."""
        if self.size == 1:
            return model
        may_rest = any(isinstance(module, LearnedWiring) for module in model.modules())
        with warnings.catch_warnings():
            # what torch is to have in place of broadcast_buffers=False is not there yet
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            return nn.parallel.DistributedDataParallel(
                model, broadcast_buffers=False, find_unused_parameters=may_rest
            )

    def mean(self, value: Tensor) -> Tensor:
        """Mean over processes of a tensor on the device of the model."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        distributed.all_reduce(total)
        return total / self.size

    def total(self, number: int) -> int:
        """Sum over processes."""
        if self.size == 1:
            return number
        total = torch.tensor([number], dtype=torch.int64)
        distributed.all_reduce(total, group=self.control)
        return int(total)

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in some process."""
        return self.total(int(flag)) > 0

    def accuracy(
        self,
        scores: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
        x: npt.NDArray[Any],
        y: npt.NDArray[np.int64],
    ) -> float:
        """Share of the (N,) labels `y` at which the `scores` of `x` are highest, ties to the
        lowest index; each process evaluates its part."""
        part = self.part(len(y))
        n_right = int((np.argmax(scores(x[part]), axis=1) == y[part]).sum())
        return self.total(n_right) / len(y)

    def check_same(self, digests: Mapping[str, str]) -> None:
        """Raise InputError naming the things whose sha256 (hex) differs from the first process."""
        if self.size == 1:
            return
        text = b"".join(bytes.fromhex(digest) for digest in digests.values())
        own = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        all_of_them = [torch.empty_like(own) for _ in range(self.size)]
        distributed.all_gather(all_of_them, own, group=self.control)
        rows = torch.stack(all_of_them).view(self.size, -1, _DIGEST_BYTES)
        names = list(digests)
        for rank, differs in enumerate((rows != rows[0]).any(2).tolist()):
            if any(differs):
                what = ", ".join(n for n, d in zip(names, differs, strict=True) if d)
                raise InputError(
                    f"process {rank} of {self.size} differs from process 0 in: {what}; start all "
                    "with the same command, versions and files"
                )

    def from_first(self, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """`make()` of the first process, JSON-like, in all of them.

        Where it raises there, the others raise Gate2HWError.
        """
        if self.size == 1:
            return make()
        if not self.is_first:
            length = torch.zeros(1, dtype=torch.int64)
            distributed.broadcast(length, 0, group=self.control)
            if int(length) == 0:
                raise Gate2HWError(f"process {self.rank}: the first process stopped with an error")
            content = torch.empty(int(length), dtype=torch.uint8)
            distributed.broadcast(content, 0, group=self.control)
            result: dict[str, Any] = json.loads(bytes(content.numpy()))
            return result
        text = b""
        try:
            made = make()
            text = json.dumps(made).encode()
        finally:
            distributed.broadcast(torch.tensor([len(text)]), 0, group=self.control)
        content = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        distributed.broadcast(content, 0, group=self.control)
        return made


@contextlib.contextmanager
def join_ranks(device: str) -> Iterator[Ranks]:
    """Meet the other processes of `torchrun`, for training on `device` ("cpu" or "cuda").

    One process alone where torchrun's environment variables are not set. A process group that
    the caller has initialised is used, and left. Raises InputError where the others do not come,
    Gate2HWError where one of them is lost inside the block.
    """
    given = distributed.is_available() and distributed.is_initialized()
    if not given:
        if not all(name in os.environ for name in _VARIABLES) or os.environ["WORLD_SIZE"] == "1":
            yield Ranks()
            return
        try:
            backend = "nccl" if device == "cuda" else "gloo"
            distributed.init_process_group(backend, timeout=_TIMEOUT)
        except (RuntimeError, ValueError) as error:
            raise InputError(f"the processes of torchrun do not meet: {error}") from error
    control = distributed.new_group(backend="gloo", timeout=_TIMEOUT)
    rank = distributed.get_rank()
    local_rank = int(os.environ.get("LOCAL_RANK", rank))
    try:
        yield Ranks(rank, distributed.get_world_size(), local_rank, control)
    except RuntimeError as error:
        if not any(text in str(error) for text in _LOST):
            raise
        first = str(error).splitlines()[0]
        raise Gate2HWError(f"training stopped, another process was lost ({first})") from error
    finally:
        distributed.destroy_process_group(control if given else None)
