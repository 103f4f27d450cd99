"""Train a recipe: AdamW, cosine, keep the best discretised network, resume bit for bit."""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gate2hw.errors import InputError
from gate2hw.ir.store import save_golden, save_network, write_text
from gate2hw.nn import native
from gate2hw.nn.area import area_term, is_settled
from gate2hw.nn.augment import Augmentation
from gate2hw.nn.checkpoint import (
    Progress,
    Sampler,
    load_checkpoint,
    save_checkpoint,
    seeded_generators,
)
from gate2hw.nn.data import Dataset, load_recipe_data, make_thermometer
from gate2hw.nn.discretize import to_network
from gate2hw.nn.distill import Teacher, distillation_loss, load_teacher_logits
from gate2hw.nn.distributed import Ranks, join_ranks, state_digest
from gate2hw.nn.methods import apply_schedule, parameter_groups, set_generator
from gate2hw.nn.model import LogicModel, build_model
from gate2hw.nn.recipe import Recipe
from gate2hw.nn.results import TrainResult, accuracy, golden_of
from gate2hw.nn.schedule import rate_factor
from gate2hw.nn.surroundings import (
    HISTORY_COLUMNS,
    deferred_interrupt,
    event_log,
    float_type,
    threads,
    write_history,
)

__all__ = ["HISTORY_COLUMNS", "train"]


def _device(name: str) -> torch.device:
    if name not in ("cpu", "cuda"):
        raise InputError(f"unknown device {name!r}; allowed: cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device cuda is not available: this torch sees no GPU; use --device cpu, or install "
            "a torch built for CUDA"
        )
    return torch.device(name)


def _activations(model: LogicModel) -> int:
    """Signals that one sample makes in all layers."""
    shapes: list[Any] = [layer.output_shape for layer in model.children()]
    return sum(int(np.prod(shape)) for shape in shapes)


@dataclass(frozen=True)
class _Batch:
    """`index` (B,) int64 of the training samples, `x` (B, *input_shape) int32 as the model is to
    see them, `y` (B,) int64."""

    index: Tensor
    x: Tensor
    y: Tensor


