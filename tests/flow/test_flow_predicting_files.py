"""predict: what it may write over, which labels are meant, and what it says of the threads."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import gate2hw
from gate2hw.cli import main
from gate2hw.cli.parser import make_parser
from gate2hw.errors import InputError
from gate2hw.flow.predicting import label_numbers, predict
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.simulate import classes, scores
from gate2hw.ir.store import save_netlist, save_network
from gate2hw.ir.unroll import unroll

NAMES = ("ant", "bee", "cat")
N = 150


@pytest.fixture
def folder(random_network: Callable[..., LogicNetwork], tmp_path: Path) -> Path:
    network = random_network(234, class_names=NAMES)
    save_network(tmp_path / "model.safetensors", network)
    save_netlist(tmp_path / "netlist.npz", unroll(network))
    for name in ("golden.npz", "golden_lossy.npz"):
        (tmp_path / name).write_text("kept")
    return tmp_path


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (N, 1, 6, 6)).astype(np.uint8)


@pytest.fixture
def y(random_network: Callable[..., LogicNetwork], x: np.ndarray) -> np.ndarray:
    return classes(scores(unroll(random_network(234)), x))


def test_no_file_of_the_model_or_the_data_is_written_over(
    folder: Path, x: np.ndarray, y: np.ndarray, tmp_path: Path
) -> None:
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "link").symlink_to("golden.npz")
    for name in [*kept, "link"]:
        with pytest.raises(
            InputError, match=rf"{name} is (a file of the|read by).*write to another"
        ):
            predict(folder, folder / "x.npy", folder / name, labels=folder / "y.npy")
    for name in kept:
        if name not in ("x.npy", "y.npy"):
            with pytest.raises(InputError, match="is a file of the model"):
                gate2hw.bench(folder, out=folder / name)
    assert {name: (folder / name).read_bytes() for name in kept} == kept


def test_the_record_of_a_build_is_not_written_over(folder: Path, x: np.ndarray) -> None:
    save_netlist(folder / "other.npz", gate2hw.flow.models.find_netlist(folder).net)
    (folder / "build.json").write_text("kept")
    with pytest.raises(InputError, match=r"build\.json is a file of the model"):
        predict(folder / "other.npz", x, folder / "build.json")
    assert (folder / "build.json").read_text() == "kept"


def test_a_pipe_takes_the_classes(folder: Path, x: np.ndarray, y: np.ndarray) -> None:
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()), daemon=True)
    reader.start()
    predict(folder, x, pipe)
    reader.join(20)
    assert found[0].splitlines() == [NAMES[number] for number in y]
    assert pipe.is_fifo()


def test_bad_labels_of_an_archive_name_it(folder: Path, x: np.ndarray) -> None:
    labels = np.full(N, "ant")
    labels[7] = "dog"
    np.savez(folder / "xy.npz", x=x, y=labels)
    with pytest.raises(InputError, match=r"xy\.npz: label 'dog' of sample 7 is no class"):
        predict(folder, folder / "xy.npz")


def test_false_and_true_are_classes_0_and_1_or_names() -> None:
    def numbers(names: tuple[str, ...], **more: bool) -> list[int]:
        return label_numbers("y", np.array([True, False]), names, **more).tolist()

    assert numbers(("a", "b")) == [1, 0]
    assert numbers(("1", "0")) == [0, 1]
    assert numbers(("True", "False")) == [0, 1]
    assert numbers(("True", "False"), are_numbers=True) == [1, 0]
    with pytest.raises(InputError, match="label '0' of sample 1"):
        numbers(("1", "2"))


def test_a_column_is_meant_before_a_file_of_its_name(
    folder: Path, x: np.ndarray, y: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        ",".join(map(str, [NAMES[k], *row])) for k, row in zip(y, x.reshape(N, 36), strict=True)
    ]
    header = ",".join(["kind", *(f"p{i}" for i in range(36))])
    (folder / "t.csv").write_text("\n".join([header, *rows]))
    (folder / "plain.csv").write_text("\n".join(row.partition(",")[2] for row in rows))
    monkeypatch.chdir(folder)
    wrong = np.array(NAMES)[(y + 1) % 3]
    Path("kind").write_text("no labels")
    Path("3.txt").write_text("\n".join(wrong))
    Path("3").symlink_to("3.txt")
    assert predict(folder, "t.csv", labels="kind")["accuracy"] == 1.0
    assert predict(folder, "plain.csv", labels="3.txt")["accuracy"] == 0.0
    with pytest.raises(InputError, match="kind"):
        predict(folder, "plain.csv", labels="kind")


def test_the_threads_are_those_that_had_work(
    folder: Path, x: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    many = np.resize(x, (3 * 4096, 1, 6, 6))
    assert predict(folder, many, kernel="numpy", threads=4)["threads"] == 1
    assert predict(folder, x, threads=4)["threads"] == 1
    if gate2hw.engine.kernel_names() != ("numpy",):
        assert predict(folder, many, threads=2)["threads"] == 2
        assert predict(folder, many, threads=4)["threads"] == 3
    np.save(folder / "x.npy", x)
    assert main(["predict", str(folder), str(folder / "x.npy"), "--threads", "4"]) == 0
    assert ", 1 thread, reading" in capsys.readouterr().err


def test_every_command_is_a_call_of_the_package() -> None:
    def commands() -> set[str]:
        parser = make_parser()
        (choices,) = (
            action.choices for action in parser._actions if isinstance(action.choices, dict)
        )
        return {*choices}

    assert {name for name in commands() if not hasattr(gate2hw, name)} == {"import"}
    assert {*gate2hw.__all__} - commands() == {"__version__"}
    for name in gate2hw.__all__:
        assert name == "__version__" or f"`gate2hw.{name}`" in str(gate2hw.__doc__)
        assert getattr(gate2hw, name) is getattr(gate2hw.flow, name, gate2hw.__version__)


def test_a_record_in_json_says_the_same(
    folder: Path, x: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(folder / "x.npy", x)
    argv = ["predict", str(folder), str(folder / "x.npy"), "--threads", "4", "--json"]
    assert main(argv) == 0
    assert json.loads(capsys.readouterr().out)["threads"] == 1
