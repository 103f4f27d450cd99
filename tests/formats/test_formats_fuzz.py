"""Every reader on damaged and hostile files: one sentence, no traceback, little memory."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from formats_nets import real_net, with_head
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gate2hw.errors import Gate2HWError
from gate2hw.flow.importing import import_model
from gate2hw.formats.circuits import FORMATS, read_circuit, write_circuit
from gate2hw.formats.spec import ImportSpec, parse_spec
from gate2hw.formats.tensors import read_tensors
from gate2hw.formats.torchlogix import from_torchlogix
from gate2hw.ir.lutblif import read_lut_blif, write_lut_blif
from gate2hw.nn.foreign import read_state_dict

DATA = Path(__file__).parent / "data"
EXAMPLES = [30, pytest.param(1000, marks=pytest.mark.slow)]


def fuzz(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


def refusal(read: Callable[[], object]) -> str | None:
    """The sentence that `read` refuses with; anything but a Gate2HWError goes through."""
    try:
        read()
    except Gate2HWError as error:
        return str(error)
    return None


TOKENS = {
    ".aag": [b"999999999", b"-1", b" ", b"\n", b"i0 x\n", b"c\n"],
    ".aig": [b"\xff\xff\xff\xff\xff\xff", b"\x80", b"999999999", b"\n"],
    ".blif": [b".names ", b".latch", b"\\", b"#", b"-", b".end\n", b".model", b"\n", b"11 1\n"],
    ".c": [b"(", b")", b"[999999999]", b"v9", b"out[", b"{", b"}", b"1", b"!", b";", b"//", b"inp"],
    ".json": [b"[", b"{", b"}", b"-1", b"1e400", b"99999999999999999999", b"null", b'"', b"NaN"],
    ".npz": [b"PK\x03\x04", b"\xff\xff\xff\xff", b"PK\x05\x06"],
    ".v": [
        b"(", b")", b"[", b"]", b"99999999999", b"wire ", b"assign ", b";", b"\\", b"1'b", b"~",
        b"?", b":", b"input ", b"/*", b"//", b"`", b"\x01", b"\n",
    ],
}  # fmt: skip


def whole(suffix: str, folder: Path) -> bytes:
    """A sound file of the format."""
    net = real_net(1, n_gates=12)
    net = with_head(net, low=0, bias=0) if FORMATS[suffix].head else net
    write_circuit(net, folder / f"whole{suffix}")
    return (folder / f"whole{suffix}").read_bytes()


@st.composite
def damage(draw: st.DrawFn, suffix: str) -> list[tuple[str, float, object]]:
    """Places (0..1) and what is done there."""
    kinds = st.one_of(
        st.tuples(st.just("cut"), st.floats(0, 1), st.none()),
        st.tuples(st.just("set"), st.floats(0, 1), st.integers(0, 255)),
        st.tuples(st.just("put"), st.floats(0, 1), st.sampled_from(TOKENS[suffix])),
        st.tuples(st.just("drop"), st.floats(0, 1), st.integers(1, 40)),
        st.tuples(st.just("twice"), st.floats(0, 1), st.integers(1, 60)),
    )
    return draw(st.lists(kinds, min_size=1, max_size=4))


def damaged(data: bytes, steps: list[tuple[str, float, object]]) -> bytes:
    for kind, place, what in steps:
        at = int(place * len(data))
        if kind == "cut":
            data = data[:at]
        elif kind == "set":
            data = data[:at] + bytes([what]) + data[at + 1 :]
        elif kind == "put":
            data = data[:at] + what + data[at:]
        elif kind == "drop":
            data = data[:at] + data[at + what :]
        else:
            data = data[: at + what] + data[at:]
    return data


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_damaged_netlists(suffix, examples, tmp_path):
    sound = whole(suffix, tmp_path)
    path = tmp_path / f"f{suffix}"
    refused = 0

    @fuzz(examples)
    @given(damage(suffix))
    def attack(steps):
        nonlocal refused
        path.write_bytes(damaged(sound, steps))
        text = refusal(lambda: read_circuit(path))
        if text is not None:
            refused += 1
            assert f"f{suffix}" in text
            assert "\n" not in text

    attack()
    assert refused > examples // 3


@pytest.mark.parametrize("examples", EXAMPLES)
def test_damaged_lut_netlists(examples, tmp_path):
    """What ABC is given and gives back."""
    net = real_net(1, n_gates=40)
    write_lut_blif(net, tmp_path / "whole.blif")
    sound, path = (tmp_path / "whole.blif").read_bytes(), tmp_path / "f.blif"
    refused = 0

    @fuzz(2 * examples)
    @given(damage(".blif"))
    def attack(steps):
        nonlocal refused
        path.write_bytes(damaged(sound, steps))
        text = refusal(lambda: read_lut_blif(path, like=net))
        if text is not None:
            refused += 1
            assert "f.blif" in text
            assert "\n" not in text

    attack()
    assert refused > examples // 2


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("name", ["raw.pt", "difflogic.pt"])
def test_damaged_state_dicts(name, examples, tmp_path):
    sound = (DATA / name).read_bytes()
    spec = parse_spec("[output]\nclasses = 3\n")

    @fuzz(examples)
    @given(damage(".npz"))
    def attack(steps):
        (tmp_path / "f.pt").write_bytes(damaged(sound, steps))
        text = refusal(lambda: from_torchlogix(read_state_dict(tmp_path / "f.pt"), spec))
        assert "\n" not in (text or "")

    attack()


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_damaged_tensors(suffix, examples, tmp_path):
    from safetensors.numpy import save_file

    tensors = {"0.weight": np.ones((3, 16)), "0.connections.indices": np.ones((2, 3), np.int64)}
    path = tmp_path / f"f{suffix}"
    if suffix == ".npz":
        np.savez(path, **tensors)
    else:
        save_file(tensors, path)
    sound = path.read_bytes()

    @fuzz(examples)
    @given(damage(".npz"))
    def attack(steps):
        path.write_bytes(damaged(sound, steps))
        refusal(lambda: from_torchlogix(read_tensors(path), ImportSpec(classes=1)))

    attack()


FOREIGN = {
    "raw": ("torchlogix", "[output]\nclasses = 3\n"),
    "learnable": ("torchlogix", "[output]\nclasses = 3\n"),
    "difflogic": ("difflogic", "[output]\nclasses = 3\n"),
    "dwn": ("dwn", "[output]\nclasses = 3\n"),
}
VALUES = [-1, 10**9, 2**40, 2**63 - 1, float("nan"), float("inf"), 0, True]
CHANGES = {
    "drop": lambda a, v: None,
    "fill": lambda a, v: np.full(a.shape, v),
    "one": lambda a, v: np.concatenate([a.ravel()[:-1], [v]]).reshape(a.shape),
    "short": lambda a, v: a[:-1],
    "empty": lambda a, v: a[:0],
    "scalar": lambda a, v: np.array(v),
    "turn": lambda a, v: a.T,
    "deep": lambda a, v: a[None],
    "text": lambda a, v: np.full(a.shape, "x"),
    "float": lambda a, v: a.astype(float),
}


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("name", FOREIGN)
def test_twisted_tensors(name, examples, tmp_path):
    """Sound archives of arrays that lie: each import gives one sentence, or is checked equal."""
    origin, spec_text = FOREIGN[name]
    spec = parse_spec(spec_text)
    files = {"model": read_state_dict(DATA / f"{name}.pt")}
    if origin == "difflogic":
        files["wiring"] = read_tensors(DATA / "difflogic.wiring.npz")
    places = [(file, key) for file, arrays in files.items() for key in sorted(arrays)]
    refused = 0

    def run(arrays):
        for file, columns in arrays.items():
            np.savez(tmp_path / f"{file}.npz", **columns)
        wiring = tmp_path / "wiring.npz" if "wiring" in arrays else None
        import_model(
            tmp_path / "model.npz", origin, tmp_path / "o.safetensors", spec=spec, wiring=wiring
        )

    run(files)

    @fuzz(examples)
    @given(
        st.sampled_from(places),
        st.sampled_from(sorted(CHANGES)),
        st.sampled_from(VALUES),
        st.sampled_from([None, "x", "0.weights"]),
    )
    def attack(place, change, value, renamed):
        nonlocal refused
        file, key = place
        arrays = {name: dict(columns) for name, columns in files.items()}
        array = CHANGES[change](arrays[file].pop(key), value)
        if array is not None:
            arrays[file][renamed or key] = array
        text = refusal(lambda: run(arrays))
        refused += text is not None
        assert "\n" not in (text or "")

    attack()
    assert refused > examples // 3


FAR = np.array([0, 1, 1_000_000, 2, 0, 1])
NEAR = np.array([1, 2, 0, 1, 2, 0])
FAR_FILES = {
    "torchlogix": (
        {"0.weight": np.ones((6, 16)), "0.connections.indices": np.stack([NEAR, FAR])},
        None,
    ),
    "difflogic": ({"0.weights": np.ones((6, 16))}, {"a_0": NEAR, "b_0": FAR}),
    "dwn": ({"0.luts": np.ones((6, 4)), "0.mapping": np.stack([NEAR, FAR], axis=1)}, None),
}


@pytest.mark.parametrize("origin", FAR_FILES)
def test_a_far_input_is_not_believed_without_a_spec(origin, tmp_path):
    """One number in a file of a kilobyte would be a network of a million inputs."""
    tensors, side = FAR_FILES[origin]
    model, wiring = tmp_path / "model.npz", tmp_path / "wiring.npz"
    np.savez(model, **tensors)
    np.savez(wiring, **(side or {}))
    spec = parse_spec("[output]\nclasses = 3\n")
    text = refusal(
        lambda: import_model(
            model, origin, tmp_path / "o.st", spec=spec, wiring=wiring if side else None
        )
    )
    assert text is not None
    assert "reads input 1,000,000, but has only" in text
    assert "--spec with [input] shape" in text


@fuzz(100)
@given(st.text(st.sampled_from('[]=".\n0123456789 inputshapegatesoutputclasses'), max_size=60))
def test_damaged_specs(text):
    assert "\n" not in (refusal(lambda: parse_spec(text)) or "")


def hostile(folder: Path) -> list[Path]:
    """Files of a few bytes that declare a billion of something, or nest without end."""
    billion = 10**9
    c_head = "void logic_gate_net(char const *inp, char *out) {out[0] = "
    texts = {
        "many.aag": f"aag {billion} {billion} 0 0 0\n",
        "ands.aag": f"aag {billion} 1 0 1 {billion - 1}\n2\n2\n",
        "inputs.aig": f"aig {billion} {billion} 0 0 0\n",
        "ands.aig": f"aig {billion} 1 0 1 {billion - 1}\n2\n\x01\x01",
        "outputs.aig": f"aig 1 1 0 {billion} 0\n2\n",
        "more.aig": "aig 99999999999999999999 1 0 0 99999999999999999998\n",
        "wide.v": f"module m(input [{billion}:0] x, output y); assign y = x[0]; endmodule",
        "wire.v": f"module m(input a, output y); wire [{billion}:0] w; endmodule",
        "deep.v": "module m(input a, output y); assign y = " + "(~" * 200_000 + "a; endmodule",
        "index.v": "module m(input a, output y); assign y = a[" + "9" * 5000 + "]; endmodule",
        "far.c": f"{c_head}inp[{billion - 1}];}}",
        "said.c": f"enum {{ N_INPUTS = {billion - 1} }};\n{c_head}inp[0];}}",
        "many.json": f'{{"n_inputs": {billion}, "gates": [], "outputs": []}}',
        "deep.json": '{"n_inputs": 1, "gates": ' + "[" * 200_000,
        "digits.json": '{"n_inputs": ' + "9" * 5000 + ', "gates": []}',
        "cover.blif": ".model m\n.inputs a\n.outputs y\n.names " + "a " * 200_000 + "y\n.end\n",
        "joined.blif": ".model m\n.inputs \\\n" + " \\\n" * 50_000 + "\n.exdc\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="latin-1")
    # arrays of a billion numbers in an archive of a few bytes
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '<i8', 'fortran_order': False, 'shape': (%d,), }"
    with zipfile.ZipFile(folder / "lies.npz", "w") as archive:
        for name in ("format", "tt", "in0"):
            archive.writestr(f"{name}.npy", (header % billion).ljust(127) + b"\n")
    return sorted(folder.iterdir())


LIMITED = """
import resource, sys
from gate2hw.errors import Gate2HWError
from gate2hw.formats.circuits import read_circuit
base = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = base + 200 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in sys.argv[1:]:
    try:
        read_circuit(path)
        print("READ", path)
    except Gate2HWError as error:
        print("refused", len(str(error).splitlines()), error)
"""


def test_hostile_files_take_little_memory(tmp_path):
    """In a process that may take 200 MB more than it has after its imports."""
    paths = hostile(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert len(lines) == len(paths), done.stdout
    assert all(line.startswith("refused 1 ") for line in lines), done.stdout
