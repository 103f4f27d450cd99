"""talk: images to a board over a serial port, classes and scores back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gate2hw.errors import CheckFailedError, InputError, ToolFailedError
from gate2hw.flow.build import BuildFolder, Progress, silent
from gate2hw.flow.models import find_netlist
from gate2hw.flow.predicting import check_classifier, placed
from gate2hw.flow.samples import array_samples, open_samples, quantise
from gate2hw.flow.tops.boarding import identity
from gate2hw.ir.netlist import Encoder
from gate2hw.ir.simulate import check_input
from gate2hw.rtl import Manifest
from gate2hw.tools.serial import Line, SerialPort

__all__ = ["talk"]

DEFAULT_BAUD: Final = 115200
Array = npt.NDArray[Any]


def _baud(folder: BuildFolder) -> int:
    """The baud rate of the boards that the folder was built for; the usual one where there is none.

    Raises InputError where they differ, or none has a UART.
    """
    rates = {
        step.removeprefix("board."): record["result"].get("baud")
        for step, record in folder.steps().items()
        if step.startswith("board.")
    }
    found = sorted({rate for rate in rates.values() if rate is not None})
    if len(found) > 1:
        listed = ", ".join(f"{name} {rate}" for name, rate in rates.items() if rate is not None)
        raise InputError(f"{folder.path}: its boards differ in baud rate ({listed}); give --baud")
    if rates and not found:
        raise InputError(
            f"{folder.path}: built for SPI alone ({', '.join(rates)}), talk needs a UART; run: "
            f"gate2hw board {folder.path} --board {next(iter(rates))}"
        )
    return int(found[0]) if found else DEFAULT_BAUD


def _shaped(x: Array, encoder: Encoder) -> Array:
    """`x` as (N, *shape): a batch in any shape of the right size, or a single sample."""
    if len(x) and x[0].size == encoder.n_features:
        return x.reshape(len(x), *encoder.shape)
    if x.size == encoder.n_features:
        return x.reshape(1, *encoder.shape)
    raise InputError(
        f"samples of shape {x.shape[1:]}, the model reads {encoder.shape}: "
        f"{encoder.n_features} values each"
    )


def _answer(payload: bytes, manifest: Manifest) -> tuple[int, list[int] | None]:
    """Class and scores (None where the hardware gives none) of a result frame."""
    if len(payload) != manifest.result_bytes:
        raise ToolFailedError(
            f"the board answers with {len(payload)} bytes, the build says {manifest.result_bytes}: "
            "it holds another build of the model"
        )
    index = int.from_bytes(payload[: manifest.class_bytes], "little")
    if manifest.output != "scores":
        return index, None
    size, signed = manifest.score_bytes, manifest.score_signed
    places = range(manifest.class_bytes, len(payload), size)
    return index, [int.from_bytes(payload[p : p + size], "little", signed=signed) for p in places]


def _frames(x: Array, encoder: Encoder) -> Array:
    """(N, frame bytes) uint8 of samples (N, *shape); InputError for values that cannot be."""
    flat = check_input(encoder, x).reshape(len(x), -1)
    whole = flat.astype(f"<u{encoder.bytes_per_feature}")
    return np.ascontiguousarray(whole).view(np.uint8)


def talk(
    port: Path | str,
    data: Path | str | Array,
    build: Path | str,
    *,
    baud: int | None = None,
    timeout_s: float = 2.0,
    retries: int = 2,
    check: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Classify the samples of `data` on the board at the serial `port`.

    `build` is the folder that the board's bitstream was made from; the board is first asked which
    model it holds. `data` is an array or file as of `predict`: a single sample or a batch. The
    baud rate is that of the folder's boards unless given. The board may be silent for `timeout_s`
    seconds; a packet is sent again up to `retries` times. With `check` every answer is compared
    with the software model's.

    Returns `classes`, `scores` (None where the hardware gives the class alone), `class_names`,
    `images_per_s` and `retries`, the packets that were sent again.
    Raises InputError for what cannot be used, ToolError where the board does not answer,
    CheckFailedError where it answers something else than the model.
    """
    folder = BuildFolder.existing(build)
    manifest = Manifest.load(folder.path / "rtl" / "manifest.json")
    found = find_netlist(folder.path)
    encoder = check_classifier(found)
    network = found.network()
    if isinstance(data, np.ndarray):
        samples = array_samples("the data", data)
    else:
        samples = open_samples(Path(data), encoder.n_features, network=network)
    rate = _baud(folder) if baud is None else baud
    classes: list[int] = []
    scores: list[list[int]] = []
    engine: Any = None
    if check:
        from gate2hw.engine import Engine

        engine = Engine(found.net)
    with SerialPort(port, rate) as opened:
        line = Line(opened, timeout_s=timeout_s, retries=retries)
        told = line.ask(b"")
        if told != identity(manifest):
            raise InputError(
                f"{port}: the board holds another model ({told.hex()}, the build is "
                f"{identity(manifest).hex()}); load its bitstream, or give its build folder"
            )
        start = time.perf_counter()
        for block in samples.blocks:
            with placed(samples.where, len(classes)):
                x = quantise(_shaped(block.x, encoder), network)
                frames = _frames(x, encoder)
            wanted = None if engine is None else (engine.predict(x), engine.scores(x))
            for place, frame in enumerate(frames):
                index, found_scores = _answer(line.ask(frame.tobytes()), manifest)
                if wanted is not None:
                    _compare(len(classes), index, found_scores, wanted[0][place], wanted[1][place])
                classes.append(index)
                if found_scores is not None:
                    scores.append(found_scores)
                progress(len(classes), samples.n or 0, "classifying")
        time_s = time.perf_counter() - start
    return {
        "port": str(port),
        "baud": rate,
        "data": samples.where,
        "images": len(classes),
        "classes": classes,
        "scores": scores if manifest.output == "scores" else None,
        "class_names": list(found.net.names.classes),
        "checked": check,
        "retries": line.n_retries,
        "time_s": time_s,
        "images_per_s": len(classes) / time_s if time_s else 0.0,
    }


def _compare(
    number: int, index: int, scores: list[int] | None, wanted: int, wanted_scores: Array
) -> None:
    right = int(wanted) == index and (scores is None or scores == wanted_scores.tolist())
    if not right:
        said = "" if scores is None else f", scores {scores}"
        raise CheckFailedError(
            f"sample {number}: the board says class {index}{said}; the model says class "
            f"{int(wanted)}, scores {wanted_scores.tolist()}"
        )
