"""Sweeps: the front, what is redone and what not, failures; trainings are played here."""

import csv
import json
import shutil

import pytest

from gate2hw import flow
from gate2hw.cli import console, main
from gate2hw.errors import CheckFailedError, InputError, ToolMissingError
from gate2hw.flow.sweeps import sweep_trial, sweeping
from gate2hw.flow.sweeps.sweep_space import make_space
from gate2hw.flow.sweeps.sweeping import front_of, sweep
from gate2hw.tools.workers import held

RECIPE = """
name = "tiny"
seed = 5
[[layers]]
type = "dense"
width = 40
[training]
steps = 4
evaluate_every = 2
"""

SEARCH = {"area_weights": [0.1, 2], "search": "optuna", "trials": 3}
RESULT = {
    "accuracy_validation": 0.9,
    "luts4": 1000,
    "luts4_gates": 900,
    "luts4_popcount": 100,
    "gates": 2000,
    "outputs": 40,
    "time_s": 1.0,
}


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def played(monkeypatch):
    """Trainings take no time: accuracy and LUTs fall with the weight; weight 7 fails."""
    calls = []

    def measure(trial, progress):
        given = dict(text.split("=", 1) for text in trial.overrides)
        calls.append(given)
        weight, seed = float(given.get("area.weight", "0")), int(given["seed"])
        if weight == 7:
            raise ZeroDivisionError("no luck")
        progress(1, 2, "half")
        return {
            "accuracy_validation": 0.9 - 0.1 * weight + 0.01 * (seed - 5),
            "luts4": int(1000 - 100 * weight),
            "luts4_gates": int(900 - 100 * weight),
            "luts4_popcount": 100,
            "gates": 2000,
            "outputs": 40,
            "time_s": 1.0,
        }

    monkeypatch.setattr(sweep_trial, "_measure", measure)
    looked = []
    monkeypatch.setattr(
        sweeping, "test_accuracy", lambda trial: looked.append(trial.overrides) or 0.5
    )
    measure.calls, measure.looked = calls, looked
    return measure


def test_the_front_is_what_no_other_beats():
    assert front_of([3, 1, 2, 2, 4], [0.9, 0.5, 0.8, 0.7, 0.9]) == [1, 2, 0]
    assert front_of([1, 1, 1], [0.5, 0.5, 0.6]) == [2]
    assert front_of([], []) == []
    assert front_of([5, 4], [0.1, 0.1]) == [1]


def test_a_space_is_axes_and_fixed_keys():
    space = make_space([0.1, 0], ["a.b=1, 2", "c=[1, 2],[3]", "d='x,y'"])
    assert space.axes == {"area.weight": ("0.1", "0"), "a.b": ("1", "2"), "c": ("[1, 2]", "[3]")}
    assert space.fixed == {"d": "'x,y'"}
    assert len(space.grid()) == 8
    assert len(space.corners()) == 6
    assert space.weights() == [0, 0.1]


@pytest.mark.parametrize(
    ("weights", "settings", "text"),
    [
        ([-1], [], "--area-weight -1: a weight is a number from 0 on"),
        ([float("nan")], [], "--area-weight nan"),
        ([0, 1], ["area.weight=1,2"], "area.weight is given twice"),
        ([], ["a=1,,2"], "expected key=a,b,c"),
        ([], ["a"], "expected key=a,b,c"),
        ([0, 1], ["seed=1,2"], "given by --seeds"),
        ([], ["training.steps=5"], "nothing to sweep over"),
    ],
)
def test_a_bad_space_is_refused(weights, settings, text):
    with pytest.raises(InputError, match=text):
        make_space(weights, settings)


