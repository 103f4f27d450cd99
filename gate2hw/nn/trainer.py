"""Train a recipe: AdamW, cosine, keep the best discretised network, resume bit for bit."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gate2hw.errors import InputError
from gate2hw.ir.network import LogicNetwork
from gate2hw.ir.store import Golden, save_golden, save_network, write_text
from gate2hw.nn.checkpoint import Progress, Sampler, load_checkpoint, save_checkpoint
from gate2hw.nn.data import Dataset, load_recipe_data, make_thermometer, smallest_dtype
from gate2hw.nn.discretize import to_network
from gate2hw.nn.model import LogicModel, build_model
from gate2hw.nn.recipe import Recipe

__all__ = ["HISTORY_COLUMNS", "TrainResult", "accuracy", "golden_of", "train"]

HISTORY_COLUMNS: Final = (
    "step",
    "time_s",
    "loss",
    "accuracy_validation_soft",
    "accuracy_validation",
    "lr",
)
_ONE_THREAD_ELEMENTS: Final = 4_000_000
"""Up to this many activations a step, more threads only cost time (spinning, small tiles)."""


@dataclass(frozen=True)
class TrainResult:
    """Where the files are and what was measured; accuracies are fractions 0..1.

    `accuracy` is of the discrete network on the test split, `accuracy_soft` of the relaxed one
    there, `accuracy_validation` of the discrete one on the validation split it was chosen by.
    """

    model_path: Path
    golden_path: Path
    accuracy: float
    accuracy_soft: float
    accuracy_validation: float
    n_test: int
    time_s: float
    history_path: Path


def accuracy(scores: npt.NDArray[Any], y: npt.NDArray[np.int64]) -> float:
    """Share of (N, C) scores whose highest (ties: lowest index) is the label (N,)."""
    return float(np.mean(np.argmax(scores, axis=1) == y))


def _device(name: str) -> torch.device:
    if name not in ("cpu", "cuda"):
        raise InputError(f"unknown device {name!r}; allowed: cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device cuda is not available: this torch sees no GPU; use --device cpu, or install "
            "a torch built for CUDA"
        )
    return torch.device(name)


@contextlib.contextmanager
def _threads(wanted: int, n_elements: int) -> Iterator[None]:
    """Use `wanted` torch threads inside the block; 0 is one for small networks, else torch's."""
    before = torch.get_num_threads()
    if wanted or n_elements <= _ONE_THREAD_ELEMENTS:
        torch.set_num_threads(wanted or 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Hold Ctrl-C back until asked for, so that no step is cut in two; a second one is at once."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    seen: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def hold(number: int, frame: Any) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    signal.signal(signal.SIGINT, hold)
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, before)


def _activations(model: LogicModel) -> int:
    """Signals that one sample makes in all layers."""
    shapes: list[Any] = [layer.output_shape for layer in model.children()]
    return sum(int(np.prod(shape)) for shape in shapes)


