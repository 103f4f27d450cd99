"""Decoding and comparing results; the result file."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sim.job import load_job
from sim.scoreboard import Answer, Record, core_answer, top_answer
from sim.vectors import make_vectors


@pytest.fixture
def job(small_design, tmp_path):
    path = tmp_path / "job.json"
    content = {
        "manifest": str(small_design.rtl / "manifest.json"),
        "netlist_raw": str(small_design.folder / "netlist_raw.npz"),
        "golden": str(small_design.folder / "golden.npz"),
        "result": "out/result.json",
    }
    path.write_text(json.dumps(content))
    return load_job(path)


@pytest.fixture
def record(job):
    vectors = make_vectors(job.net, job.golden, seed=1, n_random=5, n_ties=2, n_corners=4)
    return Record(job, "core", vectors, ["one", "two"])


def right(record, number):
    return Answer(
        int(record.vectors.classes[number]), tuple(record.vectors.scores[number].tolist())
    )


def test_core_scores_are_class_0_in_the_low_bits(job):
    manifest = replace(job.manifest, score_width=3, n_classes=3)
    assert core_answer(manifest, "10", "101010001") == Answer(2, (1, 2, 5))
    signed = replace(manifest, score_signed=True)
    assert core_answer(signed, "10", "101010111") == Answer(2, (-1, 2, -3))
    assert core_answer(replace(manifest, output="class"), "01", "") == Answer(1, None)
    assert "X or Z" in core_answer(manifest, "1X", "101010001").fault
    assert "X or Z" in core_answer(manifest, "10", "10101Z001").fault


def test_result_frames_are_little_endian_bytes(job):
    manifest = replace(
        job.manifest, bus_bytes=2, class_bytes=1, score_bytes=2, result_bytes=7, result_beats=4
    )
    beats = ["0000000100000010", "0000001000000000", "0000000011111111", "XXXXXXXX11111111"]
    assert top_answer(manifest, beats) == Answer(2, (1, 0xFF02, 0xFF00))
    signed = replace(manifest, score_signed=True)
    assert top_answer(signed, beats) == Answer(2, (1, -254, -256))
    assert "3 beats, expected 4" in top_answer(manifest, beats[:3]).fault
    assert "X or Z" in top_answer(manifest, ["000000010000001X", *beats[1:]]).fault


def test_right_answers_pass_and_the_file_is_complete_after_the_last_test(record, job):
    record.begin()
    numbers = list(range(len(record.vectors)))
    assert record.compare("one", numbers, [right(record, n) for n in numbers]) == 0
    assert record.finish("one", "sim", n_cycles=7) == ""
    content = json.loads(job.result.read_text())
    assert content["tests"]["one"] == {"passed": True, "n_cycles": 7}
    assert not content["complete"]
    assert not content["passed"]
    record.begin()
    assert record.finish("two", "sim") == ""
    content = json.loads(job.result.read_text())
    assert content["complete"]
    assert content["passed"]
    assert content["mismatches"] == 0
    assert content["n_compared"] == len(numbers)
    assert content["n_vectors"] == content["n_golden"] + 5 + 2 + content["n_corners"]


@pytest.mark.parametrize("what", ["class", "score", "lost", "surplus", "fault", "no scores"])
def test_every_way_of_being_wrong_is_a_mismatch(record, job, what):
    record.begin()
    answers = [right(record, n) for n in range(6)]
    if what == "class":
        answers[3] = replace(answers[3], class_index=(answers[3].class_index + 1) % 3)
    elif what == "score":
        scores = answers[3].scores
        answers[3] = replace(answers[3], scores=(*scores[:2], scores[2] + 1))
    elif what == "fault":
        answers[3] = Answer(None, None, "X or Z")
    elif what == "no scores":
        answers[3] = replace(answers[3], scores=None)
    elif what == "lost":
        answers = answers[:5]
    else:
        answers.append(answers[0])
    assert record.compare("one", range(6), answers) == 1
    told = record.finish("one", "sim")
    content = json.loads(job.result.read_text())
    assert content["mismatches"] == 1
    assert not content["passed"]
    first = content["first_mismatch"]
    place = {"lost": 5, "surplus": 6}.get(what, 3)
    assert first["place"] == place
    assert f"result {place}" in told
    if what != "surplus":
        assert first["kind"] == "golden"
        assert first["x"] == record.vectors.x[place].tolist()
        assert first["expected_scores"] == record.vectors.scores[place].tolist()


def test_only_the_first_mismatch_is_kept_and_few_are_printed(record, job):
    record.begin()
    wrong = [replace(right(record, n), class_index=9) for n in range(20)]
    assert record.compare("one", range(20), wrong) == 20
    told = record.finish("one", "sim")
    assert told.count("expected class") == 5
    assert "20 of 20 results differ" in told
    assert json.loads(job.result.read_text())["first_mismatch"]["vector"] == 0


def test_measured_cycles_are_held_against_the_manifest(record, job):
    record.begin()
    record.measured("latency_cycles", job.manifest.core_latency_cycles)
    assert record.finish("one", "sim") == ""
    record.begin()
    record.measured("latency_cycles", 99)
    assert "latency_cycles measured 99, the manifest says" in record.finish("two", "sim")
    assert json.loads(job.result.read_text())["n_violations"] == 1
