"""The layers as torch modules; activations between them are laid out [features, batch].

In `train()` mode they compute the relaxed network on floats; in `eval()` mode exactly the discrete
one, on int8 bits, ending in integer scores. Wiring, thresholds and groups are buffers, so that a
`state_dict` is complete.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gate2hw.errors import InputError
from gate2hw.nn.encoding import Thermometer
from gate2hw.nn.gates import GateWeights, Parametrisation
from gate2hw.nn.kernels import MOST_PLACES, TreeGeometry, bilinear
from gate2hw.nn.ops import logic_dense, logic_tree
from gate2hw.nn.topk import SelectsInputs
from gate2hw.nn.wiring import balanced_leaves, balanced_pairs

__all__ = ["GroupSum", "LogicConv2d", "LogicDense", "OrPool2d", "Thermometer", "group_bounds"]

Shape = tuple[int, ...]
Pair = tuple[int, int]


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _size(shape: Shape) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _check_rows(x: Tensor, input_shape: Shape, name: str) -> None:
    if x.ndim != 2 or x.shape[0] != _size(input_shape):
        raise InputError(
            f"{name}: activations have shape {tuple(x.shape)}, expected "
            f"({_size(input_shape)}, batch) for an input of shape {input_shape}"
        )


def _rewire(module: nn.Module, _: object) -> None:
    """Hook: buffers derived from the wiring follow the wiring that was loaded."""
    assert isinstance(module, LogicConv2d | LogicDense)
    module.place_candidates()
    module._rewire()


def _output_map(input_shape: Shape, span: Pair, stride: Pair, padding: Pair, name: str) -> Pair:
    """(rows, columns) of the output map; InputError where the window does not fit."""
    if len(input_shape) != 3:
        raise InputError(
            f"{name}: reads (channels, rows, columns), but its input has shape {input_shape}"
        )
    if min(span) < 1 or min(stride) < 1 or min(padding) < 0:
        raise InputError(f"{name}: window and stride must be positive, padding not negative")
    rows, columns = (
        (size + 2 * pad - width) // step + 1
        for size, pad, width, step in zip(input_shape[1:], padding, span, stride, strict=True)
    )
    if min(rows, columns) < 1:
        raise InputError(
            f"{name}: a {span} window does not fit a {input_shape[1:]} map padded by {padding}"
        )
    return rows, columns


class LogicConv2d(SelectsInputs):
    """Trees of gates over a receptive field, shared over positions (arXiv 2411.04732, sec. 3.1).

    `leaves` (K, 2**depth, 3) int32 holds (channel, row, column) of each leaf; gates of tree level
    0 read neighbouring leaves, those of level l neighbouring gates of level l-1. Padding is
    constant 0. [C*H*W, N] to [K*rows*columns, N].
    Raises InputError where the field does not fit or holds fewer than two places.
    """

    def __init__(
        self,
        input_shape: Shape,
        kernels: int,
        *,
        field: int | Pair = 3,
        depth: int = 2,
        channels_per_tree: int = 2,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        parametrisation: Parametrisation = "inputwise",
        residual: float = 0.9,
        rng: np.random.Generator | None = None,
        leaves: npt.ArrayLike | None = None,
    ) -> None:
        super().__init__()
        self.input_shape: Shape = tuple(input_shape)
        self.field, self.stride, self.padding = _pair(field), _pair(stride), _pair(padding)
        self.kernels, self.depth = kernels, depth
        if depth < 1 or kernels < 1:
            raise InputError("LogicConv2d: kernels and depth must be at least 1")
        self.positions = _output_map(
            self.input_shape, self.field, self.stride, self.padding, "LogicConv2d"
        )
        if leaves is None:
            leaves = balanced_leaves(
                kernels,
                2**depth,
                n_channels=self.input_shape[0],
                field=self.field,
                channels_per_tree=channels_per_tree,
                rng=rng or np.random.default_rng(0),
            )
        self.select = None
        self.leaves: Tensor
        self.register_buffer("leaves", torch.from_numpy(np.array(leaves, np.int32)))
        self.gates = nn.ModuleList(
            GateWeights(kernels * 2 ** (depth - 1 - level), parametrisation, residual)
            for level in range(depth)
        )
        self.in0: Tensor
        self.in1: Tensor
        self.register_buffer("in0", torch.empty(0, dtype=torch.int64), persistent=False)
        self.register_buffer("in1", torch.empty(0, dtype=torch.int64), persistent=False)
        self._rewire()
        self.register_load_state_dict_post_hook(_rewire)  # type: ignore[no-untyped-call]

    @property
    def output_shape(self) -> Shape:
        """(K, rows, columns)."""
        return (self.kernels, *self.positions)

    def extra_repr(self) -> str:
        """What print(model) shows."""
        return (
            f"{self.input_shape} -> {self.output_shape}, field={self.field}, depth={self.depth}, "
            f"stride={self.stride}, padding={self.padding}"
        )

    def _rewire(self) -> None:
        """Recompute the row numbers that the leaf gates read from `leaves`."""
        if self.select is not None:
            self.leaves = self.select.chosen().view_as(self.leaves)
        place = self._places(self.leaves).reshape(
            self.kernels, -1, 2, self.positions[0] * self.positions[1]
        )
        self.in0 = place[:, :, 0].reshape(-1).contiguous()
        self.in1 = place[:, :, 1].reshape(-1).contiguous()

    def place_candidates(self) -> None:
        """Recompute the row numbers of the candidates, if the wiring is learned."""
        if self.select is not None:
            n_candidates = self.select.candidates.shape[1]
            self.places = self._places(self.select.candidates).mT.reshape(-1, n_candidates)

    def _places(self, leaves: Tensor) -> Tensor:
        """(.., 3) places in the field to (.., P) int64 row numbers, the last row for padding."""
        limits = torch.tensor([self.input_shape[0], *self.field], device=leaves.device)
        if bool(((leaves < 0) | (leaves >= limits)).any()):
            raise InputError(f"LogicConv2d: a leaf lies outside its field {limits.tolist()}")
        _, height, width = self.input_shape
        steps = [torch.arange(n, device=leaves.device) for n in self.positions]
        leaves = leaves.long()
        row = leaves[..., 1, None] + steps[0] * self.stride[0] - self.padding[0]
        column = leaves[..., 2, None] + steps[1] * self.stride[1] - self.padding[1]
        row, column = row[..., :, None], column[..., None, :]
        place = (leaves[..., 0, None, None] * height + row) * width + column
        outside = (row < 0) | (row >= height) | (column < 0) | (column >= width)
        return torch.where(outside, _size(self.input_shape), place).flatten(-2)

    def _geometry(self, pool: OrPool2d | None) -> TreeGeometry:
        """What `logic_tree` is told of this layer and of the pool that follows it."""
        own = (*self.input_shape, *self.field, *self.stride, *self.padding, *self.positions)
        if pool is None:
            return TreeGeometry._make((*own, 1, 1, 1, 1, 0, 0, *self.positions))
        pooling = (*pool.window, *pool.stride, *pool.padding, *pool.positions)
        return TreeGeometry._make((*own, *pooling))

    def forward(self, x: Tensor, pool: OrPool2d | None = None) -> Tensor:
        """[C*H*W, N] to [K*rows*columns, N], or to the signals of `pool`, done in one go.

        Fused, training keeps one number a window rather than one a position; pools of more than
        `kernels.MOST_PLACES` places are done on their own.
        """
        if pool is not None and pool.window[0] * pool.window[1] > MOST_PLACES:
            return pool(self(x))  # type: ignore[no-any-return]
        _check_rows(x, self.input_shape, "LogicConv2d")
        batch = x.shape[1]
        gates: list[GateWeights] = list(self.gates)  # type: ignore[arg-type]
        if self.training and not self.mixes:
            coefficients = torch.cat([level.relaxed() for level in gates])
            return logic_tree(x, coefficients, self.leaves, self._geometry(pool))[0]
        if not self.training:
            x = x.to(torch.int8)
        if max(self.padding) > 0:
            x = torch.cat([x, x.new_zeros(1, batch)])  # the row that padded places read
        if self.mixes:
            x = self.mixed_gates(x, [level.relaxed() for level in gates])
        else:
            rows = (x.index_select(0, places) for places in (self.in0, self.in1))
            a, b = (row.view(gates[0].n_gates, -1) for row in rows)
            x = bilinear(a, b, gates[0].hard())
            for level in gates[1:]:
                x = bilinear(x[0::2], x[1::2], level.hard())
        x = x.reshape(-1, batch)
        return x if pool is None else pool(x)


class OrPool2d(nn.Module):
    """OR over windows, trained as max: only the winner (the first of equals) gets gradient.

    [C*H*W, N] to [C*rows*columns, N]; padding is 0, the neutral element of OR.
    """

    def __init__(
        self,
        input_shape: Shape,
        window: int | Pair = 2,
        *,
        stride: int | Pair | None = None,
        padding: int | Pair = 0,
    ) -> None:
        super().__init__()
        self.input_shape: Shape = tuple(input_shape)
        self.window, self.padding = _pair(window), _pair(padding)
        self.stride = self.window if stride is None else _pair(stride)
        self.positions = _output_map(
            self.input_shape, self.window, self.stride, self.padding, "OrPool2d"
        )
        if any(pad >= span for pad, span in zip(self.padding, self.window, strict=True)):
            raise InputError(f"OrPool2d: padding {self.padding} must be below {self.window}")

    @property
    def output_shape(self) -> Shape:
        """(C, rows, columns)."""
        return (self.input_shape[0], *self.positions)

    def extra_repr(self) -> str:
        """What print(model) shows."""
        return f"{self.input_shape} -> {self.output_shape}, window={self.window}"

    def forward(self, x: Tensor) -> Tensor:
        """[C*H*W, N] to [C*rows*columns, N]."""
        _check_rows(x, self.input_shape, "OrPool2d")
        batch = x.shape[1]
        x = x.reshape(*self.input_shape, batch)
        if max(self.padding) > 0:
            vertical, horizontal = self.padding
            x = nn.functional.pad(x, (0, 0, horizontal, horizontal, vertical, vertical))
        reach = [(n - 1) * step + 1 for n, step in zip(self.positions, self.stride, strict=True)]
        views = [
            x[:, r : r + reach[0] : self.stride[0], c : c + reach[1] : self.stride[1]]
            for r in range(self.window[0])
            for c in range(self.window[1])
        ]
        return torch.stack(views).max(0).values.reshape(-1, batch)


class LogicDense(SelectsInputs):
    """`width` gates, each reading two signals: [F, N] to [width, N].

    `wiring` (width, 2) int32 are numbers into the flattened (C order) input; by default seeded
    and degree-balanced. Raises InputError for wiring outside the input.
    """

    def __init__(
        self,
        input_shape: Shape | int,
        width: int,
        *,
        parametrisation: Parametrisation = "inputwise",
        residual: float = 0.9,
        rng: np.random.Generator | None = None,
        wiring: npt.ArrayLike | None = None,
    ) -> None:
        super().__init__()
        self.input_shape: Shape = (
            (input_shape,) if isinstance(input_shape, int) else tuple(input_shape)
        )
        self.width = width
        if width < 1:
            raise InputError("LogicDense: width must be at least 1")
        if wiring is None:
            wiring = balanced_pairs(width, _size(self.input_shape), rng or np.random.default_rng(0))
        self.select = None
        self.wiring: Tensor
        self.register_buffer("wiring", torch.from_numpy(np.array(wiring, np.int32)))
        self.gates = GateWeights(width, parametrisation, residual)
        self.in0: Tensor
        self.in1: Tensor
        self.register_buffer("in0", torch.empty(0, dtype=torch.int64), persistent=False)
        self.register_buffer("in1", torch.empty(0, dtype=torch.int64), persistent=False)
        self._rewire()
        self.register_load_state_dict_post_hook(_rewire)  # type: ignore[no-untyped-call]

    @property
    def output_shape(self) -> Shape:
        """(width,)."""
        return (self.width,)

    def extra_repr(self) -> str:
        """What print(model) shows."""
        return f"{_size(self.input_shape)} -> {self.width}"

    def place_candidates(self) -> None:
        """Recompute the row numbers of the candidates, if the wiring is learned."""
        if self.select is not None:
            self.places = self.select.candidates.long()

    def _rewire(self) -> None:
        size = _size(self.input_shape)
        if self.select is not None:
            self.wiring = self.select.chosen().view_as(self.wiring)
        if bool(((self.wiring < 0) | (self.wiring >= size)).any()):
            raise InputError(f"LogicDense: wiring points outside the input of {size} signals")
        self.in0 = self.wiring[:, 0].long().contiguous()
        self.in1 = self.wiring[:, 1].long().contiguous()

    def forward(self, x: Tensor) -> Tensor:
        """[F, N] to [width, N]."""
        _check_rows(x, self.input_shape, "LogicDense")
        if self.mixes:
            return self.mixed_gates(x, [self.gates.relaxed()])
        if self.training:
            return logic_dense(x, self.gates.relaxed(), self.in0, self.in1)
        x = x.to(torch.int8)
        a, b = x.index_select(0, self.in0), x.index_select(0, self.in1)
        return bilinear(a, b, self.gates.hard())


def group_bounds(n_outputs: int, n_classes: int) -> list[int]:
    """C+1 bounds of contiguous blocks, as equal as possible, the larger ones first.

    Raises InputError naming the first class that would have no outputs.
    """
    if n_classes < 1:
        raise InputError("GroupSum: at least one class is needed")
    if n_outputs < n_classes:
        raise InputError(
            f"class {n_outputs} has no outputs: the last layer is {n_outputs} wide, "
            f"but there are {n_classes} classes"
        )
    size, rest = divmod(n_outputs, n_classes)
    return [size * c + min(c, rest) for c in range(n_classes + 1)]


class GroupSum(nn.Module):
    """Scores: sums over contiguous blocks, [O, N] to (N, C).

    Eval: int64 popcounts. Train: float sums divided by the temperature `tau`. Outputs that do not
    divide evenly are cut as `group_bounds` says.
    """

    def __init__(self, n_outputs: int, n_classes: int, tau: float = 1.0) -> None:
        super().__init__()
        if not tau > 0:
            raise InputError(f"GroupSum: tau is {tau}, it must be positive")
        self.n_outputs, self.n_classes = n_outputs, n_classes
        self.group_ptr: Tensor
        self.tau: Tensor
        bounds = torch.tensor(group_bounds(n_outputs, n_classes), dtype=torch.int64)
        self.register_buffer("group_ptr", bounds)
        self.register_buffer("tau", torch.tensor(float(tau), dtype=torch.float64))

    @property
    def output_shape(self) -> Shape:
        """(C,)."""
        return (self.n_classes,)

    def extra_repr(self) -> str:
        """What print(model) shows."""
        return f"{self.n_outputs} -> {self.n_classes} classes, tau={float(self.tau):g}"

    def forward(self, x: Tensor) -> Tensor:
        """[O, N] to (N, C)."""
        _check_rows(x, (self.n_outputs,), "GroupSum")
        blocks = torch.split(x, self.group_ptr.diff().tolist())
        if self.training:
            return torch.stack([block.sum(0) for block in blocks], 1) / float(self.tau)
        return torch.stack([block.sum(0, dtype=torch.int64) for block in blocks], 1)
