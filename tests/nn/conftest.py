"""Fixtures of the training room."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest


def _python2_batch(images: np.ndarray, labels: list[int]) -> bytes:
    rows, columns = (n.to_bytes(2, "little") for n in images.shape)
    head = b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]"
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    array = (
        b"U\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85"
        b"U\x01b\x87Rq\x09(K\x01M" + rows + b"M" + columns + b"\x86cnumpy\ndtype\nq\x0aU\x02u1K\x00"
        b"K\x01\x87Rq\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + len(images.tobytes()).to_bytes(4, "little")
        + images.tobytes()
        + b"tb"
    )
    return head + b"q\x05(" + numbers + b"e" + array + b"u."


@pytest.fixture(scope="session")
def python2_batch() -> Callable[[np.ndarray, list[int]], bytes]:
    """`python2_batch(images (N, M) uint8, labels)`: the bytes of a CIFAR batch as Python 2's
    cPickle wrote them: protocol 2, byte strings, the names of numpy 1."""
    return _python2_batch
