"""export: a model as self-contained C99; its Verilog as a package (see `packaging`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from gate2hw import __version__
from gate2hw.errors import CheckFailedError, InputError, nearest
from gate2hw.flow.build import Progress, silent
from gate2hw.flow.models import SHIFTED, find_netlist
from gate2hw.flow.tops.packaging import PACKAGES, package
from gate2hw.formats.c_export import check_c_name, export_c
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.simulate import classes, scores
from gate2hw.ir.store import Golden

__all__ = ["export"]

EXPORTS: Final = ("c",)
DEFAULT_WORD_BITS: Final = 32
OPT_LEVEL: Final = 2
"""Of a model that was not compiled: what the passes do without any tool."""
N_GOLDEN: Final = 16
"""Rows of the golden file that go into the self-test."""


def _rows(net: Netlist, golden: Golden) -> Any:
    """The first golden inputs, on which the netlist's classes must be those of torch."""
    x = golden.x[:N_GOLDEN]
    wrong = np.flatnonzero(classes(scores(net, x)) != golden.classes[:N_GOLDEN])
    if len(wrong):
        raise CheckFailedError(
            f"golden sample {wrong[0]}: the netlist's class is not the one that training noted; "
            "compile again, and see gate2hw verify"
        )
    return x


def export(
    model: Path | str,
    out_dir: Path | str,
    *,
    format: str = "c",
    name: str | None = None,
    word_bits: int = DEFAULT_WORD_BITS,
    single: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write `model` as C99 into `out_dir`: NAME.h, NAME.c and NAME_selftest.c.

    `model` is a build folder, a netlist of any format that `convert` reads, or a trained model
    (file or folder), which is then unrolled and simplified. `word_bits` samples (8, 16, 32, 64)
    are evaluated at once, or with `single` one a call. `name` starts every C name (default: that
    of the build, else lgn). The self-test holds golden inputs where a golden file of the model is
    beside it, else random ones.

    Returns the files, the size table, `vectors` ("golden" or "random") and `notes`. Raises
    InputError or ModelFileError for what cannot be used, CheckFailedError where the netlist and
    the golden file do not agree.

    With `format` ``ip`` or ``tinytapeout`` the Verilog of the build folder `model` is packaged
    instead, under the build's name: see `gate2hw.flow.tops.packaging.package`.
    """
    if format not in (*EXPORTS, *PACKAGES):
        names = (*EXPORTS, *PACKAGES)
        raise InputError(f"export format {format!r} is unknown; {nearest(format, names)}")
    if format in PACKAGES:
        if name is not None or single or word_bits != DEFAULT_WORD_BITS:
            raise InputError(
                f"name, word_bits and single are for C; {format} is as it was compiled"
            )
        return package(model, out_dir, format=format, progress=progress)
    if name is not None:
        check_c_name(name)
    found = find_netlist(model, opt_level=OPT_LEVEL, progress=progress)
    name = name or found.name or "lgn"
    golden = found.golden()
    progress(0, 0, f"writing C of {found.net.n_gates:,} gates")
    written = export_c(
        found.net,
        out_dir,
        name=name,
        word_bits=1 if single else word_bits,
        vectors=None if golden is None else _rows(found.net, golden),
        version=__version__,
        note=SHIFTED if SHIFTED in found.notes else "",
    )
    return {
        "source": str(found.path),
        "format": format,
        "name": name,
        "files": [str(path) for path in written.files],
        "word_bits": 1 if single else word_bits,
        "classes": found.net.n_classes,
        "sizes": written.facts(),
        "vectors": "random" if golden is None else "golden",
        "n_vectors": written.n_vectors,
        "notes": list(found.notes),
    }
