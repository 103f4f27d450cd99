"""BLIF between this project and ABC, fast: networks of tables of up to six inputs.

`write_lut_blif` writes inputs i0.., outputs o0.., nodes n<id>; `read_lut_blif` reads what ABC's
`write_blif` makes of a LUT network, without a Python object a table (a million LUTs in a few
seconds), and takes from the circuit that went in whatever BLIF does not hold. Files of others, with
names of any form, are `blif.py`'s. Format: "Berkeley Logic Interchange Format (BLIF)", University
of California, Berkeley, 1992.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO, TypeAlias

import numpy as np
import numpy.typing as npt

from gate2hw.errors import IRError, ModelFileError
from gate2hw.ir.care import CareSet
from gate2hw.ir.lutcover import cover_lines
from gate2hw.ir.lutnetlist import MAX_LUT_INPUTS, LutNetlist, lsb_first_init
from gate2hw.ir.luttables import VARIABLE, from_tables
from gate2hw.ir.netlist import Circuit, Netlist
from gate2hw.ir.store import atomic_path

__all__ = ["read_lut_blif", "write_lut_blif"]

Bytes: TypeAlias = npt.NDArray[np.uint8]
Ints: TypeAlias = npt.NDArray[np.int64]
Words: TypeAlias = npt.NDArray[np.uint64]

CHUNK_LUTS = 1 << 16
CHUNK_BYTES = 1 << 23
MAX_DIGITS: Final = 15
MAX_PREFIX: Final = 8
NUMBER: Final = (1 << 51) - 1
_FULL: Final = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


def _lut_lines(net: Netlist | LutNetlist, nodes: list[str]) -> Iterator[str]:
    first = net.first_gate
    for low in range(0, net.n_gates, CHUNK_LUTS):
        rows = slice(low, low + CHUNK_LUTS)
        if isinstance(net, Netlist):
            fanin: Any = np.stack([net.in0[rows], net.in1[rows]], axis=1)
            init, used = net.tt[rows].astype(np.uint64), np.full(len(fanin), 2)
        else:
            fanin, init, used = net.fanin[rows], net.init[rows], net.n_used[rows]
        columns = (lsb_first_init(init, used).tolist(), used.tolist(), fanin.tolist())
        for g, (table, k, operands) in enumerate(zip(*columns, strict=True), start=first + low):
            reads = " ".join([nodes[node] for node in operands[:k]])
            cover = cover_lines(table, k)
            # ABC refuses a table with inputs and no lines
            yield f".names {reads} n{g}\n{cover}" if cover else f".names n{g}\n"


def _write(file: TextIO, net: Netlist | LutNetlist) -> None:
    file.write(".model luts\n")
    for directive, letter, count in (
        (".inputs", "i", net.n_inputs),
        (".outputs", "o", net.n_outputs),
    ):
        file.write(directive)
        for low in range(0, count, 16):
            names = " ".join(f"{letter}{i}" for i in range(low, min(low + 16, count)))
            file.write(f" \\\n {names}")
        file.write("\n")
    nodes = ["n0", *(f"i{i}" for i in range(net.n_inputs))]
    nodes += [f"n{g}" for g in range(net.first_gate, net.n_nodes)]
    file.write(".names n0\n")
    file.writelines(_lut_lines(net, nodes))
    file.writelines(
        f".names {nodes[lit >> 1]} o{o}\n{1 - (lit & 1)} 1\n"
        for o, lit in enumerate(net.outputs.tolist())
    )
    file.write(".end\n")


def write_lut_blif(net: Netlist | LutNetlist, path: Path | str) -> None:
    """Write gates or LUTs and outputs of `net` to `path`: inputs i0.., outputs o0.., nodes n<id>.

    Output literals are written as buffers and inverters; names, head, encoder are not written.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii") as file:
        _write(file, net)


def _cube_masks() -> tuple[Words, Ints]:
    """Minterms of every cube, by its first entry (one a number of inputs) plus its code.

    The code of a cube is a number of base 3, column 0 the lowest digit: 0, 1, or 2 for a dash.
    """
    tables: list[Words] = []
    for k in range(MAX_LUT_INPUTS + 1):
        mask = np.full(1, _FULL)
        for slot in range(k):
            mask = np.concatenate([mask & ~VARIABLE[slot], mask & VARIABLE[slot], mask])
        tables.append(mask)
    return np.concatenate(tables), np.cumsum([0, *(len(table) for table in tables)])


_CUBES, _CUBES_FIRST = _cube_masks()


