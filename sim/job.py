"""What a bench is told to do: a JSON job, and the files that it names, checked against each other.

The job is a JSON object in the file that the environment variable ``GATE2HW_JOB`` names:

    manifest     path of the manifest.json written beside the Verilog
    netlist_raw  path of the netlist before all passes (.npz)
    golden       path of the golden vectors (.npz), or null where there are none
    result       path of the JSON to write
    seed         of everything drawn at random (1)
    n_golden     golden vectors to use, the first ones; null: all (null)
    n_random     random legal vectors (1000)
    n_ties       tie vectors to look for (64)
    n_corners    most corner vectors (256), those included that show bits of results which the
                 other vectors leave 0 or 1
    frames       vectors of the later tests: an object with any of back_to_back (null: all
                 vectors), stalls, blocked, reset, malformed, padding; what is not given shrinks
                 with the length of a frame, to some 20,000 beats a test

Relative paths start at the job file's folder.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gate2hw.ir.netlist import Netlist
from gate2hw.ir.store import Golden, load_golden, load_netlist

__all__ = [
    "DEFAULT_FRAMES",
    "Job",
    "JobError",
    "Manifest",
    "check_scores",
    "load_job",
    "read_manifest",
    "result_path",
]

JOB_VARIABLE = "GATE2HW_JOB"
DEFAULT_FRAMES: dict[str, int | None] = {
    "back_to_back": None,
    "stalls": 100,
    "blocked": 24,
    "reset": 6,
    "malformed": 24,
    "padding": 16,
}
_DEFAULT_COUNTS: dict[str, int | None] = {
    "seed": 1,
    "n_golden": None,
    "n_random": 1000,
    "n_ties": 64,
    "n_corners": 256,
}
_MOST_BEATS = 20_000
_PATHS = ("manifest", "netlist_raw", "golden", "result")


class JobError(ValueError):
    """A job that cannot be run, or files that do not belong together: one sentence."""


@dataclass(frozen=True)
class Manifest:
    """The part of manifest.json that a bench needs; sizes in bits, bytes and beats."""

    name: str
    model_digest: str
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
    class_width: int
    score_width: int
    used_inputs: tuple[int, ...]
    core_latency_cycles: int
    top_latency_cycles: int
    interval_cycles: int
    modules: dict[str, str]
    arch: str

    @property
    def has_scores(self) -> bool:
        """True where the hardware gives scores, not the class alone."""
        return self.output == "scores"


@dataclass(frozen=True)
class Job:
    """A job with its files read; see the module's title page."""

    manifest: Manifest
    net: Netlist
    golden: Golden | None
    result: Path
    seed: int = 1
    n_golden: int | None = None
    n_random: int = 1000
    n_ties: int = 64
    n_corners: int = 256
    frames: Mapping[str, int | None] = field(default_factory=lambda: dict(DEFAULT_FRAMES))


