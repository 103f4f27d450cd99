"""Wiring that difflogic did not save, drawn again from the seed of the original."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gate2hw.errors import CheckFailedError, InputError
from gate2hw.flow.importing import import_model
from gate2hw.formats.spec import parse_spec
from gate2hw.ir.simulate import scores
from gate2hw.ir.store import load_network
from gate2hw.ir.unroll import unroll
from gate2hw.nn.replay import draw_again


def _drawn_model(folder: Path, *, seed: int = 3) -> Path:
    """A state dict as difflogic saves it: built under `seed`, its weights moved by training."""
    torch.manual_seed(seed)
    noise = np.random.default_rng(seed)
    tensors, wires, n_inputs = {}, [], 24
    for key, n_gates in (("1.weights", 60), ("2.weights", 30)):
        weights = torch.randn(n_gates, 16)
        places = torch.randperm(2 * n_gates) % n_inputs
        wires.append(torch.randperm(n_inputs)[places].reshape(2, n_gates).numpy())
        tensors[key] = weights.numpy() + 1.5 * noise.standard_normal((n_gates, 16))
        n_inputs = n_gates
    np.savez(folder / "state.npz", **tensors)
    np.savez(
        folder / "wiring.npz", a_0=wires[0][0], b_0=wires[0][1], a_1=wires[1][0], b_1=wires[1][1]
    )
    return folder / "state.npz"


DRAWN = "[input]\nshape = [24]\n[output]\nclasses = 3\n[wiring]\nseed = {}\n"


def test_wiring_drawn_again_is_that_of_the_model(tmp_path):
    state = _drawn_model(tmp_path)
    plain_spec = parse_spec(DRAWN.partition("[wiring]")[0])
    import_model(
        state, "difflogic", tmp_path / "w.st", spec=plain_spec, wiring=tmp_path / "wiring.npz"
    )
    import_model(state, "difflogic", tmp_path / "d.st", spec=parse_spec(DRAWN.format(3)))
    digests = {load_network(tmp_path / name).digest for name in ("w.st", "d.st")}
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DRAWN.format(4), "layer 1: its weights did not start as those that seed draws"),
        (DRAWN.format(3) + "before = [60]\n", "did not start as those"),
        (DRAWN.format(3).replace("[24]", "[23]"), "did not start as those"),
        (DRAWN.format(3).replace("[24]", "[300]"), "too few to read its 300 inputs"),
        (DRAWN.format(3) + 'device = "cuda"\n', "nothing shows that the seed is right"),
        (DRAWN.format(3).replace("shape = [24]", ""), r"give \[input\] shape"),
    ],
)
def test_a_seed_that_is_not_the_models_is_refused(text, said, tmp_path):
    with pytest.raises(InputError, match=said):
        import_model(_drawn_model(tmp_path), "difflogic", tmp_path / "d.st", spec=parse_spec(text))
    assert not (tmp_path / "d.st").exists()


def test_one_layer_shows_no_input_width(tmp_path):
    """Its weights are drawn before its wiring: they are right whatever the width."""
    state = _drawn_model(tmp_path)
    np.savez(state, **{"1.weights": np.load(state)["1.weights"]})
    for shape in ("[24]", "[23]"):
        spec = parse_spec(DRAWN.format(3).replace("[24]", shape))
        with pytest.raises(InputError, match="nothing shows that"):
            import_model(state, "difflogic", tmp_path / "d.st", spec=spec)


def test_outputs_of_the_original_settle_the_seed(tmp_path):
    state, out = _drawn_model(tmp_path), tmp_path / "d.st"
    right, wrong = parse_spec(DRAWN.format(3)), parse_spec(DRAWN.format(4))
    import_model(state, "difflogic", out, spec=right)
    x = np.random.default_rng(0).integers(0, 2, (50, 24))
    np.savez(tmp_path / "c.npz", inputs=x, outputs=scores(unroll(load_network(out)), x))
    out.unlink()
    with pytest.raises(CheckFailedError, match="differs from the stored scores"):
        import_model(state, "difflogic", out, spec=wrong, check=tmp_path / "c.npz")
    assert not out.exists()
    result = import_model(state, "difflogic", out, spec=right, check=tmp_path / "c.npz")
    assert "the stored scores" in result["check"]["compared_with"]


@pytest.mark.parametrize("rows", [[0], [0] * 50, range(31)])
def test_a_few_outputs_do_not_settle_the_seed(rows, tmp_path):
    """They agree by chance (here they are those of the wrong seed); 32 different ones count."""
    state, out = _drawn_model(tmp_path), tmp_path / "d.st"
    wrong = DRAWN.format(4)
    drawn = draw_again(24, (60, 30), seed=4)
    np.savez(tmp_path / "w.npz", **drawn.wiring)
    unseeded = parse_spec(wrong.partition("[wiring]")[0])
    import_model(state, "difflogic", out, spec=unseeded, wiring=tmp_path / "w.npz")
    x = np.random.default_rng(0).integers(0, 2, (32, 24))
    y = scores(unroll(load_network(out)), x)
    out.unlink()
    few = {"check": tmp_path / "few.npz"}
    np.savez(few["check"], inputs=x[rows], outputs=y[rows])
    with pytest.raises(InputError, match=r"did not start as .*on 32 different inputs or more"):
        import_model(state, "difflogic", out, spec=parse_spec(wrong), **few)
    on_gpu = parse_spec(wrong + 'device = "cuda"\n')
    with pytest.raises(InputError, match=r"nothing shows .*on at least 32 different inputs"):
        import_model(state, "difflogic", out, spec=on_gpu, **few)
    assert not out.exists()
    np.savez(tmp_path / "all.npz", inputs=x, outputs=y)
    import_model(state, "difflogic", out, spec=parse_spec(wrong), check=tmp_path / "all.npz")


def test_a_seed_belongs_to_difflogic_and_excludes_a_wiring_file(tmp_path):
    state, spec = _drawn_model(tmp_path), parse_spec(DRAWN.format(3))
    for source, options in (("torchlogix", {}), ("dwn", {})):
        with pytest.raises(InputError, match="belongs to a state dict of difflogic"):
            import_model(state, source, tmp_path / "d.st", spec=spec, **options)
    with pytest.raises(InputError, match="not both"):
        import_model(
            state, "difflogic", tmp_path / "d.st", spec=spec, wiring=tmp_path / "wiring.npz"
        )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[wiring]\n", "needs the seed"),
        ("[wiring]\nseed = -1\n", "seed is -1"),
        ("[wiring]\nseed = 0\nbefore = 60000\n", "not a list of sizes"),
        ("[wiring]\nseed = 0\nbefore = [1000000000]\n", "numbers to draw"),
        ('[wiring]\nseed = 0\nconnections = "rnadom"\n', "random"),
        ('[wiring]\nseed = 0\ndevice = "gpu"\n', "device is 'gpu'"),
    ],
)
def test_bad_entries_of_wiring(text, said):
    with pytest.raises(InputError, match=said):
        parse_spec(text)
