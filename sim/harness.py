"""Verilog around a top for proofs: rules of its streams, and one bit followed through it.

Every output of a harness is a property: ``bad_*`` must never be high, ``can_*`` must be possible.
The initial state is free but for the rules' own registers; nothing counts before a reset.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gate2hw.ir.netlist import Netlist
from gate2hw.ir.store import load_netlist
from sim.job import Manifest, read_manifest

__all__ = ["HARNESS", "abstract_core", "data_harness", "stream_harness", "whole_harness"]

HARNESS = "gate2hw_harness"
"""The module name of every harness."""
STREAMED_FRAMES = 4
"""Frames that a streaming design lets in between the last pixel and the core."""

_RULES = (
    "bad_valid_fell",
    "bad_payload_moved",
    "bad_reset",
    "bad_frame_error",
    "bad_result_length",
    "bad_result_invented",
    "bad_frame_lost",
    "bad_no_result",
    "bad_input_shut",
    "can_fill",
    "can_shut",
    "can_recover",
    "can_stall",
)
_OF_STAGES = ("bad_no_result", "bad_input_shut")
"""Rules that depend on the stages of a streaming design."""
_TAGS = ("bad_wrong_bit", "can_give_1", "can_give_0", "can_follow_another")
_SEEN = ("beat", "result_beat", "inside", "live", "good", "malformed", "gone")
_STREAMS = (
    ("s_axis_tready", "s_tready"),
    ("s_axis_tvalid", "s_tvalid"),
    ("s_axis_tlast", "s_tlast"),
    ("m_axis_tdata", "m_tdata"),
    ("m_axis_tvalid", "m_tvalid"),
    ("m_axis_tready", "m_tready"),
    ("m_axis_tlast", "m_tlast"),
    ("frame_error", "frame_error"),
)


def _parameters(manifest: Manifest) -> dict[str, int]:
    """Those of the rules. A frame that is whole is in a rank behind the encoder, in the storage,
    in a stage of the core, waits for the result register, or is in it; in a streaming design it
    is one of the few that may be on their way to the core, or behind."""
    capacity = manifest.top_latency_cycles + 1
    patience, shut = manifest.top_latency_cycles, manifest.result_beats + 1
    if manifest.arch == "stream":
        capacity = STREAMED_FRAMES + manifest.core_latency_cycles + 2
        patience += manifest.interval_cycles
        shut = 2 * manifest.interval_cycles + manifest.top_latency_cycles
    counts = {
        "FRAME_BEATS": manifest.frame_beats,
        "RESULT_BEATS": manifest.result_beats,
        "BUS_BITS": 8 * manifest.bus_bytes,
        "CAPACITY": capacity,
        "PATIENCE": patience,
        "IN_PATIENCE": shut,
    }
    return counts | {
        "FRAME_BITS": manifest.frame_beats.bit_length(),
        "RESULT_BITS": manifest.result_beats.bit_length(),
        "INSIDE_BITS": (capacity + 1).bit_length(),
        "WAIT_BITS": (counts["PATIENCE"] + 1).bit_length(),
        "SHUT_BITS": (counts["IN_PATIENCE"] + 1).bit_length(),
    }


def _instance(module: str, name: str, ports: dict[str, str], **parameters: int) -> str:
    given = ", ".join(f".{key}({value})" for key, value in parameters.items())
    pins = ",\n".join(f"        .{port}({wire})" for port, wire in ports.items())
    return f"    {module} {f'#({given}) ' if given else ''}{name} (\n{pins}\n    );\n"


def _body(manifest: Manifest) -> str:
    """The top and the rules, with wires between them."""
    sizes = _parameters(manifest)
    width = sizes["BUS_BITS"]
    lines = [
        "    wire s_axis_tready, m_axis_tvalid, m_axis_tlast, frame_error;",
        f"    wire [{width - 1}:0] m_axis_tdata;",
        f"    wire [{sizes['FRAME_BITS'] - 1}:0] beat;",
        f"    wire [{sizes['RESULT_BITS'] - 1}:0] result_beat;",
        f"    wire [{sizes['INSIDE_BITS'] - 1}:0] inside;",
        "    wire live, good, malformed, gone;",
        "",
    ]
    streams = [name for name, _ in _STREAMS]
    top = {name: name for name in ("clk", "rst", "s_axis_tdata", *streams)}
    rules = {"clk": "clk", "rst": "rst", **{port: wire for wire, port in _STREAMS}}
    rules |= {name: name for name in (*_RULES, *_SEEN)}
    return (
        "\n".join(lines)
        + _instance(manifest.modules["top"], "dut", top)
        + _instance("stream_rules", "rules", rules, **sizes)
    )


def _module(
    manifest: Manifest, outputs: tuple[str, ...], inputs: tuple[str, ...], body: str
) -> str:
    names = ("clk", "rst", "s_axis_tvalid", "s_axis_tlast", "m_axis_tready")
    ports = [f"input wire {name}" for name in names]
    ports.append(f"input wire [{8 * manifest.bus_bytes - 1}:0] s_axis_tdata")
    ports += [f"input wire {name}" for name in inputs]
    ports += [f"output wire {name}" for name in outputs]
    return f"module {HARNESS} (\n    " + ",\n    ".join(ports) + f"\n);\n{body}endmodule\n"


def stream_harness(manifest: Manifest) -> str:
    """The rules of both streams around the top as it is; of a streaming design those that hold
    whatever its stages do, and one more: that its registers tell what the rules count."""
    if manifest.arch == "stream":
        return _frames_harness(manifest)
    return whole_harness(manifest)


def whole_harness(manifest: Manifest) -> str:
    """The rules of both streams around the top as it is."""
    return _module(manifest, _RULES, (), _body(manifest))


def _frames_harness(manifest: Manifest) -> str:
    """The wires ``seen_*`` are to be connected to registers of the top: frame control, queue of
    verdicts, valid bits of the core, and the sender. PDR would have to find bit by bit how they go
    with the counts of the rules; proved with the rules, it is an invariant that they may use."""
    sizes, depth = _parameters(manifest), manifest.core_latency_cycles
    beats = manifest.frame_beats
    widths = {"count": max(1, (beats - 1).bit_length()), "fill": 1, "swallow": 1}
    widths |= {"queue": STREAMED_FRAMES, "n_queued": STREAMED_FRAMES.bit_length()}
    widths |= {"push": 1, "good_next": 1, "advance": 1}
    widths |= {f"valid_{stage}": 1 for stage in range(1, 1 + depth)}
    wires = "".join(f"    wire [{n - 1}:0] seen_{name};\n" for name, n in widths.items())
    known = [f"(seen_queue[{k}] && seen_n_queued > {k})" for k in range(STREAMED_FRAMES)]
    known += ["(seen_push && seen_good_next)", "!seen_advance", "m_axis_tvalid"]
    known += [f"seen_valid_{stage}" for stage in range(1, 1 + depth)]
    rules = [name for name in _RULES if name not in _OF_STAGES]
    raw = [name for name in _RULES if name.startswith("bad_")]
    body = _body(manifest)
    for name in raw:
        body = body.replace(f".{name}({name})", f".{name}(raw_{name})")
    wires += "".join(f"    wire raw_{name};\n" for name in raw)
    wires += f"""    wire [{sizes["INSIDE_BITS"]}:0] known = {" + ".join(known)};
    wire is_beat_right = seen_fill ? beat == 0 && !seen_swallow && seen_count != 0
        : seen_swallow ? beat == {beats} && seen_count == 0 : beat == seen_count;
    wire in_step = seen_count < {beats} && is_beat_right && inside == known
        && seen_n_queued + seen_push <= {STREAMED_FRAMES} && (seen_advance || m_axis_tvalid);
    // once it fails the rules say nothing more, but then it is itself a rule broken
    reg kept = 1'b1;
    always @(posedge clk) kept <= rst || (kept && (in_step || !live));
    assign bad_out_of_step = live && kept && !in_step;