@dataclass
class _Names:
    """Names as numbers: a prefix of up to 8 bytes (``prefix``), then a decimal number.

    A key is ``prefix number << 56 | digits << 51 | number``, so that n07 is not n7.
    """

    path: Path
    prefixes: dict[int, int]

    def keys(self, text: Bytes, start: Ints, stop: Ints) -> Ints:
        """(N,) int64 keys of the names text[start:stop]."""
        number = np.zeros(len(start), np.int64)
        digits = np.zeros(len(start), np.int64)
        going, scale = np.ones(len(start), np.bool_), 1
        for back in range(1, MAX_DIGITS + 1):
            # a name is preceded by at least the blank after .names, so stop - back >= 0
            c = text[np.maximum(stop - back, 0)]
            going &= (c >= 48) & (c <= 57) & (stop - back >= start)
            if not going.any():
                break
            number += np.where(going, (c.astype(np.int64) - 48) * scale, 0)
            digits += going
            scale *= 10
        length = stop - digits - start
        if len(length) and int(length.max()) > MAX_PREFIX:
            name = text[start[length.argmax()] : stop[length.argmax()]].tobytes()[:40]
            raise ModelFileError(
                f"{self.path}: the name {name.decode('utf-8', 'replace')!r} is none that ABC or "
                "write_lut_blif gives; read other files with read_blif"
            )
        code = np.zeros(len(start), np.uint64)
        for place in range(int(length.max(initial=0))):
            byte = text[np.minimum(start + place, len(text) - 1)].astype(np.uint64)
            code |= np.where(place < length, byte << np.uint64(8 * place), np.uint64(0))
        prefix = np.full(len(start), -1, np.int64)
        while (missing := prefix < 0).any():
            value = code[int(missing.argmax())]
            known = self.prefixes.setdefault(int(value), len(self.prefixes))
            if known >= 64:
                raise ModelFileError(f"{self.path}: more than 64 kinds of names; use read_blif")
            prefix[code == value] = known
        key: Ints = (prefix << 56) | (digits << 51) | number
        return key

    def text_of(self, key: int) -> str:
        """The name of a key, for errors."""
        code = next(c for c, number in self.prefixes.items() if number == key >> 56)
        prefix = code.to_bytes(8, "little").rstrip(b"\0").decode("utf-8", "replace")
        digits = key >> 51 & 31
        return prefix + (f"{key & NUMBER:0{digits}d}" if digits else "")

    def of(self, names: Iterable[bytes]) -> Ints:
        """Keys of names in a list."""
        text = b" " + b" ".join(names) + b" "
        data = np.frombuffer(text, np.uint8)
        blank = np.flatnonzero(data == 32)
        return self.keys(data, blank[:-1] + 1, blank[1:])


@dataclass(frozen=True)
class _Part:
    """Tables of one stretch of the file; slot i of a table is column i of its cover."""

    table: Words
    target: Ints
    fanin: Ints
    n_used: Ints


def _fail(path: Path, text: Bytes, line: Ints, what: str) -> ModelFileError:
    """`line` holds the first byte of the line in question."""
    at = int(line[0])
    word = text[at : at + 60].tobytes().split(b"\n", maxsplit=1)[0].decode("utf-8", "replace")
    return ModelFileError(f"{path}: the line {word!r} {what}")


def _cover_masks(
    path: Path, text: Bytes, start: Ints, stop: Ints, first: Ints, n_inputs: Ints
) -> tuple[Words, Ints]:
    """Minterms (N,) and value 0 or 1 (N,) of cover lines.

    Lines hold the tokens ``start, stop`` from `first` (N + 1,) on, of tables of `n_inputs` (N,).
    """
    n_tokens = np.diff(first)
    last = first[1:] - 1
    value = text[start[last]].astype(np.int64) - 48
    length = np.where(n_tokens == 2, stop[first[:-1]] - start[first[:-1]], 0)
    bad = (length != n_inputs) | (n_tokens > 2) | (stop[last] - start[last] != 1)
    bad |= (value != 0) & (value != 1)
    code, scale = np.zeros(len(length), np.int64), 1
    for column in range(MAX_LUT_INPUTS):
        inside = column < length
        c = text[np.where(inside, start[first[:-1]] + column, 0)]
        digit = np.where(c == 45, 2, c.astype(np.int64) - 48)
        bad |= inside & ((digit < 0) | (digit > 2) | (c == 50))
        code += np.where(inside & ~bad, digit * scale, 0)
        scale *= 3
    if bad.any():
        line = start[first[:-1]][bad]
        raise _fail(path, text, line, "is no cover line of the table it stands in")
    return _CUBES[_CUBES_FIRST[n_inputs] + code], value


