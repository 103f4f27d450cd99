"""The recipes of published networks build what the papers say."""

import numpy as np
import pytest

from gate2hw.nn.encoding import Thermometer
from gate2hw.nn.layers import GroupSum, LogicConv2d, LogicDense, OrPool2d
from gate2hw.nn.model import LogicModel, build_model
from gate2hw.nn.recipe import load_recipe, recipes

# the table of arXiv 2411.04732: (k, channels, rows, tau), and learning rate, weight decay, batch
_PUBLISHED = {
    "mnist-s": (16, 1, 28, 6.5),
    "cifar-s": (32, 3, 32, 20),
    "cifar-m": (256, 3, 32, 40),
}
_TRAINING = {"cifar-s": (0.02, 0.002, 128), "cifar-m": (0.02, 0.002, 128)}


def _model(name: str) -> LogicModel:
    recipe = load_recipe(name)
    _, channels, rows, *_ = _PUBLISHED[name]
    shape = (channels, rows, rows)
    thresholds = np.tile(np.array(recipe.thermometer.thresholds), (channels, 1))
    return build_model(recipe, Thermometer(thresholds, shape, 255), 10)


def _instantiated(model: LogicModel) -> int:
    """Gates with weights unrolled; an OR pool of n places is n - 1 gates."""
    total = 0
    for layer in model.children():
        if isinstance(layer, LogicConv2d):
            total += layer.kernels * (2**layer.depth - 1) * int(np.prod(layer.positions))
        elif isinstance(layer, OrPool2d):
            total += int(np.prod(layer.output_shape)) * (int(np.prod(layer.window)) - 1)
        elif isinstance(layer, LogicDense):
            total += layer.width
    return total


@pytest.mark.parametrize("name", _PUBLISHED)
def test_recipes_say_what_the_paper_says(name: str) -> None:
    k, _, _, tau = _PUBLISHED[name]
    recipe = load_recipe(name)
    assert recipe.head.tau == tau
    widths = [layer.width for layer in recipe.layers if hasattr(layer, "width")]
    assert widths == [1280 * k, 640 * k, 320 * k]


@pytest.mark.parametrize("name", _TRAINING)
def test_training_is_the_papers(name: str) -> None:
    recipe = load_recipe(name)
    training = recipe.training
    found = (training.learning_rate, training.weight_decay, training.batch_size)
    assert found == _TRAINING[name]
    # logit 5 for "A" against 0 for the other 15
    assert abs(np.exp(5) / (np.exp(5) + 15) - recipe.gates.residual) < 1e-3


def test_mnist_s_has_the_published_shapes() -> None:
    model = _model("mnist-s")
    shapes = [tuple(layer.output_shape) for layer in model.children()][1:7]
    assert shapes == [
        (16, 24, 24),
        (16, 12, 12),
        (48, 10, 10),
        (48, 6, 6),
        (144, 4, 4),
        (144, 3, 3),
    ]
    assert isinstance(model.group_sum, GroupSum)
    assert model.group_sum.n_outputs == 320 * 16


def test_cifar_s_has_the_published_gates() -> None:
    model = _model("cifar-s")
    shapes = [tuple(layer.output_shape) for layer in model.children()]
    assert shapes[0] == (9, 32, 32)
    assert shapes[8] == (1024, 2, 2)
    assert int(np.prod(shapes[8])) == 128 * 32
    assert round(_instantiated(model) / 1e6, 2) == 0.96
    first = model.get_submodule("conv1")
    assert isinstance(first, LogicConv2d)
    assert (first.depth, tuple(first.leaves.shape)) == (3, (32, 8, 3))
    # each tree looks at two input channels
    assert max(len(set(tree[:, 0].tolist())) for tree in first.leaves) <= 2


@pytest.mark.slow
def test_cifar_m_has_the_published_gates() -> None:
    assert round(_instantiated(_model("cifar-m")) / 1e6, 2) == 7.68


@pytest.mark.parametrize(
    "name", ["monk-1", "monk-2", "monk-3", "adult", "breast-cancer", "jets", "fashion-mnist"]
)
def test_recipes_are_named_after_their_data(name: str) -> None:
    recipe = load_recipe(name)
    assert (recipe.data.source, recipe.seed) == (name, 0)


_SHAPES = {
    "mnist": (1, 28, 28),
    "fashion-mnist": (1, 28, 28),
    "cifar10": (3, 32, 32),
    "digits": (1, 8, 8),
}


@pytest.mark.parametrize("name", sorted(set(recipes()) - {"cifar-m"}))
def test_every_shipped_recipe_builds_a_model(name: str) -> None:
    recipe = load_recipe(name)
    shape = _SHAPES.get(recipe.data.source, (17,))
    n_thresholds = len(recipe.thermometer.thresholds) or recipe.thermometer.n_thresholds
    thresholds = np.tile(1.0 + np.arange(n_thresholds), (shape[0], 1))
    model = build_model(recipe, Thermometer(thresholds, shape, 255), 10)
    assert model.group_sum.n_outputs % 10 == 0