"""
    wires += "".join(
        f"    assign {name} = raw_{name} && kept && (in_step || !live);\n"
        for name in rules
        if name in raw
    )
    declared, _, rest = body.partition("\n\n")
    outputs = (*rules, "bad_out_of_step")
    return _module(manifest, outputs, (), f"{declared}\n\n{wires}{rest}")


def _result_bits(manifest: Manifest) -> list[int]:
    """Where each bit of class, then scores, lies in the result frame, counted in bits."""
    places = list(range(manifest.class_width))
    if manifest.has_scores:
        for c in range(manifest.n_classes):
            first = 8 * (manifest.class_bytes + c * manifest.score_bytes)
            places += range(first, first + manifest.score_width)
    return places


def _cases(selector: str, target: str, rows: list[tuple[int, ...]]) -> str:
    """A case for each row: `target` is a concatenation of 16-bit fields."""
    text = [f"    always @* case ({selector})\n"]
    for number, row in enumerate(rows):
        fields = ", ".join(f"16'd{value}" for value in row)
        label = "default" if number + 1 == len(rows) else str(number)
        text.append(f"        {label}: {target} = {{{fields}}};\n")
    return "".join([*text, "    endcase\n"])


def _choice(name: str, n_choices: int) -> str:
    """A number below `n_choices` that is free, but stays as it was in the last reset."""
    bits = max(1, (n_choices - 1).bit_length())
    return (
        f"    reg [{bits - 1}:0] {name};\n"
        f"    always @(posedge clk) if (rst) {name} <= "
        f"{name}_in < {n_choices} ? {name}_in : {bits}'d0;\n"
    )


def data_harness(manifest: Manifest, net: Netlist) -> str:
    """One bit of one frame, all three of them free, followed through a top with `abstract_core`.

    The wires ``which`` and ``where`` of the core are to be connected to those of the harness.
    """
    assert net.encoder is not None
    bus, size = manifest.bus_bytes, manifest.bytes_per_feature
    used = list(manifest.used_inputs)
    rows: list[tuple[int, ...]] = []
    for feature, threshold in zip(
        net.encoder.feature[used].tolist(), net.encoder.threshold[used].tolist(), strict=True
    ):
        low, high = feature * size, feature * size + size - 1
        rows.append((low // bus, low % bus, high // bus, high % bus, threshold))
    out = [divmod(place, 8 * bus) for place in _result_bits(manifest)]
    sizes = _parameters(manifest)
    tag = {name: name for name in ("clk", "rst", "live", "pick", "beat", "good", "malformed")}
    tag |= {name: name for name in ("gone", "inside", "result_beat", *_TAGS)}
    tag |= {"taken": "s_axis_tvalid && s_axis_tready", "s_tdata": "s_axis_tdata"}
    tag |= {"m_tvalid": "m_axis_tvalid", "m_tdata": "m_axis_tdata", "is_wide": f"1'b{size - 1}"}
    fields = ("low_beat", "low_lane", "high_beat", "high_lane", "threshold")
    tag |= {
        name: f"{name}[{_width(name, sizes) - 1}:0]" for name in (*fields, "out_beat", "out_bit")
    }
    body = _body(manifest) + _choice("which", len(rows)) + _choice("where", len(out))
    body += f"    reg [15:0] {', '.join((*fields, 'out_beat', 'out_bit'))};\n"
    body += _cases("which", f"{{{', '.join(fields)}}}", rows)
    body += _cases("where", "{out_beat, out_bit}", out)
    names = ("BUS_BITS", "FRAME_BITS", "RESULT_BITS", "INSIDE_BITS")
    body += _instance("frame_tag", "tag", tag, **{name: sizes[name] for name in names})
    inputs = ["pick"]
    for name, choices in (("which", rows), ("where", out)):
        inputs.append(f"[{max(1, (len(choices) - 1).bit_length()) - 1}:0] {name}_in")
    unused = "".join(f"    wire {name};\n" for name in _RULES)
    return _module(manifest, _TAGS, tuple(inputs), unused + body)


def _width(field: str, sizes: dict[str, int]) -> int:
    widths = {"threshold": 16, "out_beat": sizes["RESULT_BITS"], "out_bit": 6}
    return widths.get(field, sizes["FRAME_BITS"] if field.endswith("beat") else 3)


def abstract_core(manifest: Manifest) -> str:
    """A core that gives bit `which` of its input as bit `where` of its result, all others free.

    `which`, `where` and `free` have no driver: a proof takes them as any value at any time.
    """
    n_bits, depth = max(1, len(manifest.used_inputs)), manifest.core_latency_cycles
    n_scores = manifest.n_classes * manifest.score_width if manifest.has_scores else 0
    n_result = manifest.class_width + n_scores
    which_bits = max(1, (len(manifest.used_inputs) - 1).bit_length())
    where_bits = max(1, (n_result - 1).bit_length())
    ports = ["input wire clk, input wire rst, input wire ce"] if depth else []
    ports += ["input wire in_valid", f"input wire [{n_bits - 1}:0] bits", "output wire out_valid"]
    ports += [f"output wire [{manifest.class_width - 1}:0] class_index"]
    ports += [f"output wire [{n_scores - 1}:0] scores"] if n_scores else []
    result = "{scores, class_index}" if n_scores else "class_index"
    body = f"""    wire [{which_bits - 1}:0] which;
    wire [{where_bits - 1}:0] where;
    wire [{n_result - 1}:0] free;
    wire [{n_result - 1}:0] here = {n_result}'d1 << where;
    wire watched = bits[which];
