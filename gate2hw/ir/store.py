"""Files: networks as safetensors, netlists, LUT netlists and golden vectors as .npz.

Nothing is ever unpickled. Writers use a temporary name and rename, so a file is whole or absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as safetensors_save

from gate2hw.errors import InputError, ModelFileError
from gate2hw.ir.layers import layer_fields, layer_from_fields
from gate2hw.ir.netlist import Circuit, Encoder, Head, Names, Netlist, SiteLayer, Sites
from gate2hw.ir.network import LogicNetwork, chain
from gate2hw.ir.verify import verify_netlist

__all__ = [
    "LUTNETLIST_FORMAT",
    "Golden",
    "atomic_path",
    "file_kind",
    "file_sha256",
    "load_arrays",
    "load_circuit",
    "load_golden",
    "load_netlist",
    "load_network",
    "save_arrays",
    "save_circuit",
    "save_golden",
    "save_netlist",
    "save_network",
    "write_text",
]

NETWORK_FORMAT = "gate2hw-network-1"
NETLIST_FORMAT = "gate2hw-netlist-1"
LUTNETLIST_FORMAT = "gate2hw-lutnetlist-1"
GOLDEN_FORMAT = "gate2hw-golden-1"

_CircuitT = TypeVar("_CircuitT", bound=Circuit)

_DAMAGE = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, MemoryError)
"""What taking a damaged file's content apart can raise."""


def _is_stream(path: Path) -> bool:
    """Whether `path` is a device or pipe to write to; InputError where it is no file either."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise InputError(f"cannot write {str(path)!r}: it is a folder, not a file name")
    if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)):
        raise InputError(f"cannot write {path}: it is no file; choose another name")
    return not stat.S_ISREG(mode)


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` if the block ends well.

    Of a link, the file that it leads to is replaced. A character device or a pipe is given itself:
    it takes what is written at once. Raises InputError, naming the folder, where it cannot be
    written (read-only, disk full).
    """
    path = Path(path)
    temporary = None
    try:
        if _is_stream(path):
            yield path
            return
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"cannot write {path}: {reason}; choose another folder, or make room"
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):  # below a file, or with too long a name, it never existed
                temporary.unlink()


def file_sha256(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            sha.update(chunk)
    return sha.hexdigest()


def write_text(path: Path | str, text: str) -> None:
    """Write `text` to `path` whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_arrays(path: Path | str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write named arrays as a compressed .npz, deterministic: same arrays, same bytes."""
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def load_arrays(path: Path | str, what: str, kind: str) -> dict[str, npt.NDArray[Any]]:
    """Read a .npz whose ``format`` entry is `kind`; ModelFileError for anything else."""
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such {what} file")
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = str(archive["format"]) if "format" in archive.files else "none"
            names = archive.files if found == kind else []
            arrays = {name: archive[name] for name in names if name != "format"}
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds on foreign bytes
        raise ModelFileError(f"{path}: not a readable {what} file ({error})") from error
    if found != kind:
        raise ModelFileError(f"{path}: not a {what} file (format {found!r}, expected {kind!r})")
    return arrays


@contextmanager
def _damage(path: Path | str) -> Iterator[None]:
    """Turn what a damaged or altered file raises into a ModelFileError that names it."""
    try:
        yield
    except _DAMAGE as error:
        raise ModelFileError(f"{path}: its content is damaged ({error!r})") from error
    except InputError as error:
        raise ModelFileError(f"{path}: {error}") from error


def _check_content(carried: str, found: str) -> None:
    if carried != found:
        raise ModelFileError("its content does not have the digest that it carries")


def save_network(path: Path | str, network: LogicNetwork) -> None:
    """Write `network` as safetensors; the layer graph is one JSON string in the metadata."""
    layers: list[dict[str, Any]] = []
    tensors: dict[str, npt.NDArray[Any]] = {}
    for name, layer in network.layers():
        fields, arrays = layer_fields(layer)
        layers.append({"name": name, **fields})
        tensors.update({f"{name}/{key}": np.array(array) for key, array in arrays.items()})
    content = {
        "format": NETWORK_FORMAT,
        "layers": layers,
        "edges": [list(edge) for edge in network.graph.edges],
        "class_names": list(network.class_names),
        "dataset": network.dataset,
        "info": network.info,
        "digest": network.digest,
    }
    # one entry only: safetensors writes several in an order that changes from run to run
    metadata = {"gate2hw": json.dumps(content, sort_keys=True)}
    with atomic_path(path) as temporary:
        temporary.write_bytes(safetensors_save(tensors, metadata))


def load_network(path: Path | str) -> LogicNetwork:
    """Read and verify a network; ModelFileError where it is truncated, foreign or altered."""
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file")
    try:
        with safe_open(path, framework="numpy") as file:
            content = json.loads((file.metadata() or {}).get("gate2hw", "{}"))
            found = content.get("format", "none")
            names = file.keys() if found == NETWORK_FORMAT else []
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, *_DAMAGE) as error:
        raise ModelFileError(
            f"{path}: not a readable safetensors file, it may be cut short ({error})"
        ) from error
    if found != NETWORK_FORMAT:
        raise ModelFileError(
            f"{path}: a safetensors file, but not a gate2hw model "
            f"(format {found!r}, expected {NETWORK_FORMAT!r})"
        )
    with _damage(path):
        arrays: dict[str, dict[str, npt.NDArray[Any]]] = {}
        for key, tensor in tensors.items():
            name, _, field_name = key.rpartition("/")
            arrays.setdefault(name, {})[field_name] = tensor
        layers = []
        for fields in content["layers"]:
            name = fields.pop("name")
            layers.append((name, layer_from_fields(fields, arrays.pop(name, {}))))
        if arrays:
            raise ModelFileError(f"it holds tensors of unknown layers: {sorted(arrays)}")
        network = chain(
            layers,
            class_names=tuple(content["class_names"]),
            dataset=content["dataset"],
            info=content["info"],
        )
        if content["edges"] != [list(edge) for edge in network.graph.edges]:
            raise ModelFileError("its edges are not the chain of its layers")
        _check_content(content["digest"], network.digest)
    return network


