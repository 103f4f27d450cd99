"""The parts of a design that areas, energies and paths are told by: blocks, and their modules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Final

from gate2hw.ir.lutnetlist import LutNetlist
from gate2hw.rtl import Manifest
from gate2hw.tools.yosys import SynthResult

__all__ = ["BLOCKS", "areas", "block_of", "blocks_of"]

BLOCKS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "gates": ("gates",),
        "popcount": ("core_popcount_*", "popcount_*"),
        "argmax": ("core_argmax*",),
        "pipeline": ("core",),
        "encoder": ("top_receiver*",),
        "stream": ("top_sender*",),
        "top": ("top",),
    }
)
"""Parts of the design, and their modules behind the prefix; the receiver holds the encoder, the
core the registers between its parts."""
_STREAM: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        # what none of the others holds
        "pools": ("top_*",),
        "gates": BLOCKS["gates"],
        "encoder": ("top_pixels*",),
        "linebuffers": ("delay_*",),
        "collector": ("top_head*",),
        "popcount": (*BLOCKS["popcount"], "top_head_popcount*"),
        "argmax": (*BLOCKS["argmax"], "top_ranking*"),
        "pipeline": BLOCKS["pipeline"],
        "stream": ("top_sender*", "top_verdicts*"),
        "top": BLOCKS["top"],
    }
)
"""Of a streaming design, but for its convolutions: each is a block, with its trees and windows."""


def blocks_of(manifest: Manifest) -> dict[str, list[str]]:
    """Patterns of modules by block; a module that fits several is of the last one."""
    blocks = dict(_STREAM if manifest.arch == "stream" else BLOCKS)
    if manifest.arch == "stream":
        found = (re.fullmatch(rf"{manifest.name}_(.+)_gates\.v", file) for file in manifest.files)
        for stage in (match[1] for match in found if match):
            blocks[stage] = (f"{stage}_gates", f"top_{stage}", f"top_{stage}_*")
    return {
        block: [f"{manifest.name}_{pattern}" for pattern in patterns]
        for block, patterns in blocks.items()
    }


def block_of(module: str, manifest: Manifest) -> str:
    """The block that `module` belongs to."""
    fitting = [
        block
        for block, patterns in blocks_of(manifest).items()
        if any(fnmatchcase(module, pattern) for pattern in patterns)
    ]
    return fitting[-1] if fitting else "other"


def _luts_by_layer(luts: LutNetlist, n_luts: int) -> dict[str, int]:
    """LUTs of the cloud by the layer of the neuron that they came from."""
    layer = luts.sites.layer_of(luts.origin)
    names = [site.name for site in luts.sites.layers]
    counts = {name: int((layer == number).sum()) for number, name in enumerate(names)}
    counts["unknown"] = int((layer < 0).sum())
    counts["complements"] = n_luts - luts.n_luts
    return {name: count for name, count in counts.items() if count}


def areas(mapped: SynthResult, gates: tuple[LutNetlist, int] | None) -> dict[str, Any]:
    """Cells of each part of the design; `area` is the LUTs alone, which the report draws.

    `gates` are the LUTs of the block of that name and how many cells were written of them.
    """
    blocks: dict[str, dict[str, Any]] = {
        name: mapped.part(name) for name, cells in mapped.blocks.items() if cells
    }
    if gates is not None and "gates" in blocks:
        blocks["gates"]["luts_by_layer"] = _luts_by_layer(*gates)
    return {
        "area": {name: block["luts"] for name, block in blocks.items() if block["luts"]},
        "area_by_block": blocks,
    }
