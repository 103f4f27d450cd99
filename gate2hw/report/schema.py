"""The shape of report.json, as types; `schema_check` holds a report against them.

A value that was not measured is null, and a sibling ``NAME_reason`` says why. Fractions are 0..1,
units stand in the names. Keys beyond these are allowed: later versions add, never rename.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

from gate2hw.report.schema_asic import AsicResult
from gate2hw.report.schema_boards import Board

__all__ = [
    "SCHEMA",
    "Analysis",
    "Approximation",
    "AreaEstimate",
    "Build",
    "Checks",
    "Comparison",
    "Confusion",
    "CurvePoint",
    "EncoderUse",
    "FailedCheck",
    "FittedTarget",
    "FunctionGates",
    "GateStats",
    "LayerGates",
    "LevelGates",
    "LutStats",
    "Model",
    "PassProof",
    "PassRecord",
    "PopcountUse",
    "Proof",
    "RefusedTarget",
    "Report",
    "Resource",
    "Simulation",
    "SoftwareCheck",
    "SplitAccuracy",
    "Target",
    "Training",
]

SCHEMA = 1


class Model(TypedDict):
    """The trained model; accuracies are of the test set, `accuracy` of the discrete network."""

    name: str
    digest: str
    dataset: str
    classes: list[str]
    n_test: int
    accuracy_soft: float | None
    accuracy: float | None


class GateStats(TypedDict):
    """The three gate counts and the depth of the optimised netlist; head and encoder apart."""

    unique: int
    instantiated: int
    optimised: int
    depth: int


class LutStats(TypedDict):
    """The optimised netlist mapped to LUTs of four inputs; head and encoder apart."""

    luts: int
    depth: int


class CurvePoint(TypedDict):
    """A netlist between the exact and the approximate one; `cost` in LUTs of four inputs."""

    n_replaced: int
    n_gates: int
    n_outputs: int
    cost: int
    score: float


class SplitAccuracy(TypedDict):
    """Accuracy on one split before and after a lossy optimisation."""

    exact: float | None
    approximate: float | None


class Approximation(TypedDict):
    """A lossy build: what the accuracy budget bought. `score` falls from the exact accuracy."""

    budget: float
    exact_digest: str
    n_training: int
    n_validation: int
    validation: SplitAccuracy
    test: NotRequired[SplitAccuracy]
    curve: list[CurvePoint]


class PassRecord(TypedDict):
    """What one pass did."""

    name: str
    gates_before: int
    gates_after: int
    depth_after: int
    time_s: float


class Comparison(TypedDict):
    """A link checked by vectors: 0 mismatches of a positive number of vectors is a pass."""

    simulator: str
    n_vectors: int
    mismatches: int
    n_golden: NotRequired[int]
    n_random: NotRequired[int]


class SoftwareCheck(TypedDict):
    """Torch = LogicNetwork = netlist before = after passes, by the reference simulator."""

    method: str
    n_golden: int
    n_random: int
    mismatches: int


class PassProof(TypedDict):
    """How one pass was proved; "simulated": vectors, no proof."""

    name: str
    result: str
    coverage: str | None
    reason: NotRequired[str | None]


class Proof(TypedDict):
    """`result` is "equivalent", "different" or "undecided".

    Where kernels were simplified before unrolling, that step is the first of `passes`; where it is
    too large for SAT, `not_proved` says what was done instead.
    """

    method: str
    result: Literal["equivalent", "different", "undecided"]
    passes: NotRequired[list[PassProof]]
    not_proved: NotRequired[list[str]]


class StreamRule(TypedDict):
    """A rule that no run may break (``bad_``), or what some run must show (``can_``)."""

    name: str


class StreamProof(TypedDict):
    """The handshakes of the top; `not_proved` names the rules that were not decided in time."""

    method: str
    properties: list[StreamRule]
    not_proved: list[str]


class FailedCheck(TypedDict):
    """A check that failed before it could count; `message` holds what differed."""

    result: Literal["failed"]
    message: str


class Simulation(TypedDict):
    """RTL against golden vectors and the netlist before passes."""

    core: Comparison | FailedCheck | None
    top: Comparison | FailedCheck | None
    core_reason: NotRequired[str | None]
    top_reason: NotRequired[str | None]


class Checks(TypedDict):
    """The chain; why a target of `post_synthesis` is null stands in `post_synthesis_reasons`.

    `network` is what can be compared without a golden file: the model file, not torch.
    """

    simulation: Simulation
    proof: Proof | FailedCheck | None
    proof_reason: NotRequired[str | None]
    streams: NotRequired[StreamProof | FailedCheck | None]
    streams_reason: NotRequired[str | None]
    post_synthesis: dict[str, Comparison | FailedCheck | None]
    post_synthesis_reasons: NotRequired[dict[str, str]]
    software: NotRequired[SoftwareCheck | FailedCheck | None]
    software_reason: NotRequired[str | None]
    network: NotRequired[SoftwareCheck | FailedCheck | None]
    network_reason: NotRequired[str | None]


class Resource(TypedDict):
    """How much of one resource of a target is in use."""

    used: int
    available: int
    fraction: float


class CriticalPath(TypedDict):
    """The slowest path: the block where most of it lies, and its cells, gates by neuron."""

    block: str
    places: list[str]


class FanOut(TypedDict):
    """A net that many pins read, as the mapped netlist calls it, and in the model's words."""

    net: str
    place: str
    n_sinks: int


