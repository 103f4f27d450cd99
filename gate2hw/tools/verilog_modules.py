"""Verilog text with equal modules written once: what is equal need not be synthesised again."""

from __future__ import annotations

import re

__all__ = ["merge_equal_modules"]

_MODULE = re.compile(r"^module (\w+)\b(.*?)^endmodule[^\n]*\n", re.MULTILINE | re.DOTALL)


def merge_equal_modules(text: str) -> str:
    """Return Verilog `text` in which modules that differ in nothing but their name are one.

    Instances of the others become instances of the first. A module that is named in any other way
    than by plain instances (``NAME  instance (``) stays; so does one whose body names itself.
    """
    first: dict[str, str] = {}
    for match in list(_MODULE.finditer(text)):
        name, body = match[1], match[2]
        keeper = first.setdefault(body, name)
        if keeper == name:
            continue
        rest = text.replace(match[0], "", 1)
        instance = re.compile(rf"^(\s*){name}(\s+[^\s(#]+\s*\()", re.MULTILINE)
        merged = instance.sub(rf"\g<1>{keeper}\g<2>", rest)
        if not re.search(rf"\b{name}\b", merged):
            text = merged
    return text
