"""The C sources: sanitizers, other compilers, another processor, and faults that must be seen."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from engine_build import DRIVER, STARVED, compiled, kernels_object, need, planted
from engine_nets import BLOCK_EDGES, random_net, random_samples, write_case

from gate2hw.engine import Engine, kernel_names
from gate2hw.engine import library as library_module
from gate2hw.ir import simulate
from gate2hw.ir.netlist import Netlist


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> Path:
    """Nets of all kinds for driver.c, with what the reference makes of them."""
    path = tmp_path_factory.mktemp("cases") / "cases.bin"
    rng = np.random.default_rng(7)
    with path.open("wb") as file:
        for number in range(48):
            net = random_net(
                number,
                n_features=int(rng.integers(1, 301)),
                n_inputs=int(rng.integers(0, 200)),
                n_gates=int(rng.integers(0, 500)),
                n_outputs=int(rng.integers(0, 80)),
                n_classes=(0, 1, 2, 3, 10, 200)[number % 6],
                max_value=int(rng.choice([1, 2, 254, 255, 256, 1000, 65535])),
                head=str(rng.choice(["plain", "signed", "tied", "large"])),
                reach=(None, 5, 30)[number % 3],
                alive=float(rng.choice([0.0, 0.7, 1.0])),
                sites=number % 4 == 0,
            )
            n = BLOCK_EDGES[number % len(BLOCK_EDGES)]
            x = random_samples(net, n) if net.n_classes else np.zeros((0, 1))
            n_words = n // 64 + number % 3
            words = rng.integers(0, 2**64, size=(net.n_inputs, n_words), dtype=np.uint64)
            write_case(file, net, x, words, (1, 7, 1 << 10, 10**9)[number % 4])
    return path


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


SANITIZERS = ("-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.fixture(scope="module", params=["gcc", pytest.param("clang", marks=pytest.mark.slow)])
def sanitized(request, tmp_path_factory) -> tuple[str, Path]:
    """A compiler that has the sanitizers, and what it makes of engine.c with them."""
    compiler = request.param
    need(compiler)
    folder = tmp_path_factory.mktemp(compiler)
    probe = folder / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    command = [compiler, *SANITIZERS, str(probe), "-o", str(folder / "probe")]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip(f"{compiler} has no sanitizers here")
    return compiler, kernels_object(compiler, folder / "engine.o", SANITIZERS)


def _sanitizers_say(program: Path, *arguments: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"ASAN_OPTIONS": "detect_leaks=1"},
    )


def test_the_sanitizers_find_nothing(sanitized, tmp_path, cases) -> None:
    """Reads and writes beyond arrays, undefined arithmetic, plans that are not freed."""
    compiler, kernels = sanitized
    driver = compiled(compiler, tmp_path / "driver", SANITIZERS, kernels=kernels)
    done = _sanitizers_say(driver, cases)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("48 cases: word ")


STARVING = [f"-Wl,--wrap={name}" for name in ("malloc", "calloc", "realloc", "aligned_alloc")]


def test_where_memory_runs_out_nothing_is_left_behind(sanitized, tmp_path) -> None:
    compiler, kernels = sanitized
    flags = [*SANITIZERS, *STARVING]
    program = compiled(compiler, tmp_path / "starved", flags, main=STARVED, kernels=kernels)
    done = _sanitizers_say(program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(" failed\n")


@pytest.mark.parametrize(
    ("fault", "main", "report"),
    [
        (("plan.c", "    free(plan->segments);\n", ""), DRIVER, "LeakSanitizer"),
        (("slots.c", "(size_t)(4 * w->n_ops + 1)", "(size_t)(2 * w->n_ops)"), DRIVER, "overflow"),
        (("plan.c", "        gate2hw_plan_free(plan);\n", ""), STARVED, "LeakSanitizer"),
    ],
    ids=["leak", "overflow", "leak where memory runs out"],
)
def test_the_sanitizers_see_planted_faults(sanitized, tmp_path, cases, fault, main, report) -> None:
    compiler, kernels = sanitized
    flags = [*SANITIZERS, *(STARVING if main is STARVED else [])]
    sources = planted(tmp_path, *fault)
    program = compiled(
        compiler, tmp_path / "broken", flags, sources=sources, main=main, kernels=kernels
    )
    done = _sanitizers_say(program, cases)
    assert done.returncode != 0
    assert report in done.stderr


@pytest.mark.parametrize("compiler", ["gcc", "gcc-11", "clang"])
@pytest.mark.parametrize("level", ["-O0", pytest.param("-O3", marks=pytest.mark.slow)])
def test_each_compiler_makes_the_same_bits_without_a_warning(
    compiler, level, tmp_path, cases
) -> None:
    need(compiler)
    driver = compiled(compiler, tmp_path / "driver", [level])
    assert _run([str(driver), str(cases)]).startswith("48 cases: word portable")


def test_neon_makes_the_same_bits(tmp_path, cases) -> None:
    need("aarch64-linux-gnu-gcc", "qemu-aarch64")
    driver = compiled("aarch64-linux-gnu-gcc", tmp_path / "driver", ["-O2", "-static"])
    assert _run(["qemu-aarch64", str(driver), str(cases)]) == "48 cases: word neon\n"


def _functions(library: Path) -> dict[str, str]:
    text = _run(["aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", str(library)])
    parts = re.split(r"^[0-9a-f]+ <([\w.]+)>:$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_gates_counter_and_compare_of_the_neon_kernel_use_its_registers(tmp_path) -> None:
    need("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-objdump")
    made = compiled("aarch64-linux-gnu-gcc", tmp_path / "engine.so", ["-O3"], main=None)
    code = _functions(made)
    vector = r"\t{}\tv\d+\.16b"
    for operation in ("and", "orr", "eor", "bic", "orn", "mvn"):
        assert re.search(vector.format(operation), code["interpret16_neon"]), operation
    assert not re.search(vector.format("and"), code["interpret16_word"])
    rest = "".join(text for name, text in code.items() if "_neon" in name)
    assert re.search(vector.format("cmh[is]"), rest)
    assert re.search(vector.format("zip1"), rest)


@pytest.fixture
def load(monkeypatch) -> Iterator[Callable[[Path], None]]:
    """Makes the engine use another library."""

    def clear() -> None:
        library_module.library.cache_clear()
        library_module.variants.cache_clear()

    def use(path: Path) -> None:
        monkeypatch.setattr(library_module, "library_path", lambda: path)
        clear()

    yield use
    monkeypatch.undo()
    clear()


def _differences(net: Netlist, x: np.ndarray) -> list[str]:
    """The kernels whose scores are not those of the reference."""
    wanted = simulate.scores(net, x)
    return [
        name for name in kernel_names() if (Engine(net, 1, kernel=name).scores(x) != wanted).any()
    ]


FAULTS = {
    "a gate": ("interpret.h", "OP2(14, a | b)", "OP2(14, a ^ b)"),
    "a carry": ("kernel.h", "        high = MAJORITY(p, q, r);", "        high = p & q;"),
    "a compare": ("encode.h", "((x) >= (bound))", "((x) > (bound))"),
    "a constant": ("kernel.h", "memset(slots + PLACES, 0xff", "memset(slots + PLACES, 0xfe"),
    "a polarity": ("plan.c", "table = flip(table, i);", "table = flip(table, 0);"),
    "a part": (
        "outputs.c",
        "end = place_of(w, d, op->operand[j]) + 1;",
        "end = place_of(w, d, op->operand[j]);",
    ),
    "a fold": ("cover.c", "tt = (uint8_t)((tt & 3) * 5);", "tt = (uint8_t)((tt & 12) >> 2) * 5;"),
}


@pytest.fixture(scope="module")
def case() -> tuple[Netlist, np.ndarray]:
    net = random_net(3, n_features=100, n_inputs=200, n_gates=600, n_outputs=120, n_classes=5)
    return net, random_samples(net, 130)


def test_sound_sources_show_no_difference(case, tmp_path, load) -> None:
    need("gcc")
    load(compiled("gcc", tmp_path / "sound.so", ["-O0"], main=None))
    assert not _differences(*case)


@pytest.mark.parametrize(
    "fault",
    [
        *list(FAULTS)[:3],
        *(pytest.param(name, marks=pytest.mark.slow) for name in list(FAULTS)[3:]),
    ],
)
def test_a_planted_fault_is_seen(fault, case, tmp_path, load) -> None:
    need("gcc")
    net, x = case
    sources = planted(tmp_path, *FAULTS[fault])
    load(compiled("gcc", tmp_path / "broken.so", ["-O0"], sources=sources, main=None))
    broken = _differences(net, x)
    assert "word" in broken
    assert "numpy" not in broken


def test_the_driver_sees_a_planted_fault(tmp_path, cases) -> None:
    need("gcc")
    sources = planted(tmp_path, *FAULTS["a gate"])
    driver = compiled("gcc", tmp_path / "driver", ["-O0"], sources=sources)
    done = subprocess.run([driver, cases], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the words differ" in done.stderr
