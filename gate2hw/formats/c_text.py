"""The text of exported C: the header, and the gates as functions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from gate2hw.formats.c_ends import encoder_text, head_text, plain_text
from gate2hw.formats.c_layout import Source, rows
from gate2hw.formats.c_schedule import depends
from gate2hw.ir.gates import EXPRESSIONS

__all__ = ["header_text", "source_text"]

_EXPRESSION: Final = [
    "(W)0" if text == "0" else "(W)~(W)0" if text == "1" else re.sub(r"\b([ab])\b", r"{\1}", text)
    for text in EXPRESSIONS
]


def _declarations(source: Source) -> Iterator[tuple[str, str]]:
    """(comment, declaration) of the public functions."""
    n, m, single = source.name, source.macro, source.word_bits == 1
    if not source.n_classes:
        what = "one bit (bit 0)" if single else f"{source.word_bits} samples"
        yield (
            f"in[i] is input i, out[o] output o, {what} a word; in and out may not overlap",
            f"void {n}_eval(const {n}_word_t *in, {n}_word_t *out)",
        )
        return
    x = f"const {n}_feature_t *x"
    yield "the class of one sample; of equal scores the lowest class wins", f"int {n}_predict({x})"
    yield f"the {m}_N_CLASSES scores of one sample", f"void {n}_scores({x}, int32_t *scores)"
    yield (
        "the classes of n samples, one after the other in x",
        f"void {n}_predict_batch({x}, size_t n, {n}_class_t *classes)",
    )
    yield (
        f"the scores of n samples, {m}_N_CLASSES of each",
        f"void {n}_scores_batch({x}, size_t n, int32_t *scores)",
    )
    limit = "n is 0 or 1" if single else f"n at most {m}_WORD_BITS"
    yield (
        f"as predict_batch, {limit}; work is {m}_WORK_WORDS words of the caller's, not the stack",
        f"void {n}_predict_in({x}, size_t n, {n}_class_t *classes, {n}_word_t *work)",
    )
    yield (
        f"as scores_batch, {limit}; work as above",
        f"void {n}_scores_in({x}, size_t n, int32_t *scores, {n}_word_t *work)",
    )


def _macros(source: Source) -> Iterator[tuple[str, int]]:
    if source.n_classes and source.encoder is not None:
        yield "N_FEATURES", source.encoder.n_features
        yield "MAX_VALUE", source.encoder.max_value
        yield "N_CLASSES", source.n_classes
    else:
        yield "N_INPUTS", source.n_inputs
        yield "N_OUTPUTS", len(source.program.outputs)
    yield "WORD_BITS", source.word_bits
    yield "WORK_WORDS", source.work_words
    yield "WORK_BYTES", source.work_words * source.word_bytes


def header_text(source: Source) -> Iterator[str]:
    """The lines of NAME.h."""
    n, m = source.name, source.macro
    yield "/*\n"
    yield from (f" * {line}".rstrip() + "\n" for line in source.comment)
    yield f" */\n#ifndef {m}_H\n#define {m}_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n"
    yield from (f"#define {m}_{key} {value}\n" for key, value in _macros(source))
    yield f"\ntypedef uint{8 * source.word_bytes}_t {n}_word_t;\n"
    if source.n_classes:
        yield f"typedef uint{source.feature_bits}_t {n}_feature_t;\n"
        yield f"typedef uint{source.class_type_bits}_t {n}_class_t;\n"
    yield '\n#ifdef __cplusplus\nextern "C" {\n#endif\n'
    for comment, declaration in _declarations(source):
        yield f"\n/* {comment} */\n{declaration};\n"
    yield "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n"


def _part(source: Source, number: int, nodes: list[int]) -> Iterator[str]:
    program, slot = source.program, source.plan.slot
    here = set(nodes)
    read = {n for node in nodes for n in program.operands(node)}
    cast = source.word_bits < 32
    store = "(W)" if source.word_bits == 1 else ""

    def name(node: int) -> str:
        return f"n{node}" if node in here else f"v[{slot[node]}]"

    yield f"static void part{number}(W *v)\n{{\n"
    for node in nodes:
        gate = node - program.first_gate
        tt = program.tt[gate]
        a = name(program.in0[gate]) if depends[0][tt] else ""
        b = name(program.in1[gate]) if depends[1][tt] else ""
        text = _EXPRESSION[tt].format(a=a, b=b)
        leaves, stays = node in slot, node in read
        if cast and (a or b):
            text = f"({'L' if stays else 'W'})({text})"
        if stays:
            yield f"    const L n{node} = {text};\n"
            if leaves:
                yield f"    v[{slot[node]}] = {store}n{node};\n"
        else:
            yield f"    v[{slot[node]}] = {text};\n"
    yield "}\n\n"


def _gates(source: Source) -> Iterator[str]:
    parts = source.plan.parts
    for number, nodes in enumerate(parts):
        yield from _part(source, number, nodes)
    if parts:
        # through a table, so that no compiler joins the parts into one function again
        names = [f"part{number}" for number in range(len(parts))]
        yield f"static void (*const parts[{len(parts)}])(W *) = {{\n"
        yield from rows(names, 8)
        yield "};\n\n"
    yield "static void gates(W *v)\n{\n"
    if parts:
        yield f"    size_t i;\n\n    for (i = 0; i < {len(parts)}; i++)\n        parts[i](v);\n"
    else:
        yield "    (void)v;\n"
    yield "}\n\n"


def source_text(source: Source) -> Iterator[str]:
    """The lines of NAME.c."""
    n = source.name
    yield f'#include "{n}.h"\n\n'
    yield "/* W: a word of the working array, L: a signal inside a function, F: a feature */\n"
    yield f"typedef {n}_word_t W;\n"
    yield f"typedef {'uint_fast8_t' if source.word_bits == 1 else 'W'} L;\n"
    if source.n_classes:
        yield f"typedef {n}_feature_t F;\n"
    yield "\n"
    yield from _gates(source)
    if source.n_classes:
        assert source.encoder is not None
        yield from encoder_text(source, source.encoder)
        yield from head_text(source)
    else:
        yield from plain_text(source)
