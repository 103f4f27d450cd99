"""What `emit_rtl` wrote: interface, latency and checksums, for benches, flows and reports."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from gate2hw.errors import ModelFileError
from gate2hw.ir.store import file_sha256, write_text
from gate2hw.rtl.options import RtlOptions

__all__ = ["SCHEMA", "Manifest"]

SCHEMA: Final = 1


@dataclass(frozen=True)
class Manifest:
    """The emitted hardware.

    `top_latency_cycles` counts from the last input beat taken to ``m_axis_tvalid`` without
    stalls; `interval_cycles` lies between frames at full rate; `core_latency_cycles` from
    ``in_valid`` to ``out_valid``. `score_width` is the core's, `score_bytes` the stream's;
    `files` maps file names, beside this one, to their sha256; `arch` is ``"unrolled"`` or
    ``"stream"``, which works at `positions_per_clock`.
    """

    name: str
    version: str
    model_digest: str
    netlist_digest: str
    output: str
    bus_bytes: int
    n_features: int
    bytes_per_feature: int
    max_value: int
    frame_bytes: int
    frame_beats: int
    result_bytes: int
    result_beats: int
    class_bytes: int
    score_bytes: int
    score_signed: bool
    n_classes: int
    class_names: tuple[str, ...]
    class_width: int
    score_width: int
    used_inputs: tuple[int, ...]
    n_used_inputs: int
    n_outputs: int
    popcount: str
    care: str
    storage: str
    gate_registers: tuple[int, ...]
    register_gates: bool
    register_scores: bool
    register_argmax: bool
    register_class: bool
    popcount_registers: int
    register_compare: bool
    core_latency_cycles: int
    top_latency_cycles: int
    interval_cycles: int
    modules: dict[str, str]
    files: dict[str, str]
    arch: str = "unrolled"
    positions_per_clock: int = 1
    schema: int = SCHEMA

    def options(self, **changes: Any) -> RtlOptions:
        """The options that gave this hardware, some replaced (``popcount`` for a target, say)."""
        values = {field.name: getattr(self, field.name) for field in fields(RtlOptions)}
        return RtlOptions(**{**values, **changes})

    def to_json(self) -> str:
        """The manifest as JSON text, keys sorted, newline at the end."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    @staticmethod
    def from_json(text: str, *, where: str = "manifest") -> Manifest:
        """The inverse of `to_json`; ModelFileError, naming `where`, for anything else."""
        try:
            data = json.loads(text)
        except ValueError as error:
            raise ModelFileError(f"{where}: not JSON ({error}); compile the model again") from error
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise ModelFileError(f"{where}: not a manifest of schema {SCHEMA}; compile again")
        names = {field.name for field in fields(Manifest)}
        wrong = sorted(names ^ set(data))
        if wrong:
            raise ModelFileError(
                f"{where}: missing or unknown fields {', '.join(wrong)}; compile the model again"
            )
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in data.items()
        }
        return Manifest(**values)

    def save(self, path: Path) -> None:
        """Write the manifest as a whole or not at all."""
        write_text(path, self.to_json())

    @staticmethod
    def load(path: Path) -> Manifest:
        """Read a manifest; ModelFileError where it is missing or damaged."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelFileError(f"{path}: cannot be read ({error}); compile first") from error
        return Manifest.from_json(text, where=str(path))

    def check_files(self, folder: Path) -> None:
        """Raise ModelFileError where a file in `folder` is not the one that was emitted."""
        for name, digest in self.files.items():
            path = folder / name
            if not path.is_file():
                raise ModelFileError(f"{path}: missing; compile the model again")
            if file_sha256(path) != digest:
                raise ModelFileError(
                    f"{path}: changed since it was emitted; compile the model again"
                )
