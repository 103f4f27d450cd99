"""info says of every file what it is, in one sentence where it is none of gate2hw's."""

from __future__ import annotations

import gzip
import json
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from gate2hw.cli import main
from gate2hw.errors import Gate2HWError, InputError, ModelFileError
from gate2hw.flow.information import info
from gate2hw.ir.aiger import write_aiger
from gate2hw.ir.blif import write_blif
from gate2hw.ir.lutblif import write_lut_blif
from gate2hw.ir.lutnetlist import save_lutnetlist
from gate2hw.ir.store import load_netlist
from gate2hw.passes.mapping.lutmap import map_luts


@pytest.fixture(scope="module")
def files(compiled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of each kind that gate2hw writes."""
    folder = tmp_path_factory.mktemp("kinds")
    net = load_netlist(compiled / "netlist.npz")
    write_aiger(net, folder / "gates.aag")
    write_blif(net, folder / "gates.blif")
    luts = map_luts(net, k=4, effort=0)
    save_lutnetlist(folder / "luts.npz", luts)
    write_lut_blif(luts, folder / "luts.blif")
    for name in ("model.safetensors", "golden.npz", "netlist.npz"):
        (folder / name).write_bytes((compiled / name).read_bytes())
    # the content counts, not the name
    (folder / "golden.safetensors").write_bytes((compiled / "golden.npz").read_bytes())
    return folder


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("model.safetensors", "model (LogicNetwork)"),
        ("golden.npz", "golden vectors"),
        ("golden.safetensors", "golden vectors"),
        ("netlist.npz", "netlist"),
        ("luts.npz", "LUT netlist"),
        ("gates.aag", "netlist (AIGER)"),
        ("gates.blif", "netlist (BLIF)"),
        ("luts.blif", "LUT netlist (BLIF), counted as two-input gates"),
    ],
)
def test_kinds_of_ours(files: Path, name: str, kind: str) -> None:
    assert info(files / name)["kind"] == kind


def test_tables_of_a_lut_netlist_are_counted(files: Path) -> None:
    counts = info(files / "luts.blif")["tables_by_inputs"]
    assert sum(n for k, n in counts.items() if k > 1) == info(files / "luts.npz")["luts"]


def _safetensors(path: Path, metadata: dict[str, str]) -> None:
    save_file({"0.weights": np.ones((2, 16))}, path, metadata)


def _npz(path: Path, **arrays: object) -> None:
    np.savez(path, **{key: np.array(value) for key, value in arrays.items()})


def _zip(path: Path, name: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "x")


IMPORT = "gate2hw import takes in"
STRANGERS = {
    "empty.npz": (lambda p: p.write_bytes(b""), "it is empty"),
    "empty.safetensors": (lambda p: p.write_bytes(b""), "it is empty"),
    "samples.npz": (lambda p: _npz(p, x=1, y=2), r"not written \(x, y\)"),
    "wiring.npz": (lambda p: _npz(p, a_0=1, b_0=2, a_1=3, b_1=4), r"\(a_0, a_1, b_0, \.\.\)"),
    "other.npz": (lambda p: _npz(p, format="someone's 1"), "neither a model, a netlist nor"),
    "one.npy": (lambda p: np.save(p, np.arange(3)), "a single numpy array"),
    "cut.npz": (lambda p: p.write_bytes(b"PK\x03\x04 and so on"), "archive .* cut short"),
    "any.zip": (lambda p: _zip(p, "readme"), "a zip archive that holds no arrays"),
    "state.pt": (lambda p: _zip(p, "archive/data.pkl"), f"a PyTorch file; {IMPORT}"),
    "net.pkl": (lambda p: p.write_bytes(pickle.dumps([1])), f"a Python pickle; {IMPORT}"),
    "net.aig.gz": (lambda p: p.write_bytes(gzip.compress(b"aig 0 0 0 0 0\n")), "gzip archive"),
    "state.safetensors": (lambda p: _safetensors(p, {}), r"\(0\.weights\); " + IMPORT),
    "run.safetensors": (
        lambda p: _safetensors(p, {"format": "gate2hw checkpoint 2"}),
        "a checkpoint of a training run",
    ),
    "none.safetensors": (lambda p: p.write_bytes(b"\x02" + bytes(7) + b"{}"), "holds no tensors"),
    "one.safetensors": (lambda p: _safetensors(p, {"gate2hw": "1"}), "gate2hw has not written"),
    "header.safetensors": (lambda p: p.write_bytes(b"\x04" + bytes(7) + b"{,,}"), "damaged header"),
    "cut.safetensors": (lambda p: p.write_bytes(b"\xff\0" + bytes(6) + b'{"a"'), "cut short"),
    "aiger": (lambda p: p.write_text("aag 0 0 0 0 0\n"), "must end in .aag or .aig"),
    "net.bench": (lambda p: p.write_text("INPUT(a)\n"), "no kind of file that gate2hw reads"),
    "noise": (lambda p: p.write_bytes(bytes(range(255, 0, -1))), "no kind of file that"),
    "build.json": (lambda p: p.write_text('{"schema": 1, "steps": {}}'), "a record of a build"),
    "any.json": (lambda p: p.write_text('{"a": 1}'), "not a torchlogix circuit"),
    "noise.aig": (lambda p: p.write_bytes(b"PK\x03\x04"), "not a sound AIGER file"),
    "noise.blif": (lambda p: p.write_bytes(b"\xff\xfe"), "not a BLIF file"),
    "missing.npz": (lambda p: None, "no such file"),
    "folder": (lambda p: p.mkdir(), "holds no model and no netlist"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_strangers(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, said = STRANGERS[name]
    make(tmp_path / name)
    assert main(["info", str(tmp_path / name)]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert err.startswith(f"gate2hw: {tmp_path / name}")
    assert re.search(said, err), err


def test_a_folder_names_what_can_be_told(files: Path, tmp_path: Path) -> None:
    (tmp_path / "luts.npz").write_bytes((files / "luts.npz").read_bytes())
    with pytest.raises(InputError, match=r"name a file in it \(luts\.npz\)"):
        info(tmp_path)


def test_a_damaged_file_of_ours_is_called_by_its_name(files: Path, tmp_path: Path) -> None:
    with np.load(files / "golden.npz") as archive:
        arrays = {name: archive[name] for name in archive.files if name != "scores"}
    np.savez(tmp_path / "g.npz", **arrays)
    with pytest.raises(ModelFileError, match="content is damaged"):
        info(tmp_path / "g.npz")


def test_the_files_of_a_build(compiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything that compile wrote is told or refused in one sentence, never with a traceback."""
    for path in sorted(p for p in compiled.rglob("*") if p.is_file()):
        code = main(["info", str(path), "--json"])
        out, err = capsys.readouterr()
        assert code in (0, 2), path
        assert json.loads(out)["kind"] if code == 0 else err.count("\n") == 1, path


@pytest.mark.parametrize(
    "name", ["model.safetensors", "golden.npz", "netlist.npz", "luts.npz", "luts.blif", "gates.aag"]
)
def test_damaged_files(files: Path, name: str, tmp_path: Path) -> None:
    """Cut short, or with bytes changed: told, or refused in one sentence that names the file."""
    sound = (files / name).read_bytes()
    rng = np.random.default_rng(0)
    path, refusals = tmp_path / name, []
    for number in range(40):
        data = bytearray(sound)
        # headers and directories stand at the ends
        places = rng.integers(0, len(data), 3) if number % 2 else rng.integers(-60, 60, 3)
        for place in places:
            data[place] = rng.integers(256)
        path.write_bytes(data[: rng.integers(len(data))] if number % 5 == 0 else data)
        try:
            info(path)
        except Gate2HWError as error:
            refusals.append(str(error))
    assert len(refusals) > 5
    assert all(text.startswith(str(path)) and "\n" not in text for text in refusals)
