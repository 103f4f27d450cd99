"""The build folder: which steps were done, from what, and what they made.

`DIR/build.json` holds one record a step: a key (hash of everything the step depends on), the files
it wrote with their sha256, and its result. A step whose key and files are unchanged is not run
again; a killed step leaves no record, so the next run does it anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from gate2hw import __version__
from gate2hw.errors import InputError
from gate2hw.ir.store import file_sha256, write_text
from gate2hw.tools.resources import data_dir

__all__ = ["LUTS", "BuildFolder", "Progress", "Step", "key_of", "silent", "source_digest"]

LUTS = "luts4.npz"
"""The netlist mapped to tables of four inputs, where a build has one."""
SCHEMA = 1
_RECORD = {"key": str, "files": dict, "result": dict, "time_s": float}

Progress: TypeAlias = Callable[[int, int, str], None]
"""(done, total, message): called by long steps; total 0 means that the end is not known."""


def silent(done: int, total: int, message: str) -> None:
    """The progress callback that says nothing."""


@cache
def source_digest() -> str:
    """sha256 of gate2hw's Python files, benches included: where they change, results are stale."""
    sha = hashlib.sha256(__version__.encode())
    for root in (Path(__file__).resolve().parents[1], data_dir("sim")):
        for path in sorted(root.rglob("*.py")):
            if "_data" not in path.relative_to(root).parts:
                sha.update(path.relative_to(root).as_posix().encode())
                sha.update(path.read_bytes())
    return sha.hexdigest()


def key_of(**parts: Any) -> str:
    """sha256 of the JSON form of everything a step depends on, gate2hw's own sources included."""
    text = json.dumps({**parts, "gate2hw": source_digest()}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Step:
    """One step of a build: `result` is JSON-like, `fresh` says that it ran just now."""

    name: str
    result: dict[str, Any]
    time_s: float
    fresh: bool


class BuildFolder:
    """A folder `compile` made (or is about to make)."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.record_path = self.path / "build.json"

    @staticmethod
    def existing(path: Path | str) -> BuildFolder:
        """The build folder at `path`; InputError where `compile` has not made one."""
        folder = BuildFolder(path)
        if not folder.record_path.is_file():
            raise InputError(
                f"{path} is no build folder; make one with: gate2hw compile MODEL -o {path}"
            )
        folder.steps()
        return folder

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes and threads from the record while it is read and rewritten."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InputError(
                f"cannot write in {self.path}: {error.strerror}; make room or choose another folder"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def steps(self) -> dict[str, dict[str, Any]]:
        """The recorded steps by name; InputError where the record is damaged."""
        if not self.record_path.is_file():
            return {}
        try:
            content = json.loads(self.record_path.read_text(encoding="utf-8"))
            if content["schema"] != SCHEMA:
                raise ValueError(f"schema {content['schema']}, expected {SCHEMA}")
            steps: dict[str, dict[str, Any]] = dict(content["steps"])
            for name, record in steps.items():
                if [type(record.get(key)) for key in _RECORD] != list(_RECORD.values()):
                    raise ValueError(f"step {name!r} is not a record")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{self.record_path} is damaged ({error}); delete the folder and compile again"
            ) from error
        return steps

    def result(self, name: str) -> dict[str, Any] | None:
        """The result of a recorded step, or None."""
        record = self.steps().get(name)
        return None if record is None else dict(record["result"])

    def is_done(self, name: str, key: str) -> bool:
        """Whether step `name` was done with this key and its files are as it left them."""
        record = self.steps().get(name)
        return record is not None and record["key"] == key and self.files_unchanged(record)

    def files_unchanged(self, record: dict[str, Any]) -> bool:
        """Whether all files of a recorded step are as the step left them."""
        return all(
            (self.path / file).is_file() and file_sha256(self.path / file) == sha
            for file, sha in record["files"].items()
        )

    def put(
        self, name: str, key: str, files: Iterable[Path], result: dict[str, Any], time_s: float
    ) -> None:
        """Record a finished step."""
        hashes = {
            file.relative_to(self.path).as_posix(): file_sha256(file) for file in sorted(files)
        }
        with self._locked():
            steps = self.steps()
            steps[name] = {
                "key": key,
                "files": hashes,
                "result": result,
                "time_s": round(float(time_s), 3),
            }
            text = json.dumps({"schema": SCHEMA, "steps": steps}, indent=1, sort_keys=True)
            write_text(self.record_path, text + "\n")

    def drop(self, names: Callable[[str], bool]) -> None:
        """Forget the steps whose name satisfies `names`: what they came from has changed."""
        if not self.record_path.is_file():
            return
        with self._locked():
            steps = {name: record for name, record in self.steps().items() if not names(name)}
            text = json.dumps({"schema": SCHEMA, "steps": steps}, indent=1, sort_keys=True)
            write_text(self.record_path, text + "\n")

    def run(
        self,
        name: str,
        key: str,
        work: Callable[[], tuple[Iterable[Path], dict[str, Any]]],
    ) -> Step:
        """Do step `name` unless it is done; `work` returns the files it wrote and its result."""
        if self.is_done(name, key):
            record = self.steps()[name]
            return Step(name, dict(record["result"]), float(record["time_s"]), fresh=False)
        start = time.perf_counter()
        files, result = work()
        time_s = time.perf_counter() - start
        self.put(name, key, files, result, time_s)
        return Step(name, result, time_s, fresh=True)