def save_circuit(
    path: Path | str, form: str, net: Circuit, columns: Mapping[str, npt.NDArray[Any]]
) -> None:
    """Write what netlists of both kinds share, and the `columns` of one, as .npz.

    `form` is the file's format entry; strings are one JSON entry; the content digest is kept.
    """
    texts = {
        "digest": net.digest,
        "content": net.content_digest(),
        "inputs": net.names.inputs,
        "outputs": net.names.outputs,
        "classes": net.names.classes,
        "sites": [[s.name, s.gates, s.kernels, s.rows, s.columns] for s in net.sites.layers],
    }
    arrays: dict[str, npt.NDArray[Any]] = {
        "format": np.array(form),
        "n_inputs": np.array(net.n_inputs, np.int64),
        **columns,
        "level_ptr": net.level_ptr,
        "outputs": net.outputs,
        "origin": net.origin,
        "group_ptr": net.head.group_ptr,
        "weight": net.head.weight,
        "bias": net.head.bias,
        "texts": np.array(json.dumps(texts, sort_keys=True)),
    }
    if net.encoder is not None:
        arrays["feature"] = net.encoder.feature
        arrays["threshold"] = net.encoder.threshold
        arrays["shape"] = np.array(net.encoder.shape, np.int64)
        arrays["max_value"] = np.array(net.encoder.max_value, np.int64)
    save_arrays(path, arrays)


def _shared_columns(arrays: dict[str, npt.NDArray[Any]], texts: dict[str, Any]) -> dict[str, Any]:
    encoder = None
    if "feature" in arrays:
        shape = tuple(arrays["shape"].tolist())
        encoder = Encoder(arrays["feature"], arrays["threshold"], shape, int(arrays["max_value"]))
    return {
        "n_inputs": int(arrays["n_inputs"]),
        "level_ptr": arrays["level_ptr"],
        "outputs": arrays["outputs"],
        "head": Head(arrays["group_ptr"], arrays["weight"], arrays["bias"]),
        "encoder": encoder,
        "origin": arrays["origin"],
        "sites": Sites(tuple(SiteLayer(*site) for site in texts["sites"])),
        "names": Names(*(tuple(texts[key]) for key in ("inputs", "outputs", "classes"))),
        "digest": str(texts["digest"]),
    }


