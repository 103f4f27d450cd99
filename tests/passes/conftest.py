"""The oracle module as a fixture: tests are imported by path, not as a package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def oracle() -> ModuleType:
    """tests/passes/passes_oracle.py."""
    spec = importlib.util.spec_from_file_location(
        "passes_oracle", Path(__file__).with_name("passes_oracle.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["passes_oracle"] = module
    spec.loader.exec_module(module)
    return module