class _Run:
    """One training run: the state that a checkpoint holds, and the steps that change it."""

    def __init__(
        self,
        recipe: Recipe,
        data: Dataset,
        out_dir: Path,
        device: torch.device,
        teacher: Teacher | None = None,
        teacher_logits: Tensor | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self.recipe, self.data, self.out_dir = recipe, data, out_dir
        self.ranks = ranks or Ranks()
        self.teacher = teacher
        self.teacher_logits = None if teacher_logits is None else teacher_logits.to(device)
        self.augmentation = Augmentation(**asdict(recipe.augmentation))
        self.augmentation.check(data.input_shape)
        spec = recipe.training
        self.model = build_model(recipe, make_thermometer(data, recipe.thermometer), data.n_classes)
        self.model.to(device)
        if spec.dtype == "float64":
            self.model.double()
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, recipe),
            lr=spec.learning_rate,
            betas=(spec.beta1, spec.beta2),
            weight_decay=spec.weight_decay,
        )
        self.sampler = Sampler(len(data.x_train), spec.batch_size, recipe.seed)
        self.ranks.check_batch(self.sampler.batch_size)
        self.generators = seeded_generators(recipe.seed, device)
        set_generator(self.model, self.generators["noise"])
        self.x = torch.from_numpy(data.x_train).to(torch.int32).to(device)
        self.y = torch.from_numpy(data.y_train).to(device)
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self._started = time.perf_counter()
        self._in_step = False
        self._forward: nn.Module = self.model

    @property
    def checkpoint_path(self) -> Path:
        return self.out_dir / "checkpoint.safetensors"

    @property
    def time_s(self) -> float:
        """Seconds spent so far, those before a resume included."""
        return self.progress.time_s + time.perf_counter() - self._started

    @property
    def teacher_name(self) -> str:
        """Whom the run learns from: none, callable (whatever it says), or the digest of logits."""
        if self.teacher_logits is not None:
            return state_digest({"logits": self.teacher_logits})
        return "none" if self.teacher is None else "callable"

    def resume(self) -> None:
        self.progress, self.best = load_checkpoint(
            self.checkpoint_path,
            recipe=self.recipe.as_dict(),
            data_digest=self.data.digest,
            teacher=self.teacher_name,
            model=self.model,
            optimizer=self.optimizer,
            sampler=self.sampler,
            generators=self.generators,
        )
        self._loss_sum.fill_(self.progress.loss_sum)

    def join(self) -> None:
        """From here on, work with the other processes; InputError where they differ."""
        if self.ranks.size == 1:
            return
        now = self.progress
        recipe = self.recipe.to_toml()
        self.ranks.check_same(
            {
                "the recipe": hashlib.sha256(recipe.encode()).hexdigest(),
                "the training data": state_digest({"x": self.x, "y": self.y}),
                "the wiring and weights": state_digest(self.model.state_dict()),
                "the step": hashlib.sha256(str(now.step).encode()).hexdigest(),
            }
        )
        self._forward = self.ranks.wrap(self.model)

    def save(self) -> None:
        if not self.ranks.is_first:
            return
        self.progress.loss_sum = float(self._loss_sum)
        self.progress.time_s, self._started = self.time_s, time.perf_counter()
        save_checkpoint(
            self.checkpoint_path,
            recipe=self.recipe.as_dict(),
            data_digest=self.data.digest,
            teacher=self.teacher_name,
            model=self.model,
            best=self.best,
            optimizer=self.optimizer,
            sampler=self.sampler,
            generators=self.generators,
            progress=self.progress,
        )

    def rate_factor(self) -> float:
        """Share of the full learning rates at this step."""
        spec = self.recipe.training
        return rate_factor(
            self.progress.step, spec.steps, warmup_steps=spec.warmup_steps, kind=spec.schedule
        )

    def batch(self) -> _Batch:
        """The part of this process of the next batch, augmented; the only place that draws
        samples and changes them: always the whole batch, whatever the number of processes."""
        index = self.sampler.next().to(self.x.device)
        x = self.augmentation(self.x.index_select(0, index), self.generators["augmentation"])
        part = self.ranks.part(len(index))
        index, x = index[part], x[part]
        return _Batch(index, x, self.y.index_select(0, index))

    def loss(self, batch: _Batch) -> Tensor:
        """The loss of a batch, a scalar: the one place where its terms are added."""
        logits = self._forward(batch.x)
        loss = nn.functional.cross_entropy(logits, batch.y)
        taught = self._taught(batch)
        if taught is not None:
            spec = self.recipe.distillation
            kl = distillation_loss(logits, taught, spec.temperature)
            loss = (1 - spec.alpha) * loss + spec.alpha * kl
        if self.ranks.size > 1:  # the area below is that of the network, the same in all processes
            loss = loss * self.ranks.weight(len(batch.x), self.sampler.batch_size)
        n_steps = self.recipe.training.steps
        area = area_term(self.model, self.recipe.area, self.progress.step, n_steps)
        return loss if area is None else loss + area

    @torch.no_grad()
    def _taught(self, batch: _Batch) -> Tensor | None:
        """(B, C) logits of the teacher, if there is one."""
        if self.teacher_logits is not None:
            return self.teacher_logits.index_select(0, batch.index)
        if self.teacher is None:
            return None
        taught = self.teacher(batch.x)
        wanted = (len(batch.x), self.data.n_classes)
        if tuple(taught.shape) != wanted:
            raise InputError(f"the teacher gives {tuple(taught.shape)} logits, expected {wanted}")
        return taught

    def step(self) -> None:
        """One optimiser step; it is whole when `loop` has evaluated too, where that is due."""
        self._in_step = True
        apply_schedule(self.model, self.recipe, self.progress.step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["full_lr"] * self.rate_factor()
        batch = self.batch()
        self.model.train()
        loss = self.loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self._loss_sum += self.ranks.mean(loss.detach())
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
        apply_schedule(self.model, self.recipe, now.step)
        x, y = self.data.x_validation, self.data.y_validation
        hard = self.ranks.accuracy(self.model.scores, x, y)
        soft = self.ranks.accuracy(self.model.soft_scores, x, y)
        is_candidate = is_settled(self.recipe.area, now.step, self.recipe.training.steps)
        if is_candidate and (hard, soft) >= (now.best_accuracy, now.best_accuracy_soft):
            now.best_accuracy, now.best_accuracy_soft, now.best_step = hard, soft, now.step
            self.best = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
        rate = self.recipe.training.learning_rate * self.rate_factor()
        values = (now.step, round(self.time_s, 3), loss, soft, hard, rate)
        row = dict(zip(HISTORY_COLUMNS, values, strict=True))
        now.history.append(row)
        self._loss_sum.zero_()
        now.loss_count = 0
        return row

    def loop(self, progress: Callable[[int, int, str], None] | None) -> None:
        """Train to the end; on Ctrl-C or SIGTERM anywhere, leave a checkpoint at a whole step."""
        spec = self.recipe.training
        with (
            self._log() as log,
            deferred_interrupt(patient=self.ranks.size > 1) as stop,
        ):
            try:
                while self.progress.step < spec.steps:
                    if self.ranks.any(stop()):
                        raise KeyboardInterrupt
                    self.step()
                    step = self.progress.step
                    is_last = step == spec.steps
                    if step % spec.evaluate_every == 0 or is_last:
                        log(self.evaluate())
                    self._in_step = False
                    if step % spec.checkpoint_every == 0 or is_last:
                        self.save()
                    if progress is not None and self.ranks.is_first:
                        progress(step, spec.steps, self._message())
            except KeyboardInterrupt:
                if not self._in_step:  # else a second Ctrl-C cut the step or its evaluation short
                    self.save()
                raise

    def _log(self) -> contextlib.AbstractContextManager[Callable[[dict[str, float]], None]]:
        if self.ranks.is_first:
            return event_log(self.out_dir, self.progress.step)
        return contextlib.nullcontext(lambda _: None)

    def _message(self) -> str:
        if not self.progress.history:
            return "training"
        row = self.progress.history[-1]
        return f"loss {row['loss']:.3f}, validation {100 * row['accuracy_validation']:.1f} %"


def _finish(run: _Run) -> dict[str, Any]:
    """Write the best network, its golden vectors and the history; a TrainResult, JSON-like."""
    data, out_dir = run.data, run.out_dir
    run.model.load_state_dict(run.best)
    apply_schedule(run.model, run.recipe, run.progress.best_step)
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
        "kernels": native.status()["kernels"],
        "set": native.status()["set"],
        "device": run.x.device.type,
        "teacher": run.teacher_name,
        "recipe": run.recipe.as_dict(),
        **data.info(),
    }
    network = to_network(run.model, data.class_names, data.name, info)
    save_network(result.model_path, network)
    save_golden(result.golden_path, golden_of(run.model, network, data.x_test, data.y_test))
    write_history(result.history_path, run.progress.history)
    return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(result).items()}


