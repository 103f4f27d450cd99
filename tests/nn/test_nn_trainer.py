"""Training: files, determinism, resume bit for bit, refusals, and the link to the netlist."""

import csv
import dataclasses
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from gate2hw.errors import InputError, ModelFileError
from gate2hw.ir.simulate import scores
from gate2hw.ir.store import load_golden, load_network
from gate2hw.ir.unroll import unroll
from gate2hw.nn import load_recipe, trainer
from gate2hw.nn.recipe import Recipe, parse_recipe
from gate2hw.nn.trainer import HISTORY_COLUMNS, train

STEPS = 40


def _recipe(*overrides: str) -> Recipe:
    small = [
        f"training.steps={STEPS}",
        "training.batch_size=64",
        "training.evaluate_every=10",
        "training.checkpoint_every=15",
        "layers.0.kernels=4",
        "layers.2.width=120",
        "layers.3.width=60",
    ]
    return load_recipe("digits-orpool", [*small, *overrides])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return train(_recipe(), folder), folder


def test_training_writes_every_file(trained) -> None:
    result, folder = trained
    network, golden = load_network(result.model_path), load_golden(result.golden_path)
    assert golden.digest == network.digest
    assert golden.x.dtype == np.uint8
    assert golden.x.shape == (result.n_test, 1, 8, 8)
    assert golden.scores.dtype == np.int64
    assert np.mean(golden.classes == golden.y) == pytest.approx(result.accuracy)
    assert network.dataset == "digits"
    assert network.class_names == tuple("0123456789")
    assert network.info["accuracy_soft"] == result.accuracy_soft
    assert network.info["recipe"]["training"]["steps"] == STEPS
    with result.history_path.open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == HISTORY_COLUMNS
    assert [int(row["step"]) for row in rows] == [10, 20, 30, 40]
    best = max(float(row["accuracy_validation"]) for row in rows)
    assert best == result.accuracy_validation
    assert float(rows[0]["lr"]) > float(rows[-1]["lr"]) == 0
    assert list((folder / "tensorboard").glob("events.*"))
    assert load_recipe(folder / "recipe.toml").as_dict() == _recipe().as_dict()


def test_the_loss_falls(trained) -> None:
    with trained[0].history_path.open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] - 0.05


def test_golden_scores_are_those_of_the_netlist(trained) -> None:
    result, _ = trained
    golden = load_golden(result.golden_path)
    netlist = unroll(load_network(result.model_path))
    assert np.array_equal(scores(netlist, golden.x), golden.scores)


def test_same_recipe_same_network(trained, tmp_path: Path) -> None:
    digest = load_network(trained[0].model_path).digest
    assert load_network(train(_recipe(), tmp_path / "a").model_path).digest == digest
    other = train(_recipe("seed=1"), tmp_path / "b")
    assert load_network(other.model_path).digest != digest


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def _assert_same_run(first: Path, second: Path) -> None:
    a, b = (_tensors(folder / "checkpoint.safetensors") for folder in (first, second))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert (
        load_network(first / "model.safetensors").digest
        == load_network(second / "model.safetensors").digest
    )
    rows = []
    for folder in (first, second):
        with (folder / "history.csv").open() as file:
            rows.append([{**row, "time_s": ""} for row in csv.DictReader(file)])
    assert rows[0] == rows[1]


@pytest.mark.parametrize("stop_at", [3, 17, 30])
def test_resume_continues_bit_for_bit(trained, tmp_path: Path, stop_at: int) -> None:
    def interrupt(done: int, total: int, message: str) -> None:
        assert total == STEPS
        if done == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(_recipe(), tmp_path, progress=interrupt)
    assert not (tmp_path / "model.safetensors").exists()
    seen: list[int] = []
    train(_recipe(), tmp_path, resume=True, progress=lambda done, *_: seen.append(done))
    assert seen == list(range(stop_at + 1, STEPS + 1))
    _assert_same_run(trained[1], tmp_path)


