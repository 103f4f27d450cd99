"""Delays: their text, and which of them become block RAMs."""

from __future__ import annotations

import pytest

from gate2hw.rtl.linebuffer import Delay, delay_module, memory_styles

DELAYS = [Delay("a", 40, 10), Delay("b", 16, 30), Delay("c", 100, 3)]


@pytest.mark.parametrize(
    ("n_blocks", "block"),
    [(30, {"a", "b", "c"}), (10, {"a", "b"}), (8, {"a", "b"}), (3, {"b"}), (0, set())],
)
def test_block_rams_go_to_the_largest_first(n_blocks, block):
    styles = memory_styles(DELAYS, n_blocks, 16)
    assert {name for name, style in styles.items() if style == "block"} == block
    assert set(styles.values()) <= {"block", "shift"}


def test_block_rams_are_counted_by_depth_and_instance():
    deep = Delay("deep", 3, 1000)  # 1,024 words of 4 bits
    assert memory_styles([deep], 1, 16) == {"deep": "block"}
    deeper = Delay("deeper", 16, 1000)
    assert memory_styles([deeper], 3, 16) == {"deeper": "shift"}
    assert memory_styles([deeper], 4, 16) == {"deeper": "block"}
    # the colours of a pixel wait in memories alike
    assert memory_styles([deep, deep], 1, 16) == {"deep": "shift"}
    assert memory_styles([deep, deep], 2, 16) == {"deep": "block"}


def test_texts():
    delay = Delay("lgn_delay_3x5", 3, 5)
    auto, block, shift = (delay_module(delay, style) for style in ("auto", "block", "shift"))
    assert "mem [0:4]" in auto
    assert "ram_style" not in auto
    assert 'ram_style = "block"' in block
    assert "mem" not in shift.split("\n", 1)[1]
    assert "r5 <= r4" in shift