class _Run:
    """One training run: the state that a checkpoint holds, and the steps that change it."""

    def __init__(self, recipe: Recipe, data: Dataset, out_dir: Path, device: torch.device) -> None:
        self.recipe, self.data, self.out_dir = recipe, data, out_dir
        spec = recipe.training
        self.model = build_model(recipe, make_thermometer(data, recipe.thermometer), data.n_classes)
        self.model.to(device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=spec.learning_rate,
            betas=(spec.beta1, spec.beta2),
            weight_decay=spec.weight_decay,
        )
        self.sampler = Sampler(len(data.x_train), spec.batch_size, recipe.seed)
        self.x = torch.from_numpy(data.x_train).to(torch.int32).to(device)
        self.y = torch.from_numpy(data.y_train).to(device)
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self._started = time.perf_counter()

    @property
    def checkpoint_path(self) -> Path:
        return self.out_dir / "checkpoint.safetensors"

    @property
    def time_s(self) -> float:
        """Seconds spent so far, those before a resume included."""
        return self.progress.time_s + time.perf_counter() - self._started

    def resume(self) -> None:
        self.progress, self.best = load_checkpoint(
            self.checkpoint_path,
            recipe=self.recipe.as_dict(),
            model=self.model,
            optimizer=self.optimizer,
            sampler=self.sampler,
        )
        self._loss_sum.fill_(self.progress.loss_sum)

    def save(self) -> None:
        self.progress.loss_sum = float(self._loss_sum)
        self.progress.time_s, self._started = self.time_s, time.perf_counter()
        save_checkpoint(
            self.checkpoint_path,
            recipe=self.recipe.as_dict(),
            model=self.model,
            best=self.best,
            optimizer=self.optimizer,
            sampler=self.sampler,
            progress=self.progress,
        )

    def learning_rate(self) -> float:
        """A cosine from the recipe's rate to zero."""
        spec = self.recipe.training
        share = self.progress.step / spec.steps
        return spec.learning_rate * 0.5 * (1 + math.cos(math.pi * share))

    def step(self) -> None:
        """One optimiser step."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        batch = self.sampler.next().to(self.x.device)
        self.model.train()
        logits = self.model(self.x.index_select(0, batch))
        loss = nn.functional.cross_entropy(logits, self.y.index_select(0, batch))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self._loss_sum += loss.detach()
        self.progress.loss_count += 1
        self.progress.step += 1

    def evaluate(self) -> dict[str, float]:
        """Validate, keep the weights if the discrete network is the best so far, log a row."""
        now = self.progress
        loss = float(self._loss_sum) / max(1, now.loss_count)
        if not math.isfinite(loss):
            raise InputError(
                f"the loss became {loss} before step {now.step}; lower training.learning_rate "
                f"(now {self.recipe.training.learning_rate})"
            )
        x, y = self.data.x_validation, self.data.y_validation
        hard = accuracy(self.model.scores(x), y)
        soft = accuracy(self.model.soft_scores(x), y)
        if (hard, soft) >= (now.best_accuracy, now.best_accuracy_soft):
            now.best_accuracy, now.best_accuracy_soft, now.best_step = hard, soft, now.step
            self.best = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
        values = (now.step, round(self.time_s, 3), loss, soft, hard, self.learning_rate())
        row = dict(zip(HISTORY_COLUMNS, values, strict=True))
        now.history.append(row)
        self._loss_sum.zero_()
        now.loss_count = 0
        return row

    def loop(self, progress: Callable[[int, int, str], None] | None) -> None:
        """Train to the end; on Ctrl-C, leave a checkpoint at a whole step, then stop."""
        spec = self.recipe.training
        with _event_log(self.out_dir, self.progress.step) as log, _deferred_interrupt() as stop:
            try:
                while self.progress.step < spec.steps:
                    if stop():
                        raise KeyboardInterrupt
                    self.step()
                    step = self.progress.step
                    is_last = step == spec.steps
                    if step % spec.evaluate_every == 0 or is_last:
                        log(self.evaluate())
                    if step % spec.checkpoint_every == 0 or is_last:
                        self.save()
                    if progress is not None:
                        progress(step, spec.steps, self._message())
            except KeyboardInterrupt:
                if not self._is_half_done():
                    self.save()
                raise

    def _is_half_done(self) -> bool:
        """True where a second Ctrl-C cut a step in two: the last checkpoint then stays."""
        counts = {int(s["step"]) for s in self.optimizer.state.values()}
        return bool(counts) and counts != {self.progress.step}

    def _message(self) -> str:
        if not self.progress.history:
            return "training"
        row = self.progress.history[-1]
        return f"loss {row['loss']:.3f}, validation {100 * row['accuracy_validation']:.1f} %"


@contextlib.contextmanager
def _event_log(out_dir: Path, step: int) -> Iterator[Callable[[dict[str, float]], None]]:
    """A function that writes a history row as TensorBoard scalars."""
    from torch.utils.tensorboard.writer import SummaryWriter

    folder = out_dir / "tensorboard"
    if step == 0 and folder.is_dir():
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
    writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def write(row: dict[str, float]) -> None:
        for key, value in row.items():
            if key not in ("step", "time_s"):
                writer.add_scalar(key, value, int(row["step"]))

    try:
        yield write
    finally:
        writer.close()


def _write_history(path: Path, rows: list[dict[str, float]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def golden_of(
    model: LogicModel,
    network: LogicNetwork,
    x: npt.NDArray[Any],
    y: npt.NDArray[np.int64],
) -> Golden:
    """What `model` says in eval mode on (N, *shape) inputs, bound to the digest of `network`."""
    scores = model.scores(x)
    return Golden(
        x.astype(smallest_dtype(model.thermometer.max_value)),
        y,
        scores,
        np.argmax(scores, axis=1).astype(np.int64),
        network.digest,
        network.class_names,
        {"dataset": network.dataset},
    )


def _finish(run: _Run) -> TrainResult:
    """Write the best network, its golden vectors and the history."""
    data, out_dir = run.data, run.out_dir
    run.model.load_state_dict(run.best)
    scores = run.model.scores(data.x_test)
    result = TrainResult(
        model_path=out_dir / "model.safetensors",
        golden_path=out_dir / "golden.npz",
        accuracy=accuracy(scores, data.y_test),
        accuracy_soft=accuracy(run.model.soft_scores(data.x_test), data.y_test),
        accuracy_validation=run.progress.best_accuracy,
        n_test=len(data.y_test),
        time_s=round(run.time_s, 3),
        history_path=out_dir / "history.csv",
    )
    info = {
        "accuracy": result.accuracy,
        "accuracy_soft": result.accuracy_soft,
        "accuracy_validation": result.accuracy_validation,
        "n_test": result.n_test,
        "n_train": len(data.y_train),
        "n_validation": len(data.y_validation),
        "best_step": run.progress.best_step,
        "seed": run.recipe.seed,
        "time_s": result.time_s,
        "torch": torch.__version__,
        "recipe": run.recipe.as_dict(),
    }
    network = to_network(run.model, data.class_names, data.name, info)
    save_network(result.model_path, network)
    save_golden(result.golden_path, golden_of(run.model, network, data.x_test, data.y_test))
    _write_history(result.history_path, run.progress.history)
    return result


def train(
    recipe: Recipe,
    out_dir: Path | str,
    *,
    data_dir: Path | str | None = None,
    device: str = "cpu",
    resume: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> TrainResult:
    """Train `recipe` into `out_dir`; on CPU, same recipe and torch give the same network.

    Writes model.safetensors, golden.npz, history.csv, tensorboard/, checkpoint.safetensors and
    recipe.toml. `resume` continues from the checkpoint if there is one. Data files are looked for
    in `data_dir`, then beside the recipe, then here. Raises InputError for bad data, an unusable
    device or folder, or a loss that is not finite; KeyboardInterrupt after saving a checkpoint.
    """
    out_dir = Path(out_dir)
    target = _device(device)
    data = load_recipe_data(recipe, data_dir)
    run = _Run(recipe, data, out_dir, target)
    write_text(out_dir / "recipe.toml", recipe.to_toml())
    n_elements = _activations(run.model) * run.sampler.batch_size
    with _threads(recipe.training.threads, n_elements):
        if resume and run.checkpoint_path.is_file():
            run.resume()
        run.loop(progress)
        return _finish(run)
