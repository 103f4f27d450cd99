"""Imports against samples that the peers' own packages made (data/make_samples.py), and traps."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from gate2hw.errors import CheckFailedError, InputError, ModelFileError
from gate2hw.flow import importing
from gate2hw.flow.importing import import_model
from gate2hw.formats import plain
from gate2hw.formats.spec import ImportSpec, InputSpec, parse_spec
from gate2hw.formats.tensors import natural, read_tensors
from gate2hw.formats.torchlogix import decode_tables
from gate2hw.ir.gates import reverse_address
from gate2hw.ir.simulate import classes, scores
from gate2hw.ir.store import load_network
from gate2hw.ir.unroll import unroll
from gate2hw.nn.foreign import read_state_dict

DATA = Path(__file__).parent / "data"

THREE = "[output]\nclasses = 3\ntau = 2.5\n"
WARP = '[gates]\nparametrisation = "warp"\n'
LIGHT = '[gates]\nparametrisation = "light"\n'
CONV = """
[input]
shape = [2, 6, 5]
max_value = 255
thresholds = "0.thresholds"
[[layers]]
op = "conv"
key = "1"
field = 3
padding = 1
[[layers]]
op = "pool"
window = 2
[[layers]]
op = "dense"
key = "4"
[output]
classes = 2
beta = 3.0
"""
INTERLEAVED = """
[input]
shape = [1, 4, 4]
max_value = 255
thresholds = "0"
order = "interleaved"
[output]
classes = 3
"""
FOUR = "[output]\nclasses = 3\ntau = 4.0\n"
SAMPLES = {
    "raw": ("torchlogix", "raw.pt", THREE),
    "warp": ("torchlogix", "warp.pt", THREE + WARP),
    "warp4": ("torchlogix", "warp4.pt", THREE + WARP),
    "light4": ("torchlogix", "light4.pt", THREE + LIGHT),
    "learnable": ("torchlogix", "learnable.pt", THREE),
    "conv": ("torchlogix", "conv.pt", CONV),
    "interleaved": ("torchlogix", "interleaved.pt", INTERLEAVED + LIGHT),
    "circuit": ("torchlogix", "circuit.json", ""),
    "circuit_simplified": ("torchlogix", "circuit_simplified.json", ""),
    "difflogic": ("difflogic", "difflogic.pt", FOUR),
    "difflogic8": ("difflogic", "difflogic8.c", "[output]\ntau = 4.0\n"),
    "difflogic64": ("difflogic", "difflogic64.c", "[output]\ntau = 4.0\n"),
    "dwn": ("dwn", "dwn.pt", "[output]\nclasses = 3\ntau = 2.0\n"),
}


def run(name, tmp_path, *, file=None, spec=None, **options):
    source, default, text = SAMPLES[name]
    if name == "difflogic" and "wiring" not in options:
        options["wiring"] = DATA / "difflogic.wiring.npz"
    given = parse_spec(text if spec is None else spec)
    return import_model(file or DATA / default, source, tmp_path / "m.st", spec=given, **options)


def check_file(name: str) -> Path:
    return DATA / f"{re.sub(r'(?<=difflogic)[0-9]+', '', name)}.check.npz"


@pytest.mark.parametrize("name", SAMPLES)
def test_equals_what_the_package_computed(name, tmp_path):
    result = run(name, tmp_path, check=check_file(name))
    assert result["check"]["compared_with"] == [
        "the original, evaluated plainly",
        "the stored scores",
    ]
    # once more, by hand
    network = load_network(tmp_path / "m.st")
    stored = np.load(check_file(name))
    x = stored["inputs"].reshape(-1, *network.thermometer.input_shape)
    found = scores(unroll(network), x)
    np.testing.assert_allclose(found / network.group_sum.tau, stored["outputs"], rtol=1e-5)


@pytest.mark.parametrize("name", SAMPLES)
def test_random_inputs_without_a_check_file(name, tmp_path):
    assert run(name, tmp_path)["check"]["n_samples"] == importing.N_RANDOM


@pytest.mark.parametrize("name", ["raw", "conv", "difflogic", "dwn", "learnable"])
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_state_dicts_without_torch(name, suffix, tmp_path):
    from safetensors.numpy import save_file

    tensors = read_state_dict(DATA / f"{name}.pt")
    path = tmp_path / f"s{suffix}"
    if suffix == ".npz":
        np.savez(path, **tensors)
    else:
        save_file(tensors, path)
    first = run(name, tmp_path)["digest"]
    assert run(name, tmp_path, file=path)["digest"] == first


def test_classes_can_be_checked_too(tmp_path):
    stored = np.load(check_file("raw"))
    winners = stored["outputs"].argmax(axis=1)
    np.savez(tmp_path / "c.npz", inputs=stored["inputs"], outputs=winners)
    result = run("raw", tmp_path, check=tmp_path / "c.npz")
    assert result["check"]["compared_with"][1] == "the stored classes"
    np.savez(tmp_path / "c.npz", inputs=stored["inputs"], outputs=(winners + 1) % 3)
    with pytest.raises(CheckFailedError, match="differs from the stored classes on 64 of 64"):
        run("raw", tmp_path, check=tmp_path / "c.npz")


def test_float_inputs_of_a_check_file_are_scaled_back(tmp_path):
    stored = np.load(check_file("conv"))
    floats = stored["inputs"].astype(np.float32) / 255
    np.savez(tmp_path / "c.npz", inputs=floats, outputs=stored["outputs"])
    run("conv", tmp_path, check=tmp_path / "c.npz")
    np.savez(tmp_path / "c.npz", inputs=floats + 0.001, outputs=stored["outputs"])
    with pytest.raises(InputError, match="not integers / scale"):
        run("conv", tmp_path, check=tmp_path / "c.npz")


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("raw", THREE + '[gates]\nid_order = "lsb"\n'),
        ("warp", THREE + LIGHT),
        ("warp4", THREE + LIGHT),
        ("interleaved", INTERLEAVED.replace('"interleaved"', '"channel-major"') + LIGHT),
        ("conv", CONV.replace("beta = 3.0", "beta = 2.0")),
    ],
)
def test_a_wrong_spec_fails_the_stored_check_and_writes_nothing(name, spec, tmp_path):
    with pytest.raises(CheckFailedError, match="differs from the stored scores"):
        run(name, tmp_path, spec=spec, check=check_file(name))
    assert not (tmp_path / "m.st").exists()


@pytest.mark.parametrize("name", ["raw", "warp", "conv", "circuit", "difflogic64", "dwn"])
def test_a_planted_fault_in_the_importer_is_caught_on_random_inputs(name, tmp_path, monkeypatch):
    """The plain evaluator shares no code with the importers, so it sees what they do wrong."""
    from gate2hw.formats.foreign_layers import Stack

    honest = Stack.dense

    def wrong(self, where, wiring, tables):
        tables = tables.copy()
        tables[: len(tables) // 2] ^= np.uint64(1)
        honest(self, where, wiring, tables)

    monkeypatch.setattr(Stack, "dense", wrong)
    with pytest.raises(CheckFailedError, match="evaluated plainly"):
        run(name, tmp_path)
    assert not (tmp_path / "m.st").exists()


def test_forks_with_reversed_gate_ids(tmp_path):
    tensors = read_state_dict(DATA / "raw.pt")
    for key in ("0.weight", "1.weight"):
        tensors[key] = tensors[key][:, reverse_address]
    np.savez(tmp_path / "fork.npz", **tensors)
    lsb = THREE + '[gates]\nid_order = "lsb"\n'
    run("raw", tmp_path, file=tmp_path / "fork.npz", spec=lsb, check=check_file("raw"))
    with pytest.raises(CheckFailedError):
        run("raw", tmp_path, file=tmp_path / "fork.npz", check=check_file("raw"))


def test_ties_of_logits_go_to_the_lowest_id():
    tables = decode_tables(np.zeros((1, 16)), 2, ImportSpec(), "layer")
    assert tables.tolist() == [0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("0.connections.indices"), "saved without its wiring"),
        (lambda t: t.update({"0.weight": t["0.weight"][:, :4]}), "warp and light weights cannot"),
        (lambda t: t.update({"0.weight": t["0.weight"][:, :5]}), "5 weights a gate"),
        (
            lambda t: t.update({"0.connections.indices": np.zeros((4, 24), np.int64)}),
            "warp and light weights cannot",
        ),
        (lambda t: t.update({"0.weight": t["0.weight"] * np.nan}), "not finite"),
        (lambda t: t.update({"1.connections.indices": 24 + 0 * t["1.connections.indices"]}), "24"),
        (lambda t: t.update({"9.running_mean": np.zeros(3)}), "'9.running_mean' belongs to no"),
        (lambda t: t.clear(), "holds no layers of torchlogix"),
        (lambda t: t.update({"0.weight": t["0.weight"][:5]}), "5 gates, but wiring for 24"),
    ],
)
def test_torchlogix_traps(change, message, tmp_path):
    tensors = read_state_dict(DATA / "raw.pt")
    change(tensors)
    np.savez(tmp_path / "t.npz", **tensors)
    with pytest.raises((InputError, ModelFileError), match=message):
        run("raw", tmp_path, file=tmp_path / "t.npz")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("padding = 1", "padding = 0", "30 positions are stored, but field"),
        ("field = 3", "field = 2", "outside the field"),
        ("padding = 1", "padding = 1\nstride = 2", "positions are stored"),
        ("[2, 6, 5]", "[2, 5, 6]", "the stored positions are not those"),
        ('op = "pool"\nwindow = 2', 'op = "pool"\nwindow = 3\nstride = 1', "wrong|differs"),
        ('[[layers]]\nop = "dense"\nkey = "4"\n', "", "leaves out layer '4'"),
        ('thresholds = "0.thresholds"', "thresholds = [[0.2, 0.5, 0.5001], [0.0, 0.4, 1.0]]", ""),
        ("beta = 3.0", "beta = 0.5", "beta is 0.5, no whole number of votes"),
        ("beta = 3.0", "beta = -1.0", "cannot score less than nothing"),
        ("classes = 2", "classes = 3", "cannot be 3 classes of equal size"),
        ("classes = 2", "", "number of classes is not stored"),
    ],
)
def test_what_a_spec_gets_wrong(old, new, message, tmp_path):
    assert old in CONV
    spec = CONV.replace(old, new)
    if not message:
        run("conv", tmp_path, spec=spec, check=check_file("conv"))
        return
    with pytest.raises((InputError, CheckFailedError), match=message):
        run("conv", tmp_path, spec=spec, check=check_file("conv"))


def test_convolutions_and_thresholds_ask_for_a_spec(tmp_path):
    with pytest.raises(InputError, match=r"convolutions \(1\), whose padding, stride and pooling"):
        run("conv", tmp_path, spec=CONV[: CONV.index("[[layers]]")])
    with pytest.raises(InputError, match="holds thresholds"):
        run("interleaved", tmp_path, spec="[output]\nclasses = 3\n" + LIGHT)


def test_wiring_of_difflogic(tmp_path):
    with pytest.raises(InputError, match=r"does not hold the wiring: .* --wiring: np\.savez"):
        run("difflogic", tmp_path, wiring=None)
    np.savez(tmp_path / "w.npz", a_0=np.zeros(16, np.int64))
    with pytest.raises(InputError, match="'b_0'"):
        run("difflogic", tmp_path, wiring=tmp_path / "w.npz")
    whole = dict(np.load(DATA / "difflogic.wiring.npz"))
    np.savez(tmp_path / "w.npz", **{k: v for k, v in whole.items() if k != "b_1"})
    with pytest.raises(InputError, match="lacks 'b_1'"):
        run("difflogic", tmp_path, wiring=tmp_path / "w.npz")
    with pytest.raises(InputError, match="--wiring belongs to a state dict"):
        run("raw", tmp_path, wiring=DATA / "difflogic.wiring.npz")


def test_the_three_ways_into_difflogic_agree(tmp_path):
    x = np.load(check_file("difflogic"))["inputs"]
    found = []
    for name in ("difflogic", "difflogic8", "difflogic64"):
        run(name, tmp_path)
        found.append(scores(unroll(load_network(tmp_path / "m.st")), x))
    assert (found[0] == found[1]).all()
    assert (found[1] == found[2]).all()


def test_dwn_refuses_what_it_lacks(tmp_path):
    tensors = read_state_dict(DATA / "dwn.pt")
    for drop, message in (("1.mapping", "saved without its mapping"), ("1.luts", "is no layer|")):
        np.savez(tmp_path / "t.npz", **{k: v for k, v in tensors.items() if k != drop})
        with pytest.raises((InputError, CheckFailedError), match=message):
            run("dwn", tmp_path, file=tmp_path / "t.npz", check=check_file("dwn"))
    tensors["1.luts"] = np.zeros((10, 128), np.float32)
    np.savez(tmp_path / "t.npz", **tensors)
    with pytest.raises(InputError, match=r"tables of 128 entries"):
        run("dwn", tmp_path, file=tmp_path / "t.npz")


def test_a_pickled_model_is_refused_with_the_lines_that_convert_it(tmp_path):

    torch.save(torch.nn.Linear(2, 2), tmp_path / "m.pt")
    with pytest.raises(InputError, match=r"weights_only=False\); torch\.save\(model\.state_dict"):
        run("raw", tmp_path, file=tmp_path / "m.pt")
    whole = (DATA / "raw.pt").read_bytes()
    for size in (0, 100, len(whole) // 2):
        (tmp_path / "m.pt").write_bytes(whole[:size])
        with pytest.raises((InputError, ModelFileError)) as caught:
            run("raw", tmp_path, file=tmp_path / "m.pt")
        assert "\n" not in str(caught.value)
    torch.save({"state_dict": torch.load(DATA / "raw.pt", weights_only=True)}, tmp_path / "m.pt")
    run("raw", tmp_path, file=tmp_path / "m.pt", check=check_file("raw"))


@pytest.mark.parametrize(
    ("source", "file", "message"),
    [
        ("dwn", "circuit.json", "come from torchlogix"),
        ("torchlogix", "difflogic8.c", "come from torchlogix"),
        ("difflogic", "raw.pt", "does not hold the wiring"),
        ("dwn", "raw.pt", "no state dict of torch_dwn"),
        ("torchlogix", "dwn.pt", "belongs to no layer"),
        ("torchlogix", "make_samples.py", "are read from"),
        ("torchlogix", "none.npz", "no such file"),
    ],
)
def test_the_wrong_tool(source, file, message, tmp_path):
    with pytest.raises(InputError, match=message):
        import_model(DATA / file, source, tmp_path / "m.st", spec=parse_spec(THREE))


def test_natural_order_of_layers():
    assert sorted(["10.weight", "9.weight", "a.2", "2.weight"], key=natural)[:3] == [
        "2.weight",
        "9.weight",
        "10.weight",
    ]


def test_threshold_major_bits_of_difflogic():
    """Channel t*3 + c, as its CIFAR loader stacks them."""
    x = np.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2)
    spec = ImportSpec(InputSpec((3, 2, 2), 24, (1.0,), (0.0,), ((5.5, 11.5),), "threshold-major"))
    bits = plain.foreign_bits(x, spec)
    assert bits.shape == (2, 6, 2, 2)
    for t, threshold in enumerate((5.5, 11.5)):
        for c in range(3):
            assert (bits[:, t * 3 + c] == (x[:, c] > threshold)).all()


@pytest.mark.parametrize("order", ["channel-major", "threshold-major", "interleaved"])
def test_orders_of_bits(order, tmp_path):
    """A random difflogic net over an image: the importer permutes, the evaluator does not."""
    rng = np.random.default_rng(1)
    wiring = {f"{s}_{i}": rng.integers(0, 24 if i == 0 else 18, 18) for i in (0, 1) for s in "ab"}
    np.savez(tmp_path / "w.npz", **wiring)
    np.savez(tmp_path / "s.npz", **{f"{i}.weights": rng.normal(size=(18, 16)) for i in (1, 2)})
    spec = (
        f'[input]\nshape = [3, 2, 2]\nmax_value = 255\nthresholds = [0.3, 0.7]\norder = "{order}"\n'
        "[output]\nclasses = 3\n"
    )
    run("difflogic", tmp_path, file=tmp_path / "s.npz", wiring=tmp_path / "w.npz", spec=spec)
    network = load_network(tmp_path / "m.st")
    assert network.thermometer.thresholds.tolist() == [[76, 178]] * 3
    x = rng.integers(0, 256, (50, 3, 2, 2))
    given = plain.evaluate_difflogic(read_tensors(tmp_path / "s.npz"), wiring, parse_spec(spec), x)
    assert (classes(scores(unroll(network), x)) == classes(given)).all()
