"""State dicts in .pt files of others, as numpy arrays; nothing is ever unpickled."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from gate2hw.errors import InputError, ModelFileError

__all__ = ["read_state_dict"]


def read_state_dict(path: Path | str) -> dict[str, npt.NDArray[Any]]:
    """Read a state dict saved by ``torch.save(model.state_dict(), path)``.

    Raises InputError for a whole pickled model, with the two lines that convert it;
    ModelFileError for a damaged file.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: it holds more than tensors (a pickled model?) and is not unpickled; where "
            f"its code is installed, run: model = torch.load({str(path)!r}, weights_only=False); "
            "torch.save(model.state_dict(), 'state.pt')"
        ) from error
    except Exception as error:  # zip, pickle and torch raise a dozen kinds on foreign bytes
        first_line = str(error).split("\n", maxsplit=1)[0][:200]
        raise ModelFileError(f"{path}: not a readable .pt file ({first_line})") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not content:
        raise ModelFileError(f"{path}: it holds no state dict")
    tensors: dict[str, npt.NDArray[Any]] = {}
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise ModelFileError(f"{path}: entry {str(key)[:60]!r} is no tensor")
        if value.is_complex() or value.is_sparse or value.is_quantized:
            raise ModelFileError(f"{path}: tensor {key!r} is of a kind that is not read")
        plain = value.detach()
        plain = plain.float() if plain.dtype == torch.bfloat16 else plain
        tensors[key] = np.ascontiguousarray(plain.numpy())
    return tensors
