"""The C sources of the engine, built by any compiler, as they are or with a fault planted."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

import gate2hw.engine.native

NATIVE = Path(gate2hw.engine.native.__file__).parent
DRIVER = Path(__file__).with_name("driver.c")
STARVED = Path(__file__).with_name("starved.c")
STANDARD = ("-std=gnu11", "-Wno-psabi", "-Wall", "-Wextra", "-Wshadow", "-Werror")


def need(*tools: str) -> None:
    """Skips the test where one of `tools` is not installed."""
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")


def planted(folder: Path, file: str, old: str, new: str) -> Path:
    """A copy of the sources in which one place is another."""
    sources = folder / "native"
    shutil.copytree(NATIVE, sources, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    text = (sources / file).read_text()
    assert text.count(old) == 1, f"{file} has {text.count(old)} times {old!r}"
    (sources / file).write_text(text.replace(old, new))
    return sources


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def kernels_object(compiler: str, to: Path, flags: Sequence[str]) -> Path:
    """engine.c alone, which takes nearly all of the time, for several programs."""
    source = str(NATIVE / "engine.c")
    _run([compiler, *STANDARD, *flags, "-c", source, f"-I{NATIVE}", "-o", str(to)])
    return to


def compiled(
    compiler: str,
    to: Path,
    flags: Sequence[str],
    *,
    sources: Path = NATIVE,
    main: Path | None = DRIVER,
    kernels: Path | None = None,
) -> Path:
    """`to`, built from the sources: with a main a program, without it a library.

    `kernels` is what `kernels_object` made with the same flags.
    """
    files = [str(kernels or sources / "engine.c")]
    files += [
        str(sources / name) for name in ("plan.c", "order.c", "outputs.c", "slots.c", "cover.c")
    ]
    kind = [str(main)] if main else ["-shared", "-fPIC"]
    _run([compiler, *STANDARD, *flags, *files, *kind, f"-I{sources}", "-o", str(to)])
    return to
