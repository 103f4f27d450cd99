"""What a file is that gate2hw has not written, told by its first bytes in one sentence."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from gate2hw.errors import InputError, ModelFileError
from gate2hw.formats.circuits import FORMATS

__all__ = ["check_folder", "check_known", "check_record"]

IMPORT: Final = "gate2hw import takes in state dicts of torchlogix, difflogic and torch_dwn"
KNOWN: Final = "read are models (.safetensors), golden vectors and netlists (.npz), and " + (
    "netlists that end in " + ", ".join(s for s in sorted(FORMATS) if s != ".npz")
)
MAX_HEADER: Final = 100_000_000
"""Bytes of a safetensors header, at most, as that format has it."""

# first bytes, what they say, and the way out
_STARTS: Final = (
    (b"\x93NUMPY", "it is a single numpy array; golden vectors and netlists are .npz files"),
    (b"aag ", "it is an AIGER file, to be read it must end in .aag or .aig"),
    (b"aig ", "it is an AIGER file, to be read it must end in .aag or .aig"),
    (b".model", "it is a BLIF file, to be read it must end in .blif"),
    (b"\x1f\x8b", "it is a gzip archive, unpack it first"),
    *((bytes([0x80, version]), f"it is a Python pickle; {IMPORT}") for version in range(2, 6)),
)


def _some(names: Iterable[str]) -> str:
    given = sorted(names)
    return ", ".join(name[:40] for name in given[:3]) + (", .." if len(given) > 3 else "")


def _archive(path: Path) -> str | None:
    """What a zip archive is; None where it has the format entry of ours."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # zipfile raises a dozen kinds on foreign bytes
        return "it is an archive (.npz or .pt) that is cut short or damaged"
    if any(name.endswith("data.pkl") for name in names):
        return f"it is a PyTorch file; {IMPORT}"
    if "format.npy" in names:
        return None
    arrays = [name.removesuffix(".npy") for name in names if name.endswith(".npy")]
    if not arrays:
        return "it is a zip archive that holds no arrays"
    return f"it holds arrays that gate2hw has not written ({_some(arrays)}); {IMPORT}"


def _safetensors(path: Path, size: int) -> str | None:
    """What a safetensors file with a header of `size` bytes is; None where it may be a model."""
    with path.open("rb") as file:
        file.seek(8)
        raw = file.read(min(size, MAX_HEADER))
    if len(raw) < size:
        return "it is a safetensors file that is cut short"
    try:
        header = json.loads(raw)
        metadata = header.pop("__metadata__", None) or {}
        form = str(metadata.get("format", ""))
        # of a model it is an object
        is_ours = "gate2hw" in metadata and isinstance(json.loads(metadata["gate2hw"]), dict)
    except (ValueError, AttributeError, TypeError, RecursionError):
        return "it is a safetensors file with a damaged header"
    if is_ours:
        return None
    if form.startswith("gate2hw checkpoint"):
        return (
            "it is a checkpoint of a training run, which gate2hw train RECIPE --resume goes on "
            "from; the model is in model.safetensors"
        )
    if not header:
        return "it is a safetensors file that holds no tensors"
    return f"it holds tensors that gate2hw has not written ({_some(header)}); {IMPORT}"


def check_known(path: Path) -> None:
    """Raise ModelFileError, saying what `path` is, where it is no file that gate2hw writes.

    A file of ours that is damaged further in goes through: its reader says what is wrong.
    """
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except FileNotFoundError as error:
        raise ModelFileError(f"{path}: no such file") from error
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from error
    said: str | None = f"it is no kind of file that gate2hw reads; {KNOWN}"
    if not start:
        said = "it is empty"
    elif start.startswith(b"PK"):
        said = _archive(path)
    elif start[8:9] == b"{":
        said = _safetensors(path, int.from_bytes(start[:8], "little"))
    else:
        said = next((text for begin, text in _STARTS if start.startswith(begin)), said)
    if said is not None:
        raise ModelFileError(f"{path}: {said}")


def check_record(path: Path) -> None:
    """Raise ModelFileError where `path` is a JSON record of a build, and no netlist."""
    if path.suffix.lower() != ".json":
        return
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return
    if isinstance(content, dict) and isinstance(content.get("schema"), int):
        raise ModelFileError(
            f"{path}: it is a record of a build, no netlist; gate2hw report DIR shows what a "
            "build folder holds"
        )


def check_folder(path: Path) -> None:
    """Raise InputError where the folder `path` holds no model, naming files that can be told."""
    if (path / "model.safetensors").is_file():
        return
    suffixes = {".safetensors", *FORMATS} - {".json"}
    try:
        inside = [entry.name for entry in path.iterdir() if entry.suffix.lower() in suffixes]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if inside:
        raise InputError(f"{path} holds no model.safetensors; name a file in it ({_some(inside)})")
    raise InputError(f"{path} is a folder that holds no model and no netlist")
