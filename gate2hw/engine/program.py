"""What the kernels run: the plan of the gates, the encoder in chunks, the head in columns."""

from __future__ import annotations

import ctypes
import itertools
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.engine.library import (
    Batch,
    Bits,
    Chunk,
    Model,
    NetlistColumns,
    Plan,
    Variant,
    address,
    library,
)
from gate2hw.errors import InputError
from gate2hw.ir.netlist import Encoder, Head, Netlist

__all__ = ["WINDOWS", "Program", "check_scores"]

WINDOWS: Final = (1 << 12, 1 << 10)
"""Ops that are ordered by function at a time, without and with roots: more make runs longer, fewer
keep together what the order of the roots brought together."""
_LANES: Final = 64
_MOST_NODES: Final = 1 << 30
"""The planner's literals, twice a node, have 31 bits."""


def _roots(net: Netlist) -> npt.NDArray[np.int32]:
    """Gates of the layers that have positions, layer by layer, position by position.

    With their cones finished in this order, neighbours in the image are computed one after the
    other and what they share is still in a cache. A layer that is only pooled (the next one has as
    many kernels at fewer positions) comes with the cones of its pool.
    """
    with_positions = [
        (layer, int(start))
        for layer, start in zip(net.sites.layers, net.sites.starts, strict=False)
        if layer.rows * layer.columns
    ]
    after = [layer for layer, _ in with_positions[1:]]
    roots = [np.zeros(0, np.int64)]
    for (layer, start), pool in itertools.zip_longest(with_positions, after):
        positions = layer.rows * layer.columns
        if pool and pool.kernels == layer.kernels and pool.rows * pool.columns < positions:
            continue
        gates = np.flatnonzero((net.origin >= start) & (net.origin < start + layer.n_sites))
        site, position = np.divmod(net.origin[gates] - start, positions)
        roots.append(gates[np.lexsort((site % layer.kernels, position))])
    return np.concatenate(roots).astype(np.int32)


