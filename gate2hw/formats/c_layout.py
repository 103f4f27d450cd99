"""What the text of exported C is made of, and pieces that its parts share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gate2hw.formats.c_schedule import Program, Schedule
from gate2hw.ir.netlist import Encoder

__all__ = ["Source", "int32", "rows", "table", "unsigned"]


def unsigned(highest: int) -> int:
    """Bits of the smallest unsigned type that holds `highest`."""
    return next(bits for bits in (8, 16, 32) if highest < 1 << bits)


@dataclass(frozen=True)
class Source:
    """Everything the text is made of.

    `encoder` belongs to all inputs of the netlist, `word_bits` is 1 for one sample at a time,
    `comment` are lines for the top of the header.
    """

    name: str
    program: Program
    plan: Schedule
    encoder: Encoder | None
    n_inputs: int
    word_bits: int
    comment: Sequence[str]

    @property
    def macro(self) -> str:
        """Prefix of macros."""
        return self.name.upper()

    @property
    def n_classes(self) -> int:
        """0 for a plain circuit."""
        return len(self.program.base)

    @property
    def word_bytes(self) -> int:
        """Bytes of a word of the working array."""
        return max(1, self.word_bits // 8)

    @property
    def planes(self) -> int:
        """Bit planes of a score, at least one."""
        return max(1, self.program.score_bits())

    @property
    def n_weights(self) -> int:
        """How many powers of two the weights of the head have, at least one."""
        return max([1, *(len(bits) for bits in self.program.terms)])

    @property
    def class_bits(self) -> int:
        """Bits of the greatest class, at least one."""
        return max(1, (self.n_classes - 1).bit_length())

    @property
    def feature_bits(self) -> int:
        """Bits of one value of the model's input."""
        return 8 * self.encoder.bytes_per_feature if self.encoder is not None else 8

    @property
    def class_type_bits(self) -> int:
        """Bits of a class in an array."""
        return unsigned(max(0, self.n_classes - 1))

    @property
    def work_words(self) -> int:
        """Words of the working array, at least one."""
        return max(1, self.plan.n_slots)


def rows(values: Sequence[int] | Sequence[str], per_row: int = 16) -> Iterator[str]:
    """Lines of an initialiser."""
    for first in range(0, len(values), per_row):
        yield "    " + ", ".join(map(str, values[first : first + per_row])) + ",\n"


def table(name: str, values: Sequence[int], bits: int) -> Iterator[str]:
    """A constant array of unsigned numbers of `bits`."""
    yield f"static const uint{bits}_t {name}[{len(values)}] = {{\n"
    yield from rows(values)
    yield "};\n"


def int32(value: int) -> str:
    """A literal."""
    # -2147483648 is a minus before a number that no int32_t holds
    return str(value) if value > -(2**31) else f"{value + 1} - 1"