def test_ctrl_c_in_the_middle_of_a_step_waits_for_its_end(trained, tmp_path, monkeypatch) -> None:
    plain_step = torch.optim.AdamW.step
    calls: list[int] = []

    def step(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 12:
            os.kill(os.getpid(), signal.SIGINT)
        return plain_step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(_recipe(), tmp_path)
    assert signal.getsignal(signal.SIGINT) is before
    assert len(calls) == 12
    monkeypatch.undo()
    train(_recipe(), tmp_path, resume=True)
    _assert_same_run(trained[1], tmp_path)


def test_two_ctrl_c_in_an_evaluation_leave_the_last_whole_checkpoint(
    trained, tmp_path, monkeypatch
) -> None:
    plain, calls = trainer.Ranks.accuracy, []

    def accuracy(self, *given):
        calls.append(1)
        if len(calls) == 3:  # in the second evaluation, that of step 20
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return plain(self, *given)

    monkeypatch.setattr(trainer.Ranks, "accuracy", accuracy)
    with pytest.raises(KeyboardInterrupt):
        train(_recipe(), tmp_path)
    assert len(calls) == 3
    monkeypatch.undo()
    train(_recipe(), tmp_path, resume=True)
    _assert_same_run(trained[1], tmp_path)


def test_resume_refuses_another_teacher(trained, tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(size=(2_000, 10)).astype(np.float32)
    found = load_network(trained[0].model_path).info
    assert found["teacher"] == "none"
    assert found["kernels"] in ("c", "torch")
    path, stored = tmp_path / "t.npz", f"distillation.teacher_logits={tmp_path / 't.npz'}"
    np.savez(path, logits=logits[: found["n_train"]])
    few = ("training.steps=2", "training.evaluate_every=1")
    train(_recipe(*few), tmp_path / "none")
    train(_recipe(*few, stored), tmp_path / "stored")
    np.savez(path, logits=-logits[: found["n_train"]])
    with pytest.raises(InputError, match="learned from another teacher"):
        train(_recipe(*few, stored), tmp_path / "stored", resume=True)
    with pytest.raises(InputError, match=r"\(none, now callable\)"):
        train(
            _recipe(*few), tmp_path / "none", resume=True, teacher=lambda x: torch.zeros(len(x), 10)
        )


def test_threads_and_checkpoints_may_change_in_a_resume(trained, tmp_path: Path) -> None:
    def interrupt(done: int, total: int, message: str) -> None:
        if done == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(_recipe(), tmp_path, progress=interrupt)
    changed = _recipe("training.threads=1", "training.checkpoint_every=9")
    train(changed, tmp_path, resume=True)
    _assert_same_run(trained[1], tmp_path)


def test_resume_of_a_finished_run_changes_nothing(trained, tmp_path: Path) -> None:
    train(_recipe(), tmp_path)
    again = train(_recipe(), tmp_path, resume=True)
    assert again.accuracy == trained[0].accuracy
    _assert_same_run(trained[1], tmp_path)


def test_resume_refuses_another_recipe_and_foreign_files(trained, tmp_path: Path) -> None:
    train(_recipe(), tmp_path)
    with pytest.raises(InputError, match=r"recipe differs in head\.tau, seed"):
        train(_recipe("head.tau=9", "seed=3"), tmp_path, resume=True)
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:500])
    with pytest.raises(ModelFileError, match="may be cut short"):
        train(_recipe(), tmp_path, resume=True)
    checkpoint.write_bytes((tmp_path / "model.safetensors").read_bytes())
    with pytest.raises(ModelFileError, match="not a gate2hw checkpoint"):
        train(_recipe(), tmp_path, resume=True)


