"""Every method trains, is exported bit for bit, and resumes bit for bit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from _pytest.mark import ParameterSet
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gate2hw.errors import InputError
from gate2hw.ir.simulate import scores
from gate2hw.ir.store import load_golden, load_network
from gate2hw.ir.unroll import unroll
from gate2hw.nn import build_model, load_recipe, make_thermometer, train
from gate2hw.nn.checkpoint import Sampler, seeded_generators
from gate2hw.nn.data import load_recipe_data
from gate2hw.nn.distill import save_teacher_logits
from gate2hw.nn.gates import GateWeights
from gate2hw.nn.methods import apply_schedule, parameter_groups
from gate2hw.nn.recipe import Recipe

RECIPE = """
layers = [
    {type = "conv", kernels = 12, depth = 1, channels_per_tree = 2},
    {type = "dense", width = 150},
    {type = "dense", width = 60},
]
data = {source = "stripes.npz"}
thermometer = {n_thresholds = 2}
head = {tau = 3.0}

[training]
steps = 60
batch_size = 32
learning_rate = 0.15
evaluate_every = 20
checkpoint_every = 20
"""
ALL_AT_ONCE = (
    "gates.estimator=gumbel",
    "gates.temperature=2",
    "gates.temperature_end=0.5",
    "layers.0.wiring=top-k",
    "layers.1.wiring=top-k",
    "wiring.freeze_at=0.6",
    "thermometer.learned=true",
    "augmentation.shift=1",
    "augmentation.flip=true",
    "training.warmup_steps=10",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three classes of 6 x 6 images: bright rows, bright columns, a bright corner; with noise."""
    rng = np.random.default_rng(0)
    y = np.arange(600) % 3
    x = rng.integers(0, 100, (600, 6, 6))
    for number, label in enumerate(y):
        place = rng.integers(0, 6)
        if label == 0:
            x[number, place] += 150
        elif label == 1:
            x[number, :, place] += 150
        else:
            x[number, :3, :3] += 150
    path = tmp_path_factory.mktemp("stripes")
    np.savez(path / "stripes.npz", x=x.astype(np.uint8), y=y)
    (path / "toy.toml").write_text(RECIPE)
    return path


def _recipe(folder: Path, *overrides: str) -> Recipe:
    return load_recipe(folder / "toy.toml", overrides)


def _teacher(x: torch.Tensor) -> torch.Tensor:
    image = x[:, 0].float() / 20
    rows, columns = image.mean(2).amax(1), image.mean(1).amax(1)
    return torch.stack([rows - columns, columns - rows, image[:, :3, :3].mean((1, 2)) - 4], 1)


def _slow(*overrides: str) -> ParameterSet:
    return pytest.param(overrides, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "overrides",
    [
        _slow("gates.parametrisation=softmax16"),
        ("gates.parametrisation=walsh",),
        ("gates.estimator=straight-through",),
        _slow("gates.estimator=gumbel", "gates.residual=0.99"),
        ("gates.estimator=gumbel", "gates.parametrisation=softmax16"),
        _slow("gates.estimator=gumbel", "gates.parametrisation=walsh", "gates.residual=0.99"),
        _slow("gates.temperature=2", "gates.temperature_end=0.5"),
        ("gates.harden_at=0.5",),
        _slow("layers.0.wiring=random", "layers.1.wiring=random"),
        _slow("layers.0.wiring=local", "layers.1.wiring=local", "layers.1.reach=2"),
        ("layers.0.wiring=top-k", "layers.1.wiring=top-k"),
        _slow("layers.1.wiring=top-k", "wiring.estimator=straight-through", "wiring.freeze_at=1"),
        ("thermometer.learned=true",),
        _slow("thermometer.kind=quantile", "thermometer.learned=true"),
        _slow("thermometer.kind=fixed", "thermometer.thresholds=[90, 150]"),
        ("augmentation.shift=1", "augmentation.flip=true", "augmentation.crop=1"),
        _slow("training.schedule=constant", "training.warmup_steps=10"),
    ],
    ids=" ".join,
)
def test_a_method_learns_and_is_exported_bit_for_bit(folder, tmp_path, overrides) -> None:
    result = train(_recipe(folder, "training.steps=200", *overrides), tmp_path)
    golden, network = load_golden(result.golden_path), load_network(result.model_path)
    assert np.array_equal(scores(unroll(network), golden.x), golden.scores)
    assert np.mean(golden.classes == golden.y) == result.accuracy
    assert result.accuracy > 0.6  # chance is 1/3


