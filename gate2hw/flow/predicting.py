"""predict: the classes of samples in a file, by the CPU engine. Never needs torch."""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
import numpy.typing as npt

from gate2hw.engine import Engine
from gate2hw.errors import InputError, nearest
from gate2hw.flow.build import Progress, silent
from gate2hw.flow.models import SHIFTED, FoundNetlist, find_netlist
from gate2hw.flow.samples import (
    Samples,
    array_samples,
    has_column,
    open_samples,
    quantise,
    read_labels,
)
from gate2hw.ir.netlist import Encoder
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.store import atomic_path

__all__ = ["check_classifier", "check_out", "label_numbers", "placed", "predict"]

Array = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]

_UNKNOWN: Final = ("", "?", "-1")
"""Labels that say nothing: their samples are classified, and not counted."""
_OF_MODEL: Final = (
    "model.safetensors",
    "netlist.npz",
    "golden.npz",
    "golden_lossy.npz",
    "build.json",
)
"""Files of a model's folder that no result replaces."""


def _number(label: str, names: Sequence[str], are_numbers: bool) -> int | None:
    """The class of one label: by its name, else by its number where no name is a number."""
    if not are_numbers and label in names:
        return list(names).index(label)
    may_count = are_numbers or not any(name.lstrip("-").isdecimal() for name in names)
    if may_count and label.isdecimal() and int(label) < len(names):
        return int(label)
    return -1 if label in _UNKNOWN else None


def label_numbers(
    where: str, labels: Array, names: Sequence[str], *, are_numbers: bool = False, first: int = 0
) -> Numbers:
    """(n,) int64 class numbers of (n,) labels, -1 where unknown (empty, ``?`` or -1).

    Labels are names of classes; integers are class numbers where no class is named by a number, or
    with `are_numbers`; False and True are 0 and 1 where they are no names. Raises
    InputError naming the sample, counted from `first`, of any other.
    """
    if labels.ndim != 1 or labels.dtype.kind not in "biufUS":
        raise InputError(f"{where}: labels are {labels.dtype} of shape {labels.shape}, not (N,)")
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "replace")
    if labels.dtype.kind == "f" and (labels == np.rint(labels)).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind == "b" and (are_numbers or not {"False", "True"} <= {*names}):
        labels = labels.astype(np.int64)
    different, inverse = np.unique(labels, return_inverse=True)
    found = [_number(str(label), names, are_numbers) for label in different.tolist()]
    if None in found:
        which = found.index(None)
        sample = first + int(np.argmax(inverse == which))
        bad = str(different[which])
        raise InputError(
            f"{where}: label {bad!r} of sample {sample} is no class; {nearest(bad, names)}"
        )
    return np.array(found, np.int64)[inverse]


@dataclass
class _Writer:
    """Classes, and scores if asked for, as lines of text."""

    file: TextIO
    names: tuple[str, ...]
    with_scores: bool

    def start(self) -> None:
        if self.with_scores:
            csv.writer(self.file, lineterminator="\n").writerow(["class", *self.names])

    def write(self, classes: Numbers, scores: Array | None) -> None:
        texts = np.array(self.names, object)[classes].tolist()
        if scores is None:
            self.file.write("\n".join(texts) + "\n")
        else:
            rows = zip(texts, *scores.T.tolist(), strict=True)
            csv.writer(self.file, lineterminator="\n").writerows(rows)


@dataclass
class _Tally:
    """What came of the samples so far; `classes` and `scores` only where they are kept."""

    n: int = 0
    n_block: int = 0
    n_labelled: int = 0
    n_right: int = 0
    classes: list[Numbers] = field(default_factory=list)
    scores: list[Array] = field(default_factory=list)

    def count(self, classes: Numbers, labels: Numbers | None) -> None:
        self.n += len(classes)
        self.n_block = max(self.n_block, len(classes))
        if labels is not None:
            self.n_labelled += int((labels >= 0).sum())
            self.n_right += int(((labels == classes) & (labels >= 0)).sum())


def _shaped(x: Array, encoder: Encoder) -> Array:
    """`x` as (N, *shape), where it is flat or lacks only the axis of a single channel."""
    shape = encoder.shape
    flat = (encoder.n_features,)
    if x.shape[1:] == flat or (shape[:1] == (1,) and x.shape[1:] == shape[1:]):
        return x.reshape(len(x), *shape)
    return x


@contextmanager
def placed(where: str, first: int) -> Iterator[None]:
    """Name the data in errors, and count their samples from the start of it."""
    try:
        yield
    except InputError as error:
        text = re.sub(r"^sample (\d+)", lambda found: f"sample {first + int(found[1])}", str(error))
        raise InputError(f"{where}: {text}") from error


def check_classifier(found: FoundNetlist) -> Encoder:
    """The encoder of a netlist that gives classes; InputError for a plain circuit."""
    net = found.net
    if net.encoder is None or net.n_classes == 0:
        missing = "no classes" if net.n_classes == 0 else "no encoder"
        raise InputError(
            f"{found.path}: is a plain circuit ({missing}); samples can be classified by a trained "
            "model, or by a folder or netlist.npz that gate2hw compile wrote"
        )
    return net.encoder


def _given_labels(
    labels: Path | str | Array | None, data: Path | None
) -> tuple[Array | None, bool, str | None]:
    """(labels of a file, whether they are numbers, column of the table) that `labels` names."""
    if labels is None:
        return None, False, None
    if isinstance(labels, np.ndarray):
        return labels, False, None
    if data is not None and isinstance(labels, str) and has_column(data, labels):
        return None, False, labels
    path = Path(labels)
    if data is not None and ".csv" in data.name.lower() and not path.is_file():
        return None, False, str(labels)
    array, are_numbers = read_labels(path)
    return array, are_numbers, None


