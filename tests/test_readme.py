"""What the README shows is run: its Python example, and its list of commands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
def test_python_examples_run_one_after_the_other(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "build/small/report.html").is_file()
    assert "right, kernel" in done.stdout.splitlines()[-1]


def test_commands_are_the_parsers() -> None:
    from gate2hw.cli.commands import COMMANDS

    text = README.read_text(encoding="utf-8")
    assert set(re.findall(r"(?:^|\s{2,})gate2hw (\w+)", text, re.MULTILINE)) == set(COMMANDS)
