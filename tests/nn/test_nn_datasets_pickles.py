"""Plain data is read from pickles as Python reads it; anything else is refused and never run."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from gate2hw.errors import InputError
from gate2hw.nn.datasets.pickles import read_pickle


def test_a_batch_of_python_2_is_read(python2_batch) -> None:
    images = np.arange(12, dtype=np.uint8).reshape(3, 4)
    data = python2_batch(images, [7, 0, 9])
    batch = read_pickle(data, "here")
    assert batch[b"labels"] == [7, 0, 9]
    assert batch[b"batch_label"] == b"training batch 1 of 5"
    assert np.array_equal(batch[b"data"], images)
    # the made-up file is a real one: Python's own pickle agrees
    theirs = pickle.loads(data, encoding="bytes")
    assert np.array_equal(theirs[b"data"], images)
    assert theirs[b"labels"] == [7, 0, 9]


@pytest.mark.parametrize("protocol", [0, 2, 3, 4])
def test_plain_data_equals_what_python_reads(protocol: int) -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    value = {
        "texts": ["a", "é", b"\xff\x00" * 200],
        "numbers": [0, 255, 70_000, -3, 2**70],
        "pair": (None, True, (1,), ()),
        "nested": {"list": [[], [1]], 5: "x" * 300},
        "same": [["shared"]] * 2,
    }
    assert read_pickle(pickle.dumps(value, protocol), "here") == value
    if protocol:
        both = {"c": array, "f": [np.asfortranarray(array)]}
        again = read_pickle(pickle.dumps(both, protocol), "here")
        assert np.array_equal(again["c"], array)
        assert np.array_equal(again["f"][0], array)


class _Bomb:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("protocol", range(6))
def test_code_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "made"
    data = pickle.dumps({"data": _Bomb(path)}, protocol)
    with pytest.raises(InputError, match=r"batch: .*(names|instruction).*it is not unpickled"):
        read_pickle(data, "batch")
    assert not path.exists()
    pickle.loads(data)
    assert path.exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", r"names os\.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", r"names os\.system"),
        (b"(S'true'\nios\nsystem\n.", "instruction INST"),
        (b"cnumpy\nndarray\n)R.", r"calls numpy\.ndarray"),
        (b"cnumpy\ndtype\n(S'O8'\ntR.", "not of bytes"),
        (b"c_codecs\nencode\n(S'a'\nS'rot13'\ntR.", "encodes a text"),
        (b"cnumpy\nndarray\n)\x81.", "instruction NEWOBJ"),
        (b"}}b.", "gives a state"),
        (b"K\x01K\x02a.", "adds items to a int"),
        (b"K\x01K\x02.", "not a readable pickle"),
        (b"]", "not a readable pickle"),
        (b"h\x05.", "not a readable pickle"),
        (b"\x80\x02}q\x01(U\x0bbatch", "not a readable pickle"),
        (b"no pickle at all", "not a readable pickle"),
        (b"", "not a readable pickle"),
        (b"u.", "not a readable pickle"),
    ],
)
def test_others_are_refused(data: bytes, message: str, python2_batch) -> None:
    with pytest.raises(InputError, match=f"here: .*{message}"):
        read_pickle(data, "here")
    batch = python2_batch(np.zeros((2, 3), np.uint8), [1, 2])
    with pytest.raises(InputError, match="not a readable pickle"):
        read_pickle(batch[:-5], "here")


_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tS'b'\ntR"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"}(K\x01\x85K\x02u.", "has a key"),
        (b"}K\x01\x85K\x02s.", "has a key"),
        (b"(K\x01\x85K\x02d.", "has a key"),
        (b"}NK\x02s.", "has a key"),
        (b"K\x01" + b"\x85" * 100_000 + b"q\x00}h\x00K\x02s.", "has a key"),
        (b"c_codecs\nencode\n(K\x01S'latin1'\ntR.", "encodes what is no text"),
        (b"c_codecs\nencode\n(](K\x01eK\x02tR.", "encodes a text as no encoding"),
        (b"K\x01" + b"\x85" * 100_000 + b"\x8c\x01a\x93.", "names what is no text"),
        (b"cnumpy\ndtype\n(K\x01" + b"\x85" * 100_000 + b"tR.", "array of a made-up type"),
        (b"cnumpy\nndarray\n.", "part of an array"),
        (b"(.", "part of an array"),
        (b"](]e(.", "not a readable pickle"),
        (b"]cnumpy\nndarray\na.", "part of an array"),
        (b"](cnumpy\nndarray\ne.", "part of an array"),
        (b"(cnumpy\nndarray\nl.", "part of an array"),
        (b"}K\x01cnumpy\nndarray\ns.", "part of an array"),
        (b"cnumpy\nndarray\n\x85\x85.", "part of an array"),
        (b"cnumpy\ndtype\n(S'u1'\ntR.", "part of an array"),
        (_ARRAY + b".", "part of an array"),
        (_ARRAY + b"\x85.", "part of an array"),
        (b"]" + _ARRAY + b"a.", "part of an array"),
    ],
)
def test_keys_are_plain_and_nothing_internal_comes_out(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=f"here: .*{message}"):
        read_pickle(data, "here")