@pytest.mark.parametrize("stop_at", [13, 35, 47])
def test_resume_with_every_source_of_randomness(folder, tmp_path, stop_at: int) -> None:
    def interrupt(done: int, total: int, message: str) -> None:
        if done == stop_at:
            raise KeyboardInterrupt

    recipe = _recipe(folder, *ALL_AT_ONCE)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    result = train(recipe, whole, teacher=_teacher)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, parts, progress=interrupt, teacher=_teacher)
    again = train(recipe, parts, resume=True, teacher=_teacher)
    a, b = (load_file(path / "checkpoint.safetensors") for path in (whole, parts))
    assert a.keys() == b.keys()
    assert [key for key in a if not torch.equal(a[key], b[key])] == []
    assert {"generator/noise", "generator/augmentation", "sampler/generator"} <= a.keys()
    digests = [load_network(path / "model.safetensors").digest for path in (whole, parts)]
    assert digests[0] == digests[1]
    finished = train(recipe, parts, resume=True, teacher=_teacher)
    assert result.accuracy_soft == again.accuracy_soft == finished.accuracy_soft


def test_no_two_sources_of_randomness_share_their_numbers() -> None:
    drawn = []
    for seed in (0, 1, 2**31 - 1):
        generators = [*seeded_generators(seed, torch.device("cpu")).values()]
        generators.append(Sampler(10, 5, seed).generator.manual_seed(seed))
        drawn += [torch.rand(3, generator=generator).tolist() for generator in generators]
    assert len({tuple(numbers) for numbers in drawn}) == 9


@pytest.mark.parametrize("source", ["noise", "augmentation"])
def test_the_comparison_sees_a_generator_that_was_not_restored(
    folder, tmp_path, monkeypatch, source
) -> None:
    recipe = _recipe(folder, *ALL_AT_ONCE, "training.steps=30")
    digest = load_network(train(recipe, tmp_path / "whole").model_path).digest

    def interrupt(done: int, total: int, message: str) -> None:
        if done == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path, progress=interrupt)
    path = tmp_path / "checkpoint.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    tensors[f"generator/{source}"] = torch.Generator().manual_seed(77).get_state()
    save_file(tensors, path, metadata)
    assert load_network(train(recipe, tmp_path, resume=True).model_path).digest != digest


def test_a_teacher_is_followed(folder, tmp_path) -> None:
    recipe = _recipe(folder, "distillation.alpha=1", "training.steps=120")
    calls: list[torch.Tensor] = []

    def wrong(x: torch.Tensor) -> torch.Tensor:
        calls.append(x)
        return _teacher(x).roll(1, 1)

    assert train(recipe, tmp_path / "right", teacher=_teacher).accuracy_validation > 0.6
    assert train(recipe, tmp_path / "wrong", teacher=wrong).accuracy_validation < 0.3
    assert calls[0].shape == (32, 1, 6, 6)
    assert not calls[0].is_floating_point()
    with pytest.raises(InputError, match=r"teacher gives \(32, 2\) logits, expected \(32, 3\)"):
        train(recipe, tmp_path / "bad", teacher=lambda x: _teacher(x)[:, :2])


