"""The self-test of exported C: a few inputs, what must come out, and a main that compares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.formats.c_layout import Source, rows
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.simulate import classes, pack, random_features, scores, simulate, unpack

__all__ = ["Vectors", "make_vectors", "selftest_text"]

N_VECTORS: Final = 16
"""Random inputs where none are given; the two corners, all 0 and all highest, are added."""


@dataclass(frozen=True)
class Vectors:
    """`x` (N, F) unsigned inputs, `scores` (N, C) and `classes` (N,) expected of them.

    Of a plain circuit `x` (N, I) and `scores` (N, O) are bits, and `classes` is empty.
    """

    x: npt.NDArray[np.int64]
    scores: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int64]


def make_vectors(net: Netlist, x: npt.NDArray[Any] | None) -> Vectors:
    """What `ir.simulate` says of the inputs `x` (N, *shape), else of random ones, and of corners.

    `net` has an encoder, or is a plain circuit (then no `x` can be given).
    """
    rng = np.random.default_rng(0)
    if not net.n_classes:
        bits = rng.integers(0, 2, (N_VECTORS, net.n_inputs)).astype(bool)
        corners = np.array([[False], [True]]) | np.zeros((2, net.n_inputs), bool)
        bits = np.concatenate([bits, corners])
        out = unpack(simulate(net, pack(bits)), len(bits))
        return Vectors(bits.astype(np.int64), out.astype(np.int64), np.zeros(0, np.int64))
    encoder = net.encoder
    if encoder is None:
        raise InputError("a netlist with classes needs an encoder")
    chosen = random_features(encoder, N_VECTORS, rng) if x is None else np.asarray(x)
    corners = np.zeros((2, *encoder.shape), np.int64)
    corners[1] = encoder.max_value
    every = np.concatenate([chosen.astype(np.int64), corners])
    expected = scores(net, every)
    return Vectors(every.reshape(len(every), -1), expected, classes(expected))


_MAIN: Final = """\
/* two words of samples and some more, so that every lane and every step of a batch is used */
#define BATCH (2 * {m}_WORD_BITS + 3)

static {n}_feature_t many[BATCH * {m}_N_FEATURES];
static {n}_class_t got_classes[BATCH];
static int32_t got_scores[BATCH * {m}_N_CLASSES];

static int differs(const char *what, size_t sample, long expected, long got)
{{
    if (expected == got)
        return 0;
    printf("{n}: sample %lu: %s: %ld expected, %ld found\\n", (unsigned long)sample, what,
           expected, got);
    return 1;
}}

int main(void)
{{
    int32_t score[{m}_N_CLASSES];
    size_t s, c;

    for (s = 0; s < N; s++) {{
        const {n}_feature_t *row = x + s * {m}_N_FEATURES;

        {n}_scores(row, score);
        for (c = 0; c < {m}_N_CLASSES; c++)
            if (differs("score", s, scores[s * {m}_N_CLASSES + c], score[c]))
                return 1;
        if (differs("class", s, classes[s], {n}_predict(row)))
            return 1;
    }}
    for (s = 0; s < BATCH; s++)
        for (c = 0; c < {m}_N_FEATURES; c++)
            many[s * {m}_N_FEATURES + c] = x[s % N * {m}_N_FEATURES + c];
    {n}_scores_batch(many, BATCH, got_scores);
    {n}_predict_batch(many, BATCH, got_classes);
    for (s = 0; s < BATCH; s++) {{
        for (c = 0; c < {m}_N_CLASSES; c++)
            if (differs("score in a batch", s, scores[s % N * {m}_N_CLASSES + c],
                        got_scores[s * {m}_N_CLASSES + c]))
                return 1;
        if (differs("class in a batch", s, classes[s % N], got_classes[s]))
            return 1;
    }}
    printf("{n}: %lu samples as expected\\n", (unsigned long)N);
    return 0;
}}
"""
_MAIN_PLAIN: Final = """\
int main(void)
{{
    static {n}_word_t word_in[{inputs}], word_out[{outputs}];
    size_t s;

    for (s = 0; s < N; s++) {{
        const unsigned lane = (unsigned)(s % {m}_WORD_BITS);
{set_}
        {n}_eval(word_in, word_out);
{compare}    }}
    printf("{n}: %lu samples as expected\\n", (unsigned long)N);
    return 0;
}}
"""
_SET: Final = """\
        size_t i;

        for (i = 0; i < {m}_N_INPUTS; i++)
            word_in[i] = ({n}_word_t)(x[s * {m}_N_INPUTS + i] << lane);
"""
_COMPARE: Final = """\
        {{
            size_t o;

            for (o = 0; o < {m}_N_OUTPUTS; o++) {{
                const int got = (int)(word_out[o] >> lane & 1);

                if (got != out[s * {m}_N_OUTPUTS + o]) {{
                    printf("{n}: sample %lu, output %lu: %d expected, %d found\\n",
                           (unsigned long)s, (unsigned long)o, out[s * {m}_N_OUTPUTS + o], got);
                    return 1;
                }}
            }}
        }}
"""


def _array(kind: str, name: str, values: npt.NDArray[Any]) -> Iterator[str]:
    flat = values.reshape(-1).tolist() or [0]
    yield f"static const {kind} {name}[{len(flat)}] = {{\n"
    yield from rows(flat, 24)
    yield "};\n"


def selftest_text(source: Source, vectors: Vectors) -> Iterator[str]:
    """The lines of NAME_selftest.c: exits 0 where all is as expected, else 1, saying what is not.

    Single calls and one batch are compared: the batch is no multiple of any word.
    """
    n, m = source.name, source.macro
    yield f'#include <stdio.h>\n\n#include "{n}.h"\n\n#define N {len(vectors.x)}u\n\n'
    if source.n_classes:
        yield from _array(f"{n}_feature_t", "x", vectors.x)
        yield from _array("int32_t", "scores", vectors.scores)
        yield from _array(f"{n}_class_t", "classes", vectors.classes)
        yield "\n" + _MAIN.format(n=n, m=m)
        return
    n_inputs, n_outputs = vectors.x.shape[1], vectors.scores.shape[1]
    unused = "" if n_inputs and n_outputs else "        (void)lane;\n"
    if n_inputs:
        yield from _array(f"{n}_word_t", "x", vectors.x)
    if n_outputs:
        yield from _array("uint8_t", "out", vectors.scores)
    yield "\n" + _MAIN_PLAIN.format(
        n=n,
        m=m,
        inputs=max(1, n_inputs),
        outputs=max(1, n_outputs),
        set_=_SET.format(n=n, m=m) if n_inputs else unused,
        compare=_COMPARE.format(n=n, m=m) if n_outputs else "",
    )
