"""Liberty files: a made-up one to the last number, the OSU ones as a whole, damaged ones."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.tools.liberty import Library, Table, read_liberty
from gate2hw.tools.liberty_logic import parse_function

TINY = Path(__file__).parents[1] / "data" / "tiny.lib"
QFLOW = Path("/usr/share/qflow/tech")
OSU = ["osu018/osu018_stdcells", "osu035/osu035_stdcells", "osu050/osu05_stdcells"]


@pytest.fixture(scope="module")
def tiny() -> Library:
    return read_liberty(TINY)


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("A B + C", "(A & B) | C"),
        ("A^B C", "(A ^ B) & C"),
        ("!A B", "(1 - A) & B"),
        ("(A B)'", "1 - (A & B)"),
        ("A'' + !(B*C)", "A | (1 - (B & C))"),
        ("!(A+B)' ^ C", "(A | B) ^ C"),
        ("A&B|C^1", "(A & B) | (1 - C)"),
        ("A + 0 B", "A"),
        ("(!((S A) + (!S B)))", "1 - (A if S else B)"),
    ],
)
def test_functions(text: str, python: str) -> None:
    pins = ("A", "B", "C", "S")
    table = parse_function(text, "here").table(pins)
    for address in range(16):
        values = {pin: address >> i & 1 for i, pin in enumerate(pins)}
        assert table >> address & 1 == eval(python, {}, values), values


@pytest.mark.parametrize("text", ["", "A +", "(A B", "A B)", "A $ B", "+ A", "!"])
def test_what_is_no_function(text: str) -> None:
    with pytest.raises(InputError, match=r"^cell X: the function .* cannot be read"):
        parse_function(text, "cell X")


def test_units_and_cells(tiny: Library) -> None:
    assert (tiny.name, tiny.voltage_v, len(tiny.cells)) == ("tiny", 2.0, 12)
    nand = tiny.cells["NAND2"]
    assert (nand.area, nand.leakage_mw, nand.inputs, nand.outputs) == (
        2.0,
        2e-8,
        ("A", "B"),
        ("Y",),
    )
    assert nand.pins["A"].capacitance_pf == pytest.approx(0.002)
    assert nand.function("Y").table(("A", "B")) == 0b0111
    energy = nand.pins["Y"].energies[1]
    assert energy.related_pin == "B"
    assert energy.rise is not None
    assert energy.rise.at(np.array([0.05]), np.array([0.5])) == pytest.approx(0.004)
    flip_flop = tiny.cells["DFF"].flip_flop
    assert flip_flop is not None
    assert (flip_flop.next_state.name, flip_flop.clocked_on.name) == ("D", "CK")
    assert tiny.cells["DFF"].pins["CK"].is_clock
    assert not tiny.cells["DFF"].is_logic


def test_roles(tiny: Library) -> None:
    found = tiny.full_adder()
    assert found is not None
    assert found[0].name == "ADDER"
    assert found[1] == {"A": "P", "B": "Q", "C": "R", "X": "CO", "Y": "S"}
    assert tiny.constants() == {"0": ("TIELO", "Y"), "1": ("TIEHI", "Y")}
    buffer = tiny.buffer()
    assert buffer is not None
    assert (buffer[0].name, *buffer[1:]) == ("BUF", "A", "Y")


def test_tables_between_and_beyond_their_points(tiny: Library) -> None:
    slew = tiny.cells["INV"].pins["Y"].transitions[0]
    load = np.array([0.0, 0.05, 0.1, 9.0, 0.05])
    at = np.array([0.01, 0.01, 1.0, 9.0, 0.505])
    expected = [0.010, 0.035, 0.070, 0.070, 0.040]
    assert slew.at(load, at) == pytest.approx(expected)
    turned = Table(np.array([0.0, 1.0]), np.array([0.0]), np.array([[1.0], [3.0]]))
    assert turned.at(np.array([0.25]), np.array([7.0])) == pytest.approx([1.5])


def test_an_axis_of_slews_may_come_first(tmp_path: Path) -> None:
    text = TINY.read_text().replace(
        'rise_power (energy_2x2) { values ("4, 4", "4, 4"); }',
        'rise_power (energy_2x2) { values ("1, 2", "3, 4"); }',
    )
    (tmp_path / "a.lib").write_text(text)
    rise = read_liberty(tmp_path / "a.lib").cells["INV"].pins["Y"].energies[0].rise
    assert rise is not None
    ends = rise.at(np.array([0.0, 0.1, 0.0, 0.1]), np.array([0.01, 0.01, 1.0, 1.0]))
    assert ends == pytest.approx([0.001, 0.002, 0.003, 0.004])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("library (tiny)", "cell (tiny)", "it begins with 'cell'"),
        ("capacitive_load_unit (1, ff);", "", "capacitive_load_unit is 'missing'"),
        ('time_unit : "1ps"', 'time_unit : "1 month"', "time_unit is '1 month'"),
        ("nom_voltage : 2.0;", "", "nom_voltage is None, not a number"),
        ("area : 9;", "area : big;", "an area is 'big'"),
        ("    capacitance : 3;", "    capacitance : nan;", "a capacitance is 'nan'"),
        ('"(A B)\'"', '"(A B"', "NAND2, pin Y: the function"),
        ('values ("10, 20"', 'values ("10, x"', "a value of a table is 'x'"),
        ('"60, 70"); }', '"60"); }', "has 3 values for 2 x 2 points"),
        ("(delay_2x2) { values", "(delay_9) { values", "no table template delay_9"),
        ('index_1 ("0, 100");', 'index_1 ("100, 0");', "axes that do not rise"),
        ('next_state : "D";', "", "lacks a state, next_state or clocked_on"),
        ("variable_1 : total_output_net_capacitance;", "variable_1 : phase_of_moon;", "'phase_of"),
        ('function : "!A";', 'function ? "!A";', "after 'function' must stand"),
    ],
)
def test_damaged_files(old: str, new: str, message: str, tmp_path: Path) -> None:
    text = TINY.read_text()
    assert old in text
    path = tmp_path / "damaged.lib"
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=re.escape(str(path)) + ".*" + re.escape(message)):
        read_liberty(path)


# one cell in the words of several vendors: no number of it is in tiny.lib
DIALECT = r"""
library ("dialect") {
  define (my_own, cell, string);
  capacitive_load_unit (0.1, "pf");
  time_unit : "100ps";
  leakage_power_unit : 1e-3uW;
  voltage_map (VDD, 1.5);
  default_input_pin_cap : 0.5;
  default_cell_leakage_power : 7;
  nom_voltage : 1.5;
  lu_table_template (shared) {
    variable_1 : total_output_net_capacitance;
    index_1 ("0, \
       1");
  }
  power_lut_template (shared) {
    variable_1 : input_transition_time;
    index_1 ("0, 2");
  }
  power_lut_template (three) {
    variable_1 : input_transition_time;
    variable_2 : total_output_net_capacitance;
    variable_3 : equal_or_opposite_output_net_capacitance;
    index_1 ("0, 2"); index_2 ("0, 1"); index_3 ("0, 1");
  }
  cell (ONE) {
    area : 1.0; my_own : "say \"x\"";
    leakage_power () { value : 100; related_pg_pin : VDD; }
    leakage_power () { value : 1; when : "A"; related_pg_pin : VDD; }
    leakage_power () { value : 3; when : "!A"; related_pg_pin : VDD; }
    leakage_power () { value : 5; related_pg_pin : VPP; }
    pin (A) { direction : input; }
    pin (B) { direction : input; rise_capacitance : 2; fall_capacitance : 4; }
    pin (Y) {
      direction : output; function : "A * B";
      internal_power () { related_pin : "A"; related_pg_pin : VDD; when : "B";
        power (shared) { values ("0, 8"); } }
      internal_power () { related_pin : "A"; related_pg_pin : VDD;
        power (shared) { values ("99, 99"); } }
      internal_power () { related_pin : "A B"; related_pg_pin : VPP;
        power (three) { values ("1, 2", "3, 4", "5, 6", "7, 8"); } }
      timing () { related_pin : "A";
        rise_transition (shared) { values ("1, 2"); }
        fall_transition (scalar) { values ("3"); } }
    }
  }
  cell (TWO) { pin (A) { direction : input; capacitance : 1; } }
  cell (WIDE) {
    bus (D) { bus_type : four; direction : input; pin (D[3:0]) { capacitance : 1; } }
    pin (Q) { direction : output; function : "1"; }
  }
}
"""


def test_other_vendors_words(tmp_path: Path) -> None:
    (tmp_path / "a.lib").write_text(DIALECT)
    library = read_liberty(tmp_path / "a.lib")
    one, two = library.cells["ONE"], library.cells["TWO"]
    # 0.1 pF, 0.1 ns, nW; the mean over the states of each supply, added up
    assert one.leakage_mw == pytest.approx((2 + 5) * 1e-6)
    assert two.leakage_mw == pytest.approx(7e-6)
    assert [one.pins[pin].capacitance_pf for pin in "AB"] == pytest.approx([0.05, 0.3])
    # energies in V^2 times 0.1 pF; what has a condition stands before what has none
    first, second = one.pins["Y"].energies
    assert (first.when, first.supply, second.supply) == ("B", "VDD", "VPP")
    assert first.rise is not None
    assert second.fall is not None
    at = np.array([0.1])
    assert first.rise.at(at, at) == pytest.approx(0.4)
    # of the third axis, its first point
    assert second.fall.at(np.array([0.1]), np.array([0.2])) == pytest.approx(0.7)
    rise, fall = one.pins["Y"].transitions
    assert rise.at(np.array([0.05]), at) == pytest.approx(0.15)
    assert fall.at(at, at) == pytest.approx(0.3)
    # a cell with buses is none that a netlist of ours can hold
    assert not library.cells["WIDE"].is_logic


def test_a_compressed_file_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.lib.gz").write_bytes(gzip.compress(TINY.read_bytes()))
    with pytest.raises(InputError, match=r"is compressed; unpack it first: gunzip -k a\.lib\.gz"):
        read_liberty(tmp_path / "a.lib.gz")


def test_cut_short_anywhere(tmp_path: Path) -> None:
    text = TINY.read_text().rstrip()
    path = tmp_path / "cut.lib"
    for end in range(0, len(text), 97):
        path.write_text(text[:end])
        with pytest.raises(InputError, match=re.escape(str(path))):
            read_liberty(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_liberty(tmp_path / "none.lib")
    with pytest.raises(InputError, match="cannot be read"):
        read_liberty(tmp_path)
    (tmp_path / "empty.lib").write_text("library (a) { capacitive_load_unit (1, pf); }")
    with pytest.raises(InputError, match="without a cell"):
        read_liberty(tmp_path / "empty.lib")
    (tmp_path / "binary.lib").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(InputError, match="no Liberty file"):
        read_liberty(tmp_path / "binary.lib")


@pytest.mark.parametrize("name", OSU)
def test_osu_libraries(name: str) -> None:
    path = QFLOW / f"{name}.lib"
    if not path.is_file():
        pytest.skip(f"{path} is not installed: sudo apt-get install qflow-tech-osu018 (035, 050)")
    library = read_liberty(path)
    voltage = {"osu018": 1.8, "osu035": 3.3, "osu050": 5.0}[name[:6]]
    assert library.voltage_v == voltage
    functions = {
        "AND2X1": 0b1000,
        "NAND3X1": 0b01111111,
        "AOI21X1": 0b00000111,
        "OAI21X1": 0b00011111,
        "XNOR2X1": 0b1001,
        "MUX2X1": 0b01010011,
    }
    for cell, table in functions.items():
        found = library.cells[cell]
        assert found.function("Y").table(found.inputs) == table, cell
    adder = library.full_adder()
    assert adder is not None
    assert (adder[0].name, adder[1]["X"], adder[1]["Y"]) == ("FAX1", "YC", "YS")
    assert {n for n, c in library.cells.items() if c.flip_flop} == {"DFFNEGX1", "DFFPOSX1", "DFFSR"}
    assert library.cells["LATCH"].is_latch
    assert library.cells["TBUFX1"].pins["Y"].is_three_state
    # every number of the file that a Verilog model repeats: the area is not there, the cells are
    text = (QFLOW / f"{name}.v").read_text()
    modules = set(re.findall(r"^module (\w+)", text, re.MULTILINE)) - {"FILL"}
    assert modules <= set(library.cells)
    gates = [cell for cell in library.cells.values() if cell.is_logic]
    assert all(cell.area > 0 and cell.leakage_mw for cell in gates)
    energies = [e for c in gates for pin in c.outputs for e in c.pins[pin].energies]
    assert len(energies) > 50
    assert all(e.rise is not None and e.fall is not None for e in energies)
