"""Liberty files as nested groups of attributes; what they mean is read by `liberty`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gate2hw.errors import InputError

__all__ = ["Group", "read_groups"]

_TOKEN: Final = re.compile(
    r"(?P<space>[ \t\r\f]+|\\[ \t]*\r?\n|/\*.*?\*/|//[^\n]*)|(?P<line>\n)"
    r'|"(?P<text>(?:[^"\\]|\\.)*)"|(?P<sign>[(){}:;,])|(?P<word>[^\s"(){}:;,\\]+)|(?P<bad>.)',
    re.DOTALL,
)
_MOST_BYTES: Final = 500_000_000


@dataclass(frozen=True)
class Group:
    """``name (args) { attributes, groups }``; complex attributes stand among `lists`."""

    name: str
    args: tuple[str, ...]
    line: int
    values: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Group]:
        """The groups called `name` inside this one."""
        return (group for group in self.groups if group.name == name)


class _Reader:
    """Tokens of a file, and the groups that they make."""

    def __init__(self, text: str, path: Path) -> None:
        self.path = path
        self.tokens: list[tuple[str, str, int]] = []
        line = 1
        for match in _TOKEN.finditer(text):
            kind = match.lastgroup or ""
            if kind == "bad":
                raise self.wrong(line, f"{match[0]!r} cannot stand here")
            if kind == "line":
                self.tokens.append(("line", "\n", line))
            elif kind != "space":
                # a string goes on over a line's end behind a backslash
                self.tokens.append((kind, re.sub(r"\\\r?\n", " ", match[kind]), line))
            line += match[0].count("\n")
        self.tokens.append(("end", "", line))
        self.at = 0

    def wrong(self, line: int, what: str) -> InputError:
        return InputError(f"{self.path}, line {line}: no Liberty file: {what}")

    def next(self, *, skip_lines: bool = True) -> tuple[str, str, int]:
        while True:
            token = self.tokens[self.at]
            self.at += token[0] != "end"
            if not (skip_lines and token[0] == "line"):
                return token

    def library(self) -> Group:
        kind, name, line = self.next()
        if kind != "word" or name != "library":
            raise self.wrong(line, f"it begins with {name[:40]!r}, not with library (NAME)")
        found = self.statement(Group("", (), 1), name, line)
        kind, text, line = self.next()
        while (kind, text) == ("sign", ";"):
            kind, text, line = self.next()
        if found is None or kind != "end":
            raise self.wrong(line, "something stands after the library's end")
        return found

    def statement(self, parent: Group, name: str, line: int) -> Group | None:
        """One attribute or group called `name`, added to `parent`; the group, if it is one."""
        kind, text, at = self.next()
        if (kind, text) == ("sign", ":"):
            parent.values[name] = self.value(at)
            return None
        if (kind, text) != ("sign", "("):
            raise self.wrong(at, f"after {name!r} must stand ':' or '('")
        args = self.arguments(at)
        back = self.at
        kind, text, at = self.next()
        if (kind, text) == ("sign", "{"):
            group = Group(name, args, line)
            parent.groups.append(group)
            self.body(group)
            return group
        if (kind, text) != ("sign", ";"):
            self.at = back
        parent.lists.setdefault(name, []).append(args)
        return None

    def value(self, line: int) -> str:
        """Words up to the semicolon or the end of the line."""
        words: list[str] = []
        while True:
            back = self.at
            kind, text, _ = self.next(skip_lines=False)
            if kind == "end":
                raise self.wrong(line, "it ends within an attribute")
            if kind == "line" or (kind, text) == ("sign", ";"):
                return " ".join(words)
            if (kind, text) == ("sign", "}"):
                self.at = back
                return " ".join(words)
            words.append(text)

    def arguments(self, line: int) -> tuple[str, ...]:
        found: list[str] = []
        while True:
            kind, text, _ = self.next()
            if (kind, text) == ("sign", ":") and found:
                # a range of bits without quotes: A[3:0]
                found[-1] += f":{self.next()[1]}"
                continue
            if kind == "end" or (kind == "sign" and text in "{}:;("):
                raise self.wrong(line, "a parenthesis is not closed")
            if (kind, text) == ("sign", ")"):
                return tuple(found)
            if kind != "sign":
                found.append(text)

    def body(self, group: Group) -> None:
        while True:
            kind, text, line = self.next()
            if kind == "end":
                raise self.wrong(group.line, f"the group {group.name} is not closed")
            if kind == "sign" and text == "}":
                return
            if kind == "sign" and text == ";":
                continue
            if kind != "word":
                raise self.wrong(line, f"{text[:40]!r} is no attribute's name")
            self.statement(group, text, line)


def read_groups(path: Path) -> Group:
    """The library group of the file `path`; InputError, naming the line, for any other file."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: larger than {_MOST_BYTES:,} bytes, surely no Liberty file")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the Liberty file cannot be read ({error.strerror})") from error
    if data[:2] == b"\x1f\x8b":
        raise InputError(f"{path}: is compressed; unpack it first: gunzip -k {path.name}")
    text = data.decode("utf-8", errors="replace")
    return _Reader(text, path).library()
