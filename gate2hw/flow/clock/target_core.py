"""The pipelined core of a target by itself: a sample a clock, from its cells before synthesis.

A frame takes many clocks to arrive, so the core behind the stream sees the same bits for as long,
and a register too few within it may change nothing. Fed a sample a clock it does.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gate2hw.flow.clock.stages import Stages
from gate2hw.flow.signoff.benches import Bench
from gate2hw.rtl import Manifest
from gate2hw.tools import yosys
from gate2hw.tools.targets import Family

__all__ = ["core_bench"]


def core_bench(
    bench: Bench, generic: Manifest, rtl_dir: Path, cells_dir: Path | None, family: Family
) -> Bench | None:
    """The bench of the core that belongs to `bench`, which is of the top in `rtl_dir`.

    With `cells_dir` gates and popcounts are the cells that lie there, and what those do is what
    Yosys's models of `family` say. None where the pipeline is that of the `generic` RTL, whose core
    has been simulated.
    """
    manifest = bench.manifest
    if manifest.arch != "unrolled" or Stages.of(manifest) == Stages.of(generic):
        return None
    unwanted = {manifest.modules["top"]}
    sources: list[Path] = []
    if cells_dir is not None:
        unwanted.add(manifest.modules["gates"])
        sources += sorted(cells_dir.glob(f"{manifest.name}_*_cells.v"))
        sources += yosys.cells_sim_path(family)
    sources += [rtl_dir / name for name in manifest.files if Path(name).stem not in unwanted]
    return replace(bench, kind="core", sources=tuple(sources))
