"""The build folder: what is redone, what is kept, what survives a killed step."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate2hw.errors import InputError
from gate2hw.flow.build import BuildFolder, key_of


def _step(folder: BuildFolder, key: str, calls: list[str]) -> bool:
    def work() -> tuple[list[Path], dict[str, int]]:
        calls.append(key)
        path = folder.path / "out.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(key)
        return [path], {"n": len(calls)}

    return folder.run("step", key, work).fresh


def test_second_run_does_nothing(tmp_path: Path) -> None:
    folder, calls = BuildFolder(tmp_path / "b"), []
    assert _step(folder, "k", calls)
    assert not _step(folder, "k", calls)
    assert calls == ["k"]
    assert folder.result("step") == {"n": 1}


def test_changed_key_file_or_missing_file_is_redone(tmp_path: Path) -> None:
    folder, calls = BuildFolder(tmp_path / "b"), []
    _step(folder, "k", calls)
    assert _step(folder, "other", calls)
    (folder.path / "out.txt").write_text("tampered")
    assert _step(folder, "other", calls)
    (folder.path / "out.txt").unlink()
    assert _step(folder, "other", calls)


def test_killed_step_leaves_no_record(tmp_path: Path) -> None:
    folder = BuildFolder(tmp_path / "b")

    def die() -> tuple[list[Path], dict[str, int]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.run("step", "k", die)
    assert folder.result("step") is None


def test_drop_forgets_only_what_is_named(tmp_path: Path) -> None:
    folder, calls = BuildFolder(tmp_path / "b"), []
    _step(folder, "k", calls)
    folder.put("train", "t", [], {"a": 1}, 0.0)
    folder.drop(lambda name: name != "train")
    assert folder.result("step") is None
    assert folder.result("train") == {"a": 1}


def test_damaged_record_and_foreign_folder_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no build folder; make one with: gate2hw compile"):
        BuildFolder.existing(tmp_path)
    (tmp_path / "build.json").write_text('{"schema": 1')
    with pytest.raises(InputError, match="damaged"):
        BuildFolder.existing(tmp_path)


def test_key_depends_on_every_part() -> None:
    assert key_of(a=1) == key_of(a=1)
    assert len({key_of(a=1), key_of(a=2), key_of(b=1)}) == 3
