"""C kernels for the processor: the functions of `kernels`, found and called through ctypes.

The library is built with the package where a C compiler is (pyproject.toml, ext-modules); it has
each kernel for several instruction sets and chooses by the processor. GATE2HW_KERNELS is ``auto``
(the default: C where it is built), ``c`` (an error where it is not) or ``torch``.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from gate2hw.errors import InputError, nearest
from gate2hw.nn import kernels
from gate2hw.nn.kernels import TreeGeometry
from gate2hw.nn.readers import Wiring, known_wiring

__all__ = [
    "KERNELS_VARIABLE",
    "choose_set",
    "dense_backward",
    "dense_forward",
    "kernels_in_use",
    "library_path",
    "set_names",
    "status",
    "tree_backward",
    "tree_forward",
]

KERNELS_VARIABLE: Final = "GATE2HW_KERNELS"
_CHOICES: Final = ("auto", "c", "torch")
_ABI: Final = 5
"""Equal to GATE2HW_ABI in kernels.h: a library built from older sources is not used."""


_MAX_LEAVES: Final = 64
_MAX_WINDOW: Final = 64
_REFUSED: Final = {
    1: "logic_tree: a leaf lies outside its field",
    2: f"logic_tree: there must be kernels, of 2 to {_MAX_LEAVES} leaves each",
}
"""What the tree kernels mean by a number that is not 0."""


class _Dense(ctypes.Structure):
    """struct dense of kernels.h."""

    _fields_ = (
        ("n_signals", ctypes.c_int64),
        ("n_gates", ctypes.c_int64),
        ("batch", ctypes.c_int64),
        ("x", ctypes.c_void_p),
        ("coefficients", ctypes.c_void_p),
        ("in0", ctypes.c_void_p),
        ("in1", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("grad", ctypes.c_void_p),
        ("reader_ptr", ctypes.c_void_p),
        ("reader", ctypes.c_void_p),
        ("grad_x", ctypes.c_void_p),
        ("grad_coefficients", ctypes.c_void_p),
    )


class _Tree(ctypes.Structure):
    """struct tree of kernels.h."""

    _fields_ = (
        ("n_kernels", ctypes.c_int64),
        ("depth", ctypes.c_int64),
        ("batch", ctypes.c_int64),
        ("geometry", ctypes.c_int64 * len(TreeGeometry._fields)),
        ("x", ctypes.c_void_p),
        ("scratch", ctypes.c_void_p),
        ("coefficients", ctypes.c_void_p),
        ("leaves", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("winner", ctypes.c_void_p),
        ("grad", ctypes.c_void_p),
        ("grad_x", ctypes.c_void_p),
        ("partial", ctypes.c_void_p),
        ("grad_coefficients", ctypes.c_void_p),
    )


def library_path() -> Path | None:
    """Where the built library is; None where it was not built."""
    here = Path(__file__).parent
    for suffix in EXTENSION_SUFFIXES:
        path = here / f"_kernels{suffix}"
        if path.is_file():
            return path
    return None


@cache
def _load() -> ctypes.CDLL | str:
    """The library, or the reason why there is none."""
    path = library_path()
    if path is None:
        return "the C kernels are not built"
    try:
        library = ctypes.CDLL(str(path))
        abi = int(library.gate2hw_abi())
    except (OSError, AttributeError) as error:
        return f"{path.name} cannot be loaded ({error})"
    if abi != _ABI:
        return f"{path.name} was built from other sources"
    library.gate2hw_set_name.restype = ctypes.c_char_p
    for name in (
        "dense_forward",
        "dense_backward",
        "tree_forward",
        "tree_backward",
        "mix_forward",
        "mix_backward",
        "relax",
    ):
        function = getattr(library, f"gate2hw_{name}")
        function.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
    library.gate2hw_group.argtypes = (ctypes.c_int,)
    library.gate2hw_tree_scratch.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int)
    for name in ("group", "tree_scratch"):
        getattr(library, f"gate2hw_{name}").restype = ctypes.c_int64
    return library


def _library() -> ctypes.CDLL:
    library = _load()
    assert not isinstance(library, str)
    return library


def kernels_in_use() -> str:
    """``c`` or ``torch``, as GATE2HW_KERNELS says and what is built allows.

    Raises InputError for an unknown value, and where C is asked for and is not there.
    """
    wanted = os.environ.get(KERNELS_VARIABLE, "auto")
    if wanted not in _CHOICES:
        raise InputError(f"{KERNELS_VARIABLE} is {wanted!r}; {nearest(wanted, _CHOICES)}")
    if wanted == "torch":
        return "torch"
    library = _load()
    if not isinstance(library, str):
        return "c"
    if wanted == "auto":
        return "torch"
    raise InputError(
        f"{KERNELS_VARIABLE}=c, but {library}; install gate2hw again where a C compiler is, "
        f"or set {KERNELS_VARIABLE}=auto"
    )


def set_names() -> list[str]:
    """Instruction sets of the library that this processor has, slowest first."""
    library = _library()
    return [library.gate2hw_set_name(i).decode() for i in range(library.gate2hw_n_sets())]


def choose_set(name: str | None = None) -> None:
    """Use the instruction set `name` of `set_names`, by default the fastest. For tests."""
    names = set_names()
    _library().gate2hw_choose_set(names.index(name) if name else len(names) - 1)


def status() -> dict[str, str | None]:
    """What `gate2hw doctor` shows: kernels (c or torch), instruction set, path, reason.

    Where GATE2HW_KERNELS asks for what there is not, kernels is None and the reason says so.
    """
    try:
        in_use = kernels_in_use()
    except InputError as error:
        return {"kernels": None, "set": None, "path": None, "reason": str(error)}
    library = _load()
    if isinstance(library, str):
        return {"kernels": "torch", "set": None, "path": None, "reason": library}
    if in_use == "torch":
        reason = f"{KERNELS_VARIABLE} is torch"
        return {"kernels": "torch", "set": None, "path": str(library_path()), "reason": reason}
    name = library.gate2hw_set_name(-1).decode()
    return {"kernels": "c", "set": name, "path": str(library_path()), "reason": None}


def _expect(what: str, given: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """C reads memory as it is told: refuse what is not as the arguments say."""
    if tuple(given.shape) != shape or given.dtype != dtype:
        raise InputError(
            f"{what} are {given.dtype} of shape {tuple(given.shape)}, expected {dtype} of {shape}"
        )


def _dense(x: Tensor, coefficients: Tensor, in0: Tensor, in1: Tensor) -> tuple[_Dense, Wiring]:
    n_signals, n_gates = len(x), len(coefficients)
    _expect("coefficients", coefficients, (n_gates, 4), x.dtype)
    _expect("first inputs", in0, (n_gates,), torch.int64)
    _expect("second inputs", in1, (n_gates,), torch.int64)
    given = _Dense(
        n_signals=n_signals,
        n_gates=n_gates,
        batch=x.shape[1],
        x=x.data_ptr(),
        coefficients=coefficients.data_ptr(),
        in0=in0.data_ptr(),
        in1=in1.data_ptr(),
    )
    return given, known_wiring("wiring points", (in0, in1), n_signals)


def dense_forward(x: Tensor, coefficients: Tensor, in0: Tensor, in1: Tensor) -> Tensor:
    """See `kernels.dense_forward`; contiguous tensors of float32 or float64."""
    given, _ = _dense(x, coefficients, in0, in1)
    out = x.new_empty(len(coefficients), x.shape[1])
    given.out = out.data_ptr()
    call("dense_forward", given, x, torch.get_num_threads())
    return out


def dense_backward(
    grad: Tensor, x: Tensor, coefficients: Tensor, in0: Tensor, in1: Tensor, need_x: bool
) -> tuple[Tensor, Tensor]:
    """See `kernels.dense_backward`; contiguous tensors of float32 or float64."""
    given, wiring = _dense(x, coefficients, in0, in1)
    _expect("gradients", grad, (len(coefficients), x.shape[1]), x.dtype)
    grad_coefficients, grad_x = torch.empty_like(coefficients), x.new_empty(0)
    given.grad, given.grad_coefficients = grad.data_ptr(), grad_coefficients.data_ptr()
    if need_x and len(coefficients) == 0:
        grad_x = torch.zeros_like(x)
    elif need_x:
        reader_ptr, reader = wiring.readers  # 2 * gate + input
        grad_x = torch.empty_like(x)
        given.grad_x = grad_x.data_ptr()
        given.reader_ptr, given.reader = reader_ptr.data_ptr(), reader.data_ptr()
    call("dense_backward", given, x, torch.get_num_threads())
    return grad_x, grad_coefficients


def _fits(leaves: Tensor, geometry: TreeGeometry) -> bool:
    """Whether the C kernels have room for such trees; plain torch serves for others."""
    window = geometry.window_rows * geometry.window_columns
    return leaves.shape[1] <= _MAX_LEAVES and window <= _MAX_WINDOW


def _is_double(x: Tensor) -> int:
    return int(x.dtype == torch.float64)


def _whole_groups(x: Tensor) -> int:
    """The batch of `x`, rounded up to what goes through a tree together."""
    group = int(_library().gate2hw_group(_is_double(x)))
    return -(-x.shape[1] // group) * group


def _scratch(x: Tensor, threads: int, *, needs_x: bool) -> Tensor:
    size = _library().gate2hw_tree_scratch(_is_double(x), len(x), needs_x)
    return torch.empty(threads * size, dtype=torch.uint8)


def _padded(rows: Tensor, batch: int) -> Tensor:
    """`rows` with columns of zeros up to `batch`."""
    extra = batch - rows.shape[1]
    return torch.nn.functional.pad(rows, (0, extra)) if extra else rows


def _tree(x: Tensor, coefficients: Tensor, leaves: Tensor, geometry: TreeGeometry) -> _Tree:
    n_kernels, n_leaves = leaves.shape[:2]
    n_signals = geometry.channels * geometry.height * geometry.width
    _expect("signals", x, (n_signals, x.shape[1]), x.dtype)
    _expect("leaves", leaves, (n_kernels, 1 << n_leaves.bit_length() - 1, 3), torch.int32)
    _expect("coefficients", coefficients, (n_kernels * (n_leaves - 1), 4), x.dtype)
    return _Tree(
        n_kernels=leaves.shape[0],
        depth=leaves.shape[1].bit_length() - 1,
        batch=x.shape[1],
        geometry=geometry,
        x=x.data_ptr(),
        coefficients=coefficients.data_ptr(),
        leaves=leaves.data_ptr(),
    )


def tree_forward(
    x: Tensor, coefficients: Tensor, leaves: Tensor, geometry: TreeGeometry
) -> tuple[Tensor, Tensor]:
    """See `kernels.tree_forward`; contiguous tensors of float32 or float64."""
    if not _fits(leaves, geometry):
        return kernels.tree_forward(x, coefficients, leaves, geometry)
    batch = x.shape[1]
    x = _padded(x, _whole_groups(x))
    given = _tree(x, coefficients, leaves, geometry)
    out = x.new_empty(len(leaves) * geometry.pooled, x.shape[1])
    winner = torch.empty_like(out, dtype=torch.uint8)
    threads = torch.get_num_threads()
    scratch = _scratch(x, threads, needs_x=False)
    given.scratch, given.out, given.winner = scratch.data_ptr(), out.data_ptr(), winner.data_ptr()
    call("tree_forward", given, x, threads)
    return out[:, :batch].contiguous(), winner[:, :batch].contiguous()


def tree_backward(
    grad: Tensor,
    x: Tensor,
    coefficients: Tensor,
    leaves: Tensor,
    winner: Tensor,
    geometry: TreeGeometry,
    need_x: bool,
) -> tuple[Tensor, Tensor]:
    """See `kernels.tree_backward`; contiguous tensors of float32 or float64."""
    if not _fits(leaves, geometry):
        return kernels.tree_backward(grad, x, coefficients, leaves, winner, geometry, need_x)
    batch = x.shape[1]
    grad, x, winner = (_padded(t, _whole_groups(x)) for t in (grad, x, winner))
    given = _tree(x, coefficients, leaves, geometry)
    _expect("gradients", grad, (len(leaves) * geometry.pooled, x.shape[1]), x.dtype)
    _expect("winners", winner, tuple(grad.shape), torch.uint8)
    n_groups = x.shape[1] // _library().gate2hw_group(_is_double(x))
    threads = torch.get_num_threads()
    scratch = _scratch(x, threads, needs_x=need_x)
    partial = x.new_empty(n_groups, *coefficients.shape)
    grad_coefficients = torch.empty_like(coefficients)
    grad_x = torch.empty_like(x) if need_x else x.new_empty(0)
    given.scratch, given.partial = scratch.data_ptr(), partial.data_ptr()
    given.grad, given.winner = grad.data_ptr(), winner.data_ptr()
    given.grad_coefficients = grad_coefficients.data_ptr()
    if need_x:
        given.grad_x = grad_x.data_ptr()
    call("tree_backward", given, x, threads)
    return (grad_x[:, :batch].contiguous() if need_x else grad_x), grad_coefficients


def call(name: str, given: ctypes.Structure, x: Tensor, threads: int) -> None:
    function = getattr(_library(), f"gate2hw_{name}")
    refused = function(_is_double(x), ctypes.byref(given), threads)
    if refused:
        raise InputError(_REFUSED[refused])
