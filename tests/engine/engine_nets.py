"""Random netlists for the engine: everything that a Netlist may be, classified or plain."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from gate2hw.engine import Engine, program
from gate2hw.engine.library import Chunk
from gate2hw.ir import simulate
from gate2hw.ir.builder import from_columns
from gate2hw.ir.netlist import Encoder, Head, Netlist, SiteLayer, Sites

BLOCK_EDGES = (0, 1, 2, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025)
"""Numbers of samples around the blocks of all kernels."""
SITES = Sites(
    (
        SiteLayer("conv", 3, 4, 5, 6),
        SiteLayer("pool", 1, 4, 2, 3),
        SiteLayer("deep", 3, 2, 2, 2),
        SiteLayer("dense", 1, 50),
    )
)


def random_encoder(
    rng: np.random.Generator, n_features: int, n_inputs: int, max_value: int
) -> Encoder:
    """`n_inputs` thermometer bits, some features with many, some with none, ends included."""
    n_used = int(rng.integers(1, n_features + 1))
    used = rng.choice(n_features, n_used, replace=False)
    feature = rng.choice(used, n_inputs)
    threshold = np.empty(n_inputs, np.int64)
    kept = np.ones(n_inputs, bool)
    for f in np.unique(feature):
        at = np.flatnonzero(feature == f)
        kept[at[max_value:]] = False
        at = at[:max_value]
        values = rng.choice(max_value, len(at), replace=False)
        values[rng.random(len(at)) < 0.1] = 0
        values[rng.random(len(at)) < 0.1] = max_value - 1
        values = np.unique(values)
        kept[at[len(values) :]] = False
        threshold[at[: len(values)]] = values
    shape = (n_features,)
    if n_features % 2 == 0 and rng.random() < 0.5:
        shape = (2, n_features // 2)
    return Encoder(feature[kept], threshold[kept], shape, max_value)


def random_head(rng: np.random.Generator, n_outputs: int, n_classes: int, kind: str) -> Head:
    """Groups of any sizes, empty ones too; `kind` is plain, signed, tied or large."""
    cuts = np.sort(rng.integers(0, n_outputs + 1, n_classes - 1))
    group_ptr = np.array([0, *cuts, n_outputs])
    if kind == "plain":
        return Head(group_ptr, np.ones(n_outputs, np.int32), np.zeros(n_classes, np.int64))
    most = {"signed": 9, "tied": 1, "large": 2**29 // (n_outputs + 1)}[kind]
    weight = rng.integers(-most, most + 1, n_outputs)
    bias = rng.integers(-most, most + 1, n_classes)
    if kind == "large":
        total = np.concatenate([[0], np.cumsum(np.abs(weight))])
        room = 2**31 - 1 - np.diff(total[group_ptr])
        bias = np.where(rng.random(n_classes) < 0.5, room, -room)
    return Head(group_ptr, weight, bias)


def random_net(
    seed: int,
    *,
    n_features: int = 20,
    n_inputs: int = 30,
    n_gates: int = 100,
    n_outputs: int = 30,
    n_classes: int = 4,
    max_value: int = 255,
    head: str = "signed",
    reach: int | None = None,
    alive: float = 0.7,
    sites: bool = False,
) -> Netlist:
    """All 16 functions on any lower nodes; outputs are inputs, constants, both polarities.

    `reach` limits how far down a gate reads, `alive` is the share of gates that are no constants
    and wires. `n_classes` 0 is a plain circuit without encoder.
    """
    rng = np.random.default_rng(seed)
    encoder = random_encoder(rng, n_features, n_inputs, max_value) if n_classes else None
    n_inputs = len(encoder.feature) if encoder is not None else n_inputs
    first = 1 + n_inputs
    tt = rng.integers(0, 16, n_gates)
    real = rng.choice([1, 2, 4, 6, 7, 8, 9, 11, 13, 14], n_gates)
    tt = np.where(rng.random(n_gates) < alive, real, tt)
    node = np.arange(first, first + n_gates)
    low = np.maximum(0, node - (reach or first + n_gates))
    in0, in1 = rng.integers(low, node), rng.integers(low, node)
    in1 = np.where(rng.random(n_gates) < 0.03, in0, in1)
    outputs = rng.integers(0, 2 * (first + n_gates), n_outputs)
    for share, few in ((0.1, 2 * first), (0.05, 2)):
        outputs = np.where(rng.random(n_outputs) < share, outputs % few, outputs)
    twin = rng.integers(0, max(1, n_outputs), n_outputs)
    if n_outputs:
        outputs = np.where(rng.random(n_outputs) < 0.15, outputs[twin], outputs)
        outputs = np.where(rng.random(n_outputs) < 0.15, outputs[twin] ^ 1, outputs)
    return from_columns(
        n_inputs,
        tt.astype(np.uint8),
        in0.astype(np.int32),
        in1.astype(np.int32),
        outputs,
        head=random_head(rng, n_outputs, n_classes, head) if n_classes else None,
        encoder=encoder,
        origin=rng.integers(-1, len(SITES), n_gates).astype(np.int32) if sites else None,
        sites=SITES if sites else None,
    )


def random_samples(net: Netlist, n: int, seed: int = 0) -> np.ndarray:
    """(n, *shape) of the narrowest type; a quarter of the values at or beside a threshold."""
    assert net.encoder is not None
    rng = np.random.default_rng(seed)
    encoder = net.encoder
    x = simulate.random_features(encoder, n, rng).reshape(n, encoder.n_features)
    if len(encoder.feature) and n:
        near = rng.integers(0, len(encoder.feature), x.shape)
        value = encoder.threshold[near] + rng.integers(-1, 2, x.shape)
        there = (encoder.feature[near] == np.arange(encoder.n_features)) | (rng.random(x.shape) < 1)
        there &= rng.random(x.shape) < 0.25
        x = np.where(there, np.clip(value, 0, encoder.max_value), x)
    dtype = np.uint8 if encoder.bytes_per_feature == 1 else np.uint16
    return x.reshape(n, *encoder.shape).astype(dtype)


def assert_same(engine: Engine, x: np.ndarray) -> None:
    """Scores and classes of `x`, asked for together and apart, are those of the reference."""
    wanted = simulate.scores(engine.netlist, x)
    scores = engine.scores(x)
    assert scores.dtype == np.int32
    assert scores.shape == wanted.shape
    np.testing.assert_array_equal(scores, wanted)
    classes = engine.predict(x)
    assert classes.dtype == np.int64
    np.testing.assert_array_equal(classes, simulate.classes(wanted))


def assert_same_words(engine: Engine, words: np.ndarray) -> None:
    """The output words are those of the reference."""
    found = engine.simulate(words)
    assert found.dtype == np.uint64
    np.testing.assert_array_equal(found, simulate.simulate(engine.netlist, words))


def write_case(file: BinaryIO, net: Netlist, x: np.ndarray, words: np.ndarray, window: int) -> None:
    """A netlist, samples (none for a plain circuit), words and what they give, for driver.c."""
    n_samples, n_features, feature_bytes = 0, 0, 1
    n_columns, n_planes, offset = 0, 0, 0
    chunks, term_ptr, term = np.zeros(0, Chunk), np.zeros(1, np.int64), np.zeros(0, np.int32)
    scores, flipped = np.zeros((0, 0), np.int64), np.zeros(net.n_outputs, bool)
    classes = np.zeros(0, np.int64)
    if net.encoder is not None:
        n_samples, n_features = len(x), net.encoder.n_features
        feature_bytes = net.encoder.bytes_per_feature
        chunks = program._chunks(net.encoder, np.arange(net.n_inputs, dtype=np.int32))
        slot = 2 + np.arange(net.n_outputs, dtype=np.int32)
        classes = np.arange(net.n_classes, dtype=np.int32)
        group = np.repeat(classes, np.diff(net.head.group_ptr)).astype(np.int64)
        term_ptr, term, n_columns, n_planes, offset = program._columns(
            net.head, slot, group, classes
        )
        flipped = net.head.weight < 0
        scores = simulate.scores(net, x)
        classes = simulate.classes(scores)
    out = simulate.simulate(net, words) ^ np.where(flipped, ~np.uint64(0), np.uint64(0))[:, None]
    roots = program._roots(net)
    group_ptr = net.head.group_ptr if net.n_classes else np.array([0, net.n_outputs])
    sizes = [net.n_inputs, net.n_gates, net.n_outputs, len(group_ptr) - 1, len(roots), window]
    sizes += [n_features, feature_bytes, len(chunks), net.n_classes, n_columns, n_planes, offset]
    sizes += [len(term), n_samples, words.shape[1]]
    arrays = [np.array(sizes, np.int64), net.tt, net.in0, net.in1, net.outputs ^ flipped]
    arrays += [
        group_ptr,
        roots,
        chunks,
        term_ptr,
        term,
        x[:n_samples],
        classes,
        scores.astype(np.int32),
        words,
        out,
    ]
    for array in arrays:
        file.write(np.ascontiguousarray(array).tobytes())
