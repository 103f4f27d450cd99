"""The ends of exported C: from features to words, and from words to scores and classes.

In bit-sliced C scores are counted in bit planes: plane k holds bit k of the score of every sample,
so that adding a signal to a score, and comparing two scores, takes a few word operations for all
samples at once. Signals are added four at a time by carry-save adders.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

from gate2hw.formats.c_layout import Source, int32, rows, table, unsigned
from gate2hw.ir.netlist import Encoder

__all__ = ["encoder_text", "head_text", "plain_text"]

_ENCODE_WORD: Final = """\
/* bit s of v[i] is input i of sample s; from the last sample to the first, w is shifted */
static void encode(const F *x, size_t n, W *v)
{{
    size_t i, s;

    for (i = 0; i < {n}; i++) {{
        const F t = threshold[i];
        size_t at = feature[i] + n * {features};
        W w = 0;

        for (s = n; s >= 4; s -= 4) {{
            w = (W)(w + w + (x[at - {features}] > t));
            w = (W)(w + w + (x[at - {two}] > t));
            w = (W)(w + w + (x[at - {three}] > t));
            at -= {four};
            w = (W)(w + w + (x[at] > t));
        }}
        for (; s != 0; s--) {{
            at -= {features};
            w = (W)(w + w + (x[at] > t));
        }}
        v[i] = w;
    }}
}}

"""
_ENCODE_BIT: Final = """\
static void encode(const F *x, W *v)
{{
    size_t i;

    for (i = 0; i < {n}; i++)
        v[i] = (W)(x[feature[i]] > threshold[i]);
}}

"""


def encoder_text(source: Source, encoder: Encoder) -> Iterator[str]:
    """encode(): features of samples to the first words of the working array."""
    inputs = [node - 1 for node in source.plan.inputs]
    single = source.word_bits == 1
    if not inputs:
        size = "" if single else "size_t n, "
        unused = "" if single else "    (void)n;\n"
        yield f"static void encode(const F *x, {size}W *v)\n{{\n    (void)x;\n{unused}"
        yield "    (void)v;\n}\n\n"
        return
    yield from table("feature", encoder.feature[inputs].tolist(), unsigned(encoder.n_features - 1))
    yield from table("threshold", encoder.threshold[inputs].tolist(), source.feature_bits)
    yield "\n"
    text = _ENCODE_BIT if single else _ENCODE_WORD
    one = encoder.n_features
    yield text.format(n=len(inputs), features=one, two=2 * one, three=3 * one, four=4 * one)


_COUNT_FOUR: Final = """\
        for (; i + 4 <= run[r + 1]; i += 4) {
            const W a = v[term[i]], b = v[term[i + 1]];
            const W d = v[term[i + 2]], e = v[term[i + 3]];
            const W half = (W)(p[k] ^ a), sum = (W)(half ^ b);
            const W twos = (W)((p[k] & a) | (half & b));
            const W half2 = (W)(sum ^ d);
            const W twos2 = (W)((sum & d) | (half2 & e));
            const W half4 = (W)(p[k + 1] ^ twos);

            add(p + k + 2, PLANES - k - 2, (W)((p[k + 1] & twos) | (half4 & twos2)));
            p[k] = (W)(half2 ^ e);
            p[k + 1] = (W)(half4 ^ twos2);
        }
"""
_PLANES: Final = """\
/* add the signal x to a number in n bit planes */
static void add(W *p, size_t n, W x)
{{
    size_t k;

    for (k = 0; k < n && x != 0; k++) {{
        const W carry = (W)(p[k] & x);

        p[k] = (W)(p[k] ^ x);
        x = carry;
    }}
}}

/* the score of class c less {low}, in bit planes */
static void score(const W *v, size_t c, W *p)
{{
    size_t k;

    for (k = 0; k < {planes}; k++)
        p[k] = (base[c] >> k & 1u) ? (W)~(W)0 : (W)0;
    for (k = 0; k < {weights}; k++) {{
        const size_t r = c * {weights} + k;
        size_t i = run[r];

{four}        for (; i < run[r + 1]; i++)
            add(p + k, {planes} - k, v[term[i]]);
    }}
}}

"""
_SCORES_WORD: Final = """\
void {n}_scores_in(const F *x, size_t n, int32_t *scores, W *work)
{{
    W p[{planes}];
    size_t c, s, k;

    encode(x, n, work);
    gates(work);
    for (c = 0; c < {classes}; c++) {{
        score(work, c, p);
        for (s = 0; s < n; s++) {{
            int32_t sum = {low};

            for (k = 0; k < {planes}; k++)
                sum += (int32_t)(p[k] >> s & 1) * (int32_t)((uint32_t)1 << k);
            scores[s * {classes} + c] = sum;
        }}
    }}
}}

void {n}_predict_in(const F *x, size_t n, {n}_class_t *classes, W *work)
{{
    W best[{planes}], p[{planes}], won[{bits}];
    size_t c, s, k;

    encode(x, n, work);
    gates(work);
    score(work, 0, best);
    for (k = 0; k < {bits}; k++)
        won[k] = 0;
    for (c = 1; c < {classes}; c++) {{
        W more = 0;

        score(work, c, p);
        for (k = 0; k < {planes}; k++)
            more = (W)((p[k] & ~best[k]) | (more & ~(p[k] ^ best[k])));
        for (k = 0; k < {planes}; k++)
            best[k] = (W)((p[k] & more) | (best[k] & ~more));
        for (k = 0; k < {bits}; k++)
            won[k] = (W)((c >> k & 1u) ? (won[k] | more) : (won[k] & ~more));
    }}
    for (s = 0; s < n; s++) {{
        unsigned winner = 0;

        for (k = 0; k < {bits}; k++)
            winner |= (unsigned)(won[k] >> s & 1) << k;
        classes[s] = ({n}_class_t)winner;
    }}
}}

