"""Resumable checkpoints: everything a run needs to continue bit for bit, as safetensors."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from gate2hw.errors import InputError, ModelFileError
from gate2hw.ir.store import atomic_path

__all__ = [
    "CHECKPOINT_FORMAT",
    "FREE_KEYS",
    "Progress",
    "Sampler",
    "load_checkpoint",
    "save_checkpoint",
    "seeded_generators",
]

FREE_KEYS: Final = ("training.threads", "training.checkpoint_every")
"""Keys of a recipe that may change when a run goes on."""
CHECKPOINT_FORMAT = "gate2hw checkpoint 2"


class Sampler:
    """Batches of sample numbers: a fresh permutation each epoch, the short last batch dropped."""

    def __init__(self, n_samples: int, batch_size: int, seed: int) -> None:
        self.batch_size = min(batch_size, n_samples)
        self.generator = torch.Generator().manual_seed(seed)
        self.order = torch.randperm(n_samples, generator=self.generator)
        self.position = 0

    def next(self) -> Tensor:
        """(batch_size,) int64."""
        if self.position + self.batch_size > len(self.order):
            self.order = torch.randperm(len(self.order), generator=self.generator)
            self.position = 0
        batch = self.order[self.position : self.position + self.batch_size]
        self.position += self.batch_size
        return batch


def seeded_generators(seed: int, device: torch.device) -> dict[str, torch.Generator]:
    """The sources of randomness besides the sampler: ``augmentation`` (CPU), ``noise`` (`device`).

    Their seeds are mixed from `seed` and a number of their own: torch's CPU generator reads 32
    bits of a seed, so that sums with large constants would give the sampler's stream again.
    """

    def mixed(number: int) -> int:
        return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])

    return {
        "augmentation": torch.Generator().manual_seed(mixed(1)),
        "noise": torch.Generator(device).manual_seed(mixed(2)),
    }


@dataclass
class Progress:
    """How far a run has come: plain numbers, and the log written so far."""

    step: int = 0
    best_accuracy: float = -1.0
    best_accuracy_soft: float = -1.0
    best_step: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    time_s: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def save_checkpoint(
    path: Path,
    *,
    recipe: dict[str, Any],
    data_digest: str,
    teacher: str,
    model: nn.Module,
    best: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    sampler: Sampler,
    generators: dict[str, torch.Generator],
    progress: Progress,
) -> None:
    """Write the whole state of a run, replacing the last checkpoint in one step."""
    tensors = {f"model/{key}": value for key, value in model.state_dict().items()}
    tensors.update({f"best/{key}": value for key, value in best.items()})
    for number, state in optimizer.state_dict()["state"].items():
        tensors.update({f"optimizer/{number}/{key}": value for key, value in state.items()})
    tensors["sampler/order"] = sampler.order
    tensors["sampler/generator"] = sampler.generator.get_state()
    for name, generator in generators.items():
        tensors[f"generator/{name}"] = generator.get_state()
    content = {
        "recipe": recipe,
        "data": data_digest,
        "teacher": teacher,
        "progress": asdict(progress),
        "position": sampler.position,
        "torch": torch.__version__,
    }
    metadata = {"format": CHECKPOINT_FORMAT, "content": json.dumps(content)}
    copies = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(copies, metadata=metadata))


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: v for key, v in tensors.items() if key.startswith(prefix)}


def _differences(old: dict[str, Any], new: dict[str, Any], where: str = "") -> list[str]:
    """Names of the keys in which two recipes differ."""
    names: list[str] = []
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            names += _differences(a, b, f"{where}{key}.")
        elif a != b:
            names.append(f"{where}{key}")
    return names


def load_checkpoint(
    path: Path,
    *,
    recipe: dict[str, Any],
    data_digest: str,
    teacher: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    sampler: Sampler,
    generators: dict[str, torch.Generator],
) -> tuple[Progress, dict[str, Tensor]]:
    """Restore the state of a run in place; returns its progress and the best weights so far.

    Raises ModelFileError for a truncated or foreign file, InputError naming the keys in which
    `recipe` differs from that of the checkpoint, or where the data or the teacher are others.
    Keys of `FREE_KEYS` may differ: they do not change the network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(
            f"{path}: not a readable checkpoint, it may be cut short ({error}); "
            "train again without --resume"
        ) from error
    if metadata.get("format") != CHECKPOINT_FORMAT:
        raise ModelFileError(f"{path}: not a gate2hw checkpoint")
    try:
        content = json.loads(metadata["content"])
        differences = [
            name for name in _differences(content["recipe"], recipe) if name not in FREE_KEYS
        ]
        if differences:
            raise InputError(
                f"{path}: cannot resume, the recipe differs in {', '.join(differences)}; "
                "train with the same recipe, or without --resume"
            )
        if content["data"] != data_digest:
            raise InputError(
                f"{path}: cannot resume, the data are not those that it was trained on; give the "
                "same --data and files, or train without --resume"
            )
        if content["teacher"] != teacher:
            raise InputError(
                f"{path}: cannot resume, it learned from another teacher, or one of the two from "
                f"none ({content['teacher']:.12}, now {teacher:.12}); give the same, or train "
                "without --resume"
            )
        states: dict[int, dict[str, Tensor]] = {}
        for key, value in _part(tensors, "optimizer/").items():
            number, _, name = key.partition("/")
            states.setdefault(int(number), {})[name] = value
        model.load_state_dict(_part(tensors, "model/"))
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": states, "param_groups": groups})
        sampler.order = tensors["sampler/order"]
        sampler.generator.set_state(tensors["sampler/generator"])
        sampler.position = int(content["position"])
        for name, generator in generators.items():
            generator.set_state(tensors[f"generator/{name}"])
        return Progress(**content["progress"]), _part(tensors, "best/")
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{path}: the checkpoint is incomplete ({error})") from error
