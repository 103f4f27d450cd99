"""The parts of a design that areas, energies and paths are told by: blocks, and their modules."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Final

from gate2hw.flow.clock.routing import BLOCKS
from gate2hw.rtl import Manifest

__all__ = ["block_of", "blocks_of"]

_STREAM: Final[dict[str, tuple[str, ...]]] = {
    # what else the top of a stream holds
    "pools": ("top_*",),
    "collector": ("top_head*",),
    "gates": BLOCKS["gates"],
    "popcount": (*BLOCKS["popcount"], "top_head_popcount*"),
    "argmax": (*BLOCKS["argmax"], "top_ranking*"),
    "pipeline": BLOCKS["pipeline"],
    "encoder": ("top_pixels*",),
    "linebuffers": ("delay_*",),
    "stream": ("top_sender*", "top_verdicts*"),
    "top": BLOCKS["top"],
}
"""Of a streaming design, but for its convolutions: each is a block, with its trees and windows."""


def blocks_of(manifest: Manifest) -> dict[str, list[str]]:
    """Module patterns by block; a module that fits several is of the last one."""
    blocks = {**BLOCKS} if manifest.arch != "stream" else {**_STREAM}
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
