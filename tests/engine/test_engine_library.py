"""The library is found, fits the declarations here, or is refused with a reason."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from engine_build import NATIVE, need
from engine_nets import random_net

from gate2hw.engine import Engine, kernel_names
from gate2hw.engine import library as module
from gate2hw.errors import InputError

is_built = not isinstance(module.library(), str)


@pytest.fixture(autouse=True)
def _anew(monkeypatch) -> Iterator[None]:
    yield
    monkeypatch.undo()
    module.library.cache_clear()
    module.variants.cache_clear()


def _use(monkeypatch, path: Path | None) -> None:
    monkeypatch.setattr(module, "library_path", lambda: path)
    module.library.cache_clear()
    module.variants.cache_clear()


@pytest.mark.skipif(not is_built, reason="the C kernels are not built")
def test_what_is_built_is_found() -> None:
    path = module.library_path()
    assert path is not None
    assert path.parent == NATIVE
    names = [variant.name for variant in module.variants()]
    assert names[0] == "word"
    assert names[1] in ("portable", "neon")
    assert len(set(names)) == len(names)
    for number, variant in enumerate(module.variants()):
        assert variant.number == number
        assert variant.block % 64 == 0
        assert variant.k in (2, 3)
    assert kernel_names() == ("numpy", *names)


def test_without_a_library_there_is_numpy_and_a_reason(monkeypatch) -> None:
    _use(monkeypatch, None)
    assert module.library() == "the C kernels are not built"
    assert module.variants() == ()
    assert kernel_names() == ("numpy",)


def test_a_file_that_is_no_library_is_refused(monkeypatch, tmp_path) -> None:
    path = tmp_path / "_engine.so"
    path.write_bytes(b"no library")
    _use(monkeypatch, path)
    reason = module.library()
    assert isinstance(reason, str)
    assert reason.startswith("_engine.so cannot be loaded (")
    assert kernel_names() == ("numpy",)


FOREIGN = {
    "int foreign(void) { return 0; }": "made.so cannot be loaded",
    f"int gate2hw_engine_abi(void) {{ return {module._ABI + 1}; }}": (
        "made.so was built from other sources"
    ),
}


@pytest.mark.parametrize(("text", "reason"), FOREIGN.items(), ids=["no engine", "other ABI"])
def test_a_library_of_other_sources_is_refused(monkeypatch, tmp_path, text, reason) -> None:
    need("gcc")
    source, path = tmp_path / "made.c", tmp_path / "made.so"
    source.write_text(f"{text}\n")
    subprocess.run(["gcc", "-shared", "-fPIC", source, "-o", path], check=True)
    _use(monkeypatch, path)
    assert reason in str(module.library())
    assert kernel_names() == ("numpy",)


def test_asking_for_a_kernel_that_is_not_built_says_why(monkeypatch) -> None:
    _use(monkeypatch, None)
    with pytest.raises(InputError, match=r"no kernel 'avx2' here; .*: the C kernels are not built"):
        Engine(random_net(0), kernel="avx2")


STRUCTURES = {
    "netlist": module.NetlistColumns,
    "plan": module.Plan,
    "model": module.Model,
    "batch": module.Batch,
    "bits": module.Bits,
    "variant": module._Variant,
}


def test_structures_lie_in_memory_as_in_c(tmp_path) -> None:
    """Sizes and offsets as a compiler sees them: a field that is added on one side is caught."""
    need("gcc")
    lines = ['#include "engine.h"', "#include <stdio.h>", "int main(void) {"]
    wanted = []
    for name, structure in STRUCTURES.items():
        fields = [field[0] for field in structure._fields_]
        wanted.append(ctypes.sizeof(structure))
        wanted += [getattr(structure, field).offset for field in fields]
        lines.append(f'printf("%zu\\n", sizeof(struct {name}));')
        lines += [f'printf("%zu\\n", offsetof(struct {name}, {field}));' for field in fields]
    assert module.Chunk.fields is not None
    wanted += [module.Chunk.itemsize, *(entry[1] for entry in module.Chunk.fields.values())]
    lines.append('printf("%zu\\n", sizeof(struct chunk));')
    lines += [f'printf("%zu\\n", offsetof(struct chunk, {f}));' for f in module.Chunk.fields]
    lines.append("return 0; }")
    source = tmp_path / "sizes.c"
    source.write_text("\n".join(lines) + "\n")
    program = tmp_path / "sizes"
    subprocess.run(["gcc", f"-I{NATIVE}", source, "-o", program], check=True)
    said = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    assert [int(line) for line in said.split()] == wanted


def test_an_address_is_where_the_data_lies() -> None:
    array = np.arange(5, dtype=np.int32)
    assert ctypes.c_int32.from_address(module.address(array) + 8).value == 2