"""
_SCORES_BIT: Final = """\
static int32_t score(const W *v, size_t c)
{{
    int32_t sum = base[c];
    size_t k, i;

    for (k = 0; k < {weights}; k++) {{
        const size_t r = c * {weights} + k;
        int32_t count = 0;

        for (i = run[r]; i < run[r + 1]; i++)
            count += (int32_t)(v[term[i]] & 1u);
        sum += count * (int32_t)((uint32_t)1 << k);
    }}
    return sum;
}}

void {n}_scores_in(const F *x, size_t n, int32_t *scores, W *work)
{{
    size_t c;

    if (n == 0)
        return;
    encode(x, work);
    gates(work);
    for (c = 0; c < {classes}; c++)
        scores[c] = score(work, c);
}}

void {n}_predict_in(const F *x, size_t n, {n}_class_t *classes, W *work)
{{
    int32_t best;
    size_t c, winner = 0;

    if (n == 0)
        return;
    encode(x, work);
    gates(work);
    best = score(work, 0);
    for (c = 1; c < {classes}; c++) {{
        const int32_t sum = score(work, c);

        if (sum > best) {{
            best = sum;
            winner = c;
        }}
    }}
    classes[0] = ({n}_class_t)winner;
}}

"""
_ENTRIES: Final = """\
void {n}_scores(const F *x, int32_t *scores)
{{
    W work[{m}_WORK_WORDS];

    {n}_scores_in(x, 1, scores, work);
}}

int {n}_predict(const F *x)
{{
    W work[{m}_WORK_WORDS];
    {n}_class_t winner;

    {n}_predict_in(x, 1, &winner, work);
    return (int)winner;
}}

void {n}_scores_batch(const F *x, size_t n, int32_t *scores)
{{
    W work[{m}_WORK_WORDS];

    while (n != 0) {{
        const size_t m = n < {m}_WORD_BITS ? n : {m}_WORD_BITS;

        {n}_scores_in(x, m, scores, work);
        x += m * {m}_N_FEATURES;
        scores += m * {m}_N_CLASSES;
        n -= m;
    }}
}}

void {n}_predict_batch(const F *x, size_t n, {n}_class_t *classes)
{{
    W work[{m}_WORK_WORDS];

    while (n != 0) {{
        const size_t m = n < {m}_WORD_BITS ? n : {m}_WORD_BITS;

        {n}_predict_in(x, m, classes, work);
        x += m * {m}_N_FEATURES;
        classes += m;
        n -= m;
    }}
}}
"""


def head_text(source: Source) -> Iterator[str]:
    """Scores, classes and the public functions."""
    program, single = source.program, source.word_bits == 1
    low, planes = min(program.base), source.planes
    weights = source.n_weights
    term: list[int] = []
    run = [0]
    for bits in program.terms:
        for nodes in bits:
            term += [source.plan.slot[node] for node in nodes]
            run.append(len(term))
        run += [len(term)] * (weights - len(bits))
    longest = max(end - start for start, end in itertools.pairwise(run))
    yield from table("term", term or [0], unsigned(source.work_words))
    yield from table("run", run, unsigned(len(term)))
    if single:
        yield f"static const int32_t base[{source.n_classes}] = {{\n"
        yield from rows([int32(base) for base in program.base])
        yield "};\n\n"
    else:
        yield from table("base", [base - low for base in program.base], 32)
        yield "\n"
        four = _COUNT_FOUR.replace("PLANES", str(planes)) if longest >= 4 else ""
        yield _PLANES.format(low=low, planes=planes, weights=weights, four=four)
    yield (_SCORES_BIT if single else _SCORES_WORD).format(
        n=source.name,
        planes=planes,
        weights=weights,
        classes=source.n_classes,
        bits=source.class_bits,
        low=int32(low),
    )
    yield _ENTRIES.format(n=source.name, m=source.macro)


def plain_text(source: Source) -> Iterator[str]:
    """The public function of a plain circuit."""
    inputs = [node - 1 for node in source.plan.inputs]
    outputs = [source.plan.slot[node] for node in source.program.outputs]
    word = f"{source.name}_word_t"
    if inputs:
        yield from table("input", inputs, unsigned(max(inputs)))
    if outputs:
        yield from table("output", outputs, unsigned(max(outputs)))
    yield f"\nvoid {source.name}_eval(const {word} *in, {word} *out)\n{{\n"
    yield f"    W v[{source.macro}_WORK_WORDS];\n"
    yield "    size_t i;\n\n" if inputs or outputs else "\n"
    if inputs:
        yield f"    for (i = 0; i < {len(inputs)}; i++)\n        v[i] = in[input[i]];\n"
    else:
        yield "    (void)in;\n"
    yield "    gates(v);\n"
    mask = " & 1u" if source.word_bits == 1 else ""
    if outputs:
        value = f"(W)(v[output[i]]{mask})" if mask else "v[output[i]]"
        yield f"    for (i = 0; i < {len(outputs)}; i++)\n        out[i] = {value};\n"
    else:
        yield "    (void)out;\n"
    yield "}\n"
