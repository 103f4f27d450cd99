"""Where bytes stand in the frames of both streams; plain arithmetic, no hardware."""

from __future__ import annotations

from dataclasses import dataclass

from gate2hw.errors import InputError
from gate2hw.ir.netlist import Netlist
from gate2hw.rtl.core import MAX_BITS, ScoreFormat
from gate2hw.rtl.options import RtlOptions

__all__ = ["FrameLayout", "ResultLayout", "StoredBit"]


@dataclass(frozen=True, order=True)
class StoredBit:
    """One bit ``feature > threshold``, captured in `slot` from the lanes of `group`.

    A slot is a beat that completes features; a group is the number of the feature within it.
    """

    group: int
    threshold: int
    slot: int


@dataclass(frozen=True)
class FrameLayout:
    """An input frame: `n_features` values in C order, low byte first, over `bus_bytes` lanes."""

    n_features: int
    bytes_per_feature: int
    bus_bytes: int
    max_value: int
    bits: tuple[StoredBit, ...]

    @staticmethod
    def of(net: Netlist, options: RtlOptions) -> FrameLayout:
        """The layout of `net`'s input; InputError if it has no encoder."""
        encoder = net.encoder
        if encoder is None:
            raise InputError("the netlist has no encoder, so no stream of features can feed it")
        size, bus = encoder.bytes_per_feature, options.bus_bytes
        per_slot = max(1, bus // size)
        used = net.used_inputs()
        bits = tuple(
            StoredBit(feature % per_slot, threshold, feature // per_slot)
            for feature, threshold in zip(
                encoder.feature[used].tolist(), encoder.threshold[used].tolist(), strict=True
            )
        )
        return FrameLayout(encoder.n_features, size, bus, encoder.max_value, bits)

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame; those past the end of its last beat are ignored."""
        return self.n_features * self.bytes_per_feature

    @property
    def frame_beats(self) -> int:
        """Beats of a frame."""
        return -(-self.frame_bytes // self.bus_bytes)

    @property
    def beats_per_slot(self) -> int:
        """2 where a feature of two bytes crosses a bus of one, else 1."""
        return max(1, self.bytes_per_feature // self.bus_bytes)


@dataclass(frozen=True)
class ResultLayout:
    """A result frame: the class, then (output = scores) all scores, each in whole bytes."""

    n_classes: int
    format: ScoreFormat
    with_scores: bool
    bus_bytes: int

    @staticmethod
    def of(net: Netlist, options: RtlOptions) -> ResultLayout:
        """The layout of `net`'s result; InputError where it is too long for Amaranth."""
        layout = ResultLayout(
            net.n_classes, ScoreFormat.of(net), options.output == "scores", options.bus_bytes
        )
        if 8 * layout.result_bytes > MAX_BITS:
            raise InputError(
                f"a result frame of {layout.result_bytes} bytes is too long for the stream; "
                "use output class"
            )
        return layout

    @property
    def class_bytes(self) -> int:
        """Bytes of the class index."""
        return 1 if self.n_classes <= 256 else 2

    @property
    def score_bytes(self) -> int:
        """Bytes of one score."""
        return -(-self.format.width // 8)

    @property
    def result_bytes(self) -> int:
        """Bytes of a result frame, unused lanes of the last beat left out."""
        scores = self.n_classes * self.score_bytes if self.with_scores else 0
        return self.class_bytes + scores

    @property
    def result_beats(self) -> int:
        """Beats of a result frame."""
        return -(-self.result_bytes // self.bus_bytes)