def _chunks(encoder: Encoder, slot: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
    """Thermometer bits as chunks of 64 neighbouring features, one threshold of each."""
    used = np.flatnonzero(slot >= 0)
    feature, threshold = encoder.feature[used].astype(np.int64), encoder.threshold[used]
    order = np.lexsort((threshold, feature))
    used, feature, threshold = used[order], feature[order], threshold[order]
    new = np.r_[True, feature[1:] != feature[:-1]] if len(feature) else np.zeros(0, bool)
    rank = np.arange(len(feature)) - np.flatnonzero(new)[np.cumsum(new) - 1]
    last = max(0, encoder.n_features - _LANES)
    first = np.minimum(feature // _LANES * _LANES, last)
    key = first * (1 + rank.max(initial=0)) + rank
    starts, number = np.unique(key, return_inverse=True)
    chunks = np.zeros(len(starts), Chunk)
    chunks["slot"] = -1
    chunks["first"][number] = first
    chunks["slot"][number, feature - first] = slot[used]
    least = chunks["least"].view(np.uint8 if encoder.bytes_per_feature == 1 else "<u2")
    least[number, feature - first] = threshold + 1
    return chunks


def _columns(
    head: Head,
    slot: npt.NDArray[np.int32],
    part: npt.NDArray[np.int64],
    part_group: npt.NDArray[np.int32],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], int, int, int]:
    """`term_ptr`, `term`, `n_columns`, `n_planes` and `offset` of struct model.

    The netlist's outputs give `slot` in part `part` of their class, complemented where their
    weight is negative, so that all weights count up; what that and the biases add is a constant, in
    slot 1, counted with the first part of each class.
    """
    weight = head.weight.astype(np.int64)
    n_parts = len(part_group)
    least, greatest = head.score_bounds().T
    offset = int(least.min(initial=0))
    span = greatest - offset
    n_planes = max(1, int(span.max(initial=0)).bit_length())
    values = np.concatenate([np.abs(weight), least - offset])
    slots = np.concatenate([slot, np.ones(head.n_classes, np.int32)]).astype(np.int32)
    parts = np.concatenate([part, np.searchsorted(part_group, np.arange(head.n_classes))])
    keys, terms = [], []
    for column in range(n_planes):
        here = np.flatnonzero(values >> column & 1)
        here = here[np.argsort(slots[here], kind="stable")]  # neighbours in memory
        keys.append(parts[here] * n_planes + column)
        terms.append(slots[here])
    key, term = np.concatenate(keys), np.concatenate(terms)
    order = np.argsort(key, kind="stable")
    count = np.bincount(key, minlength=n_parts * n_planes)
    term_ptr = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    return term_ptr, term[order], n_planes, n_planes, offset


def check_scores(head: Head) -> None:
    """Raise InputError where scores do not fit in 32 bits."""
    highest = np.abs(head.score_bounds()).max(initial=0)
    if highest >= 2**31:
        raise InputError(f"scores reach {highest:,}; the engine has 32 bits")


class Program:
    """A netlist ready for the kernel `variant`.

    Raises InputError where scores need more than 31 bits, MemoryError where memory runs out.
    """

    def __init__(self, net: Netlist, variant: Variant, *, window: int | None = None) -> None:
        loaded = library()
        assert not isinstance(loaded, str)
        self._library = loaded
        self.net, self._variant = net, variant
        self._flipped = net.head.weight < 0 if net.n_classes else np.zeros(net.n_outputs, bool)
        if net.n_nodes > _MOST_NODES:
            raise InputError(
                f"{net.n_nodes:,} signals are more than the kernels number ({_MOST_NODES:,}); "
                "kernel 'numpy' takes them"
            )
        outputs = np.ascontiguousarray(net.outputs ^ self._flipped)
        self._group_ptr = net.head.group_ptr
        if not net.n_classes:
            self._group_ptr = np.array([0, net.n_outputs], np.int64)
        columns = NetlistColumns(
            net.n_inputs,
            net.n_gates,
            net.n_outputs,
            len(self._group_ptr) - 1,
            address(net.tt),
            address(net.in0),
            address(net.in1),
            address(outputs),
            address(self._group_ptr),
        )
        roots = _roots(net)
        self._plan = loaded.gate2hw_plan(
            ctypes.byref(columns),
            variant.k,
            variant.block // 64,
            window or WINDOWS[len(roots) > 0],
            address(roots),
            len(roots),
        )
        if not self._plan:
            raise MemoryError(f"no memory to plan {net.n_gates:,} gates")
        plan: Plan = self._plan.contents
        self.n_ops, self.n_runs, self.n_slots = plan.n_ops, plan.n_runs, plan.n_slots
        self.program_bytes = int(plan.n_words * plan.word_bytes + 8 * plan.n_runs)
        self._model = self._make_model(plan) if net.encoder is not None and net.n_classes else None

    def _make_model(self, plan: Plan) -> Model:
        net = self.net
        assert net.encoder is not None
        check_scores(net.head)
        input_slot = self._array(plan.input_slot, net.n_inputs, np.int32)
        self._chunks = _chunks(net.encoder, input_slot)
        output_slot = self._array(plan.output_slot, net.n_outputs, np.int32)
        ptr = self._array(plan.part_ptr, plan.n_parts + 1, np.int64)
        part = np.empty(net.n_outputs, np.int64)
        part[self._array(plan.part_output, net.n_outputs, np.int32)] = np.repeat(
            np.arange(plan.n_parts), np.diff(ptr)
        )
        part_group = self._array(plan.part_group, plan.n_parts, np.int32)
        self._term_ptr, self._term, n_columns, n_planes, offset = _columns(
            net.head, output_slot, part, part_group
        )
        return Model(
            ctypes.addressof(plan),
            net.encoder.n_features,
            net.encoder.bytes_per_feature,
            len(self._chunks),
            address(self._chunks),
            net.n_classes,
            n_columns,
            n_planes,
            address(self._term_ptr),
            address(self._term),
            offset,
        )

    @staticmethod
    def _array(at: int | None, n: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """A copy of what the plan holds at `at`."""
        kind: np.dtype[Any] = np.dtype(dtype)
        if not n or at is None:
            return np.zeros(0, kind)
        memory = (ctypes.c_char * (n * kind.itemsize)).from_address(at)
        return np.array(memoryview(memory).cast("B")).view(kind)

    def run(self, n: int, x: int, classes: int | None, scores: int | None) -> None:
        """`n` samples at address `x` to classes and scores at theirs; see struct batch."""
        assert self._model is not None
        batch = Batch(n, x, classes, scores)
        if self._library.gate2hw_engine_run(
            self._variant.number, ctypes.byref(self._model), ctypes.byref(batch)
        ):
            raise MemoryError(f"no memory for {self.n_slots:,} slots")

    def simulate(self, words: npt.NDArray[np.uint64], out: npt.NDArray[np.uint64]) -> None:
        """(n_inputs, W) uint64 words to (n_outputs, W) words, both contiguous.

        The outputs are those of the netlist.
        """
        bits = Bits(
            words.shape[1],
            words.shape[1],
            self.net.n_inputs,
            self.net.n_outputs,
            address(words),
            address(out),
        )
        if self._library.gate2hw_engine_simulate(
            self._variant.number, self._plan, ctypes.byref(bits)
        ):
            raise MemoryError(f"no memory for {self.n_slots:,} slots")
        out[self._flipped] ^= np.uint64(0xFFFF_FFFF_FFFF_FFFF)

    def __del__(self) -> None:
        plan = getattr(self, "_plan", None)
        if plan:
            self._library.gate2hw_plan_free(plan)
