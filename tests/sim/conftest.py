"""Small trained-like models, their Verilog, and a runner for the benches on both simulators."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from gate2hw.ir.builder import NetlistBuilder  # noqa: E402
from gate2hw.ir.netlist import Encoder, Head, Netlist  # noqa: E402
from gate2hw.ir.simulate import classes, random_features, scores  # noqa: E402
from gate2hw.ir.store import Golden, save_golden, save_netlist  # noqa: E402
from gate2hw.tools.simulators import available, run_bench  # noqa: E402
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
    """A random netlist; outputs are drawn from the last half of the gates.

    Half of the gates are XOR or XNOR, or nothing much of the input would reach the outputs.
    """
    rng = np.random.default_rng(seed)
    builder = NetlistBuilder(n_features * n_thresholds)
    nodes = list(range(1, 1 + builder.n_inputs))
    for _ in range(n_gates):
        a, b = rng.choice(nodes[-2 * builder.n_inputs :], 2, replace=False)
        nodes.append(builder.gate(int(rng.choice([6, 9, 6, 9, 6, 1, 2, 7, 8, 11])), a, b))
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

    passed: bool
    n_tests: int
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

    def copy(self, folder: Path) -> Design:
        """A copy of netlist, golden vectors and Verilog, to plant faults in."""
        folder.mkdir(exist_ok=True)
        for name in ("netlist_raw.npz", "golden.npz", "rtl"):
            source = self.folder / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        return Design(folder, self.net)

    def edit(self, part: str, change: Callable[[str], str]) -> None:
        """Plant a fault in a Verilog file; the change must change something."""
        path = self.rtl / f"lgn_{part}.v"
        before = path.read_text()
        after = change(before)
        assert after != before
        path.write_text(after)

    def run(self, kind: str, simulator: str = "icarus", **job: Any) -> BenchRun:
        """Run a bench on the Verilog as it is now."""
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
        wrapper = self.folder / f"{wrapper_name(manifest, kind)}.v"
        wrapper.write_text(wrapper_verilog(manifest, kind))
        parts = ("gates", "core", "top") if kind == "top" else ("gates", "core")
        outcome = run_bench(
            simulator=simulator,
            sources=[*(self.rtl / f"lgn_{part}.v" for part in parts), wrapper],
            toplevel=wrapper.stem,
            test_module=f"sim.bench_{kind}",
            test_dir=ROOT,
            build_dir=self.folder / f"{kind}_{simulator}",
            timeout_s=300,
            env={"GATE2HW_JOB": str(path)},
        )
        result_path = self.folder / content["result"]
        result = json.loads(result_path.read_text()) if result_path.exists() else {}
        return BenchRun(outcome.passed, outcome.n_tests, result, outcome.log_path.read_text())


@pytest.fixture
def simulator(request: pytest.FixtureRequest) -> str:
    """The simulator that a test is parametrised with; skips where it is not usable."""
    name: str = request.param
    reason = available(name)
    if reason is not None:
        pytest.skip(reason)
    return name


@pytest.fixture
def icarus() -> str:
    """Icarus, which builds in no time."""
    reason = available("icarus")
    if reason is not None:
        pytest.skip(reason)
    return "icarus"


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


@pytest.fixture(scope="session")
def small_design(make_design: Callable[..., Design]) -> Design:
    """Six features of one byte, three classes, scores out, a pipelined core."""
    return make_design(random_net(n_features=6), output="scores")


@pytest.fixture(scope="session")
def nets() -> SimpleNamespace:
    """The makers of netlists and golden vectors."""
    return SimpleNamespace(net=random_net, golden=golden_of, save_golden=save_golden)
