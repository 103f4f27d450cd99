"""Distillation: learning from a teacher's scores as well as from the labels."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gate2hw.errors import InputError
from gate2hw.ir.store import atomic_path

__all__ = ["Teacher", "distillation_loss", "load_teacher_logits", "save_teacher_logits"]

Teacher: TypeAlias = Callable[[Tensor], Tensor]
"""(N, *input_shape) int32 to (N, C) logits: a torch module in eval mode that converts the integers
to what it computes with itself, as in ``lambda x: module(x.float() / 255)``."""


def distillation_loss(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """``T^2 * KL(teacher || student)`` of (N, C) logits, both softened by T, mean over samples.

    Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", arXiv 1503.02531,
    section 2. Gradient flows to `logits` alone.
    """
    student = nn.functional.log_softmax(logits / temperature, 1)
    target = nn.functional.log_softmax(teacher.detach().to(student) / temperature, 1)
    loss = nn.functional.kl_div(student, target, reduction="batchmean", log_target=True)
    return temperature**2 * loss


def _digest(x: npt.NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(x, np.int64).tobytes()).hexdigest()


def save_teacher_logits(
    path: Path | str, teacher: Teacher, x_train: npt.NDArray[Any], *, batch_size: int = 1024
) -> None:
    """Write what `teacher` says to the training samples (N, *input_shape), as a .npz file.

    The file holds `logits` (N, C) float32 and `x_sha256`, which binds it to these samples in this
    order. Raises InputError for logits that are not finite or no (N, C).
    """
    with torch.no_grad():
        parts = torch.split(torch.as_tensor(x_train).to(torch.int32), batch_size)
        logits = torch.cat([teacher(part).detach().cpu() for part in parts]).float().numpy()
    _check(logits, len(x_train), None, "the teacher")
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, logits=logits, x_sha256=np.array(_digest(x_train)))


def _check(logits: npt.NDArray[Any], n_samples: int, n_classes: int | None, where: str) -> None:
    wanted = (n_samples, logits.shape[-1] if n_classes is None and logits.ndim else n_classes)
    if logits.shape != wanted:
        raise InputError(
            f"{where}: logits have shape {logits.shape}, expected {wanted}: a row for each "
            "training sample (without those of validation), a column for each class"
        )
    if not np.isfinite(logits).all():
        raise InputError(f"{where}: logits are not finite")


def load_teacher_logits(
    name: str, folders: Sequence[Path | str], x_train: npt.NDArray[Any], n_classes: int
) -> Tensor:
    """(N, C) float32 logits of the training samples, from the .npz file `name` in `folders`.

    Raises InputError where the file is missing, unreadable, of another shape, or, if it says of
    which samples it is, of others.
    """
    paths = [Path(folder) / name for folder in folders]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise InputError(
            f"distillation.teacher_logits: no file {name!r}; looked in "
            f"{', '.join(str(path.parent) for path in paths)}"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            logits = file["logits"].astype(np.float32)
            digest = str(file["x_sha256"]) if "x_sha256" in file.files else ""
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: no .npz file with an array 'logits' ({error})") from error
    _check(logits, len(x_train), n_classes, str(path))
    if digest and digest != _digest(x_train):
        raise InputError(
            f"{path}: made for other training samples; make it again with save_teacher_logits"
        )
    return torch.from_numpy(logits)