def _opened(
    found: FoundNetlist, data: Path | str | Array, labels: Path | str | Array | None
) -> tuple[Samples, Array | None, bool, LogicNetwork | None]:
    """The samples, their labels where these are known before, and the trained model."""
    encoder = check_classifier(found)
    network = found.network()
    path = None if isinstance(data, np.ndarray) else Path(data)
    given, are_numbers, column = _given_labels(labels, path)
    if path is None:
        samples = array_samples("the data", np.asarray(data))
    else:
        samples = open_samples(path, encoder.n_features, network=network, label=column)
    if given is None and samples.labels is not None:
        given, are_numbers = samples.labels, samples.are_numbers
    if given is not None and samples.n is not None and len(np.atleast_1d(given)) != samples.n:
        raise InputError(f"{samples.where}: {samples.n} samples, but {len(given)} labels")
    return samples, given, are_numbers, network


def _classify(
    engine: Engine,
    samples: Samples,
    labels: Numbers | None,
    network: LogicNetwork | None,
    writer: _Writer | None,
    with_scores: bool,
    progress: Progress,
) -> _Tally:
    encoder = engine.netlist.encoder
    assert encoder is not None
    tally = _Tally()
    for block in samples.blocks:
        first, last = tally.n, tally.n + len(block.x)
        with placed(samples.where, first):
            x = quantise(_shaped(block.x, encoder), network)
            scores = engine.scores(x) if with_scores else None
            classes = engine.predict(x) if scores is None else scores.argmax(1).astype(np.int64)
        known = None if labels is None else labels[first:last]
        if block.labels is not None and labels is None:
            known = label_numbers(samples.where, block.labels, engine.class_names, first=first)
        if known is not None and len(known) != len(classes):
            raise InputError(
                f"{samples.where}: more than {first + len(known)} samples, too few labels"
            )
        tally.count(classes, known)
        if writer is not None:
            writer.write(classes, scores)
        else:
            tally.classes.append(classes)
            if scores is not None:
                tally.scores.append(scores)
        progress(last, samples.n or 0, "classifying")
    return tally


def check_out(out: Path | str, found: FoundNetlist, *read: Path | str | None) -> Path:
    """`out`; InputError where it is a folder, one of the files `read`, or one of the model's."""
    path = Path(out)
    of_model = [found.path, *(found.path.with_name(name) for name in _OF_MODEL)]
    for other in [*(Path(each) for each in read if each is not None), *of_model]:
        if path.exists() and other.exists() and path.samefile(other):
            what = "a file of the model" if other in of_model else "read by this command"
            raise InputError(f"{path} is {what}; write to another file")
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file in it")
    return path


@contextmanager
def _output(out: Path | str | TextIO | None) -> Iterator[TextIO | None]:
    """A file to write: none, an open one, or a new one that is there when it is whole."""
    if out is None or not isinstance(out, Path | str):
        yield out
        return
    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file


def predict(
    model: Path | str,
    data: Path | str | Array,
    out: Path | str | TextIO | None = None,
    *,
    scores: bool = False,
    threads: int | None = None,
    kernel: str | None = None,
    labels: Path | str | Array | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Classify the samples of `data` by `model`; ties go to the lowest class.

    `model` is a folder that `compile` wrote, a netlist file, or a trained model (file or folder),
    which is then unrolled and simplified. `data` is an array (N, *shape) or (N, n_features), or a
    file: .npy, .npz with x (and y), .csv, idx; integers 0..max_value as the model was trained on.
    Floats, and rows of a table, are quantised as in training, where the model file is at hand.
    `labels` names a file of N labels, or a column of the .csv.

    `out` gets one class name a line, or with `scores` a .csv of class and scores; a path is written
    whole or not at all. Without `out`, the result holds `classes` (N,) int64 numbers into
    `class_names` and, with `scores`, `scores` (N, C) int32.

    Returns `images`, `time_s`, `images_per_s` (reading and writing included), `labelled` and
    `accuracy` (None without labels), and what was used, `threads` as many as had work.
    Raises InputError for what cannot be used.
    """
    found = find_netlist(model, progress=progress)
    check_classifier(found)
    engine = Engine(found.net, threads, kernel=kernel)
    opened, given, are_numbers, network = _opened(found, data, labels)
    where = "the labels" if isinstance(labels, np.ndarray) else str(labels or opened.where)
    if isinstance(out, Path | str):
        read = None if isinstance(labels, np.ndarray) else labels
        check_out(out, found, opened.where, read)
    known = None
    if given is not None:
        known = label_numbers(where, given, engine.class_names, are_numbers=are_numbers)
    start = time.perf_counter()
    with _output(out) as file:
        writer = None if file is None else _Writer(file, engine.class_names, scores)
        if writer is not None:
            writer.start()
        tally = _classify(engine, opened, known, network, writer, scores, progress)
        if known is not None and len(known) != tally.n:
            raise InputError(f"{opened.where}: {tally.n} samples, but {len(known)} labels")
    time_s = time.perf_counter() - start
    notes = [note for note in found.notes if scores or note != SHIFTED]
    result: dict[str, Any] = {
        "model": str(found.path),
        "data": opened.where,
        "out": str(out) if isinstance(out, Path | str) else None,
        "images": tally.n,
        "time_s": time_s,
        "images_per_s": tally.n / time_s,
        "labelled": tally.n_labelled,
        "accuracy": tally.n_right / tally.n_labelled if tally.n_labelled else None,
        "class_names": list(engine.class_names),
        "kernel": engine.kernel,
        "threads": engine.threads_for(tally.n_block),
        "notes": notes,
    }
    if out is None:
        result["classes"] = np.concatenate(tally.classes)
        if scores:
            result["scores"] = np.concatenate(tally.scores)
    return result
