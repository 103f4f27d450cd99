"""A reader of plain data in pickle files that runs nothing of what they say.

A pickle is a program; unpickling a foreign one runs it. This reader knows only the instructions
that build dictionaries, lists, tuples, texts, bytes, integers and numpy arrays of bytes, and
refuses all others, so CIFAR's python version can be read without trusting its origin.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from gate2hw.errors import InputError

__all__ = ["read_pickle"]

_MARK: Final = object()
_RECONSTRUCT: Final = (
    "numpy.core.multiarray _reconstruct",
    "numpy._core.multiarray _reconstruct",
)
_BYTE_DTYPES: Final = ("u1", b"u1", "uint8", b"uint8")
_GLOBALS: Final = (*_RECONSTRUCT, "numpy ndarray", "numpy dtype", "_codecs encode")


@dataclass(frozen=True)
class _Name:
    """One of `_GLOBALS`: a mark to compare with, never a thing to call."""

    text: str


@dataclass
class _Made:
    """What a REDUCE of an allowed name stands for, and the state that BUILD gave it."""

    kind: str
    arguments: tuple[Any, ...]
    value: Any = None


class _Refused(Exception):  # noqa: N818
    """What the file asks for that the reader does not do."""


def read_pickle(data: bytes, where: str) -> Any:
    """What a pickle of plain data holds; texts of Python 2 become bytes, arrays are uint8.

    Raises InputError naming `where` and the instruction for anything but plain data.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return machine.finished()
            machine.do(opcode.name, argument)
    except _Refused as error:
        raise InputError(f"{where}: {error}; it is not unpickled") from error
    except (
        ValueError,
        IndexError,
        KeyError,
        TypeError,
        UnicodeError,
        OverflowError,
    ) as error:
        raise InputError(f"{where}: not a readable pickle of plain data ({error})") from error
    raise InputError(f"{where}: not a readable pickle of plain data (no end)")


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def finished(self) -> Any:
        (value,) = self.stack
        return _plain(value)

    def do(self, name: str, argument: Any) -> None:
        """Carry out one instruction, or raise _Refused."""
        if name in ("PROTO", "FRAME"):
            return
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _VALUES:
            self.stack.append(argument)
        elif name in ("STRING", "BINSTRING", "SHORT_BINSTRING"):
            text = argument.encode("latin-1") if isinstance(argument, str) else argument
            self.stack.append(text)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            self._global(argument)
        elif (action := _ACTIONS.get(name)) is not None:
            action(self, argument)
        else:
            raise _Refused(f"its instruction {name} builds more than plain data")

    def _global(self, argument: str | None) -> None:
        if argument is None:
            attribute, module = self.stack.pop(), self.stack.pop()
            if not isinstance(attribute, str) or not isinstance(module, str):
                raise _Refused("it names what is no text")
            argument = f"{module} {attribute}"
        if argument not in _GLOBALS:
            raise _Refused(f"it names {argument.replace(' ', '.')}, which is no plain data")
        self.stack.append(_Name(argument))

    def _above_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise ValueError("no mark")
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def store(self, argument: int | None) -> None:
        self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]

    def load(self, argument: int) -> None:
        self.stack.append(self.memo[argument])

    def pop(self, _: Any) -> None:
        self.stack.pop()

    def make_tuple(self, n_items: int | None) -> None:
        if n_items is None:
            items = self._above_mark()
        else:
            items = self.stack[len(self.stack) - n_items :]
            del self.stack[len(self.stack) - n_items :]
        if any(map(_is_internal, items)):
            self.stack.append(_Arguments(items))
        else:
            self.stack.append(tuple(map(_plain, items)))

    def make_list(self, _: Any) -> None:
        self.stack.append([_plain(item) for item in self._above_mark()])

    def make_dict(self, _: Any) -> None:
        self.stack.append(_pairs(self._above_mark()))

    def append(self, _: Any) -> None:
        item = _plain(self.stack.pop())
        self._top(list).append(item)

    def extend(self, _: Any) -> None:
        items = [_plain(item) for item in self._above_mark()]
        self._top(list).extend(items)

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._top(dict).update(_pairs([key, value]))

    def set_items(self, _: Any) -> None:
        pairs = _pairs(self._above_mark())
        self._top(dict).update(pairs)

    def _top(self, kind: type[Any]) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise _Refused(f"it adds items to a {type(self.stack[-1]).__name__}")
        return self.stack[-1]

    def reduce(self, _: Any) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            raise _Refused("it calls what is no plain data")
        if name.text == "_codecs encode":
            text, encoding = arguments
            if not isinstance(encoding, str | bytes) or encoding not in ("latin1", b"latin1"):
                what = repr(encoding) if isinstance(encoding, str | bytes) else "no encoding"
                raise _Refused(f"it encodes a text as {what}")
            if not isinstance(text, str):
                raise _Refused("it encodes what is no text")
            self.stack.append(text.encode("latin-1"))
        elif name.text == "numpy dtype":
            kind = arguments[0]
            if not isinstance(kind, str | bytes) or kind not in _BYTE_DTYPES:
                what = repr(kind) if isinstance(kind, str | bytes) else "a made-up type"
                raise _Refused(f"it holds an array of {what}, not of bytes (u1)")
            self.stack.append(_Made("dtype", arguments))
        elif name.text in _RECONSTRUCT:
            self.stack.append(_Made("array", arguments))
        else:
            raise _Refused(f"it calls {name.text.replace(' ', '.')}")

    def build(self, _: Any) -> None:
        state, made = self.stack.pop(), self.stack[-1]
        if not isinstance(made, _Made):
            raise _Refused("it gives a state to what is no array")
        if made.kind == "array":
            _, shape, dtype, is_fortran, content = state
            is_bytes = isinstance(dtype, _Made) and dtype.kind == "dtype"
            if not is_bytes or not isinstance(content, bytes):
                raise _Refused("it holds an array of another form")
            flat = np.frombuffer(content, np.uint8)
            made.value = flat.reshape(shape, order="F" if is_fortran else "C")