def _unknown(what: str, names: set[str], allowed: list[str]) -> None:
    for name in sorted(names - set(allowed)):
        close = difflib.get_close_matches(name, allowed, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise JobError(f"{what} has an unknown key {name!r}; {hint}Allowed: {', '.join(allowed)}")


def _read_json(path: Path, what: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise JobError(f"{path}: the {what} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise JobError(f"{path}: the {what} is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise JobError(f"{path}: the {what} is not a JSON object")
    return content


def _default_frames(n_beats: int) -> dict[str, int | None]:
    most = max(4, _MOST_BEATS // n_beats)
    return {k: v if v is None else min(v, most) for k, v in DEFAULT_FRAMES.items()}


def read_manifest(path: Path | str) -> Manifest:
    """Read manifest.json; JobError where a field is missing or has the wrong type."""
    path = Path(path)
    content = _read_json(path, "manifest")
    if content.get("schema") != 1:
        raise JobError(f"{path}: manifest schema {content.get('schema')!r}, this bench reads 1")
    values: dict[str, Any] = {}
    for name, kind in Manifest.__annotations__.items():
        if name not in content:
            raise JobError(f"{path}: the manifest has no {name!r}; emit the Verilog again")
        value = tuple(content[name]) if name == "used_inputs" else content[name]
        wanted = {"int": int, "str": str, "bool": bool, "dict[str, str]": dict}.get(kind, tuple)
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise JobError(f"{path}: {name!r} in the manifest is {value!r}, expected {kind}")
        values[name] = value
    return Manifest(**values)


def _check_sizes(path: Path, manifest: Manifest, net: Netlist) -> None:
    """JobError unless the manifest describes hardware that can hold what `net` computes."""
    encoder = net.encoder
    if encoder is None or net.n_classes < 1:
        raise JobError("the netlist is a plain circuit: a bench needs an encoder and classes")
    n_frame = encoder.n_features * encoder.bytes_per_feature
    n_result = manifest.class_bytes
    if manifest.has_scores:
        n_result += net.n_classes * manifest.score_bytes
    expected = {
        "n_classes": net.n_classes,
        "n_features": encoder.n_features,
        "max_value": encoder.max_value,
        "bytes_per_feature": encoder.bytes_per_feature,
        "frame_bytes": n_frame,
        "frame_beats": -(-n_frame // manifest.bus_bytes),
        "result_bytes": n_result,
        "result_beats": -(-n_result // manifest.bus_bytes),
        "class_width": max(1, (net.n_classes - 1).bit_length()),
    }
    for name, value in expected.items():
        if getattr(manifest, name) != value:
            raise JobError(
                f"{path}: {name} is {getattr(manifest, name)}, the netlist before passes asks "
                f"for {value}; emit the Verilog again"
            )
    used = manifest.used_inputs
    if list(used) != sorted(set(used)) or (used and not 0 <= used[0] <= used[-1] < net.n_inputs):
        raise JobError(f"{path}: used_inputs must rise within 0..{net.n_inputs - 1}")


def check_scores(manifest: Manifest, low: int, high: int) -> None:
    """JobError where the hardware's scores cannot hold the expected scores `low` .. `high`.

    What a vector is expected to score decides, not what the heads allow: passes narrow the head
    to what can occur.
    """
    if not manifest.has_scores:
        return
    width = manifest.score_width
    half = 1 << (width - 1)
    least, most = (-half, half - 1) if manifest.score_signed else (0, 2 * half - 1)
    if low < least or high > most or manifest.score_bytes * 8 < width:
        raise JobError(
            f"scores of {width} bits cannot hold the expected {low}..{high}; emit the Verilog again"
        )


def load_job(path: Path | str | None = None) -> Job:
    """Read the job of `path`, or of ``GATE2HW_JOB``, and all that it names.

    Raises JobError for unknown or missing keys, and where manifest, golden vectors and netlist do
    not carry one digest or differ in size. ModelFileError comes from files that are damaged.
    """
    if path is None:
        if JOB_VARIABLE not in os.environ:
            raise JobError(f"no job given: set {JOB_VARIABLE} to the path of a job file")
        path = os.environ[JOB_VARIABLE]
    path = Path(path)
    content = _read_json(path, "job")
    _unknown(f"{path}: the job", set(content), [*_PATHS, *_DEFAULT_COUNTS, "frames"])
    for name in ("manifest", "netlist_raw", "result"):
        if not isinstance(content.get(name), str):
            raise JobError(f"{path}: the job has no path {name!r}")
    frames = content.get("frames", {})
    if not isinstance(frames, dict):
        raise JobError(f"{path}: frames is {frames!r}, expected an object of counts")
    _unknown(f"{path}: frames", set(frames), list(DEFAULT_FRAMES))
    counts: dict[str, Any] = {k: content.get(k, v) for k, v in _DEFAULT_COUNTS.items()}
    for name, value in [*counts.items(), *frames.items()]:
        null_allowed = name in ("n_golden", "back_to_back")
        is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if not (is_count or (value is None and null_allowed)):
            raise JobError(f"{path}: {name} is {value!r}, expected a count")
    places = {k: path.parent / content[k] for k in _PATHS if content.get(k) is not None}
    manifest = read_manifest(places["manifest"])
    net = load_netlist(places["netlist_raw"])
    golden = load_golden(places["golden"]) if "golden" in places else None
    digests = {"manifest": manifest.model_digest, "netlist_raw": net.digest}
    if golden is not None:
        digests["golden"] = golden.digest
    if len(set(digests.values())) > 1 or not net.digest:
        told = ", ".join(f"{places[k].name} {v[:12] or 'none'}" for k, v in digests.items())
        raise JobError(
            f"these files are not of one model, their model digests differ: {told}; "
            "compile again, or give the golden file of this model"
        )
    _check_sizes(places["manifest"], manifest, net)
    if golden is not None and golden.scores.shape[1] != net.n_classes:
        raise JobError(
            f"{places['golden']}: scores of {golden.scores.shape[1]} classes, the netlist has "
            f"{net.n_classes}"
        )
    frames = {**_default_frames(manifest.frame_beats), **frames}
    return Job(manifest, net, golden, places["result"], frames=frames, **counts)


def result_path() -> Path | None:
    """Where the job of ``GATE2HW_JOB`` wants its result, if that much of it can be read."""
    try:
        path = Path(os.environ[JOB_VARIABLE])
        return path.parent / str(_read_json(path, "job")["result"])
    except (KeyError, JobError):
        return None
