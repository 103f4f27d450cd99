"""Training: logic gate networks as torch modules; the only room that imports torch."""

from gate2hw.nn.data import (
    Dataset,
    load_dataset,
    load_recipe_data,
    make_thermometer,
    stratified_split,
)
from gate2hw.nn.discretize import from_network, to_network
from gate2hw.nn.distill import save_teacher_logits
from gate2hw.nn.encoding import choose_thresholds
from gate2hw.nn.gates import GateWeights
from gate2hw.nn.layers import GroupSum, LogicConv2d, LogicDense, OrPool2d, Thermometer
from gate2hw.nn.model import LogicModel, build_model
from gate2hw.nn.recipe import Recipe, load_recipe, parse_recipe, recipes
from gate2hw.nn.results import TrainResult, golden_of
from gate2hw.nn.topk import LearnedWiring
from gate2hw.nn.trainer import train

__all__ = [
    "Dataset",
    "GateWeights",
    "GroupSum",
    "LearnedWiring",
    "LogicConv2d",
    "LogicDense",
    "LogicModel",
    "OrPool2d",
    "Recipe",
    "Thermometer",
    "TrainResult",
    "build_model",
    "choose_thresholds",
    "from_network",
    "golden_of",
    "load_dataset",
    "load_recipe",
    "load_recipe_data",
    "make_thermometer",
    "parse_recipe",
    "recipes",
    "save_teacher_logits",
    "stratified_split",
    "to_network",
    "train",
]