def _parse(path: Path, raw: bytes, names: _Names) -> _Part:
    """Tables of a stretch of whole lines that begins with ``.names``."""
    text = np.frombuffer(b"\n" + raw + b"\n", np.uint8)
    is_blank = text <= 32
    edges = np.flatnonzero(is_blank[1:] != is_blank[:-1]) + 1
    start, stop = edges[::2], edges[1::2]
    line = np.cumsum(text == 10, dtype=np.int32)[start]
    first = np.flatnonzero(np.concatenate([[True], line[1:] != line[:-1]]))
    is_directive = text[start[first]] == 46
    keyword = np.frombuffer(b".names", np.uint8)
    width = stop[first] - start[first]
    foreign = is_directive & (width != len(keyword))
    for column, letter in enumerate(keyword):
        at = np.minimum(start[first] + column, len(text) - 1)
        foreign |= is_directive & (text[at] != letter)
    if foreign.any():
        raise _fail(path, text, start[first[foreign]], "is not part of a combinational LUT network")
    heads = np.flatnonzero(is_directive)
    first = np.append(first, len(start))
    n_used = first[heads + 1] - first[heads] - 2
    bad = (n_used < 0) | (n_used > MAX_LUT_INPUTS)
    if bad.any():
        place = start[first[heads[bad]]]
        raise _fail(path, text, place, f"has not one output and 0..{MAX_LUT_INPUTS} inputs")
    table = _tables(path, text, start, stop, first, is_directive, n_used)
    slots = np.arange(MAX_LUT_INPUTS)
    inside = slots < n_used[:, None]
    token = (first[heads][:, None] + 1 + slots)[inside]
    fanin = np.full(inside.shape, -1, np.int64)
    fanin[inside] = names.keys(text, start[token], stop[token])
    target = first[heads + 1] - 1
    return _Part(table, names.keys(text, start[target], stop[target]), fanin, n_used)


def _tables(
    path: Path,
    text: Bytes,
    start: Ints,
    stop: Ints,
    first: Ints,
    is_directive: npt.NDArray[np.bool_],
    n_used: Ints,
) -> Words:
    """(G,) uint64 tables; line l holds tokens first[l]..first[l+1]-1."""
    table = np.zeros(len(n_used), np.uint64)
    lines = np.flatnonzero(~is_directive)
    if not len(lines):
        return table
    owner = np.cumsum(is_directive)[lines] - 1
    # the tokens of cover lines alone, so that line l ends where the next one starts
    sizes = first[lines + 1] - first[lines]
    ptr = np.concatenate([[0], np.cumsum(sizes)])
    token = np.arange(ptr[-1]) + np.repeat(first[lines] - ptr[:-1], sizes)
    mask, value = _cover_masks(path, text, start[token], stop[token], ptr, n_used[owner])
    starts = np.flatnonzero(np.concatenate([[True], owner[1:] != owner[:-1]]))
    owners = owner[starts]
    mixed = value != value[starts][np.cumsum(np.concatenate([[0], owner[1:] != owner[:-1]]))]
    if mixed.any():
        place = start[token[ptr[:-1]]][mixed]
        raise _fail(path, text, place, "mixes on-set and off-set in one table")
    covered = np.bitwise_or.reduceat(mask, starts)
    table[owners] = np.where(value[starts] == 1, covered, ~covered)
    return table


