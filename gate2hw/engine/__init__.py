"""Bit-parallel inference of a Netlist on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gate2hw.engine.engine import Engine, kernel_names

if TYPE_CHECKING:
    from gate2hw.engine.classifier import GateClassifier

__all__ = ["Engine", "GateClassifier", "kernel_names"]


def __getattr__(name: str) -> Any:
    if name == "GateClassifier":  # scikit-learn is loaded where it is used
        from gate2hw.engine.classifier import GateClassifier

        return GateClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
