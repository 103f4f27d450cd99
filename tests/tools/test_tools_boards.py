"""The boards' files: complete, and refused where they are not."""

from __future__ import annotations

import shutil

import pytest

from gate2hw.errors import InputError
from gate2hw.tools import boards as module
from gate2hw.tools.boards import boards, load_board
from gate2hw.tools.resources import data_dir
from gate2hw.tools.targets import targets

PINS_OF = {
    "icebreaker": {"clk_in": "35", "uart_rx": "6", "uart_tx": "9", "led[0]": "37"},
    "ice40-hx8k-breakout": {"clk_in": "J3", "uart_rx": "B10", "uart_tx": "B12", "led[0]": "B5"},
    "ulx3s-85f": {"clk_in": "G2", "uart_rx": "M1", "uart_tx": "L4", "tied_high": "L2"},
    "colorlight-i5": {"clk_in": "P3", "uart_rx": "H18", "uart_tx": "J17", "led": "U16"},
}


def test_every_board_is_of_a_target_and_names_its_pins_once():
    known = {target.name: target for target in targets()}
    found = boards()
    assert {board.name for board in found} == set(PINS_OF)
    for board in found:
        assert board.target in known
        assert set(board.lines) == {"uart", "spi"}
        assert "{bitstream}" in board.program
        assert (known[board.target].family == "ecp5") == bool(board.io_type)
        pins = board.pins("uart")
        assert pins.items() >= PINS_OF[board.name].items()
        assert len(set(pins.values())) == len(pins)


def test_lights_may_be_on_when_low():
    lights = load_board("icebreaker").lights
    assert [light.is_low for light in lights] == [True, True, False, False, False, False, False]


def test_an_unknown_board_is_named_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'icebreaker'"):
        load_board("icebraker")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('clock_pin = "35"\n', "", "'clock_pin' is missing"),
        ('clock_pin = "35"', 'clock_pin = "6"', "share the pin 6"),
        ('clock_pin = "35"', 'clock_pin = "A35x"', "no name of a pin"),
        ("clock_mhz = 12.0", "clock_mhz = 0", "positive number"),
        ("baud = 115200", "baud = 1.5", "positive whole number"),
        ("pll40_pad", "pll41_pad", "pll40_pad"),
        ('tx = "9"\n', "", "needs the pins rx, tx"),
        ("leds =", "lamps =", "unknown key 'lamps'"),
        ("clock_mhz = 12.0", "clock_mhz = =", "cannot be read as TOML"),
        ('program = "iceprog {bitstream}"', 'program = "iceprog"', "with {bitstream} in it"),
        ("iceprog {bitstream}", "iceprog {bitstrem}", "with {bitstream} in it"),
        ("iceprog {bitstream}", "iceprog {bitstream", "with {bitstream} in it"),
        ('leds = ["!37"', 'leds = [37, "!37"', "leds must be a list of pins"),
        ('"21"]', '"21", "31", "32", "34", "36"]', "give 1 to 10 leds, not 11"),
        ('"pll40_pad"', '"ecp5_pll"', "ice40-up5k has no ecp5_pll"),
        ('target = "ice40-up5k"', 'target = "ecp5-25k"', "ecp5-25k has no pll40_pad"),
        ("clock_mhz = 12.0", 'clock_mhz = 12.0\nio_type = "x"', "has no io_type"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, monkeypatch, old, new, complaint):
    folder = tmp_path / "flows" / "boards" / "icebreaker"
    folder.parent.mkdir(parents=True)
    shutil.copytree(data_dir("flows") / "boards" / "icebreaker", folder)
    path = folder / "board.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    monkeypatch.setattr(module, "data_dir", lambda kind: tmp_path / kind)
    with pytest.raises(InputError, match=complaint):
        load_board("icebreaker")


def test_a_line_that_is_no_table_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "flows" / "boards" / "icebreaker" / "board.toml"
    path.parent.mkdir(parents=True)
    text = (data_dir("flows") / "boards" / "icebreaker" / "board.toml").read_text()
    path.write_text('spi = "4"\n' + text.partition("[spi]")[0])
    monkeypatch.setattr(module, "data_dir", lambda kind: tmp_path / kind)
    with pytest.raises(InputError, match=r"\[spi\] must be a table of pins"):
        load_board("icebreaker")
