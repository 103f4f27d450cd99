"""The engine gives the bits of the reference for any net, batch, type and number of threads."""

from __future__ import annotations

import copy
import os
import pickle
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from engine_nets import BLOCK_EDGES, assert_same, assert_same_words, random_net, random_samples
from hypothesis import given, settings
from hypothesis import strategies as st

from gate2hw.engine import Engine, kernel_names
from gate2hw.engine import engine as engine_module
from gate2hw.engine import library as library_module
from gate2hw.errors import InputError, IRError, ModelFileError
from gate2hw.ir import simulate
from gate2hw.ir.lutnetlist import save_lutnetlist
from gate2hw.ir.netlist import Head, Names
from gate2hw.ir.store import save_netlist, save_network
from gate2hw.passes.mapping.lutmap import map_luts

NET = random_net(11, n_features=70, n_inputs=90, n_gates=250, n_outputs=60, n_classes=6)
"""(70,) features of one byte (its shape is (2, 35) or (70,)), six classes."""
SHAPE = NET.encoder.shape if NET.encoder is not None else ()
BEYOND = (1 << 16) + 4
"""A sample of the second part of an array that is converted in parts."""


@pytest.fixture(params=kernel_names())
def kernel(request) -> str:
    return request.param


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n_features=st.integers(1, 300),
    n_inputs=st.integers(0, 150),
    n_gates=st.integers(0, 300),
    n_outputs=st.integers(0, 60),
    n_classes=st.one_of(st.integers(1, 12), st.just(200)),
    max_value=st.sampled_from([1, 2, 254, 255, 256, 1000, 65535]),
    head=st.sampled_from(["plain", "signed", "tied", "large"]),
    reach=st.sampled_from([None, 3, 30]),
    alive=st.sampled_from([0.0, 0.7, 1.0]),
    n=st.sampled_from(BLOCK_EDGES),
    threads=st.integers(1, 3),
)
def test_scores_and_classes_are_those_of_the_reference(n, threads, **kinds) -> None:
    net = random_net(**kinds)
    x = random_samples(net, n)
    for name in kernel_names():
        assert_same(Engine(net, threads, kernel=name), x)
    assert_same(Engine(net, threads), x)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n_inputs=st.integers(0, 100),
    n_gates=st.integers(0, 300),
    n_outputs=st.integers(0, 60),
    reach=st.sampled_from([None, 3, 30]),
    alive=st.sampled_from([0.0, 0.7, 1.0]),
    n_words=st.sampled_from([0, 1, 2, 3, 4, 5, 7, 8, 9, 17]),
)
def test_words_of_plain_circuits_are_those_of_the_reference(n_words, seed, **kinds) -> None:
    net = random_net(seed, n_classes=0, **kinds)
    words = simulate.random_words(net, n_words, np.random.default_rng(seed))
    for name in kernel_names():
        assert_same_words(Engine(net, 1, kernel=name), words)


def test_every_number_of_samples(kernel) -> None:
    """Around the blocks of each kernel, and where batches are shared between threads."""
    shares = [n for part in (4096, 8192, 12288) for n in (part - 1, part, part + 1)]
    x = random_samples(NET, max(shares))
    wanted = simulate.scores(NET, x)
    classes = simulate.classes(wanted)
    engines = [Engine(NET, threads, kernel=kernel) for threads in (1, 2, 3)]
    for n in [*range(70), *BLOCK_EDGES, *shares]:
        for engine in engines if n >= 4095 else engines[:1]:
            np.testing.assert_array_equal(engine.scores(x[:n]), wanted[:n])
            np.testing.assert_array_equal(engine.predict(x[:n]), classes[:n])


def test_ties_go_to_the_lowest_class(kernel) -> None:
    net = NET.with_(
        head=Head(NET.head.group_ptr, 0 * NET.head.weight, np.array([1, 2, 2, 0, 2, 1]))
    )
    assert (Engine(net, 1, kernel=kernel).predict(random_samples(net, 200)) == 1).all()