class _Arguments(tuple[Any, ...]):
    """A tuple that holds what only REDUCE and BUILD may take."""


def _is_internal(item: Any) -> bool:
    """True for what stands for a part of an array, or a mark: no data yet."""
    if isinstance(item, _Made):
        return item.value is None
    return item is _MARK or isinstance(item, _Name | _Arguments)


def _plain(item: Any) -> Any:
    """`item`, an array as itself; _Refused for what is no data."""
    if _is_internal(item):
        raise _Refused("it keeps a part of an array as data")
    return item.value if isinstance(item, _Made) else item


def _pairs(items: list[Any]) -> dict[Any, Any]:
    """A dictionary of keys and values in turn; keys are texts, bytes or integers: hashing or
    comparing a nested key can take exponential time, or all of the C stack."""
    keys = items[::2]
    if not all(type(key) in (str, bytes, int) for key in keys):
        raise _Refused("it has a key that is no text, bytes or integer")
    return dict(zip(keys, map(_plain, items[1::2]), strict=True))


_CONSTANTS: Final[dict[str, Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "MARK": lambda: _MARK,
}
_VALUES: Final = (
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
    "LONG4",
    "UNICODE",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
)
_ACTIONS: Final[dict[str, Any]] = {
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.store),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.load),
    "POP": _Machine.pop,
    "TUPLE": lambda machine, _: machine.make_tuple(None),
    "TUPLE1": lambda machine, _: machine.make_tuple(1),
    "TUPLE2": lambda machine, _: machine.make_tuple(2),
    "TUPLE3": lambda machine, _: machine.make_tuple(3),
    "LIST": _Machine.make_list,
    "DICT": _Machine.make_dict,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.extend,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}
