"""What a recipe's methods set in a model: estimators, temperatures, generators, learning rates."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from gate2hw.nn.encoding import Thermometer
from gate2hw.nn.gates import GateWeights
from gate2hw.nn.recipe import Recipe
from gate2hw.nn.schedule import anneal
from gate2hw.nn.topk import LearnedWiring, SelectsInputs

__all__ = ["apply_schedule", "configure_gates", "parameter_groups", "set_generator"]


def configure_gates(model: nn.Module, recipe: Recipe) -> None:
    """Set the estimator and the first temperature of every gate of an untrained model."""
    for module in model.modules():
        if isinstance(module, GateWeights):
            module.configure(recipe.gates.estimator, recipe.gates.temperature)


def set_generator(model: nn.Module, generator: torch.Generator) -> None:
    """Let all noise of `model` come from `generator`, which must be on its device."""
    for module in model.modules():
        if isinstance(module, GateWeights):
            module.generator = generator


def apply_schedule(model: nn.Module, recipe: Recipe, step: int) -> None:
    """Set everything in `model` that depends on the step alone (0 .. training.steps)."""
    share = step / recipe.training.steps
    gates, wiring, thermometer = recipe.gates, recipe.wiring, recipe.thermometer
    modules = list(model.modules())
    layers = [module for module in modules if isinstance(module, GateWeights)]
    hardens_at = np.linspace(gates.harden_at, gates.harden_until or gates.harden_at, len(layers))
    for layer, at in zip(layers, hardens_at, strict=True):
        layer.temperature = anneal(gates.temperature, gates.temperature_end, share)
        layer.estimator = "straight-through" if at < 1 and share >= at else gates.estimator
    for module in modules:
        if isinstance(module, LearnedWiring):
            module.temperature = anneal(wiring.temperature, wiring.temperature_end, share)
        elif isinstance(module, SelectsInputs):
            module.freeze_wiring(share >= wiring.freeze_at)
        elif isinstance(module, Thermometer):
            module.width = anneal(thermometer.width, thermometer.width_end, share)


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Parameters for the optimiser, in groups with a rate of their own, `full_lr`.

    Thresholds and wiring have their own rates, and no weight decay, which would draw thresholds
    to 0 and candidates together.
    """
    kinds: dict[type[nn.Module], list[nn.Parameter]] = {Thermometer: [], LearnedWiring: []}
    for module in model.modules():
        for kind, found in kinds.items():
            if isinstance(module, kind):
                found += list(module.parameters(recurse=False))
    special = {id(parameter) for found in kinds.values() for parameter in found}
    rate = recipe.training.learning_rate
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.parameters() if id(p) not in special], "full_lr": rate}
    ]
    rates = {
        Thermometer: recipe.thermometer.learning_rate,
        LearnedWiring: recipe.wiring.learning_rate or rate,
    }
    groups += [
        {"params": found, "full_lr": rates[kind], "weight_decay": 0.0}
        for kind, found in kinds.items()
        if found
    ]
    return groups
