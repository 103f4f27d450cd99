"""What `verify` says of a link that it could not decide."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gate2hw
from gate2hw import flow
from gate2hw.cli import main
from gate2hw.flow import verifying
from gate2hw.flow.build import BuildFolder
from gate2hw.ir.network import LogicNetwork
from gate2hw.report.chain import check_lines
from gate2hw.tools import simulators

LINK = "handshakes of both streams proved"


def rules(*doubts: str) -> dict[str, Any]:
    """What the proof of the streams returns."""
    names = ("bad_reset", "bad_frame_lost", "can_fill")
    return {
        "method": "ABC pdr, unbounded",
        "result": "undecided" if doubts else "proved",
        "not_proved": list(doubts),
        "properties": [{"name": name, "says": "", "cycle": None} for name in names],
    }


@pytest.fixture
def build(
    random_network: Callable[..., LogicNetwork], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    gate2hw.compile(random_network(5, input_shape=(5,), dense=(40, 24)), tmp_path / "build")
    monkeypatch.setattr(simulators, "available", lambda simulator: "no simulator here")
    return tmp_path / "build"


def test_an_undecided_rule_is_no_pass(
    build: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [rules("bad_reset", "can_fill"), rules("can_fill"), rules()]
    monkeypatch.setattr(verifying, "prove_streams", lambda *_, **__: answers.pop(0))
    assert main(["verify", str(build), "--json"]) == 1
    out, err = capsys.readouterr()
    (link,) = (link for link in json.loads(out)["links"] if link["name"] == LINK)
    assert link["result"] == "undecided"
    said = "1 of 2 rules hold in every run; not decided in time: bad_reset, can_fill"
    assert link["detail"].endswith(said)
    assert f"undecided: {LINK}" in err
    report = flow.report(build)["report"]
    (line,) = (line for line in check_lines(report) if "Handshakes" in line.link)
    assert line.status == "not checked"
    assert said in line.detail
    # it is tried again, and a rule of which only an example is missing counts as held
    found = flow.verify(build)
    assert "2 of 2 rules hold in every run" in found["undecided"][0]
    assert not found["failed"]
    assert flow.verify(build)["undecided"] == []
    assert answers == []
    (link,) = (link for link in flow.verify(build)["links"] if link["name"] == LINK)
    assert (link["result"], link["detail"][-16:]) == ("passed", "(checked before)")


def test_other_rules_are_proved_anew(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "prove_streams", lambda *_, **__: rules())
    flow.verify(build)
    before = BuildFolder(build).steps()["verify.streams"]["key"]
    flow.verify(build)
    assert BuildFolder(build).steps()["verify.streams"]["key"] == before
    monkeypatch.setattr(verifying, "rules_digest", lambda: "others")
    flow.verify(build)
    assert BuildFolder(build).steps()["verify.streams"]["key"] != before