"""
    if depth:
        body += f"""    reg [{depth - 1}:0] valid_later, watched_later;
    always @(posedge clk) begin
        if (ce) valid_later <= {{valid_later, in_valid}};
        if (ce) watched_later <= {{watched_later, watched}};
        if (rst) valid_later <= 0;
    end
    assign out_valid = valid_later[{depth - 1}];
    assign {result} = (free & ~here) | ({{{n_result}{{watched_later[{depth - 1}]}}}} & here);
"""
    else:
        body += f"""    assign out_valid = in_valid;
    assign {result} = (free & ~here) | ({{{n_result}{{watched}}}} & here);
"""
    return (
        f"module {manifest.modules['core']} (\n    "
        + ",\n    ".join(ports)
        + f"\n);\n{body}endmodule\n"
    )


def main() -> None:
    """``python -m sim.harness MANIFEST stream|whole|data OUT [--netlist FILE]``: write one."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("kind", choices=["stream", "whole", "data"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--netlist", type=Path)
    args = parser.parse_args()
    manifest = read_manifest(args.manifest)
    if args.kind != "data":
        text = (stream_harness if args.kind == "stream" else whole_harness)(manifest)
    elif args.netlist is None:
        parser.error("a data harness needs --netlist")
    else:
        text = abstract_core(manifest) + data_harness(manifest, load_netlist(args.netlist))
    args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
