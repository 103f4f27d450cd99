"""Jobs by joblib and Dask."""

import sys

import pytest

from gate2hw.errors import InputError, ToolMissingError
from gate2hw.tools.workers import held, need_package, run_jobs


def square(number: int) -> int:
    if number == 13:
        raise ValueError("thirteen")
    return number * number


def test_jobs_are_done_here_one_after_the_other():
    assert list(run_jobs(square, [3, 1, 2])) == [(0, 9), (1, 1), (2, 4)]
    assert list(run_jobs(square, [])) == []
    with pytest.raises(ValueError, match="thirteen"):
        list(run_jobs(square, [1, 13]))


def test_processes_give_every_result_with_its_number():
    found = dict(run_jobs(abs, [-3, -1, -2, -7], n_workers=2))
    assert found == {0: 3, 1: 1, 2: 2, 3: 7}


def test_what_a_job_raises_in_a_process_comes_out():
    with pytest.raises(TypeError):
        list(run_jobs(abs, [1, "x"], n_workers=2))


def test_a_dask_cluster_gives_every_result_with_its_number():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        found = dict(run_jobs(abs, [-3, -1, -2], dask=cluster.scheduler_address))
        assert found == {0: 3, 1: 1, 2: 2}
        with pytest.raises(TypeError):
            list(run_jobs(abs, ["x"], dask=cluster.scheduler_address))


def test_no_scheduler_is_one_sentence(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("gate2hw.tools.workers.CONNECT_S", 0.5)
    with pytest.raises(InputError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        list(run_jobs(abs, [1], dask="tcp://127.0.0.1:9"))


def test_a_missing_package_is_told_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ToolMissingError, match=r"a cluster needs .* pip install 'gate2hw\[dask\]'"):
        need_package("distributed", "a cluster", "dask")


def test_a_folder_is_held_by_one_at_a_time(tmp_path):
    folder = tmp_path / "new" / "one"
    with held(folder) as first, held(folder) as second, held(tmp_path) as other:
        assert (first, second, other) == (True, False, True)
    with held(folder) as again:
        assert again
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write in"), held(tmp_path / "file" / "x"):
        pass