@pytest.mark.parametrize(
    "dtype",
    [
        "bool",
        "i1",
        "u1",
        "<i2",
        "<u2",
        ">i2",
        ">u2",
        "i4",
        "u4",
        ">i8",
        "i8",
        "u8",
        "f2",
        "f4",
        "f8",
    ],
)
@pytest.mark.parametrize("max_value", [1, 100, 255, 300, 65535])
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_types_that_hold_the_values(dtype, max_value) -> None:
    net = random_net(12, n_features=9, n_inputs=min(9 * max_value, 40), max_value=max_value)
    x = random_samples(net, 150)
    kind = np.dtype(dtype)
    most = {"b": 1, "f": 2048}.get(kind.kind) or np.iinfo(kind).max
    x = np.minimum(x.astype(np.int64), min(most, 65535)).astype(kind)
    np.testing.assert_array_equal(Engine(net, 1).scores(x), simulate.scores(net, x))


def test_lists_and_layouts_in_memory(tmp_path) -> None:
    engine = Engine(NET, 2)
    x = random_samples(NET, 300)
    wanted = simulate.scores(NET, x)
    wide = np.zeros((600, *SHAPE), np.uint8)
    wide[::2] = x
    frozen = x.copy()
    frozen.setflags(write=False)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    layouts = [x.tolist(), list(x), np.asfortranarray(x), wide[::2], frozen, mapped]
    layouts += [x[::-1][::-1], np.asfortranarray(x.astype(np.int64)), mapped[:]]
    for given_x in layouts:
        np.testing.assert_array_equal(engine.scores(given_x), wanted)
    np.testing.assert_array_equal(engine.scores(mapped[5::7]), wanted[5::7])
    np.testing.assert_array_equal(
        np.concatenate(list(engine.stream([x[:70], x[70:]]))), (simulate.classes(wanted))
    )


def test_large_arrays_are_converted_in_parts() -> None:
    engine = Engine(NET, 2)
    x = random_samples(NET, BEYOND + 100)
    wanted = engine.scores(x)
    np.testing.assert_array_equal(wanted[-300:], simulate.scores(NET, x[-300:]))
    np.testing.assert_array_equal(engine.scores(x.astype(np.int16)), wanted)
    np.testing.assert_array_equal(engine.predict(x.astype(np.float32)), wanted.argmax(axis=1))


@pytest.mark.parametrize(
    ("given_x", "message"),
    [
        (np.zeros((), np.uint8), r"shape \(\)"),
        (5, r"shape \(\)"),
        (None, r"shape \(\)"),
        ((i for i in range(3)), r"shape \(\)"),
        ([], r"shape \(0,\), the model expects \(N, "),
        ([[1, 2], [3]], "the input is no array"),
        (np.zeros((3, 71), np.uint8), r"shape \(3, 71\)"),
        (np.zeros((BEYOND, 71), np.int64), rf"shape \({BEYOND}, 71\), the model .*\)$"),
        (np.full((3, *SHAPE), "a"), "type <U1"),
        (np.full((3, *SHAPE), None, object), "type object"),
        (np.zeros((3, *SHAPE), complex), "type complex128"),
        (np.zeros((3, *SHAPE), "M8[s]"), "type datetime64"),
    ],
)
def test_what_is_no_input_is_refused(given_x, message, kernel) -> None:
    engine = Engine(NET, 1, kernel=kernel)
    with pytest.raises(InputError, match=message):
        engine.predict(given_x)
    with pytest.raises(InputError):
        engine.evaluate(given_x, np.zeros(3, int))


OUTSIDE = [(dtype, value) for dtype in (np.int16, np.int64, np.float32) for value in (-1, 256)]
OUTSIDE += [(np.uint16, 256), *((np.float32, value) for value in (0.5, np.nan, np.inf))]


@pytest.mark.parametrize(("dtype", "value"), OUTSIDE)
def test_a_value_out_of_range_is_named(dtype, value) -> None:
    """In the words of the reference, also where the array is converted in parts."""
    x = np.zeros((BEYOND + 10, *SHAPE), dtype)
    flat = x.reshape(len(x), -1)
    engine = Engine(NET, 1)
    flat[7, 3] = value
    with pytest.raises(InputError, match="sample 7, feature 3: ") as ours:
        engine.predict(x[:20])
    assert NET.encoder is not None
    with pytest.raises(InputError) as wanted:
        simulate.check_input(NET.encoder, x[:20])
    assert str(ours.value) == str(wanted.value)
    flat[7, 3] = 0
    flat[BEYOND, 69] = value
    with pytest.raises(InputError, match=r"sample 65540, feature 69: "):
        engine.scores(x)


