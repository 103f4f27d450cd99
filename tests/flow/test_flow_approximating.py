"""The lossy step: samples found or refused, a new root of the chain, the exact model untouched."""

import numpy as np
import pytest

from gate2hw import flow
from gate2hw.errors import CheckFailedError, InputError
from gate2hw.flow.approximating import approximate_within, load_samples
from gate2hw.flow.build import BuildFolder
from gate2hw.flow.signoff.checks import check_software, load_chain
from gate2hw.ir.simulate import scores
from gate2hw.ir.store import load_golden, load_network, save_golden, save_network


@pytest.fixture
def samples_file(small_model, tmp_path):
    """Samples whose labels are the model's own classes."""
    network = load_network(small_model / "model.safetensors")
    thermometer = network.thermometer
    rng = np.random.default_rng(0)
    x = rng.integers(0, thermometer.max_value + 1, (400, *thermometer.input_shape))
    from gate2hw.ir.unroll import unroll

    y = scores(unroll(network), x).argmax(axis=1)
    path = tmp_path / "samples.npz"
    np.savez(path, x=x[:300], y=y[:300], x_validation=x[300:], y_validation=y[300:])
    return path


def test_a_lossy_build_is_a_root_of_its_own(small_model, samples_file, tmp_path):
    out = tmp_path / "build"
    exact = flow.compile(small_model, tmp_path / "exact").result
    result = flow.compile(small_model, out, accuracy_budget=0.05, samples=samples_file).result
    lossy, network = result["approximation"], load_network(out / "model.safetensors")
    assert result["gates"]["optimised"] < exact["gates"]["optimised"]
    assert lossy["validation"]["exact"] == 1.0
    assert lossy["validation"]["approximate"] >= 0.95
    assert lossy["curve"][0]["n_gates"] == exact["gates"]["optimised"]
    assert result["root_digest"] != network.digest == lossy["exact_digest"]
    chain = load_chain(BuildFolder(out))
    assert chain.golden.digest == chain.raw.digest == chain.net.digest == result["root_digest"]
    assert check_software(chain, 64)["mismatches"] == 0
    # the golden file of the exact model still stands beside the model
    assert load_golden(out / "golden.npz").digest == network.digest
    again = flow.compile(out, out)
    assert again.result["approximation"] is None
    assert not (out / "golden_lossy.npz").exists()


def test_a_wrong_approximated_golden_file_is_caught(small_model, samples_file, tmp_path):
    out = tmp_path / "build"
    flow.compile(small_model, out, accuracy_budget=0.05, samples=samples_file)
    golden = load_golden(out / "golden_lossy.npz")
    wrong = np.array(golden.scores)
    wrong[0, 0] += 1
    save_golden(out / "golden_lossy.npz", type(golden)(**{**vars(golden), "scores": wrong}))
    with pytest.raises(CheckFailedError, match="differ"):
        check_software(load_chain(BuildFolder(out)), 64)


def test_without_a_recipe_the_way_out_is_named(small_model, tmp_path):
    network = load_network(small_model / "model.safetensors")
    save_network(tmp_path / "model.safetensors", network)
    with pytest.raises(InputError, match="--samples"):
        load_samples(tmp_path / "model.safetensors", None, None)


@pytest.mark.parametrize(
    ("fault", "message"),
    [("missing", "lacks y_validation"), ("length", "x has shape"), ("label", "labels")],
)
def test_bad_samples_are_refused(small_model, samples_file, tmp_path, fault, message):
    with np.load(samples_file) as archive:
        arrays = dict(archive)
    if fault == "missing":
        del arrays["y_validation"]
    elif fault == "length":
        arrays["y"] = arrays["y"][:-1]
    else:
        arrays["y"][0] = 99
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError, match=message):
        flow.compile(
            small_model, tmp_path / "b", accuracy_budget=0.01, samples=tmp_path / "bad.npz"
        )


def test_samples_without_a_budget_are_refused(small_model, samples_file, tmp_path):
    with pytest.raises(InputError, match="budget"):
        flow.compile(small_model, tmp_path / "b", samples=samples_file)


def test_accuracy_and_probability_both_bind(small_model, samples_file):
    """With budget 0 no validation sample is lost, and the smooth measure does not fall."""
    network = load_network(small_model / "model.safetensors")
    from gate2hw.ir.unroll import unroll

    found = approximate_within(
        unroll(network),
        network,
        load_samples(None, samples_file, None),
        None,
        budget=0.0,
        count_luts=lambda net: net.n_gates,
        progress=lambda done, total, message: None,
    )
    assert found.golden is None
    assert "test" not in found.record
    assert found.record["validation"]["approximate"] == 1.0
