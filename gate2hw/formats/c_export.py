"""A netlist as self-contained C99 for microcontrollers and servers: NAME.h, NAME.c and a self-test.

The C needs <stdint.h> and <stddef.h> alone, allocates nothing and changes no globals. It is
bit-sliced: a word holds one signal of as many samples as it has bits, and a gate is one operation
for all of them. With `word_bits` 1 it evaluates one sample a call: signals are bytes in memory and
the machine's fastest integers inside a function (`uint_fast8_t`), of which bit 0 counts. That is
the smallest where samples come one by one: no lanes are packed, counted or selected that nobody
reads, scores are plain sums, and the working memory is a byte a signal.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import InputError
from gate2hw.formats.c_layout import Source, unsigned
from gate2hw.formats.c_schedule import lower, schedule
from gate2hw.formats.c_selftest import make_vectors, selftest_text
from gate2hw.formats.c_text import header_text, source_text
from gate2hw.ir.netlist import Encoder, Netlist
from gate2hw.ir.store import write_text

__all__ = ["WORD_BITS", "CExport", "CSizes", "check_c_name", "export_c"]

WORD_BITS: Final = (1, 8, 16, 32, 64)
"""Samples a word; 1: one sample a call, a byte a signal in memory."""
PART_GATES: Final = 256
"""Gates of one C function."""

_KEYWORD_TEXT: Final = """
auto break case char const continue default do double else enum extern float for goto if inline
int long register restrict return short signed sizeof static struct switch typedef union unsigned
void volatile while alignas alignof asm bool catch class constexpr delete explicit export false
friend mutable namespace new nullptr operator private protected public template this throw true
try typename typeof using virtual
"""
_KEYWORDS: Final = frozenset(_KEYWORD_TEXT.split())
"""Of C99, of later C and of C++: the files of an export are not named after them."""
_HEADER_TEXT: Final = """
assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign
stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar
wchar wctype
"""
_HEADERS: Final = frozenset(_HEADER_TEXT.split())
MAX_NAME: Final = 48


def check_c_name(name: str) -> str:
    """Return `name` if it can start every C identifier of an export; InputError if not."""
    said = ""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name, re.ASCII) is None:
        said = "use letters, digits and _, a letter first"
    elif len(name) > MAX_NAME:
        said = f"at most {MAX_NAME} characters are allowed"
    elif name in _KEYWORDS:
        said = "it is a keyword of C or C++"
    elif name.lower() in _HEADERS:
        said = f"{name}.h would hide a header of the C library"
    if said:
        raise InputError(f"name {name!r} cannot start C identifiers: {said}")
    return name


@dataclass(frozen=True)
class CSizes:
    """The size table.

    `gates` are evaluated, in `functions` C functions; `inputs` are encoded, `terms` are the
    entries of the score table. `work_bytes` is the working array (`work_words` words, on the stack
    or the caller's), `scratch_bytes` what scores and classes take of the stack beside it, `locals`
    the greatest number of signals that one function must hold at once (in registers, or a word
    each of the stack); `stack_bytes` is estimated of these. `table_bytes` are constants, without a
    pointer a function; `text_bytes` is estimated, for x86-64 at -Os. Globals that change take no
    bytes.
    """

    gates: int
    functions: int
    inputs: int
    terms: int
    work_words: int
    work_bytes: int
    scratch_bytes: int
    locals: int
    stack_bytes: int
    table_bytes: int
    text_bytes: int


@dataclass(frozen=True)
class CExport:
    """What was written: `files` in the order header, source, self-test, and the size table."""

    files: tuple[Path, Path, Path]
    sizes: CSizes
    n_vectors: int

    def facts(self) -> dict[str, Any]:
        """The size table as a dictionary."""
        return asdict(self.sizes)


_TEXT_BYTES: Final = {1: 7, 8: 7, 16: 8, 32: 7, 64: 8}
_TEXT_BYTES_BESIDE: Final = 1300
"""x86-64 code of gcc 12 at -Os, for each time that a gate reads or writes the working array, and
of all else: within a tenth of what `size` tells of three trained networks of 2,700 to 19,700 gates.
"""


_FRAME_BYTES: Final = 256
"""Return addresses, saved registers and loop variables of five nested calls, on 64 bits."""


def _table_bytes(source: Source) -> int:
    plan, terms = source.plan, _n_terms(source)
    if not source.n_classes:
        io = (len(plan.inputs), max([0, *plan.inputs])), (len(source.program.outputs), plan.n_slots)
        return sum(n * unsigned(highest) // 8 for n, highest in io)
    assert source.encoder is not None
    bits = unsigned(source.encoder.n_features - 1) + source.feature_bits
    runs = 1 + source.n_classes * source.n_weights
    return (
        len(plan.inputs) * bits // 8
        + terms * unsigned(source.work_words) // 8
        + runs * unsigned(terms) // 8
        + 4 * source.n_classes
    )


def _n_terms(source: Source) -> int:
    return sum(len(nodes) for bits in source.program.terms for nodes in bits)


def _sizes(source: Source) -> CSizes:
    single, plan, word = source.word_bits == 1, source.plan, source.word_bytes
    work = source.work_words * word
    scratch = (2 * source.planes + source.class_bits) * word if source.n_classes else 0
    scratch = 0 if single else scratch
    return CSizes(
        gates=plan.n_gates,
        functions=len(plan.parts),
        inputs=len(plan.inputs),
        terms=_n_terms(source),
        work_words=source.work_words,
        work_bytes=work,
        scratch_bytes=scratch,
        locals=plan.n_locals,
        stack_bytes=work + scratch + plan.n_locals * word + _FRAME_BYTES,
        table_bytes=_table_bytes(source),
        text_bytes=_TEXT_BYTES_BESIDE + _TEXT_BYTES[source.word_bits] * plan.n_accesses,
    )


def _comment(net: Netlist, source: Source, sizes: CSizes, version: str, note: str) -> list[str]:
    kind = "one sample a call" if source.word_bits == 1 else f"{source.word_bits} samples a word"
    shape = ""
    if source.encoder is not None and source.n_classes:
        size = " x ".join(map(str, source.encoder.shape))
        shape = f"input: {size} values of 0..{source.encoder.max_value}, in C order"
    lines = [
        f"{source.name}: a logic gate network as C99, made by gate2hw {version}; do not edit",
        "",
        f"model digest:   {net.digest or 'none'}",
        f"netlist digest: {net.content_digest()}",
        f"{kind}; {net.n_classes} classes" if net.n_classes else f"{kind}; a plain circuit",
        *([shape] if shape else []),
        *([note] if note else []),
        "",
        "sizes",
        f"  gates             {sizes.gates:>10,} in {sizes.functions:,} functions",
        f"  inputs, terms     {sizes.inputs:>10,}, {sizes.terms:,}",
        f"  text              {sizes.text_bytes:>10,} bytes, estimated for x86-64 at -Os",
        f"  constant tables   {sizes.table_bytes:>10,} bytes",
        f"  data, bss         {0:>10,} bytes: re-entrant, nothing is allocated",
        f"  working memory    {sizes.work_bytes:>10,} bytes ({sizes.work_words:,} words)",
        f"  stack             {sizes.stack_bytes:>10,} bytes, estimated, working memory included",
    ]
    if net.names.classes:
        lines += ["", "classes"]
        lines += [f"  {c:>5} {name}" for c, name in enumerate(net.names.classes)]
    # a class name must not end the comment, nor hold a trigraph
    return [re.sub(r"[^ -~]|[*?\\]", "_", line) for line in lines]


def export_c(
    net: Netlist,
    folder: Path | str,
    *,
    name: str = "lgn",
    word_bits: int = 32,
    vectors: npt.NDArray[Any] | None = None,
    version: str = "",
    note: str = "",
    part_gates: int = PART_GATES,
) -> CExport:
    """Write NAME.h, NAME.c and NAME_selftest.c into `folder`; deterministic.

    `word_bits` (8, 16, 32, 64) samples are evaluated at once, 1: one a call. `vectors`
    (N, *shape) are inputs for the self-test, with what `ir.simulate` makes of them (random inputs
    if none are given). A head without an encoder takes its inputs as features 0 and 1; a netlist
    without classes is a function on words. `note` is a line of the header's comment.
    Raises InputError for a name that C cannot hold, or scores that an int32_t cannot.
    """
    check_c_name(name)
    if word_bits not in WORD_BITS:
        raise InputError(f"word_bits is {word_bits}, allowed are {', '.join(map(str, WORD_BITS))}")
    if net.n_classes and net.encoder is None:
        every = np.arange(net.n_inputs, dtype=np.int32)
        net = net.with_(encoder=Encoder(every, np.zeros_like(every), (max(1, net.n_inputs),), 1))
    program = lower(net)
    encoder = net.encoder if net.n_classes else None
    plan = schedule(program, encoder, part_gates)
    source = Source(name, program, plan, encoder, net.n_inputs, word_bits, ())
    sizes = _sizes(source)
    source = replace(source, comment=_comment(net, source, sizes, version, note))
    chosen = make_vectors(net, vectors)
    folder = Path(folder)
    files = folder / f"{name}.h", folder / f"{name}.c", folder / f"{name}_selftest.c"
    texts = header_text(source), source_text(source), selftest_text(source, chosen)
    for path, text in zip(files, texts, strict=True):
        write_text(path, "".join(text))
    return CExport(files, sizes, len(chosen.x))
