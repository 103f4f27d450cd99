"""Equal modules are written once, and nothing else changes."""

from __future__ import annotations

import pytest

from gate2hw.tools.verilog_modules import merge_equal_modules


def module(name: str, body: str) -> str:
    return f"module {name}(a, y);\n  input a;\n  output y;\n{body}endmodule\n\n"


TOP = module("top", "  inv_0  one (\n    .a(a)\n  );\n  inv_1  two (\n    .a(a)\n  );\n")
INV = "  assign y = ~a;\n"


def test_equal_modules_become_the_first() -> None:
    text = TOP + module("inv_0", INV) + module("inv_1", INV)
    merged = merge_equal_modules(text)
    assert merged.count("\nmodule inv_") == 1
    assert "  inv_0  two (" in merged
    assert "module inv_1" not in merged
    assert merge_equal_modules(merged) == merged


def test_what_differs_stays() -> None:
    text = TOP + module("inv_0", INV) + module("inv_1", "  assign y = a;\n")
    assert merge_equal_modules(text) == text


@pytest.mark.parametrize(
    "other",
    ["  inv_1 #(.P(1)) odd (\n  );\n", "  assign y = inv_1;\n"],
    ids=["parameters", "a signal of that name"],
)
def test_a_module_named_otherwise_stays(other: str) -> None:
    text = TOP + module("user", other) + module("inv_0", INV) + module("inv_1", INV)
    assert merge_equal_modules(text) == text
