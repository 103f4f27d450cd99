"""Files: networks and models as safetensors, netlists and golden vectors as .npz.

Nothing is ever unpickled. Writers use a temporary name and rename, so a file is whole or absent.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as safetensors_save

from gate2hw.errors import InputError, ModelFileError
from gate2hw.ir.layers import layer_fields, layer_from_fields
from gate2hw.ir.netlist import Encoder, Head, Names, Netlist, SiteLayer, Sites
from gate2hw.ir.network import LogicNetwork, chain
from gate2hw.ir.verify import verify_netlist

__all__ = [
    "Golden",
    "atomic_path",
    "file_kind",
    "load_arrays",
    "load_golden",
    "load_netlist",
    "load_network",
    "save_arrays",
    "save_golden",
    "save_netlist",
    "save_network",
    "write_text",
]

NETWORK_FORMAT = "gate2hw-network-1"
NETLIST_FORMAT = "gate2hw-netlist-1"
GOLDEN_FORMAT = "gate2hw-golden-1"


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` if the block ends well.

    Raises InputError, naming the folder, where it cannot be written (read-only, disk full).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"cannot write {path}: {reason}; choose another folder with -o, or make room"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


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
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise ModelFileError(f"{path}: not a readable {what} file ({error})") from error
    found = str(arrays.pop("format", "none"))
    if found != kind:
        raise ModelFileError(f"{path}: not a {what} file (format {found!r}, expected {kind!r})")
    return arrays


def save_network(path: Path | str, network: LogicNetwork) -> None:
    """Write `network` as safetensors; the layer graph is one JSON string in the metadata."""
    layers: list[dict[str, Any]] = []
    tensors: dict[str, npt.NDArray[Any]] = {}
    for name, layer in network.layers():
        fields, arrays = layer_fields(layer)
        layers.append({"name": name, **fields})
        tensors.update({f"{name}/{key}": np.array(array) for key, array in arrays.items()})
    content = {
        "layers": layers,
        "edges": [list(edge) for edge in network.graph.edges],
        "class_names": list(network.class_names),
        "dataset": network.dataset,
        "info": network.info,
        "digest": network.digest,
    }
    metadata = {"format": NETWORK_FORMAT, "network": json.dumps(content, sort_keys=True)}
    with atomic_path(path) as temporary:
        temporary.write_bytes(safetensors_save(tensors, metadata))


def load_network(path: Path | str) -> LogicNetwork:
    """Read and verify a network; ModelFileError where it is truncated, foreign or altered."""
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model file")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(
            f"{path}: not a readable safetensors file, it may be cut short ({error})"
        ) from error
    if metadata.get("format") != NETWORK_FORMAT:
        raise ModelFileError(
            f"{path}: a safetensors file, but not a gate2hw model "
            f"(format {metadata.get('format')!r}, expected {NETWORK_FORMAT!r})"
        )
    try:
        content = json.loads(metadata["network"])
        layers = []
        for fields in content["layers"]:
            name = fields.pop("name")
            prefix = f"{name}/"
            arrays = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
            layers.append((name, layer_from_fields(fields, arrays)))
        network = chain(
            layers,
            class_names=tuple(content["class_names"]),
            dataset=content["dataset"],
            info=content["info"],
        )
        digest = content["digest"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(f"{path}: the model's description is damaged ({error!r})") from error
    except InputError as error:
        raise ModelFileError(f"{path}: {error}") from error
    if digest != network.digest:
        raise ModelFileError(f"{path}: its content does not have the digest that it carries")
    return network


def save_netlist(path: Path | str, net: Netlist) -> None:
    """Write `net` as .npz with every column; strings are one JSON entry."""
    texts = {
        "digest": net.digest,
        "inputs": net.names.inputs,
        "outputs": net.names.outputs,
        "classes": net.names.classes,
        "sites": [[s.name, s.gates, s.kernels, s.rows, s.columns] for s in net.sites.layers],
    }
    arrays: dict[str, npt.NDArray[Any]] = {
        "format": np.array(NETLIST_FORMAT),
        "n_inputs": np.array(net.n_inputs, np.int64),
        "tt": net.tt,
        "in0": net.in0,
        "in1": net.in1,
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


def load_netlist(path: Path | str) -> Netlist:
    """Read and verify a netlist; ModelFileError where it is truncated, foreign or broken."""
    arrays = load_arrays(path, "netlist", NETLIST_FORMAT)
    try:
        texts = json.loads(str(arrays["texts"]))
        encoder = None
        if "feature" in arrays:
            shape = tuple(arrays["shape"].tolist())
            encoder = Encoder(
                arrays["feature"], arrays["threshold"], shape, int(arrays["max_value"])
            )
        net = Netlist(
            int(arrays["n_inputs"]),
            arrays["tt"],
            arrays["in0"],
            arrays["in1"],
            arrays["level_ptr"],
            arrays["outputs"],
            head=Head(arrays["group_ptr"], arrays["weight"], arrays["bias"]),
            encoder=encoder,
            origin=arrays["origin"],
            sites=Sites(tuple(SiteLayer(*site) for site in texts["sites"])),
            names=Names(*(tuple(texts[key]) for key in ("inputs", "outputs", "classes"))),
            digest=str(texts["digest"]),
        )
        verify_netlist(net)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: the netlist is damaged ({error!r})") from error
    except InputError as error:
        raise ModelFileError(f"{path}: {error}") from error
    return net


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


def save_golden(path: Path | str, golden: Golden) -> None:
    """Write golden vectors as .npz."""
    texts = {"digest": golden.digest, "classes": golden.class_names, "info": golden.info}
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
    try:
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
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: the golden file is damaged ({error!r})") from error
    n_samples = len(golden.x)
    lengths = {len(golden.y), len(golden.scores), len(golden.classes)}
    if lengths != {n_samples} or golden.scores.ndim != 2 or golden.classes.ndim != 1:
        raise ModelFileError(f"{path}: inputs, labels, scores and classes differ in number")
    return golden


def file_kind(path: Path | str) -> str:
    """``"network"``, ``"netlist"`` or ``"golden"``; ModelFileError for anything else."""
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file")
    with path.open("rb") as file:
        start = file.read(4)
    if start[:2] != b"PK":
        load_network(path)
        return "network"
    for kind, marker in (("netlist", NETLIST_FORMAT), ("golden", GOLDEN_FORMAT)):
        try:
            load_arrays(path, kind, marker)
        except ModelFileError:
            continue
        return kind
    raise ModelFileError(f"{path}: neither a model, a netlist nor a golden file of gate2hw")
