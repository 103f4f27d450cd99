"""GateClassifier: scikit-learn takes it for a classifier, and it says what the reference says."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.metrics._scorer import get_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from gate2hw.engine.classifier import GateClassifier
from gate2hw.errors import InputError, IRError
from gate2hw.ir.netlist import Head, Names, Netlist
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.simulate import classes, scores
from gate2hw.ir.store import save_netlist
from gate2hw.ir.unroll import unroll

NAMES = ("ant", "bee", "cat")


@pytest.fixture
def net(random_network: Callable[..., LogicNetwork]) -> Netlist:
    return unroll(random_network(234, class_names=NAMES))


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (200, 1, 6, 6)).astype(np.uint8)


def test_it_says_what_the_reference_says(net: Netlist, x: np.ndarray, tmp_path: Path) -> None:
    save_netlist(tmp_path / "netlist.npz", net)
    expected = scores(net, x)
    names = np.array(NAMES)[classes(expected)]
    for model in (net, tmp_path, str(tmp_path / "netlist.npz")):
        gate = GateClassifier(model, threads=1)
        for given in (x, x.reshape(200, 36), x.reshape(200, 36).astype(float), x.tolist()):
            assert (gate.predict(given) == names).all()
            assert (gate.decision_function(given) == expected).all()
        assert gate.classes_.tolist() == list(NAMES)
        assert gate.n_features_in_ == 36
        wrong = names.copy()
        wrong[:20] = np.array(NAMES)[(classes(expected)[:20] + 1) % 3]
        assert gate.score(x, wrong) == accuracy_score(wrong, names) == 0.9


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("3", "7", "-1"), np.array([3, 7, -1])),
        ((), np.array([0, 1, 2])),
        (("3", "07", "1"), np.array(["3", "07", "1"])),
        (("3", "7", str(2**63)), np.array(["3", "7", str(2**63)])),
    ],
)
def test_names_written_as_integers_are_integers(
    names: tuple[str, ...], expected: np.ndarray, random_network: Callable[..., LogicNetwork]
) -> None:
    found = GateClassifier(unroll(random_network(234, class_names=names))).classes_
    assert found.dtype.kind == expected.dtype.kind
    assert found.tolist() == expected.tolist()


def test_two_classes_as_scikit_learn_has_them(
    random_network: Callable[..., LogicNetwork], x: np.ndarray
) -> None:
    net = unroll(random_network(241, n_classes=2))
    gate, expected = GateClassifier(net), scores(net, x)
    assert (gate.scores(x) == expected).all()
    found = gate.decision_function(x)
    assert (found == expected[:, 1] - expected[:, 0]).all()
    # ties go to the first class
    assert (gate.predict(x) == (found > 0)).all()
    y = np.arange(200) % 2
    assert get_scorer("roc_auc")(gate, x, y) == roc_auc_score(y, found)


def test_scikit_learn_takes_it_for_a_classifier(net: Netlist, x: np.ndarray) -> None:
    gate = GateClassifier(net, threads=1)
    assert is_classifier(gate)
    check_is_fitted(gate)
    cloned = clone(gate)
    assert cloned.get_params() == gate.get_params() == {"model": net, "threads": 1}
    pipe = make_pipeline(FunctionTransformer(lambda raw: raw // 2), gate)
    assert (pipe.predict(x) == gate.predict(x // 2)).all()
    assert pipe.score(x, gate.predict(x // 2)) == 1.0
    assert pipe.classes_.tolist() == list(NAMES)
    assert "GateClassifier" in repr(gate)
    with pytest.raises(InputError, match="gate2hw train"):
        gate.fit(x, np.zeros(200))


def test_set_params_takes_effect(
    net: Netlist, random_network: Callable[..., LogicNetwork], x: np.ndarray
) -> None:
    gate = GateClassifier(net)
    gate.predict(x[:1])
    other = unroll(random_network(4))
    gate.set_params(model=other, threads=1)
    assert (gate.decision_function(x) == scores(other, x)).all()
    assert gate.engine_.threads == 1


@pytest.mark.parametrize("as_path", [True, False])
def test_a_pickle_needs_no_file(as_path: bool, net: Netlist, x: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "netlist.npz"
    save_netlist(path, net)
    gate = GateClassifier(str(path) if as_path else net, threads=1)
    gate.predict(x)
    data = pickle.dumps(gate)
    path.unlink()
    again = pickle.loads(data)
    assert again.threads == 1
    assert again.engine_.netlist == net
    assert (again.decision_function(x) == scores(net, x)).all()
    assert again.model == net
    for other in (pickle.loads(pickle.dumps(again)), clone(again), copy.deepcopy(again)):
        assert (other.predict(x) == gate.predict(x)).all()


class Answers:
    """An engine that says which model it was made from."""

    def __init__(self, model: Netlist, threads: int | None) -> None:
        self.netlist, self.n_classes, self.made_from = model, 3, model


def test_another_model_never_answers(net: Netlist, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that takes the place of one that is gone in memory, `id` and all."""
    monkeypatch.setattr("gate2hw.engine.classifier.Engine", Answers)
    monkeypatch.setattr("builtins.id", lambda thing: 1)
    other = net.with_(digest="other")
    gate = GateClassifier(net)
    assert gate.engine_.made_from is net
    assert gate.engine_ is gate.engine_
    gate.set_params(model=other)
    assert gate.engine_.made_from is other


def test_what_cannot_be_read_is_copied_all_the_same(net: Netlist, tmp_path: Path) -> None:
    gone = tmp_path / "gone.npz"
    plain = net.with_(head=Head.none(net.n_outputs), names=Names())
    for model in (str(gone), plain):
        again = copy.deepcopy(GateClassifier(model, threads=2))
        assert again.get_params() == {"model": model, "threads": 2}
    again = copy.deepcopy(GateClassifier(str(gone)))
    with pytest.raises(InputError, match="no such"):
        again.engine_  # noqa: B018
    save_netlist(gone, net)
    assert again.engine_.netlist == net
    assert copy.deepcopy(again).model == str(gone)


def test_an_altered_pickle_is_refused(net: Netlist) -> None:
    state = GateClassifier(net).__getstate__()
    in0 = net.in0.copy()
    in0[0] = net.n_nodes + 5
    state["netlist"]["in0"] = in0
    with pytest.raises(IRError, match="gate 0"):
        GateClassifier.__new__(GateClassifier).__setstate__(state)


def test_what_cannot_be_classified(net: Netlist, x: np.ndarray, tmp_path: Path) -> None:
    gate = GateClassifier(net)
    for bad, said in (
        (x[:, :, :5], r"expects \(N, 1, 6, 6\)"),
        (x.astype(np.int64) + 1, "outside 0..255"),
        (x + 0.5, "not an integer"),
        ([["a"] * 36], "type"),
    ):
        with pytest.raises(InputError, match=said):
            gate.predict(bad)
    with pytest.raises(InputError, match="plain circuit"):
        GateClassifier(net.with_(head=Head.none(net.n_outputs), names=Names())).predict(x)
    with pytest.raises(InputError, match="no such"):
        GateClassifier(tmp_path / "gone.npz").predict(x)


def test_the_engine_alone_imports_no_scikit_learn() -> None:
    code = "import sys, gate2hw.engine; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