def test_resume_refuses_other_data(tmp_path: Path) -> None:
    def write(folder: Path, last: int) -> Path:
        folder.mkdir()
        lines = [f"{i % 7},{i % 5},{i % 2}" for i in range(60)] + [f"{last},1,0"]
        (folder / "own.csv").write_text("\n".join(["a,b,k", *lines]))
        return folder

    recipe = parse_recipe(
        {
            "data": {"source": "own.csv", "target": "k"},
            "layers": [{"type": "dense", "width": 40}],
            "training": {"steps": 4, "batch_size": 8},
        }
    )
    first, second = write(tmp_path / "first", 1), write(tmp_path / "second", 2)
    train(recipe, tmp_path / "out", data_dir=first)
    train(recipe, tmp_path / "out", data_dir=first, resume=True)
    with pytest.raises(InputError, match=r"data are not those .* or train without --resume"):
        train(recipe, tmp_path / "out", data_dir=second, resume=True)


def test_softmax_gates_train_too(tmp_path: Path) -> None:
    result = train(_recipe("gates.parametrisation=softmax16", "training.steps=10"), tmp_path)
    netlist = unroll(load_network(result.model_path))
    golden = load_golden(result.golden_path)
    assert np.array_equal(scores(netlist, golden.x), golden.scores)


def test_a_csv_trains_and_its_class_names_travel(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["u,v,kind"]
    for number in range(300):
        low = number % 2 == 0
        lines.append(
            f"{rng.normal(-1 if low else 1, 0.3):.4f},{rng.normal():.4f},{'lo' if low else 'hi'}"
        )
    (tmp_path / "own.csv").write_text("\n".join(lines))
    (tmp_path / "own.toml").write_text(
        'data = {source = "own.csv", target = "kind"}\nlayers = [{type = "dense", width = 40}]\n'
        "training = {steps = 60, batch_size = 32}\nthermometer = {n_thresholds = 7}\n"
    )
    result = train(load_recipe(tmp_path / "own.toml"), tmp_path / "out")
    assert result.accuracy > 0.9
    network = load_network(result.model_path)
    assert network.class_names == ("hi", "lo")
    assert network.thermometer.scale is not None
    golden = load_golden(result.golden_path)
    assert np.array_equal(scores(unroll(network), golden.x), golden.scores)


def test_threads_are_given_back(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    with trainer.threads(0, 1000):
        assert torch.get_num_threads() == 1
    with trainer.threads(3, 10**9):
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before


def test_a_loss_that_is_not_finite_is_a_clear_error(tmp_path: Path, monkeypatch) -> None:
    plain = trainer.nn.functional.cross_entropy
    monkeypatch.setattr(
        trainer.nn.functional, "cross_entropy", lambda *args: plain(*args) * float("nan")
    )
    with pytest.raises(InputError, match=r"loss became nan before step 10; lower training\."):
        train(_recipe(), tmp_path)


def test_refusals(tmp_path: Path) -> None:
    recipe = _recipe()
    with pytest.raises(InputError, match="unknown device 'tpu'"):
        train(recipe, tmp_path, device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="device cuda is not available"):
            train(recipe, tmp_path, device="cuda")
    with pytest.raises(InputError, match="class 5 has no outputs"):
        train(_recipe("layers.3.width=5"), tmp_path)
    with pytest.raises(InputError, match=r"layers\.0: LogicConv2d: a \(12, 12\) window"):
        train(_recipe("layers.0.field=12"), tmp_path)
    with pytest.raises(InputError, match=r"no data file 'none\.npz'"):
        train(_recipe("data.source=none.npz"), tmp_path, data_dir=tmp_path)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(InputError, match="cannot write"):
        train(recipe, blocked / "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to read-only folders")
def test_read_only_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match=r"cannot write .*choose another folder"):
        train(_recipe(), tmp_path / "out")


@pytest.mark.slow
def test_digits_reach_what_the_readme_claims(tmp_path: Path) -> None:
    result = train(load_recipe("digits"), tmp_path)
    assert result.accuracy >= 0.965
    assert dataclasses.asdict(result)["n_test"] == 359
