"""gate2hw: the compiler from trained logic gate networks to hardware.

Every command of the command line is one call with the same name: `gate2hw.train`,
`gate2hw.compile`, `gate2hw.verify`, `gate2hw.synth`, `gate2hw.targets`, `gate2hw.report`,
`gate2hw.predict`, `gate2hw.bench`, `gate2hw.export`, `gate2hw.convert`, `gate2hw.opt`,
`gate2hw.sweep`, `gate2hw.board`, `gate2hw.boards`, `gate2hw.talk`, `gate2hw.wave`, `gate2hw.info`,
`gate2hw.demo`, `gate2hw.doctor`; only `import`, a word of Python, is `gate2hw.flow.import_model`.
They are loaded when first used: importing gate2hw imports neither torch nor amaranth.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "bench",
    "board",
    "boards",
    "compile",
    "convert",
    "demo",
    "doctor",
    "export",
    "info",
    "opt",
    "predict",
    "report",
    "sweep",
    "synth",
    "talk",
    "targets",
    "train",
    "verify",
    "wave",
]

if TYPE_CHECKING:
    from gate2hw.flow import (
        bench,
        board,
        boards,
        compile,
        convert,
        demo,
        doctor,
        export,
        info,
        opt,
        predict,
        report,
        sweep,
        synth,
        talk,
        targets,
        train,
        verify,
        wave,
    )


class _Package(ModuleType):
    """This package, on which `report` stays the function when the room `report` is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in __all__):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from gate2hw import flow

        return getattr(flow, name)


sys.modules[__name__].__class__ = _Package