def test_a_grid_is_trained_once_and_its_front_written(recipe, played, tmp_path):
    seen = []
    arguments = {"area_weights": [0, 1, 2], "seeds": 2, "settings": ["training.steps=3,4"]}
    found = sweep(recipe, tmp_path / "out", progress=lambda *a: seen.append(a), **arguments)
    assert len(played.calls) == 12
    assert {call["seed"] for call in played.calls} == {"5", "6"}
    front = [point for point in found["points"] if point["on_front"]]
    assert [point["luts4"] for point in front] == [800, 900, 1000]
    assert front[0]["accuracy_validation"] == pytest.approx(0.705)
    assert front[0]["accuracy_validation_std"] == pytest.approx(0.00707, abs=1e-5)
    # of equals the first is on the front; the test split is looked at for the front only
    assert len(played.looked) == 6
    assert {point["accuracy_test"] for point in found["points"]} == {0.5, None}
    assert seen[0] == (0, 12, "training 12 of 12 networks")
    assert seen[-1][:2] == (12, 12)
    assert any(message == "trial 1, 50 %: half" for _, _, message in seen)
    rows = list(csv.DictReader((tmp_path / "out/front.csv").open()))
    assert [row["area.weight"] for row in rows] == ["2", "1", "0"]
    stored = json.loads((tmp_path / "out/sweep.json").read_text())
    assert {**stored, "files": found["files"]} == found
    assert "Sweep of tiny" in (tmp_path / "out/sweep.html").read_text()
    again = sweep(recipe, tmp_path / "out", **arguments)
    assert again == found
    assert len(played.calls) == 12


def test_a_killed_sweep_goes_on(recipe, played, tmp_path, monkeypatch):
    def killed(trial, progress):
        if len(played.calls) == 2:
            raise KeyboardInterrupt
        return played(trial, progress)

    monkeypatch.setattr(sweep_trial, "_measure", killed)
    with pytest.raises(KeyboardInterrupt):
        sweep(recipe, tmp_path, area_weights=[0, 1, 2, 3])
    monkeypatch.setattr(sweep_trial, "_measure", played)
    found = sweep(recipe, tmp_path, area_weights=[0, 1, 2, 3])
    assert len(played.calls) == 4
    assert len(found["points"]) == 4


@pytest.mark.parametrize("damage", ["{", "{}", '{"schema": 1, "digest": "of another"}'])
def test_a_damaged_record_is_no_result(recipe, played, tmp_path, damage):
    found = sweep(recipe, tmp_path, area_weights=[0, 1])
    (tmp_path / found["points"][0]["folders"][0] / "trial.json").write_text(damage)
    assert sweep(recipe, tmp_path, area_weights=[0, 1]) == found
    assert len(played.calls) == 3


def test_a_failed_trial_does_not_lose_the_others(recipe, played, tmp_path, capsys):
    found = sweep(recipe, tmp_path, area_weights=[7, 0, 1])
    assert [point["luts4"] for point in found["points"]] == [900, 1000]
    assert found["failed"] == [
        {"settings": {"area.weight": "7"}, "seed": 5, "reason": "ZeroDivisionError: no luck"}
    ]
    # it is tried again; from the command line it costs the exit code
    arguments = ["sweep", str(recipe), "-o", str(tmp_path), "--area-weight", "7,0,1"]
    assert main([*arguments, "--json"]) == 1
    assert len(played.calls) == 4
    output = capsys.readouterr()
    assert json.loads(output.out)["points"] == found["points"]
    assert "failed: area.weight=7, seed 5: ZeroDivisionError: no luck" in output.err


def test_where_all_fail_the_first_reason_is_told(recipe, played, tmp_path):
    with pytest.raises(CheckFailedError, match="all 1 trials failed; the first: ZeroDivision"):
        sweep(recipe, tmp_path, area_weights=[7])
    assert "No trial was finished" in (tmp_path / "sweep.html").read_text()


def test_wrong_settings_are_found_before_anything_is_trained(recipe, played, tmp_path):
    with pytest.raises(InputError, match=r"layers\.0\.width is 0; it must be at least 1"):
        sweep(recipe, tmp_path, settings=["layers.0.width=40,0"])
    with pytest.raises(InputError, match=r"unknown key 'training\.stepz'"):
        sweep(recipe, tmp_path, area_weights=[0, 1], settings=["training.stepz=1,2"])
    with pytest.raises(InputError, match="--trials N and --search optuna go together"):
        sweep(recipe, tmp_path, area_weights=[0, 1], trials=3)
    with pytest.raises(InputError, match="at least 1"):
        sweep(recipe, tmp_path, area_weights=[0, 1], jobs=0)
    with pytest.raises(InputError, match="unknown search 'random'"):
        sweep(recipe, tmp_path, area_weights=[0, 1], search="random")
    assert played.calls == []


