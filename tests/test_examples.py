"""Every example runs (--smoke) and opens with the question it answers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def test_there_are_examples_and_each_asks_its_question() -> None:
    assert EXAMPLES
    for path in EXAMPLES:
        title = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert title is not None
        assert title.splitlines()[0].endswith("?"), path.name


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, path, "--smoke", "-o", tmp_path / "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "report.html").is_file()
    assert "FAILED" not in done.stdout
