"""VCD files are read, and what a clock saw is listed."""

from __future__ import annotations

import pytest

from gate2hw.errors import InputError
from gate2hw.tools.vcd import read_vcd, table

TEXT = """$timescale 1ns $end
$scope module top $end
$var wire 1 ! clk $end
$var wire 4 " data [3:0] $end
$scope module inner $end
$var wire 4 " data [3:0] $end
$var reg 1 # flag $end
$var reg 1 % other $end
$upscope $end
$scope module twin $end
$var reg 1 & other $end
$upscope $end
$upscope $end
$enddefinitions $end
#0
$dumpvars
0!
bx "
0#
$end
#5
1!
b101 "
#10
0!
#15
1!
1#
#20
0!
#25
1!
#30
0!
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.vcd"
    path.write_text(TEXT)
    return path


def test_values_are_those_before_each_rising_edge(path):
    vcd = read_vcd(path)
    rows = list(vcd.cycles("clk", ["data", "flag"]))
    assert [time for time, _ in rows] == [5, 15, 25, 30]
    assert [row["data"] for _, row in rows] == ["xxxx", "0101", "0101", "0101"]
    assert [row["flag"] for _, row in rows] == ["0", "0", "1", "1"]


def test_names_are_found_by_their_end_and_the_fewest_scopes(path):
    vcd = read_vcd(path)
    assert vcd.find("data") == vcd.find("top.data") == vcd.find("inner.data")
    with pytest.raises(InputError, match="no signals called speed"):
        vcd.find("speed")
    with pytest.raises(InputError, match="2 signals called other"):
        vcd.find("other")


def test_a_table_joins_equal_lines_and_leaves_out_what_is_not_there(path):
    lines = table(path, "clk", {"d": "data", "f": "inner.flag", "none": "missing"}).splitlines()
    assert lines[0].split() == ["cycle", "d", "f"]
    assert [line.split() for line in lines[1:]] == [
        ["0", "x", "0"],
        ["1", "5", "0"],
        ["..3", "5", "1"],
    ]
    short = table(path, "clk", {"d": "data", "f": "flag"}, n_first=1, n_last=1).splitlines()
    assert short[2].split() == ["...", "...", "..."]
    assert len(short) == 4


def test_what_is_no_waveform_is_refused(tmp_path):
    path = tmp_path / "b.vcd"
    path.write_text("$scope module a $end\n")
    with pytest.raises(InputError, match="no complete header"):
        read_vcd(path)
