"""The wheel holds all that the command needs: flows, benches, templates, recipes, the page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_wheel_trains_compiles_verifies_and_reports(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet"]
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "--quiet", ROOT, source], check=True)
    wheel = ["--no-index", "--find-links", tmp_path / "dist"]
    for command in (
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path / "dist", source],
        [*pip, "install", "--no-deps", "--target", tmp_path / "site", *wheel, "gate2hw"],
    ):
        subprocess.run(command, check=True)
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}

    def gate2hw(*argv: str) -> str:
        command = [sys.executable, "-m", "gate2hw", *argv]
        done = subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = subprocess.run(
        [sys.executable, "-c", "import gate2hw; print(gate2hw.__file__)"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert where.startswith(str(tmp_path / "site"))
    assert "ecp5-85k" in gate2hw("targets")
    gate2hw("train", "digits-orpool", "-o", "m", "--set", "training.steps=5", "--quiet")
    gate2hw("compile", "m", "-o", "m", "--quiet")
    gate2hw("verify", "m", "--vectors", "20", "--quiet")
    gate2hw("report", "m", "--quiet")
    assert (tmp_path / "m" / "report.html").is_file()
