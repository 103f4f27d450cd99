"""Install difflogic in the environment that runs this, without its CUDA extension.

build/peers/difflogic/bin/python benchmarks/peers/difflogic_install.py

Its setup.py asks torch for the compiler of CUDA before anything else. A stand-in for that part of
torch, on PYTHONPATH while pip runs, leaves the extension out; the Python sources are as published.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

VERSION = "0.1.0"
STAND_IN = """
from setuptools import Extension
from setuptools.command.build_ext import build_ext


def CUDAExtension(name, sources, **options):
    return Extension(name, [])


class BuildExtension(build_ext):
    def run(self):
        self.extensions = []
"""

with tempfile.TemporaryDirectory() as folder:
    utils = Path(folder) / "torch" / "utils"
    utils.mkdir(parents=True)
    for package in (utils.parent, utils):
        (package / "__init__.py").write_text("")
    (utils / "cpp_extension.py").write_text(STAND_IN)
    options = ["--quiet", "--no-build-isolation", "--no-deps", "--no-binary", "difflogic"]
    raise SystemExit(
        subprocess.call(
            [sys.executable, "-m", "pip", "install", *options, f"difflogic=={VERSION}"],
            env={**os.environ, "PYTHONPATH": folder},
        )
    )
