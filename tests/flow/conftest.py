"""A small trained model and its build folder, made once a worker."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import gate2hw

SMALL = ["training.steps=40"]


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the OR-pooling recipe, trained for a moment."""
    out = tmp_path_factory.mktemp("model")
    gate2hw.train("digits-orpool", out, overrides=SMALL)
    return out


@pytest.fixture(scope="session")
def compiled(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build folder of `small_model`; tests that change it copy it first."""
    out = tmp_path_factory.mktemp("build") / "small"
    gate2hw.compile(small_model, out, name="tiny", output="scores")
    return out


@pytest.fixture
def build(compiled: Path, tmp_path: Path) -> Path:
    """A private copy of the build folder."""
    out = tmp_path / "build"
    shutil.copytree(compiled, out)
    return out