def _split(path: Path) -> tuple[list[bytes], list[bytes], bytes]:
    """Names of the inputs and of the outputs, and the text from the first ``.names`` to .end."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from error
    if b"\\" in data:
        data = re.sub(rb"\\\r?\n", b" ", data)
    if b"#" in data:
        data = re.sub(rb"#[^\n]*", b"", data)
    end = data.rfind(b"\n.end") + 1
    if not end or data[end:].strip() != b".end":
        raise ModelFileError(f"{path}: the file is cut short or holds more than one model: no .end")
    body_start = (data.find(b"\n.names", 0, end) + 1) or end
    ports: dict[bytes, list[bytes]] = {b".inputs": [], b".outputs": []}
    for row in data[:body_start].split(b"\n"):
        words = row.split()
        if not words or words[0] == b".model":
            continue
        if words[0] not in ports:
            word = words[0][:40].decode("utf-8", "replace")
            raise ModelFileError(f"{path}: {word!r} is not part of a combinational LUT network")
        ports[words[0]] += words[1:]
    return ports[b".inputs"], ports[b".outputs"], data[body_start:end]


def _stretches(body: bytes) -> Iterator[bytes]:
    low = 0
    while low < len(body):
        high = body.find(b"\n.names", low + CHUNK_BYTES)
        high = len(body) if high < 0 else high + 1
        yield body[low:high]
        low = high


class _Signals:
    """Numbers of names: those of `keys`, in order."""

    def __init__(self, names: _Names, keys: Ints) -> None:
        # the last entry is that of names not found
        self.names, self.keys = names, np.append(keys, -1)
        kind, number = keys >> 56, keys & NUMBER
        size = np.zeros(int(kind.max(initial=-1)) + 2, np.int64)
        np.maximum.at(size, kind + 1, number + 1)
        self.first = np.cumsum(size)
        self.size = size[1:]
        # ABC numbers its nodes densely, so a name is looked up; others are searched for
        self.is_dense = bool(self.first[-1] <= 16 * len(keys) + (1 << 16))
        if self.is_dense:
            self.table = np.full(self.first[-1] + 1, -1, np.int64)
            self.table[self.first[kind] + number] = np.arange(len(keys))
            self.is_dense = len(keys) == np.count_nonzero(self.table >= 0)
        if not self.is_dense:
            self.table = np.argsort(keys, kind="stable")
            ranked = keys[self.table]
            twice = np.flatnonzero(ranked[1:] == ranked[:-1])
            if len(twice):
                name = names.text_of(int(ranked[twice[0]]))
                raise ModelFileError(f"{names.path}: {name!r} is defined twice")

    def find(self, keys: Ints) -> Ints:
        """(N,) number of each key; ModelFileError for a name that nothing defines."""
        if not len(keys):
            return keys
        if self.is_dense:
            kind, number = keys >> 56, keys & NUMBER
            known = kind < len(self.size)
            kind = np.where(known, kind, 0)
            known &= number < self.size[kind]
            found = self.table[np.where(known, self.first[kind] + number, 0)]
        else:
            place = np.searchsorted(self.keys[:-1], keys, sorter=self.table)
            found = self.table[np.minimum(place, len(self.table) - 1)]
        missing = self.keys[found] != keys
        if missing.any():
            name = self.names.text_of(int(keys[int(missing.argmax())]))
            raise ModelFileError(f"{self.names.path}: {name!r} is read, but never defined")
        return found


def read_lut_blif(
    path: Path | str, *, like: Circuit, k: int | None = None, care: CareSet = "none"
) -> LutNetlist:
    """Read the LUT network that ABC's ``write_blif`` made of `like`, as a LutNetlist.

    Inputs and outputs are those of `like`, in order; head, encoder, sites, names, digest are
    taken from it; origins are -1. Constants, buffers and inverters become literals or go into the
    tables above. `k` is the width of ``fanin``, the widest table of the file if None; `care` as in
    `from_tables`. Raises
    ModelFileError where the file is cut short, is no LUT network of at most 6 inputs, or has other
    numbers of inputs and outputs than `like`.
    """
    path = Path(path)
    inputs, outputs, body = _split(path)
    for what, found, expected in (
        ("inputs", len(inputs), like.n_inputs),
        ("outputs", len(outputs), like.n_outputs),
    ):
        if found != expected:
            raise ModelFileError(f"{path}: {found} {what}, the circuit has {expected}")
    names = _Names(path, {})
    sources = names.of(inputs) if inputs else np.zeros(0, np.int64)
    results = names.of(outputs) if outputs else np.zeros(0, np.int64)
    parts = [_parse(path, stretch, names) for stretch in _stretches(body)]
    table = np.concatenate([np.zeros(0, np.uint64), *(part.table for part in parts)])
    target = np.concatenate([np.zeros(0, np.int64), *(part.target for part in parts)])
    read = np.concatenate(
        [np.zeros((0, MAX_LUT_INPUTS), np.int64), *(part.fanin for part in parts)]
    )
    del parts, body
    signals = _Signals(names, np.concatenate([sources, target]))
    fanin = np.zeros(read.shape, np.int64)
    fanin[read >= 0] = 1 + signals.find(read[read >= 0])
    outs = 2 * (1 + signals.find(results))
    widest = max(1, int((read >= 0).sum(axis=1).max(initial=0)))
    width = widest if k is None else k
    try:
        return from_tables(like, table, fanin[:, :widest], outs, k=width, care=care)
    except IRError as error:
        raise ModelFileError(f"{path}: {error}") from error
