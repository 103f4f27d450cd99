"""Check JSON values against TypedDicts; errors name the field by its path in report.json."""

from __future__ import annotations

import math
import types
from typing import (
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from gate2hw.errors import InputError

__all__ = ["check_shape", "wrong"]

_WORDS = {int: "an integer", float: "a finite number", str: "a text", bool: "true or false"}


def wrong(where: str, expected: str, value: Any) -> InputError:
    """The error that says what stands at `where` instead of what is expected."""
    text = repr(value)
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    return InputError(f"report.json, {where}: expected {expected}, found {shown}")


def _is_scalar(value: Any, kind: Any) -> bool:
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, kind)


def _check_dict(where: str, value: Any, kind: Any) -> None:
    if not isinstance(value, dict):
        raise wrong(where or "the whole", "an object", value)
    for name, hint in get_type_hints(kind, include_extras=True).items():
        place = f"{where}.{name}" if where else name
        optional = get_origin(hint) is NotRequired
        if name in value:
            check_shape(place, value[name], get_args(hint)[0] if optional else hint)
        elif not optional:
            raise InputError(f"report.json, {place}: missing")


def _tags(kind: Any) -> dict[str, tuple[Any, ...]]:
    """The fields of a TypedDict that tell it from others: those of Literal type."""
    hints = get_type_hints(kind)
    return {name: get_args(h) for name, h in hints.items() if get_origin(h) is Literal}


def _check_union(where: str, value: Any, kinds: tuple[Any, ...]) -> None:
    """Check against the alternative that `value` means, so that errors name the right field."""
    if value is None and type(None) in kinds:
        return
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    if isinstance(value, dict):
        for kind in filter(is_typeddict, kinds):
            tags = _tags(kind)
            if tags and all(value.get(name) in allowed for name, allowed in tags.items()):
                return _check_dict(where, value, kind)
    check_shape(where, value, kinds[0])


def check_shape(where: str, value: Any, kind: Any) -> None:
    """Raise InputError where `value` (from JSON) is not of type `kind`.

    `kind` is a TypedDict, list, dict, union, Literal or scalar type; keys that it does not name
    are allowed. An integer passes as a float, a truth value never as a number.
    """
    origin = get_origin(kind)
    if kind is Any:
        return
    if origin in (Union, types.UnionType):
        _check_union(where, value, get_args(kind))
    elif origin is Literal:
        if value not in get_args(kind):
            raise wrong(where, f"one of {get_args(kind)}", value)
    elif origin is list:
        if not isinstance(value, list):
            raise wrong(where, "a list", value)
        for index, item in enumerate(value):
            check_shape(f"{where}[{index}]", item, get_args(kind)[0])
    elif origin is dict:
        if not isinstance(value, dict):
            raise wrong(where, "an object", value)
        for key, item in value.items():
            check_shape(f"{where}.{key}", item, get_args(kind)[1])
    elif is_typeddict(kind):
        _check_dict(where, value, kind)
    elif not _is_scalar(value, kind):
        raise wrong(where, _WORDS[kind], value)
