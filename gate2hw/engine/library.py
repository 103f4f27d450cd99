"""The compiled kernels, found and called through ctypes; their structures are native/engine.h's.

The library is built with the package where a C compiler is (pyproject.toml, ext-modules).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = [
    "Batch",
    "Bits",
    "Chunk",
    "Model",
    "NetlistColumns",
    "Plan",
    "Variant",
    "address",
    "library",
    "library_path",
    "variants",
]

_ABI: Final = 4
"""Equal to GATE2HW_ENGINE_ABI in engine.h: a library built from older sources is not used."""


class NetlistColumns(ctypes.Structure):
    """struct netlist."""

    _fields_ = (
        ("n_inputs", ctypes.c_int64),
        ("n_gates", ctypes.c_int64),
        ("n_outputs", ctypes.c_int64),
        ("n_groups", ctypes.c_int64),
        ("tt", ctypes.c_void_p),
        ("in0", ctypes.c_void_p),
        ("in1", ctypes.c_void_p),
        ("outputs", ctypes.c_void_p),
        ("group_ptr", ctypes.c_void_p),
    )


class Plan(ctypes.Structure):
    """struct plan."""

    _fields_ = (
        ("n_slots", ctypes.c_int64),
        ("n_runs", ctypes.c_int64),
        ("n_ops", ctypes.c_int64),
        ("n_words", ctypes.c_int64),
        ("word_bytes", ctypes.c_int32),
        ("unit", ctypes.c_int32),
        ("k", ctypes.c_int32),
        ("runs", ctypes.c_void_p),
        ("words", ctypes.c_void_p),
        ("segments", ctypes.c_void_p),
        ("n_parts", ctypes.c_int64),
        ("part_ptr", ctypes.c_void_p),
        ("part_output", ctypes.c_void_p),
        ("part_group", ctypes.c_void_p),
        ("spare", ctypes.c_void_p),
        ("input_slot", ctypes.c_void_p),
        ("output_slot", ctypes.c_void_p),
    )


Chunk: Final = np.dtype(
    [("least", np.uint8, 128), ("slot", np.int32, 64), ("first", np.int64)], align=True
)
"""struct chunk."""


class Model(ctypes.Structure):
    """struct model."""

    _fields_ = (
        ("plan", ctypes.c_void_p),
        ("n_features", ctypes.c_int64),
        ("feature_bytes", ctypes.c_int64),
        ("n_chunks", ctypes.c_int64),
        ("chunks", ctypes.c_void_p),
        ("n_classes", ctypes.c_int64),
        ("n_columns", ctypes.c_int64),
        ("n_planes", ctypes.c_int64),
        ("term_ptr", ctypes.c_void_p),
        ("term", ctypes.c_void_p),
        ("offset", ctypes.c_int64),
    )


class Batch(ctypes.Structure):
    """struct batch."""

    _fields_ = (
        ("n", ctypes.c_int64),
        ("x", ctypes.c_void_p),
        ("classes", ctypes.c_void_p),
        ("scores", ctypes.c_void_p),
    )


class Bits(ctypes.Structure):
    """struct bits."""

    _fields_ = (
        ("n_words", ctypes.c_int64),
        ("stride", ctypes.c_int64),
        ("n_inputs", ctypes.c_int64),
        ("n_outputs", ctypes.c_int64),
        ("words", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
    )


class _Variant(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("k", ctypes.c_int32),
        ("block", ctypes.c_int32),
        ("run", ctypes.c_void_p),
        ("simulate", ctypes.c_void_p),
    )


@dataclass(frozen=True)
class Variant:
    """One instruction set and block: ops of up to `k` signals, `block` samples at a time."""

    number: int
    name: str
    k: int
    block: int


def address(array: npt.NDArray[Any]) -> int:
    """Where the data of a contiguous array lies."""
    return int(array.ctypes.data)


def library_path() -> Path | None:
    """Where the built library is; None where it was not built."""
    here = Path(__file__).parent / "native"
    for suffix in EXTENSION_SUFFIXES:
        path = here / f"_engine{suffix}"
        if path.is_file():
            return path
    return None


@cache
def library() -> ctypes.CDLL | str:
    """The library, or the reason why there is none."""
    path = library_path()
    if path is None:
        return "the C kernels are not built"
    try:
        loaded = ctypes.CDLL(str(path))
        abi = int(loaded.gate2hw_engine_abi())
    except (OSError, AttributeError) as error:
        return f"{path.name} cannot be loaded ({error})"
    if abi != _ABI:
        return f"{path.name} was built from other sources"
    loaded.gate2hw_plan.restype = ctypes.POINTER(Plan)
    loaded.gate2hw_plan.argtypes = [
        ctypes.c_void_p,
        ctypes.c_int32,
        ctypes.c_int32,
        ctypes.c_int64,
        ctypes.c_void_p,
        ctypes.c_int64,
    ]
    loaded.gate2hw_plan_free.restype = None
    loaded.gate2hw_plan_free.argtypes = [ctypes.c_void_p]
    loaded.gate2hw_engine_variant.restype = ctypes.POINTER(_Variant)
    for name in ("gate2hw_engine_run", "gate2hw_engine_simulate"):
        getattr(loaded, name).argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    return loaded


@cache
def variants() -> tuple[Variant, ...]:
    """The kernels that this processor runs, slowest first; none where they are not built."""
    loaded = library()
    if isinstance(loaded, str):
        return ()
    found = []
    for number in range(loaded.gate2hw_engine_n_variants()):
        entry = loaded.gate2hw_engine_variant(number).contents
        found.append(Variant(number, entry.name.decode(), entry.k, entry.block))
    return tuple(found)