def _stored_logits(
    recipe: Recipe, data: Dataset, data_dir: Path | str | None, teacher: Teacher | None
) -> Tensor | None:
    """(N, C) logits of the recipe's teacher; InputError where another one is given too."""
    name = recipe.distillation.teacher_logits
    if not name:
        return None
    if teacher is not None:
        raise InputError("two teachers: train() is given one, distillation.teacher_logits another")
    folders = [folder for folder in (data_dir, recipe.folder, ".") if folder]
    return load_teacher_logits(name, folders, data.x_train, data.n_classes)


def train(
    recipe: Recipe,
    out_dir: Path | str,
    *,
    data_dir: Path | str | None = None,
    device: str = "cpu",
    resume: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
    teacher: Teacher | None = None,
) -> TrainResult:
    """Train `recipe` into `out_dir`; the same recipe gives the same network.

    That holds for CPUs of the same kind with the same torch, kernels and instruction set (the info
    of the network names them).

    Writes model.safetensors, golden.npz, history.csv, tensorboard/, checkpoint.safetensors and
    recipe.toml. `resume` continues from the checkpoint if there is one. Data files are looked for
    in `data_dir`, then beside the recipe, then here. `teacher` maps a batch (B, *input_shape) of
    integers to (B, C) logits, on `device`; how it is followed says the recipe's [distillation].
    Under torchrun the processes share each batch, see `gate2hw.nn.distributed`.
    Raises InputError for bad data, an unusable device or folder, or a loss that is not finite;
    KeyboardInterrupt after saving a checkpoint.
    """
    out_dir = Path(out_dir)
    target = _device(device)
    data = load_recipe_data(recipe, data_dir)
    logits = _stored_logits(recipe, data, data_dir, teacher)
    with join_ranks(device) as ranks, float_type(recipe.training.dtype):
        run = _Run(recipe, data, out_dir, ranks.device(target), teacher, logits, ranks)
        if ranks.is_first:
            write_text(out_dir / "recipe.toml", recipe.to_toml())
        n_elements = _activations(run.model) * run.sampler.batch_size // ranks.size
        with threads(recipe.training.threads, n_elements):
            if resume and run.checkpoint_path.is_file():
                run.resume()
            run.join()
            run.loop(progress)
            found = ranks.from_first(lambda: _finish(run))
    paths = {name: Path(found[name]) for name in ("model_path", "golden_path", "history_path")}
    return TrainResult(**{**found, **paths})