def test_narrow_values_beyond_the_models_are_refused() -> None:
    """A byte that the model's 0..100 does not have; -1 in a type as wide as the model's."""
    net = random_net(12, n_features=9, n_inputs=20, max_value=100)
    x = random_samples(net, 50)
    assert_same(Engine(net), x)
    x.reshape(50, 9)[49, 8] = 101
    with pytest.raises(InputError, match=r"sample 49, feature 8: value 101 .* 0\.\.100"):
        Engine(net).predict(x)
    with pytest.raises(InputError, match="sample 0, feature 0: value -1"):
        Engine(NET).predict(np.full((3, *SHAPE), -1, np.int8))


def test_evaluate_counts_right_classes_and_checks_labels(kernel) -> None:
    engine = Engine(NET, 1, kernel=kernel)
    x = random_samples(NET, 90)
    right = engine.predict(x)
    wrong = np.where(np.arange(90) < 9, (right + 1) % 6, right)
    assert engine.evaluate(x, right) == 1.0
    assert engine.evaluate(x, wrong.tolist()) == pytest.approx(0.9)
    assert engine.evaluate(x, wrong.astype(np.uint8)) == pytest.approx(0.9)
    for labels in (right[:-1], right[:, None], right.astype(float), ["a"] * 90, right > 0, None):
        with pytest.raises(InputError, match=r"the labels are .*; give 90 integers"):
            engine.evaluate(x, labels)
    for label in (-1, 6):
        with pytest.raises(InputError, match=r"the model's classes are 0\.\.5"):
            engine.evaluate(x, np.full(90, label))
    with pytest.raises(InputError, match="no samples"):
        engine.evaluate(x[:0], right[:0])


def test_a_plain_circuit_has_words_only(kernel) -> None:
    engine = Engine(random_net(1, n_classes=0), kernel=kernel)
    x = random_samples(NET, 3)
    for call in (engine.predict, engine.scores, lambda x: engine.evaluate(x, np.zeros(3, int))):
        with pytest.raises(InputError, match=r"plain circuit.*use simulate"):
            call(x)
    assert engine.n_classes == 0
    for words in (np.zeros(30, np.uint64), np.zeros((29, 2), np.uint64)):
        with pytest.raises(InputError, match=r"give \(30, W\)"):
            engine.simulate(words)
    for kind in (bool, float, "U1"):
        with pytest.raises(InputError, match="give uint64"):
            engine.simulate(np.zeros((30, 2), kind))


def test_words_of_a_classifier_too(kernel) -> None:
    """Outputs of negative weight are kept complemented inside; strided words are copied."""
    assert (NET.head.weight < 0).any()
    words = simulate.random_words(NET, 12, np.random.default_rng(0))
    assert_same_words(Engine(NET, kernel=kernel), words)
    assert_same_words(Engine(NET, kernel=kernel), words[:, ::3])


