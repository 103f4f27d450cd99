"""The networks in examples/models are what their metadata says, by evaluators without torch."""

import os
from pathlib import Path

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.ir.evaluate import evaluate
from gate2hw.ir.simulate import classes, scores
from gate2hw.ir.store import load_golden, load_network
from gate2hw.ir.unroll import unroll
from gate2hw.nn.data import load_recipe_data
from gate2hw.nn.recipe import parse_recipe

MODELS = sorted(path.parent for path in Path("examples/models").resolve().glob("*/golden.npz"))
by_name = pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)


def test_there_are_models_and_each_is_small() -> None:
    assert {"digits", "monk-1", "adult"} <= {folder.name for folder in MODELS}
    for folder in MODELS:
        assert sum(path.stat().st_size for path in folder.iterdir()) < 1_000_000
        measured = load_network(folder / "model.safetensors").info["measured"]
        assert measured["command"].startswith(f"gate2hw train {folder.name} ")
        assert {"accuracy", "gates", "luts4"} <= set(measured)


@by_name
def test_golden_vectors_are_what_the_network_says(folder: Path) -> None:
    network = load_network(folder / "model.safetensors")
    golden = load_golden(folder / "golden.npz")
    assert golden.digest == network.digest
    assert np.array_equal(evaluate(network, golden.x), golden.scores)
    assert np.array_equal(classes(golden.scores), golden.classes)
    few = slice(0, 200)
    assert np.array_equal(scores(unroll(network), golden.x[few]), golden.scores[few])


@by_name
def test_stored_accuracy_is_that_of_the_test_split(folder: Path) -> None:
    network = load_network(folder / "model.safetensors")
    recipe = parse_recipe(network.info["recipe"], name=folder.name)
    try:
        data = load_recipe_data(recipe, os.environ.get("GATE2HW_DATA"))
    except InputError as error:
        pytest.skip(f"the data set is not here: {error}")
    found = float(np.mean(classes(evaluate(network, data.x_test)) == data.y_test))
    assert found == network.info["accuracy"] == network.info["measured"]["accuracy"]
