"""Recipes: every key checked, errors with the nearest name, overrides, round trip."""

import tomllib
from pathlib import Path

import pytest

from gate2hw.errors import InputError
from gate2hw.nn.recipe import DenseSpec, load_recipe, parse_recipe, recipes

TEXT = """
[training]
steps = 7
[[layers]]
type = "conv"
kernels = 4
[[layers]]
type = "dense"
width = 20
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "own.toml"
    file.write_text(TEXT)
    return file


def test_shipped_recipes_load_and_survive_the_round_trip() -> None:
    assert {"digits", "digits-orpool"} <= set(recipes())
    for name in recipes():
        recipe = load_recipe(name)
        assert recipe.name == name
        assert parse_recipe(tomllib.loads(recipe.to_toml())) == recipe


def test_file_with_defaults(path: Path) -> None:
    recipe = load_recipe(path)
    assert (recipe.name, recipe.training.steps, recipe.training.batch_size) == ("own", 7, 128)
    assert recipe.layers[1] == DenseSpec(width=20)
    assert recipe.folder == str(path.parent)


def test_overrides(path: Path) -> None:
    recipe = load_recipe(
        path,
        ["training.steps=9", "head.tau=2", "layers.1.width=30", "data.source=a b.npz", "seed=4"],
    )
    assert recipe.training.steps == 9
    assert recipe.head.tau == 2.0
    assert isinstance(recipe.head.tau, float)
    assert recipe.layers[1] == DenseSpec(width=30)
    assert recipe.data.source == "a b.npz"
    assert recipe.seed == 4


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.step=9", "unknown key 'training.step'; did you mean 'steps'"),
        ("trainin.steps=9", "unknown key 'trainin'; did you mean 'training'"),
        ("learning_rate=0.1", "did you mean 'training.learning_rate'"),
        ("layers.1.widht=9", r"unknown key 'layers\.1\.widht'; did you mean 'width'"),
        ("training.steps=many", "training.steps is 'many', but must be an integer"),
        ("training.steps=1.5", "training.steps is 1.5, but must be an integer"),
        ("training.steps=true", "training.steps is True, but must be an integer"),
        ("training.steps=0", "training.steps is 0; it must be at least 1"),
        ("head.tau=0", "head.tau is 0; it must be above 0"),
        ("head.tau=nan", "head.tau is nan"),
        ("data.split=5", "data.split is 5; it must be at least 0 and at most 4"),
        ("name=3", "name is 3, but must be a text"),
        ("training=3", "training is 3, but must be a table"),
        ("layers=3", r"layers must be one or more \[\[layers\]\] tables"),
        ("layers.0.type=cov", "layers.0.type is 'cov'; did you mean 'conv'"),
        ("layers.7.width=3", r"no layer '7', allowed are 0\.\.1"),
        ("layers.0=3", "layers.0 is 3, but must be a table"),
        ("thermometer.kind=uniforn", "thermometer.kind is 'uniforn'; did you mean 'uniform'"),
        ("gates.parametrisation=raw", "Allowed: inputwise, softmax16"),
        ("gates.estimator=gumble", "gates.estimator is 'gumble'; did you mean 'gumbel'"),
        ("gates.temperature=0", r"gates.temperature is 0; it must be at least 0\.01"),
        ("layers.1.wiring=topk", r"layers\.1\.wiring is 'topk'; did you mean 'top-k'"),
        ("layers.1.candidates=1", r"layers\.1\.candidates is 1; it must be at least 2"),
        ("wiring.freeze_at=0", "wiring.freeze_at is 0; it must be above 0"),
        ("augmentation.flip=1", "augmentation.flip is 1, but must be true or false"),
        ("thermometer.thresholds=3", r"thresholds is 3, but must be a list, as in \[1, 2\]"),
        ("thermometer.thresholds=[1, 2.5]", r"thresholds\.1 is 2\.5, but must be an integer"),
        ("thermometer.thresholds=[1, 2]", "kind is 'uniform' and thermometer.thresholds is"),
        ("thermometer.kind=fixed", r"thermometer.thresholds is \[\]; give a list"),
        ("training.warmup_steps=7", "warmup_steps is 7; it must be below training.steps, 7"),
        ("seed.a=3", "unknown key|must be an integer"),
        ("steps", "expected key=value"),
        ("training.steps.a=3", "lies below a value"),
        ("head.tau=inf", r"head\.tau is inf; it must be a number of at most"),
        ("wiring.learning_rate=1e31", "learning_rate is 1e.31; it must be a number of at most"),
        ("training.learning_rate=1" + 400 * "0", r"is 10*\.\.\. \(401 characters\); it must be"),
        ("training.learning_rate=1" + 5000 * "0", "learning_rate is '10*.* but must be a number"),
        ("thermometer.thresholds=[1" + 20 * "0" + "]", r"thresholds\.0 is 10*; it must be"),
        ("folder=x", "unknown key 'folder'"),
    ],
)
def test_bad_values_are_refused(path: Path, override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_recipe(path, [override])


def test_stored_logits_and_augmentation_exclude_each_other(path: Path) -> None:
    stored = "distillation.teacher_logits=t.npz"
    assert load_recipe(path, [stored]).distillation.teacher_logits == "t.npz"
    for change in ("shift=1", "crop=1", "flip=true"):
        with pytest.raises(InputError, match="switch one of the two off"):
            load_recipe(path, [stored, f"augmentation.{change}"])


def test_lists_survive_the_round_trip(path: Path) -> None:
    recipe = load_recipe(path, ["thermometer.kind=fixed", "thermometer.thresholds=[3, 70]"])
    assert recipe.thermometer.thresholds == (3, 70)
    assert recipe.as_dict()["thermometer"]["thresholds"] == [3, 70]
    assert parse_recipe(tomllib.loads(recipe.to_toml())).thermometer == recipe.thermometer


def test_unknown_and_broken_recipes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown recipe 'digit'; did you mean 'digits'"):
        load_recipe("digit")
    with pytest.raises(InputError, match=r"no such recipe file; shipped recipes: .*digits"):
        load_recipe(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text(f"seed = 1{5000 * '0'}")
    with pytest.raises(InputError, match="not valid TOML"):
        load_recipe(broken)
    with pytest.raises(InputError, match="layers are pools only"):
        parse_recipe({"layers": [{"type": "or_pool"}, {"type": "or_pool"}]})
    broken.write_text("layers = [")
    with pytest.raises(InputError, match="not valid TOML"):
        load_recipe(broken)
    broken.write_text("seed = 1")
    with pytest.raises(InputError, match=r"has no \[\[layers\]\]"):
        load_recipe(broken)
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read as a recipe"):
        load_recipe(broken)