def load_circuit(
    path: Path | str, what: str, form: str, columns: Sequence[str], make: Callable[..., _CircuitT]
) -> _CircuitT:
    """Read what `save_circuit` wrote: ``make(**columns, **shared)``, which must verify itself.

    Raises ModelFileError where the file is truncated, foreign, altered or breaks a rule.
    """
    arrays = load_arrays(path, what, form)
    with _damage(path):
        texts = json.loads(str(arrays["texts"]))
        shared = _shared_columns(arrays, texts)
        net = make(**{name: arrays[name] for name in columns}, **shared)
        _check_content(texts["content"], net.content_digest())
    return net


def save_netlist(path: Path | str, net: Netlist) -> None:
    """Write `net` as .npz with every column; InputError where the path cannot be written."""
    save_circuit(path, NETLIST_FORMAT, net, {"tt": net.tt, "in0": net.in0, "in1": net.in1})


def load_netlist(path: Path | str) -> Netlist:
    """Read and verify a netlist; ModelFileError where it is truncated, foreign or altered."""

    def make(**columns: Any) -> Netlist:
        net = Netlist(**columns)
        verify_netlist(net)
        return net

    return load_circuit(path, "netlist", NETLIST_FORMAT, ("tt", "in0", "in1"), make)


@dataclass(frozen=True)
class Golden:
    """What torch said in eval mode, so that no later link needs torch.

    `x` (N, *shape) uint8 or uint16 quantised test inputs, `y` (N,) int64 labels (-1 unknown),
    `scores` (N, C) int64, `classes` (N,) int64, `digest` of the network that gave them.
    """

    x: npt.NDArray[Any]
    y: npt.NDArray[np.int64]
    scores: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int64]
    digest: str
    class_names: tuple[str, ...] = ()
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def accuracy(self) -> float | None:
        """Fraction of labelled samples that are classified right; None without labels."""
        known = self.y >= 0
        return float((self.classes[known] == self.y[known]).mean()) if known.any() else None


def _golden_content(golden: Golden) -> str:
    sha = hashlib.sha256(golden.digest.encode())
    for array in (golden.x, golden.y, golden.scores, golden.classes):
        sha.update(f"{array.dtype.str}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def save_golden(path: Path | str, golden: Golden) -> None:
    """Write golden vectors as .npz."""
    texts = {
        "digest": golden.digest,
        "content": _golden_content(golden),
        "classes": golden.class_names,
        "info": golden.info,
    }
    save_arrays(
        path,
        {
            "format": np.array(GOLDEN_FORMAT),
            "x": golden.x,
            "y": golden.y,
            "scores": golden.scores,
            "predicted": golden.classes,
            "texts": np.array(json.dumps(texts, sort_keys=True)),
        },
    )


def load_golden(path: Path | str) -> Golden:
    """Read golden vectors; ModelFileError where they are truncated, foreign or inconsistent."""
    arrays = load_arrays(path, "golden", GOLDEN_FORMAT)
    with _damage(path):
        texts = json.loads(str(arrays["texts"]))
        golden = Golden(
            arrays["x"],
            arrays["y"],
            arrays["scores"],
            arrays["predicted"],
            str(texts["digest"]),
            tuple(texts["classes"]),
            texts["info"],
        )
        n_samples = len(golden.x)
        lengths = {len(golden.y), len(golden.scores), len(golden.classes)}
        dimensions = (golden.y.ndim, golden.scores.ndim, golden.classes.ndim)
        if lengths != {n_samples} or dimensions != (1, 2, 1):
            raise ModelFileError("inputs, labels, scores and classes differ in number")
        _check_content(texts["content"], _golden_content(golden))
    return golden


def file_kind(path: Path | str) -> str:
    """``"network"``, ``"netlist"``, ``"lutnetlist"`` or ``"golden"``, by the file's format entry.

    A network is read whole to find out. Raises ModelFileError for anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            start = file.read(2)
        if start != b"PK":
            load_network(path)
            return "network"
        with np.load(path, allow_pickle=False) as archive:
            form = str(archive["format"]) if "format" in archive.files else "none"
    except ModelFileError:
        raise
    except Exception as error:  # as in load_arrays
        raise ModelFileError(f"{path}: not a readable file ({error})") from error
    kinds = {NETLIST_FORMAT: "netlist", LUTNETLIST_FORMAT: "lutnetlist", GOLDEN_FORMAT: "golden"}
    if form not in kinds:
        raise ModelFileError(f"{path}: neither a model, a netlist nor a golden file of gate2hw")
    return kinds[form]