class FittedTry(TypedDict):
    """A try of a search for registers; `name` says which, as ``gate2hw synth --stages`` reads."""

    fits: Literal[True]
    name: str
    seed: int
    fmax_mhz: float
    luts: int
    ffs: int
    latency_cycles: int
    critical_block: str


class RefusedTry(TypedDict):
    """A try that did not fit."""

    fits: Literal[False]
    name: str
    seed: int


class FittedTarget(TypedDict):
    """A placed and routed target.

    Latency: last input beat accepted to result valid at top, no stalls.
    `area` is LUTs by part of the design, where synthesis could tell. `tries` are all that a search
    for registers has routed.
    """

    fits: Literal[True]
    luts: int
    ffs: int
    carries: int
    cells: int
    cells_by_type: NotRequired[dict[str, int]]
    utilisation: dict[str, Resource]
    fmax_mhz: float
    clock_mhz: float
    clock_met: bool
    latency_cycles: int
    latency_ns: float
    interval_cycles: int
    images_per_s: float
    core_images_per_s: float | None
    counts_encoder: bool
    area: NotRequired[dict[str, int] | None]
    bitstream: NotRequired[str | None]
    critical: NotRequired[CriticalPath]
    fan_out: NotRequired[list[FanOut]]
    tries: NotRequired[list[FittedTry | RefusedTry]]


class RefusedTarget(TypedDict):
    """A target the design does not fit."""

    fits: Literal[False]
    reason: str


Target: TypeAlias = FittedTarget | RefusedTarget


class Confusion(TypedDict):
    """`matrix[true][predicted]` in samples; `n_ties`: samples whose highest score is shared."""

    matrix: list[list[int]]
    n_labelled: int
    n_ties: int


class LayerGates(TypedDict):
    """Gates of one layer; `unique` is null where nothing is trained (pools)."""

    name: str
    kind: str
    unique: int | None
    instantiated: int
    optimised: int


class FunctionGates(TypedDict):
    """Gates of one of the 16 functions."""

    name: str
    tt: int
    instantiated: int
    optimised: int


class LevelGates(TypedDict):
    """Gates of each level, lowest first."""

    instantiated: list[int]
    optimised: list[int]


class PopcountUse(TypedDict):
    """Bits that the popcounts add up, before and after passes, and by class after.

    `two_input_gates` and `luts4` are what the adders of all classes take, by the constructions of
    `ir.counters` (fewest gates; fewest LUTs of four inputs).
    """

    bits_instantiated: int
    bits: int
    bits_by_class: list[int]
    two_input_gates: int
    gates_per_bit: float
    luts4: int
    luts4_per_bit: float


class EncoderUse(TypedDict):
    """What the optimised netlist reads of its input.

    `never_read` is true for each feature of which no bit is read, nested in the model's input
    shape; `bits_read` counts the bits read of each feature, same nesting.
    """

    shape: list[int]
    bits: int
    bits_used: int
    fraction_used: float
    features: int
    features_never_read: int
    never_read: list[Any]
    bits_read: list[Any]


class AreaEstimate(TypedDict):
    """Two-input gates by part, by the formulas in `formula`; an estimate, not a synthesis."""

    gates: dict[str, int]
    formula: dict[str, str]


class Training(TypedDict):
    """The columns of history.csv; null where a cell is empty or not finite."""

    step: list[float]
    time_s: list[float | None]
    loss: list[float | None]
    accuracy_validation_soft: list[float | None]
    accuracy_validation: list[float | None]
    lr: list[float | None]


class Analysis(TypedDict):
    """What `analyse` finds in the network, its netlist, its golden file and its history."""

    confusion: Confusion | None
    confusion_reason: NotRequired[str | None]
    layers: list[LayerGates]
    functions: list[FunctionGates]
    levels: LevelGates
    popcount: PopcountUse
    encoder: EncoderUse
    area_estimate: AreaEstimate
    training: Training | None
    training_reason: NotRequired[str | None]


class Build(TypedDict):
    """How the report came about: the commands that make it again, and what they ran on."""

    gate2hw: NotRequired[str]
    commands: NotRequired[list[str]]
    options: NotRequired[dict[str, Any]]
    tools: NotRequired[dict[str, str | None]]
    machine: NotRequired[str]


class Report(TypedDict):
    """report.json."""

    schema: int
    model: Model
    gates: GateStats
    luts4: NotRequired[LutStats | None]
    approximation: NotRequired[Approximation | None]
    passes: list[PassRecord]
    checks: Checks
    targets: dict[str, Target]
    boards: NotRequired[dict[str, Board]]
    asic: NotRequired[AsicResult | None]
    asic_reason: NotRequired[str | None]
    analysis: NotRequired[Analysis]
    build: NotRequired[Build]
