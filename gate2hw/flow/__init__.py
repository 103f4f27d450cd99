"""The steps, in order, resumable; each command of the command line is one function here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gate2hw.flow.asic.asic import synth_asic
    from gate2hw.flow.benching import bench
    from gate2hw.flow.compiling import compile
    from gate2hw.flow.converting import convert, opt
    from gate2hw.flow.demonstration import demo
    from gate2hw.flow.exporting import export
    from gate2hw.flow.importing import import_model
    from gate2hw.flow.information import doctor, info, targets
    from gate2hw.flow.predicting import predict
    from gate2hw.flow.reporting import report
    from gate2hw.flow.signoff.waves import wave
    from gate2hw.flow.sweeps.sweeping import sweep
    from gate2hw.flow.synthesis import synth
    from gate2hw.flow.tops.boarding import board, boards
    from gate2hw.flow.tops.boardsim import simulate_board
    from gate2hw.flow.tops.talking import talk
    from gate2hw.flow.training import train
    from gate2hw.flow.verifying import verify

__all__ = [
    "bench",
    "board",
    "boards",
    "compile",
    "convert",
    "demo",
    "doctor",
    "export",
    "import_model",
    "info",
    "opt",
    "predict",
    "report",
    "simulate_board",
    "sweep",
    "synth",
    "synth_asic",
    "talk",
    "targets",
    "train",
    "verify",
    "wave",
]

_HOME = {
    "bench": "benching",
    "board": "tops.boarding",
    "boards": "tops.boarding",
    "compile": "compiling",
    "convert": "converting",
    "demo": "demonstration",
    "doctor": "information",
    "export": "exporting",
    "import_model": "importing",
    "info": "information",
    "opt": "converting",
    "predict": "predicting",
    "report": "reporting",
    "simulate_board": "tops.boardsim",
    "sweep": "sweeps.sweeping",
    "synth": "synthesis",
    "synth_asic": "asic.asic",
    "talk": "tops.talking",
    "targets": "information",
    "train": "training",
    "verify": "verifying",
    "wave": "signoff.waves",
}


def __getattr__(name: str) -> Any:
    """Load a step when it is first asked for: `import gate2hw` stays fast."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    function = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = function
    return function