def test_stored_logits_teach_as_the_teacher_does(folder, tmp_path) -> None:
    plain = _recipe(folder, "training.steps=20")
    data = load_recipe_data(plain, None)
    save_teacher_logits(folder / "teacher.npz", _teacher, data.x_train)
    named = _recipe(folder, "training.steps=20", "distillation.teacher_logits=teacher.npz")
    first = train(plain, tmp_path / "a", teacher=_teacher)
    second = train(named, tmp_path / "b")
    digests = [load_network(result.model_path).digest for result in (first, second)]
    assert digests[0] == digests[1]
    with pytest.raises(InputError, match="two teachers"):
        train(named, tmp_path / "c", teacher=_teacher)
    with pytest.raises(InputError, match=r"augmentation\.shift is 6"):
        train(_recipe(folder, "augmentation.shift=6"), tmp_path / "d")


def test_schedules_reach_the_model(folder) -> None:
    recipe = _recipe(folder, *ALL_AT_ONCE, "thermometer.width=0.04", "thermometer.width_end=0.01")
    data = load_recipe_data(recipe, None)
    model = build_model(recipe, make_thermometer(data, recipe.thermometer), data.n_classes)
    seen = []
    for step in (0, 30, 36, 60):
        apply_schedule(model, recipe, step)
        gates, dense = model.dense1.gates, model.dense1
        seen.append((gates.temperature, model.thermometer.width, dense.select.frozen))
    wanted = [(2, 0.04, False), (1, 0.02, False), (None, None, True), (0.5, 0.01, True)]
    for got, expected in zip(seen, wanted, strict=True):
        assert got[2] == expected[2]
        if expected[0] is not None:
            assert got[:2] == pytest.approx(expected[:2])


@pytest.mark.parametrize(("share", "wanted"), [("0.5", "straight-through"), ("1", "gumbel")])
def test_gates_harden_at_their_share_of_the_steps(folder, share, wanted) -> None:
    recipe = _recipe(folder, "gates.estimator=gumbel", f"gates.harden_at={share}")
    data = load_recipe_data(recipe, None)
    model = build_model(recipe, make_thermometer(data, recipe.thermometer), data.n_classes)
    found = []
    for step in (29, 30, 60, 29):
        apply_schedule(model, recipe, step)
        found.append(model.dense1.gates.estimator)
    assert found == ["gumbel", wanted, wanted, "gumbel"]


def test_gates_harden_layer_by_layer(folder) -> None:
    recipe = _recipe(folder, "gates.harden_at=0.5", "gates.harden_until=0.8")
    data = load_recipe_data(recipe, None)
    model = build_model(recipe, make_thermometer(data, recipe.thermometer), data.n_classes)
    gates = [module for module in model.modules() if isinstance(module, GateWeights)]
    assert len(gates) > 1
    found = []
    for step in (29, 30, 47, 48):
        apply_schedule(model, recipe, step)
        found.append([layer.estimator == "straight-through" for layer in gates])
    last = len(gates) - 1
    assert [found[0][0], found[1][0]] == [False, True]
    assert [found[2][last], found[3][last]] == [False, True]
    assert all(sorted(layers, reverse=True) == layers for layers in found)


@pytest.mark.parametrize("keys", [("0.5", "0.4"), ("0.5", "1"), ("1", "0.8")])
def test_the_last_layer_hardens_after_the_first_and_before_the_end(folder, keys) -> None:
    at, until = keys
    with pytest.raises(InputError, match=r"gates\.harden_until is .* it must be at least"):
        _recipe(folder, f"gates.harden_at={at}", f"gates.harden_until={until}")


def test_thresholds_and_wiring_have_rates_of_their_own(folder) -> None:
    recipe = _recipe(folder, *ALL_AT_ONCE, "wiring.learning_rate=0.3", "training.weight_decay=0.1")
    data = load_recipe_data(recipe, None)
    model = build_model(recipe, make_thermometer(data, recipe.thermometer), data.n_classes)
    groups = parameter_groups(model, recipe)
    assert [group["full_lr"] for group in groups] == [0.15, 0.002, 0.3]
    assert [group.get("weight_decay") for group in groups] == [None, 0.0, 0.0]
    assert groups[1]["params"] == [model.thermometer.raw]
    numbers = [len(group["params"]) for group in groups]
    assert numbers == [3, 1, 2]
    assert sum(numbers) == len(list(model.parameters()))
