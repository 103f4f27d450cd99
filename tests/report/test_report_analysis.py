"""analyse against a network small enough to count by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.ir.builder import from_columns
from gate2hw.ir.layers import GroupSum, LogicDense, Thermometer
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.network import LogicNetwork, chain
from gate2hw.ir.store import Golden
from gate2hw.ir.unroll import unroll
from gate2hw.report import analyse


@pytest.fixture
def nets() -> tuple[LogicNetwork, Netlist]:
    """Three features of two bits, gates AND, XOR, A, OR; the wire A goes away in passes."""
    encoder = Thermometer((3,), np.array([[2, 5], [1, 7], [3, 4]]), 10)
    wiring = np.array([[0, 1], [0, 2], [2, 3], [1, 3]])
    dense = LogicDense((6,), wiring, np.array([8, 6, 12, 14], np.uint64))
    groups = GroupSum((4,), np.array([0, 2, 4]))
    layers = [("encoder", encoder), ("dense", dense), ("score", groups)]
    network = chain(layers, class_names=("no", "yes"), dataset="hand")
    raw = unroll(network)
    netlist = from_columns(
        6,
        np.array([8, 6, 14], np.uint8),
        np.array([1, 1, 2], np.int32),
        np.array([2, 3, 4], np.int32),
        np.array([7, 8, 3, 9], np.int64) * 2,
        head=raw.head,
        encoder=raw.encoder,
        origin=np.array([0, 1, 3], np.int32),
        sites=raw.sites,
        digest=raw.digest,
    )
    return network, netlist


def golden_of(y: list[int], predicted: list[int]) -> Golden:
    scores = np.array([[2, 1], [0, 2], [1, 1], [0, 1]], np.int64)
    x = np.zeros((4, 3), np.uint8)
    return Golden(x, np.array(y, np.int64), scores, np.array(predicted, np.int64), "d")


def test_counts_gates_by_layer_function_and_level(nets: tuple[LogicNetwork, Netlist]):
    found = analyse(*nets, None, None)
    assert found["layers"] == [
        {"name": "dense", "kind": "LogicDense", "unique": 4, "instantiated": 4, "optimised": 3}
    ]
    counts = {f["name"]: (f["instantiated"], f["optimised"]) for f in found["functions"]}
    expected = {"AND": (1, 1), "XOR": (1, 1), "A": (1, 0), "OR": (1, 1)}
    assert counts == {name: expected.get(name, (0, 0)) for name in counts}
    assert len(counts) == 16
    assert found["levels"] == {"instantiated": [4], "optimised": [3]}
    # two bits are a half adder: two gates, two LUTs
    assert found["popcount"] == {
        "bits_instantiated": 4,
        "bits": 4,
        "bits_by_class": [2, 2],
        "two_input_gates": 4,
        "gates_per_bit": 1.0,
        "luts4": 4,
        "luts4_per_bit": 1.0,
    }


def test_levels_and_gates_without_a_site(nets: tuple[LogicNetwork, Netlist]):
    network, like = nets
    deep = from_columns(
        6,
        np.array([8, 6, 14], np.uint8),
        np.array([1, 1, 8], np.int32),
        np.array([2, 3, 7], np.int32),
        np.array([9, 8, 3, 9], np.int64) * 2,
        head=like.head,
        encoder=like.encoder,
        origin=np.array([0, -1, 3], np.int32),
        sites=like.sites,
    )
    found = analyse(network, deep, None, None)
    assert found["levels"]["optimised"] == [2, 1]
    assert [(row["name"], row["optimised"]) for row in found["layers"]] == [
        ("dense", 2),
        ("(no layer)", 1),
    ]


def test_pixels_never_read_keep_the_input_shape(nets: tuple[LogicNetwork, Netlist]):
    use = analyse(*nets, None, None)["encoder"]
    assert (use["shape"], use["never_read"], use["bits_read"]) == (
        [3],
        [False, False, True],
        [2, 2, 0],
    )
    assert (use["bits"], use["bits_used"], use["features_never_read"]) == (6, 4, 1)
    assert use["fraction_used"] == pytest.approx(4 / 6)


def test_area_estimate_by_hand(nets: tuple[LogicNetwork, Netlist]):
    estimate = analyse(*nets, None, None)["area_estimate"]
    # 4 bits x 3 gates; 3 gates; 2 half adders x 2; scores 0..2 are 2 bits, the index is 1
    assert estimate["gates"] == {
        "encoder": 12,
        "gates": 3,
        "popcount": 4,
        "argmax": 4 * 2 + 3 * (2 + 1),
    }
    assert estimate["formula"].keys() == estimate["gates"].keys()


def test_confusion_counts_labelled_samples(nets: tuple[LogicNetwork, Netlist]):
    found = analyse(*nets, golden_of([0, 1, 1, -1], [0, 1, 0, 1]), None)
    assert found["confusion"] == {"matrix": [[1, 0], [1, 1]], "n_labelled": 3, "n_ties": 1}
    assert "confusion_reason" not in found


def test_confusion_needs_labels_in_range(nets: tuple[LogicNetwork, Netlist]):
    found = analyse(*nets, golden_of([-1] * 4, [0, 1, 0, 1]), None)
    assert found["confusion"] is None
    assert "no labels" in str(found["confusion_reason"])
    assert analyse(*nets, None, None)["confusion"] is None
    with pytest.raises(InputError, match="sample 2: label 5"):
        analyse(*nets, golden_of([0, 1, 5, 1], [0, 1, 0, 1]), None)


def test_history_is_read(nets: tuple[LogicNetwork, Netlist], tmp_path: Path):
    path = tmp_path / "history.csv"
    head = "step,time_s,loss,accuracy_validation_soft,accuracy_validation,lr,extra\n"
    path.write_text(head + "0,0.5,2.25,,0.1,0.01,x\n10,1.5,nan,0.6,0.5,0.01,x\n")
    assert analyse(*nets, None, path)["training"] == {
        "step": [0, 10],
        "time_s": [0.5, 1.5],
        "loss": [2.25, None],
        "accuracy_validation_soft": [None, 0.6],
        "accuracy_validation": [0.1, 0.5],
        "lr": [0.01, 0.01],
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no history.csv"),
        ("step,loss\n1,2\n", "lacks the columns time_s, accuracy_validation_soft"),
        ("", "lacks the columns step"),
        ("step,time_s,loss,accuracy_validation_soft,accuracy_validation,lr\n", "no rows"),
        ("step,time_s,loss,accuracy_validation_soft,accuracy_validation,lr\nx,1,1,1,1,1\n", "'x'"),
        ("step,time_s,loss,accuracy_validation_soft,accuracy_validation,lr\n,1,1,1,1,1\n", "step"),
    ],
)
def test_history_that_cannot_be_read_is_null_with_a_reason(
    nets: tuple[LogicNetwork, Netlist], tmp_path: Path, text: str | None, reason: str
):
    path = tmp_path / "history.csv"
    if text is not None:
        path.write_text(text)
    found = analyse(*nets, None, path)
    assert found["training"] is None
    assert reason in str(found["training_reason"])


def test_a_netlist_without_encoder_is_refused(nets: tuple[LogicNetwork, Netlist]):
    network, netlist = nets
    with pytest.raises(InputError, match="no encoder"):
        analyse(network, netlist.with_(encoder=None), None, None)
