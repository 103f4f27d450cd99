"""GateClassifier: a trained network among scikit-learn's classifiers.

The one file of the room that imports scikit-learn; `gate2hw.engine` loads it when it is asked for.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from gate2hw.engine.engine import Engine
from gate2hw.errors import Gate2HWError, InputError
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.verify import verify_netlist

__all__ = ["GateClassifier"]


def _is_written_as_integer(name: str) -> bool:
    if not name.removeprefix("-").isdecimal() or str(int(name)) != name:
        return False
    return abs(int(name)) < 2**63


class GateClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # no type stubs
    """A trained and compiled network with scikit-learn's interface; it cannot be fitted.

    `model` is a Netlist with encoder and classes, its file, or a folder that `gate2hw compile`
    wrote; `threads` is as for `Engine`. It is read when it is first needed.

    X is (N, n_features) or (N, *shape): integers, or whole floats, 0..max_value, as the network
    was trained on. It works in a Pipeline, with `clone`, and with pickle: the pickle holds the
    netlist itself, and is read where the file is not: `model` is that netlist there.

    Class names that are all written as integers become integers (``classes_`` int64), else they
    stay texts. A netlist compiled for the class alone (`gate2hw compile --output class`) may have
    the scores of a sample shifted alike; their differences are those of the model.
    """

    def __init__(self, model: Netlist | Path | str, threads: int | None = None) -> None:
        self.model = model
        self.threads = threads

    @property
    def engine_(self) -> Engine:
        """The engine that computes; made anew after `set_params`."""
        model, threads, engine = self.__dict__.get("_made", (None, None, None))
        if engine is None or model is not self.model or threads != self.threads:
            model, net = self.model, self.__dict__.get("_unpickled", (None, None))
            engine = Engine(net[1] if net[0] is model and net[1] else model, self.threads)
            if engine.netlist.encoder is None or engine.n_classes == 0:
                raise InputError("the netlist is a plain circuit, without encoder and classes")
            self._made = (model, self.threads, engine)
        assert isinstance(engine, Engine)
        return engine

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """(C,) names of the classes: int64 where all are written as integers, else texts."""
        names = self.engine_.class_names
        if all(map(_is_written_as_integer, names)):
            return np.array(names, object).astype(np.int64)
        return np.array(names)

    @property
    def n_features_in_(self) -> int:
        """Features of one sample, all axes together."""
        encoder = self.engine_.netlist.encoder
        assert encoder is not None
        return encoder.n_features

    def _shaped(self, given: Any) -> npt.NDArray[Any]:
        """(N, *shape) of (N, n_features); other shapes are for the engine to refuse."""
        encoder = self.engine_.netlist.encoder
        assert encoder is not None
        x = np.asarray(given)
        if x.shape[1:] == (encoder.n_features,):
            return x.reshape(len(x), *encoder.shape)
        return x

    def fit(self, X: Any, y: Any = None) -> GateClassifier:  # noqa: N803
        """Raise InputError: the network is trained already, and not by scikit-learn."""
        raise InputError(
            "a GateClassifier is trained already and cannot be fitted; train another network with "
            "gate2hw train, or keep this one from being fitted with sklearn.frozen.FrozenEstimator"
        )

    def scores(self, X: Any) -> npt.NDArray[np.int32]:  # noqa: N803
        """(N, C) int32 scores, integers as the hardware has them; the highest one wins."""
        return self.engine_.scores(self._shaped(X))

    def decision_function(self, X: Any) -> npt.NDArray[np.int64]:  # noqa: N803
        """(N, C) scores; of two classes, as scikit-learn wants it, (N,) second minus first."""
        scores = self.scores(X).astype(np.int64)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """(N,) class names, of those in `classes_`; ties go to the first.

        Raises InputError for a wrong shape, type or range.
        """
        return self.classes_[self.engine_.predict(self._shaped(X))]

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __getstate__(self) -> dict[str, Any]:
        net = self.model if isinstance(self.model, Netlist) else self._read()
        model = None if net is self.model else str(self.model)
        columns = net and {entry.name: getattr(net, entry.name) for entry in fields(net)}
        return {"model": model, "threads": self.threads, "netlist": columns}

    def _read(self) -> Netlist | None:
        """The netlist that `model` names; None where it cannot be read, which a copy says too."""
        try:
            return self.engine_.netlist
        except Gate2HWError:
            return None

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.model, self.threads = state["model"], state["threads"]
        if state["netlist"] is None:
            return
        net = Netlist(**state["netlist"])
        verify_netlist(net)
        if state["model"] is None or not Path(state["model"]).exists():
            self.model = net
        self._unpickled = (self.model, net)
