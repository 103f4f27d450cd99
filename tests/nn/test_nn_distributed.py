"""Several processes train what one trains: two gloo processes on the CPU, float64.

The processes are started once, do one thing after another, and write down what they saw.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gate2hw.errors import Gate2HWError, InputError
from gate2hw.ir.store import load_golden, load_network
from gate2hw.nn import load_recipe, trainer
from gate2hw.nn.distributed import Ranks, join_ranks, state_digest
from gate2hw.nn.recipe import Recipe
from gate2hw.nn.trainer import train

STEPS = 20
TOLERANCE = 1e-9
TIMEOUT_S = 240


def recipe(*overrides: str) -> Recipe:
    """A net with everything that could differ: noise, augmentation, area, an odd batch."""
    small = [
        f"training.steps={STEPS}",
        "training.batch_size=33",
        "training.evaluate_every=10",
        "training.checkpoint_every=100",
        "training.dtype=float64",
        "layers.0.kernels=4",
        "layers.2.width=80",
        "layers.3.width=40",
        "gates.estimator=gumbel",
        "augmentation.shift=1",
        "area.weight=1.0",
    ]
    return load_recipe("digits-orpool", [*small, *overrides])


def interrupt_at(call: int) -> None:
    """Send this process SIGINT in the middle of an optimiser step."""
    plain, calls = torch.optim.AdamW.step, []

    def step(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return plain(self, *args, **kwargs)

    torch.optim.AdamW.step = step


def leave_at(call: int) -> None:
    """End this process in the middle of a run, as if it had been killed."""
    plain, calls = torch.optim.AdamW.step, []

    def step(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            os._exit(3)
        return plain(self, *args, **kwargs)

    torch.optim.AdamW.step = step


def worker(folder: Path, rank: int) -> None:
    """What one of the two processes does."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    seen: dict[str, object] = {}
    seen["accuracy"] = train(recipe(), folder / "joined").accuracy
    plain_weight = Ranks.weight
    Ranks.weight = lambda self, n_own, n_samples: 1.0
    train(recipe(), folder / "fault")
    Ranks.weight = plain_weight
    for name, override in (("seed", f"seed={rank}"), ("batch", "training.batch_size=1")):
        try:
            train(recipe(override), folder / "refused")
        except InputError as error:
            seen[name] = str(error)
    plain_step = torch.optim.AdamW.step
    if rank == 1:
        interrupt_at(7)
    try:
        train(recipe(), folder / "interrupted")
    except KeyboardInterrupt:
        seen["interrupted"] = True
    torch.optim.AdamW.step = plain_step
    try:
        if rank == 1:
            (folder / "rank1.json").write_text(json.dumps(seen))
            leave_at(5)
        train(recipe(), folder / "lost")
    except Gate2HWError as error:
        seen["lost"] = str(error)
    (folder / f"rank{rank}.json").write_text(json.dumps(seen))
    os._exit(0)  # the other is gone: nothing to say good-bye to


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    runs = [
        subprocess.Popen(
            [sys.executable, __file__, str(folder), str(rank)],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(2)
    ]
    try:
        errors = [run.communicate(timeout=TIMEOUT_S)[1] for run in runs]
    finally:
        for run in runs:
            run.kill()
    assert [run.returncode for run in runs] == [0, 3], "\n".join(errors)
    seen = [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]
    return folder, seen


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    return train(recipe(), folder), folder


def furthest(a: Path, b: Path) -> float:
    """The greatest difference between the weights of two checkpoints."""
    first, second = (load_file(folder / "checkpoint.safetensors") for folder in (a, b))
    assert first.keys() == second.keys()
    weights = [name for name in first if name.startswith("model/") and "weight" in name]
    assert weights
    assert all(first[name].dtype == torch.float64 for name in weights)
    return max(float((first[name] - second[name]).abs().max()) for name in weights)


def test_two_processes_train_what_one_does(pair, alone) -> None:
    folder, seen = pair
    assert furthest(folder / "joined", alone[1]) < TOLERANCE
    for name in ("model.safetensors", "golden.npz", "history.csv", "recipe.toml"):
        assert (folder / "joined" / name).is_file()
    digest = load_network(alone[0].model_path).digest
    assert load_network(folder / "joined" / "model.safetensors").digest == digest
    golden = load_golden(folder / "joined" / "golden.npz")
    assert (golden.scores == load_golden(alone[0].golden_path).scores).all()
    assert [row["accuracy"] for row in seen] == [alone[0].accuracy] * 2
    assert len(list((folder / "joined" / "tensorboard").iterdir())) == 1


def test_the_weights_actually_moved(alone) -> None:
    first = trainer._Run(
        recipe(), trainer.load_recipe_data(recipe(), None), alone[1], torch.device("cpu")
    )
    after = load_file(alone[1] / "checkpoint.safetensors")
    name = "dense1.gates.weight"
    start = first.model.state_dict()[name]
    assert float((after[f"model/{name}"] - start).abs().max()) > 0.1


def test_uneven_parts_count_by_their_samples(pair, alone) -> None:
    assert furthest(pair[0] / "fault", alone[1]) > 1e3 * TOLERANCE


def test_processes_that_differ_are_refused(pair) -> None:
    folder, seen = pair
    for row in seen:
        assert "process 1 of 2 differs from process 0 in: the recipe, the wiring" in row["seed"]
        assert "a batch of 1 samples cannot be shared by 2 processes" in row["batch"]
    assert not (folder / "refused" / "model.safetensors").exists()


def test_ctrl_c_in_one_stops_both_and_one_alone_goes_on(pair, alone) -> None:
    folder, seen = pair
    assert [row.get("interrupted") for row in seen] == [True, True]
    history: list[int] = []
    train(
        recipe(),
        folder / "interrupted",
        resume=True,
        progress=lambda done, *_: history.append(done),
    )
    assert history[0] == 8
    assert furthest(folder / "interrupted", alone[1]) < TOLERANCE


def test_a_lost_process_does_not_hang_the_other(pair) -> None:
    assert "another process was lost" in pair[1][0]["lost"]


@pytest.mark.parametrize(("n_samples", "size"), [(33, 2), (7, 3), (4, 4), (128, 5)])
def test_parts_are_the_whole_in_order(n_samples: int, size: int) -> None:
    everyone = [Ranks(rank, size) for rank in range(size)]
    parts = [list(range(n_samples))[ranks.part(n_samples)] for ranks in everyone]
    assert [sample for part in parts for sample in part] == list(range(n_samples))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert sum(r.weight(len(p), n_samples) for r, p in zip(everyone, parts, strict=True)) == (
        pytest.approx(size)
    )


def test_one_process_needs_no_group(monkeypatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_ranks("cpu") as ranks:
        assert ranks == Ranks()
    assert ranks.from_first(lambda: {"a": 1}) == {"a": 1}
    model = torch.nn.Linear(2, 2)
    assert ranks.wrap(model) is model
    assert not torch.distributed.is_initialized()


def test_processes_that_do_not_meet_are_a_clear_error(monkeypatch) -> None:
    values = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "no"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(InputError, match="the processes of torchrun do not meet"),
        join_ranks("cpu"),
    ):
        pass


def test_the_digest_sees_names_types_and_values() -> None:
    one = {"a": torch.zeros(2), "b": torch.ones(2)}
    assert state_digest(one) == state_digest(dict(reversed(one.items())))
    others = [
        {"a": torch.zeros(2), "c": torch.ones(2)},
        {"a": torch.zeros(2), "b": torch.ones(2, dtype=torch.float64)},
        {"a": torch.zeros(2), "b": torch.tensor([1.0, 2.0])},
    ]
    assert len({state_digest(other) for other in [one, *others]}) == 4


@pytest.mark.slow
def test_torchrun_trains_from_the_command_line(tmp_path: Path, alone) -> None:
    toml = tmp_path / "small.toml"
    toml.write_text(recipe().to_toml())
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "gate2hw", "train", str(toml), "-o", str(tmp_path / "out"), "--json"]
    run = subprocess.run(
        [sys.executable, *torchrun, *command],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["accuracy"] == alone[0].accuracy
    digest = load_network(alone[0].model_path).digest
    assert load_network(tmp_path / "out" / "model.safetensors").digest == digest


if __name__ == "__main__":
    worker(Path(sys.argv[1]), int(sys.argv[2]))