def test_one_engine_for_many_threads(kernel) -> None:
    """Its programs are made when they are first needed, by whoever needs them."""
    x = random_samples(NET, 9000)
    wanted = simulate.classes(simulate.scores(NET, x))
    sizes = [1, 9000, 64, 65, 4097, 513, 9000, 7] * 3
    engine = Engine(NET, 2, kernel=kernel)
    with ThreadPoolExecutor(8) as pool:
        for n, found in zip(sizes, pool.map(lambda n: engine.predict(x[:n]), sizes), strict=True):
            np.testing.assert_array_equal(found, wanted[:n])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_threads_of_its_own() -> None:
    engine = Engine(NET, 2)
    x = random_samples(NET, 9000)
    wanted = engine.predict(x)
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(0 if (engine.predict(x) == wanted).all() else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_without_the_library_everything_works(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(library_module, "library_path", lambda: None)
    library_module.library.cache_clear()
    library_module.variants.cache_clear()
    try:
        assert kernel_names() == ("numpy",)
        engine = Engine(NET, 3)
        assert engine.kernel == "numpy"
        assert engine.n_ops == NET.n_gates
        assert_same(engine, random_samples(NET, 5000))
        assert_same_words(engine, simulate.random_words(NET, 3, np.random.default_rng(0)))
    finally:
        monkeypatch.undo()
        library_module.library.cache_clear()
        library_module.variants.cache_clear()


def test_wrong_options_are_refused() -> None:
    for threads in (0, -1):
        with pytest.raises(InputError, match=f"threads is {threads}; give 1 or more"):
            Engine(NET, threads)
    with pytest.raises(InputError, match="no kernel 'nunpy' here; did you mean 'numpy'"):
        Engine(NET, kernel="nunpy")
    head = Head(np.array([0, 60]), np.full(60, 2**30), np.zeros(1, np.int64))
    with pytest.raises(InputError, match="32 bits"):
        Engine(NET.with_(head=head))


def test_engines_of_files_and_folders(tmp_path) -> None:
    x = random_samples(NET, 20)
    names = tuple("abcdef")
    save_netlist(tmp_path / "netlist.npz", NET.with_(names=Names(classes=names)))
    for path in (tmp_path, str(tmp_path), tmp_path / "netlist.npz"):
        assert_same(Engine(path), x)
    assert Engine(tmp_path).class_names == names
    assert Engine(NET).class_names == tuple("012345")
    assert Engine(NET).n_classes == 6


def test_other_files_are_refused(tmp_path, random_network) -> None:
    with pytest.raises(ModelFileError, match=r"nothing.npz: no such file"):
        Engine(tmp_path / "nothing.npz")
    with pytest.raises(InputError, match=r"has no netlist.npz; gate2hw compile"):
        Engine(tmp_path)
    (tmp_path / "text").write_text("text")
    with pytest.raises(ModelFileError, match="text: not a readable"):
        Engine(tmp_path / "text")
    save_lutnetlist(tmp_path / "luts.npz", map_luts(NET, effort=0))
    with pytest.raises(ModelFileError, match=r"luts.npz: .*lutnetlist"):
        Engine(tmp_path / "luts.npz")
    save_network(tmp_path / "model.safetensors", random_network(0))
    with pytest.raises(InputError, match=r"is a model, the engine runs netlists; gate2hw compile"):
        Engine(tmp_path / "model.safetensors")


def test_an_engine_survives_pickling_and_copying() -> None:
    x = random_samples(NET, 70)
    engine = Engine(NET, 1, kernel="word" if "word" in kernel_names() else "numpy")
    for again in (pickle.loads(pickle.dumps(engine)), copy.deepcopy(engine)):
        assert (again.threads, again.kernel) == (1, engine.kernel)
        assert_same(again, x)


def test_what_a_netlist_must_not_be_is_refused() -> None:
    with pytest.raises(IRError):
        Engine(NET.with_(in0=np.full_like(NET.in0, 10**8)))


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2"])
def test_threads_are_a_whole_number(threads) -> None:
    with pytest.raises(InputError, match="threads is"):
        Engine(NET, threads)


def test_masked_values_are_refused() -> None:
    x = np.ma.masked_array(random_samples(NET, 5))
    assert_same(Engine(NET, 1), x)
    x[3, 0] = np.ma.masked
    with pytest.raises(InputError, match="masked"):
        Engine(NET, 1).predict(x)


def test_few_samples_of_a_large_net_need_no_second_plan(monkeypatch) -> None:
    monkeypatch.setattr(engine_module, "_SMALL_GATES", 10)
    monkeypatch.setattr(engine_module, "_SMALL_CALLS", 2)
    engine, x = Engine(NET, 1), random_samples(NET, 3)
    plans = []
    for _ in range(3):
        engine.predict(x)
        plans.append(len(engine._programs))
    assert plans == [min(1, plans[0]), plans[0], min(2, 2 * plans[0])]


def test_a_pickled_engine_keeps_what_was_asked_for() -> None:
    engine = pickle.loads(pickle.dumps(Engine(NET)))
    assert engine._small == Engine(NET)._small
