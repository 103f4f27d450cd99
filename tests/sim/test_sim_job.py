"""A job is read whole, or refused in one clear sentence."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gate2hw.ir.store import load_netlist, save_netlist
from sim.job import JobError, check_scores, load_job, read_manifest, result_path
from sim.wrapper import wrapper_verilog


@pytest.fixture
def folder(small_design, tmp_path):
    """A writable copy of a design, with a job."""
    copy = small_design.copy(tmp_path)
    job = {
        "manifest": "rtl/manifest.json",
        "netlist_raw": "netlist_raw.npz",
        "golden": "golden.npz",
        "result": "result.json",
    }
    (copy.folder / "job.json").write_text(json.dumps(job))
    return copy.folder


def change(path, **values):
    content = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({k: v for k, v in content.items() if v != "absent"}))


def test_a_good_job_is_read_with_its_defaults(folder):
    job = load_job(folder / "job.json")
    assert job.manifest.n_classes == job.net.n_classes == 3
    assert (job.seed, job.n_golden, job.n_random) == (1, None, 1000)
    assert job.frames["stalls"] == 100
    assert job.result == folder / "result.json"


def test_frames_shrink_with_long_frames_unless_given(folder, monkeypatch):
    monkeypatch.setattr("sim.job._MOST_BEATS", 60)
    change(folder / "job.json", frames={"reset": 99})
    job = load_job(folder / "job.json")
    assert job.frames["stalls"] == 60 // job.manifest.frame_beats
    assert job.frames["reset"] == 99
    assert job.frames["back_to_back"] is None


def test_golden_may_be_absent(folder):
    change(folder / "job.json", golden=None)
    assert load_job(folder / "job.json").golden is None


@pytest.mark.parametrize("which", ["manifest", "netlist_raw", "golden"])
def test_mismatched_digests_are_refused(folder, nets, which):
    if which == "manifest":
        change(folder / "rtl/manifest.json", model_digest="f" * 64)
    elif which == "netlist_raw":
        net = load_netlist(folder / "netlist_raw.npz")
        save_netlist(folder / "netlist_raw.npz", net.with_(digest="f" * 64))
    else:
        net = load_netlist(folder / "netlist_raw.npz")
        nets.save_golden(folder / "golden.npz", replace(nets.golden(net), digest="f" * 64))
    with pytest.raises(JobError, match=r"not of one model.*ffffffffffff.*compile again") as caught:
        load_job(folder / "job.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("n_classes", 4), ("frame_beats", 7), ("max_value", 15), ("result_bytes", 9)],
)
def test_a_manifest_of_other_sizes_is_refused(folder, field, value):
    change(folder / "rtl/manifest.json", **{field: value})
    with pytest.raises(JobError, match=rf"{field} is {value}, the netlist before passes asks for"):
        load_job(folder / "job.json")


@pytest.mark.parametrize(
    ("signed", "low", "high", "fits"),
    [
        (False, 0, 3, True),
        (False, 0, 4, False),
        (False, -1, 3, False),
        (True, -2, 1, True),
        (True, -2, 2, False),
        (True, -3, 0, False),
    ],
)
def test_scores_too_narrow_are_refused(folder, signed, low, high, fits):
    change(folder / "rtl/manifest.json", score_width=2, score_signed=signed)
    manifest = load_job(folder / "job.json").manifest
    if fits:
        check_scores(manifest, low, high)
        return
    with pytest.raises(JobError, match=rf"scores of 2 bits cannot hold the expected {low}\.\."):
        check_scores(manifest, low, high)
    check_scores(replace(manifest, output="class"), low, high)


def test_used_inputs_must_rise(folder):
    change(folder / "rtl/manifest.json", used_inputs=[3, 1])
    with pytest.raises(JobError, match="used_inputs must rise"):
        load_job(folder / "job.json")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"n_randm": 4}, "unknown key 'n_randm'; did you mean 'n_random'"),
        ({"frames": {"stall": 4}}, "unknown key 'stall'; did you mean 'stalls'"),
        ({"frames": 3}, "frames is 3"),
        ({"n_random": -1}, "n_random is -1, expected a count"),
        ({"n_random": True}, "n_random is True, expected a count"),
        ({"n_random": None}, "n_random is None, expected a count"),
        ({"manifest": None}, "no path 'manifest'"),
        ({"manifest": "nowhere.json"}, "the manifest cannot be read"),
    ],
)
def test_bad_jobs_are_refused(folder, changes, sentence):
    change(folder / "job.json", **changes)
    with pytest.raises(JobError, match=sentence):
        load_job(folder / "job.json")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"schema": 2}, "manifest schema 2, this bench reads 1"),
        ({"bus_bytes": "absent"}, "no 'bus_bytes'"),
        ({"bus_bytes": "1"}, "'bus_bytes' in the manifest is '1', expected int"),
        ({"score_signed": 1}, "'score_signed' in the manifest is 1, expected bool"),
    ],
)
def test_bad_manifests_are_refused(folder, changes, sentence):
    change(folder / "rtl/manifest.json", **changes)
    with pytest.raises(JobError, match=sentence):
        read_manifest(folder / "rtl/manifest.json")


def test_files_that_are_not_json_are_refused(folder):
    (folder / "job.json").write_text("{")
    with pytest.raises(JobError, match="the job is not JSON"):
        load_job(folder / "job.json")
    (folder / "job.json").write_text("[]")
    with pytest.raises(JobError, match="not a JSON object"):
        load_job(folder / "job.json")


def test_the_job_comes_from_the_environment(folder, monkeypatch):
    monkeypatch.delenv("GATE2HW_JOB", raising=False)
    assert result_path() is None
    with pytest.raises(JobError, match="set GATE2HW_JOB"):
        load_job()
    monkeypatch.setenv("GATE2HW_JOB", str(folder / "job.json"))
    assert result_path() == folder / "result.json"
    assert load_job().net.n_classes == 3


def test_the_wrapper_has_the_ports_of_the_device(folder):
    manifest = read_manifest(folder / "rtl/manifest.json")
    top = wrapper_verilog(manifest, "top")
    assert "module lgn_top_bench (" in top
    assert "lgn_top dut (" in top
    assert "input wire [7:0] s_axis_tdata," in top
    core = wrapper_verilog(manifest, "core")
    assert f"output wire [{3 * manifest.score_width - 1}:0] scores" in core
    assert "input wire ce" in core
    bare = wrapper_verilog(replace(manifest, core_latency_cycles=0, output="class"), "core")
    for absent in ("clk", "rst", "ce,", "scores"):
        assert absent not in bare
