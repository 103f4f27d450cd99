"""The netlist that MODEL names on the command line: compiled, or made from a trained model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gate2hw.errors import InputError, ModelFileError
from gate2hw.flow.build import BuildFolder, Progress, silent
from gate2hw.flow.strangers import check_folder, check_known
from gate2hw.formats.circuits import FORMATS, read_circuit
from gate2hw.ir.netlist import Netlist
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.store import Golden, load_golden, load_netlist, load_network

__all__ = ["SHIFTED", "FoundNetlist", "find_netlist"]

SHIFTED: Final = (
    "compiled for the class alone: all scores of a sample may be shifted alike against the model's"
)
_GOLDEN_NAMES: Final = ("golden.npz", "golden_lossy.npz")


@dataclass(frozen=True)
class FoundNetlist:
    """A netlist, the file it came from, the name its build gave it, and what is said of it.

    `model_digest` is the digest of the trained model that it was compiled from, which differs from
    `net.digest` where the compilation was lossy.
    """

    net: Netlist
    path: Path
    name: str | None = None
    notes: tuple[str, ...] = ()
    model_digest: str = ""

    def golden(self) -> Golden | None:
        """The golden vectors beside the file that belong to the root of the netlist, if any do."""
        net = self.net
        if not net.digest or not net.n_classes or net.encoder is None:
            return None
        for name in _GOLDEN_NAMES:
            path = self.path.with_name(name)
            if path.is_file():
                golden = load_golden(path)
                if golden.digest == net.digest and golden.x.shape[1:] == net.encoder.shape:
                    return golden
        return None

    def network(self) -> LogicNetwork | None:
        """The trained model beside the file, if it is the one the netlist came from."""
        path = self.path if self.path.suffix == ".safetensors" else None
        path = path or self.path.with_name("model.safetensors")
        if not path.is_file() or not self.model_digest:
            return None
        network = load_network(path)
        return network if network.digest == self.model_digest else None


def _of_folder(path: Path) -> FoundNetlist | None:
    """The netlist.npz in the folder `path`; None where there is none."""
    file = path / "netlist.npz"
    compiled = BuildFolder(path).result("compile")
    if compiled is None:
        if not file.is_file():
            return None
        net = load_netlist(file)
        return FoundNetlist(net, file, model_digest=net.digest)
    net = load_netlist(file)
    root = compiled.get("root_digest", "")
    if net.digest != root:
        raise InputError(
            f"{file} belongs to another model: digest {net.digest[:12]}, the build is of "
            f"{root[:12] or 'an earlier gate2hw'}; compile again"
        )
    options = compiled["options"]
    notes = (SHIFTED,) if options.get("output") == "class" else ()
    return FoundNetlist(net, file, options.get("name"), notes, compiled["model"]["digest"])


def _of_model(path: Path, opt_level: int, progress: Progress) -> FoundNetlist:
    from gate2hw.flow.signoff.sharing import started
    from gate2hw.passes.manager import run_pipeline

    network = load_network(path)
    progress(0, 0, "unrolling")
    net, _ = started(network, opt_level)
    progress(0, 0, f"simplifying {net.n_gates:,} gates")
    net = run_pipeline(net, opt_level).net
    note = f"not compiled before: gates as of -O {opt_level}; gate2hw compile finds fewer"
    return FoundNetlist(net, path, None, (note,), network.digest)


def find_netlist(
    model: Path | str, *, opt_level: int = 1, progress: Progress = silent
) -> FoundNetlist:
    """The netlist of a build folder, a trained model (file or folder), or a netlist file.

    A folder's netlist.npz is taken before its model; a model is unrolled and simplified by the
    passes of `opt_level`. Raises InputError or ModelFileError, saying what `model` is.
    """
    path = Path(model)
    if path.is_dir():
        found = _of_folder(path)
        if found is not None:
            return found
        check_folder(path)
        return _of_model(path / "model.safetensors", opt_level, progress)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such model, netlist or build folder")
    if path.suffix.lower() not in FORMATS:
        check_known(path)
        return _of_model(path, opt_level, progress)
    if path.suffix.lower() == ".npz":
        check_known(path)
    found = _of_folder(path.parent) if path.name == "netlist.npz" else None
    if found is not None:
        return found
    net = read_circuit(path)
    return FoundNetlist(net, path, model_digest=net.digest)
