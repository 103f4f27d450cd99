"""Many independent jobs at once, by engines that exist: joblib on one machine, Dask on a cluster.

A job and its result must be picklable, and the function be one of a module.
"""

from __future__ import annotations

import fcntl
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from gate2hw.errors import InputError, ToolFailedError, ToolMissingError

__all__ = ["held", "need_package", "run_jobs"]

Job = TypeVar("Job")
Result = TypeVar("Result")

CONNECT_S = 20


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold `folder` (made if need be) for this process: False where another one holds it.

    The hold ends with the block or the process, however it dies; a file ``.busy`` stays. On a file
    system without locks nobody is kept out. Raises InputError for a folder that cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = (folder / ".busy").open("w")
    except OSError as error:
        raise InputError(
            f"cannot write in {folder}: {error.strerror}; make room or choose another folder"
        ) from error
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass
        yield True


def need_package(module: str, purpose: str, extra: str) -> Any:
    """The module `module`; ToolMissingError saying how to get it, with gate2hw's extra `extra`."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ToolMissingError(
            f"{purpose} needs the Python package {error.name}; get it with: "
            f"{sys.executable} -m pip install 'gate2hw[{extra}]'"
        ) from error


def _numbered(work: Callable[[Job], Result], number: int, job: Job) -> tuple[int, Result]:
    return number, work(job)


def _by_joblib(
    work: Callable[[Job], Result], jobs: Sequence[Job], n_workers: int
) -> Iterator[tuple[int, Result]]:
    joblib = need_package("joblib", "more than one trial at a time", "sweep")
    calls = (joblib.delayed(_numbered)(work, number, job) for number, job in enumerate(jobs))
    run = joblib.Parallel(n_jobs=min(n_workers, len(jobs)), return_as="generator_unordered")
    try:
        yield from run(calls)
    except joblib.externals.loky.process_executor.BrokenProcessPool as error:
        raise ToolFailedError(
            f"a worker process died, perhaps for want of memory ({error}); what was finished is "
            "kept: run the same command again, with fewer --jobs"
        ) from error


def _by_dask(
    work: Callable[[Job], Result], jobs: Sequence[Job], address: str
) -> Iterator[tuple[int, Result]]:
    distributed = need_package("distributed", "a Dask cluster", "dask")
    try:
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {address} ({error}); start one with: dask scheduler, "
            "and workers with: dask worker ADDRESS"
        ) from error
    with client:
        futures = [
            client.submit(_numbered, work, number, job, pure=False)
            for number, job in enumerate(jobs)
        ]
        try:
            for _, result in distributed.as_completed(futures, loop=client.loop, with_results=True):
                yield result
        except distributed.scheduler.KilledWorker as error:
            raise ToolFailedError(
                f"a Dask worker died at {address} ({error}); what was finished is kept: run the "
                "same command again"
            ) from error


def run_jobs(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    *,
    n_workers: int = 1,
    dask: str | None = None,
) -> Iterator[tuple[int, Result]]:
    """Do `work` for each of `jobs`; yields (its number, result) as they come in.

    One worker: here, one after the other. More: as many processes, by joblib. `dask`: by the
    workers of the Dask scheduler at that address, which must see the same files under the same
    names. Raises ToolMissingError without the package, InputError where no scheduler answers,
    ToolFailedError where a worker dies, and whatever `work` raises.
    """
    if not jobs:
        return
    if dask is not None:
        yield from _by_dask(work, jobs, dask)
    elif n_workers == 1:
        for number, job in enumerate(jobs):
            yield number, work(job)
    else:
        yield from _by_joblib(work, jobs, n_workers)