def test_the_command_shows_the_front(recipe, played, tmp_path, capsys):
    arguments = ["--area-weight", "0,1", "--set", "training.steps=3", "--seeds", "2"]
    assert main(["sweep", str(recipe), "-o", str(tmp_path), *arguments]) == 0
    text = capsys.readouterr().out
    assert "80.50%" in text
    assert "0.71%" in text
    assert "looked at once, after the choice" in text
    with pytest.raises(SystemExit):
        main(["sweep", str(recipe), "-o", str(tmp_path), "--area-weight", "0,x"])


def test_without_optuna_the_way_out_is_told(recipe, played, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(
        ToolMissingError, match=r"needs the Python package optuna.*gate2hw\[sweep\]"
    ):
        sweep(recipe, tmp_path, area_weights=[0.1, 1], search="optuna", trials=2)


def test_a_search_resumes_from_its_journal(recipe, played, tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    arguments = {
        "area_weights": [0, 0.1, 2],
        "settings": ["training.steps=3,4"],
        "search": "optuna",
        "trials": 6,
    }

    def killed(trial, progress):
        if len(played.calls) == 5:
            raise KeyboardInterrupt
        return played(trial, progress)

    monkeypatch.setattr(sweep_trial, "_measure", killed)
    with pytest.raises(KeyboardInterrupt):
        sweep(recipe, tmp_path, **arguments)
    monkeypatch.setattr(sweep_trial, "_measure", played)
    found = sweep(recipe, tmp_path, **arguments)
    # weight 0 with the first number of steps, then six of the search, each once
    assert len(played.calls) == 7
    weights = [float(call["area.weight"]) for call in played.calls]
    assert weights[:3] == [0, 0.1, 2]
    assert all(0.1 <= weight <= 2 for weight in weights[1:])
    assert len(set(weights)) > 3
    assert len(found["points"]) == 7
    assert found["search"] == "6 trials by Optuna's NSGA-II"
    assert sweep(recipe, tmp_path, **arguments) == found
    assert len(played.calls) == 7
    # a search may ask again for what it knows: that is not trained again
    more = sweep(recipe, tmp_path, **{**arguments, "trials": 14})
    assert 8 <= len(played.calls) == len(more["points"]) <= 15


def test_a_search_goes_on_after_a_failure(recipe, played, tmp_path):
    pytest.importorskip("optuna")
    found = sweep(recipe, tmp_path, area_weights=[0.5, 7], search="optuna", trials=4)
    assert len(found["failed"]) == 1
    assert len(found["points"]) == 3


def test_a_search_needs_a_range(recipe, played, tmp_path):
    pytest.importorskip("optuna")
    with pytest.raises(InputError, match="two area weights above 0"):
        sweep(recipe, tmp_path, area_weights=[0, 1], search="optuna", trials=4)


@pytest.mark.slow
def test_real_trainings_by_two_processes(recipe, tmp_path):
    found = flow.sweep(recipe, tmp_path / "out", area_weights=[0, 3], jobs=2)
    assert found["failed"] == []
    assert [point["outputs"] <= 40 for point in found["points"]] == [True, True]
    for point in found["points"]:
        assert point["luts4"] == point["luts4_gates"] + point["luts4_popcount"] > 0
        folder = tmp_path / "out" / point["folders"][0]
        assert (folder / "rtl").is_dir()
    alone = flow.sweep(recipe, tmp_path / "alone", area_weights=[0, 3])
    assert alone["points"] == found["points"]


def test_a_search_makes_its_folder(recipe, played, tmp_path):
    pytest.importorskip("optuna")
    found = sweep(recipe, tmp_path / "new" / "er", **SEARCH)
    assert len(found["points"]) == 3


def _own_data(folder, shift):
    folder.mkdir(exist_ok=True)
    lines = [f"{i % 7},{(i + shift) % 5},{i % 2}" for i in range(60)]
    (folder / "own.csv").write_text("\n".join(["a,b,k", *lines]))
    return folder


@pytest.mark.parametrize("kind", ["grid", "optuna"])
def test_other_data_are_other_trials(recipe, played, tmp_path, kind):
    if kind == "optuna":
        pytest.importorskip("optuna")
    recipe.write_text(f"{RECIPE}\n[data]\nsource = 'own.csv'\ntarget = 'k'\n")
    out = tmp_path / "out"
    arguments = SEARCH if kind == "optuna" else {"area_weights": [0, 0.1, 1]}
    folders = [_own_data(tmp_path / "a", 0), _own_data(tmp_path / "b", 1)]
    for number, folder in enumerate([folders[0], folders[1], folders[0]]):
        sweep(recipe, out, data_dir=folder, **arguments)
        assert len(played.calls) == 3 * min(number + 1, 2)
    _own_data(folders[0], 2)
    sweep(recipe, out, data_dir=folders[0], **arguments)
    assert len(played.calls) == 9


def test_a_recipe_edited_on_the_way_is_told(recipe, tmp_path):
    trial = sweep_trial.make_trial(recipe, ["seed=3"], tmp_path / "trials")
    recipe.write_text(RECIPE.replace("width = 40", "width = 50"))
    assert "was edited after the sweep began" in sweep_trial.run_trial(trial)["failed"]


def test_an_edited_recipe_is_another_search(recipe, played, tmp_path):
    pytest.importorskip("optuna")
    sweep(recipe, tmp_path, **SEARCH)
    recipe.write_text(RECIPE.replace("width = 40", "width = 50"))
    found = sweep(recipe, tmp_path, **SEARCH)
    assert (len(found["points"]), found["failed"], len(played.calls)) == (3, [], 6)


@pytest.mark.parametrize("damage", ["{", "{}", None])
def test_a_search_trains_again_what_lost_its_record(recipe, played, tmp_path, damage):
    pytest.importorskip("optuna")
    found = sweep(recipe, tmp_path, **SEARCH)
    folder = tmp_path / found["points"][1]["folders"][0]
    if damage is None:
        shutil.rmtree(folder)
    else:
        (folder / "trial.json").write_text(damage)
    assert sweep(recipe, tmp_path, **SEARCH) == found
    assert len(played.calls) == 4


def test_a_search_tries_a_failure_once_and_again_the_next_time(
    recipe, played, tmp_path, monkeypatch
):
    pytest.importorskip("optuna")
    arguments = {**SEARCH, "area_weights": [0.5, 7]}
    assert len(sweep(recipe, tmp_path, **arguments)["failed"]) == 1
    assert len(played.calls) == 3
    monkeypatch.setattr(sweep_trial, "_measure", lambda trial, progress: {**RESULT})
    again = sweep(recipe, tmp_path, **arguments)
    assert (len(again["points"]), again["failed"]) == (3, [])


def test_a_lost_record_of_a_failure_has_a_reason(recipe, tmp_path):
    trial = sweep_trial.make_trial(recipe, [], tmp_path)
    assert "left no record" in sweep_trial.failure(trial)


@pytest.mark.parametrize("kind", ["grid", "optuna"])
def test_an_invalid_combination_fails_alone(recipe, played, tmp_path, kind):
    settings = ["training.steps=100,20", "training.warmup_steps=0,50"]
    if kind == "optuna":
        pytest.importorskip("optuna")
        arguments = {"search": "optuna", "trials": 12}
    else:
        arguments = {}
    found = sweep(recipe, tmp_path, settings=settings, **arguments)
    assert len(found["points"]) == 3
    (failed,) = found["failed"]
    assert failed["settings"] == {"training.steps": "20", "training.warmup_steps": "50"}
    assert "warmup_steps" in failed["reason"]
    assert sweep(recipe, tmp_path, settings=settings, **arguments) == found


def test_two_sweeps_keep_out_of_each_others_way(recipe, played, tmp_path):
    with held(tmp_path / "out"), pytest.raises(InputError, match="another sweep works"):
        sweep(recipe, tmp_path / "out", area_weights=[0, 1])
    found = sweep(recipe, tmp_path, area_weights=[0, 1])
    folder = tmp_path / found["points"][0]["folders"][0]
    (folder / "trial.json").unlink()
    with held(folder):
        busy = sweep(recipe, tmp_path, area_weights=[0, 1])
    assert not (folder / "trial.json").exists()
    assert [failed["reason"] for failed in busy["failed"]] == [sweep_trial.BUSY]
    assert sweep(recipe, tmp_path, area_weights=[0, 1]) == found


@pytest.mark.parametrize("kind", ["grid", "optuna"])
def test_means_of_fewer_seeds_are_not_on_the_front(
    recipe, played, tmp_path, monkeypatch, capsys, kind
):
    def measure(trial, progress):
        weight = float(dict(text.split("=", 1) for text in trial.overrides)["area.weight"])
        if weight == 2 and "seed=6" in trial.overrides:
            raise ZeroDivisionError
        return {**RESULT, "accuracy_validation": 0.99 if weight == 2 else 0.5}

    told = []
    if kind == "optuna":
        optuna = pytest.importorskip("optuna")
        tell = optuna.study.Study.tell
        monkeypatch.setattr(
            optuna.study.Study,
            "tell",
            lambda self, number, values=None, **k: (
                told.append(values) or tell(self, number, values, **k)
            ),
        )
    arguments = {**SEARCH, "trials": 2} if kind == "optuna" else {}
    monkeypatch.setattr(sweep_trial, "_measure", measure)
    found = sweep(recipe, tmp_path, **{**arguments, "area_weights": [0.1, 2], "seeds": 2})
    assert [(p["n_seeds"], p["on_front"]) for p in found["points"]] == [(1, False), (2, True)]
    assert told in ([], [[0.5, 1000.0], None])
    assert "Of 1 settings" in (tmp_path / "sweep.html").read_text()
    command = ["sweep", str(recipe), "-o", str(tmp_path), "--area-weight", "0.1,2"]
    assert main([*command, "--seeds", "2"]) == 1
    assert "1 setting(s) were trained with fewer than 2 seeds" in capsys.readouterr().err


def test_where_no_setting_has_all_seeds_there_is_no_front(recipe, played, tmp_path, monkeypatch):
    def measure(trial, progress):
        if "seed=6" in trial.overrides:
            raise ZeroDivisionError
        return {**RESULT}

    monkeypatch.setattr(sweep_trial, "_measure", measure)
    found = sweep(recipe, tmp_path, area_weights=[0, 1], seeds=2)
    assert len(found["points"]) == len(found["failed"]) == 2
    assert "No setting was finished with all seeds" in (tmp_path / "sweep.html").read_text()


def test_a_recipe_file_is_named_by_its_whole_path(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trial = sweep_trial.make_trial(recipe.name, [], tmp_path)
    assert trial.recipe == str(recipe)
    assert sweep_trial.make_trial("digits", [], tmp_path).recipe == "digits"


@pytest.mark.parametrize("damage", ["{]\n{}\n", "[]\n", '{"op_code": 0}\n', "\xff\n\n{"])
def test_a_damaged_journal_is_one_sentence(recipe, played, tmp_path, damage):
    pytest.importorskip("optuna")
    sweep(recipe, tmp_path, **SEARCH)
    path = tmp_path / "study.journal"
    path.write_text(damage + path.read_text(), encoding="latin-1")
    with pytest.raises(InputError, match=r"study\.journal: .*delete it: finished trainings stay"):
        sweep(recipe, tmp_path, **SEARCH)
    path.unlink()
    assert len(sweep(recipe, tmp_path, **SEARCH)["points"]) == 3


def test_a_weight_is_searched_as_finely_as_it_is_given(recipe, played, tmp_path):
    pytest.importorskip("optuna")
    found = sweep(recipe, tmp_path, **{**SEARCH, "area_weights": [0.1234, 0.12345]})
    assert {point["settings"]["area.weight"] for point in found["points"]} >= {"0.1234", "0.12345"}


def test_one_recipe_written_in_two_ways_is_one_point(recipe, played, tmp_path):
    found = sweep(recipe, tmp_path, settings=["training.learning_rate=0.1,0.10,1e-1,0.2"])
    assert [point["settings"]["training.learning_rate"] for point in found["points"]] == [
        "0.1",
        "0.2",
    ]


def test_within_a_trial_the_lines_are_of_one_kind(recipe, played, tmp_path, monkeypatch, capsys):
    def measure(trial, progress):
        for step in range(200):
            progress(step, 200, "going on")
        return {**RESULT}

    monkeypatch.setattr(sweep_trial, "_measure", measure)
    monkeypatch.setattr(console, "LINE_EVERY_S", 1e9)
    assert main(["sweep", str(recipe), "-o", str(tmp_path), "--area-weight", "0,1"]) == 0
    assert capsys.readouterr().err.count("going on") == 2
