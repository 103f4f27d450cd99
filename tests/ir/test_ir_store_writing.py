"""Writers leave a whole file or none: full disks, impossible places, failing renames."""

import builtins
import errno
import os
import socket
import stat
import threading
import zipfile
from pathlib import Path

import pytest

from gate2hw.errors import InputError, ModelFileError
from gate2hw.ir import store
from gate2hw.ir.lutnetlist import from_netlist, save_lutnetlist
from gate2hw.ir.store import (
    atomic_path,
    save_golden,
    save_netlist,
    save_network,
    write_text,
)


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


def write_half(path, error):
    """Write half a file to `path`, then fail with `error`."""
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent
        temporary.write_text("half")
        raise error


def test_atomic_path_replaces_only_when_all_went_well(tmp_path):
    target = tmp_path / "out.txt"
    write_text(target, "old")
    for error in (ZeroDivisionError(), KeyboardInterrupt(), ModelFileError("mine")):
        with pytest.raises(type(error)):
            write_half(target, error)
        assert target.read_text() == "old"
        assert left_in(tmp_path) == ["out.txt"]
    write_text(target, "né\n")
    assert target.read_bytes() == "né\n".encode()
    assert left_in(tmp_path) == ["out.txt"]


def test_disk_full_in_the_block(tmp_path):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(InputError, match=r"cannot write .*out: No space left on device; choose"):
        write_half(tmp_path / "out", full)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_rename_fails(number, tmp_path, monkeypatch):
    def fail(source, target):
        raise OSError(number, os.strerror(number))

    write_text(tmp_path / "out", "old")
    monkeypatch.setattr(store.os, "replace", fail)
    with pytest.raises(InputError, match=os.strerror(number)):
        write_text(tmp_path / "out", "new")
    assert (tmp_path / "out").read_text() == "old"
    assert left_in(tmp_path) == ["out"]


class FullDisk:
    """A file that takes `room` bytes and then no more."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)


@pytest.mark.parametrize("room", [0, 10, 100, 600, 1200])
@pytest.mark.parametrize("kind", ["netlist", "lutnetlist", "golden"])
def test_disk_full_while_writing(kind, room, tmp_path, monkeypatch, random_netlist, golden):
    net = random_netlist(1)
    save = {
        "netlist": lambda path: save_netlist(path, net),
        "lutnetlist": lambda path: save_lutnetlist(path, from_netlist(net)),
        "golden": lambda path: save_golden(path, golden),
    }[kind]
    real = builtins.open

    def small(file, mode="r", *args, **options):
        opened = real(file, mode, *args, **options)
        return FullDisk(opened, room) if mode.startswith("w") else opened

    monkeypatch.setattr(zipfile.io, "open", small)
    with pytest.raises(InputError, match="No space left on device"):
        save(tmp_path / "out")
    assert left_in(tmp_path) == []


def test_disk_full_while_writing_a_network(tmp_path, monkeypatch, random_network):
    def fail(self, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(InputError, match="No space left on device"):
        save_network(tmp_path / "out", random_network(1))
    assert left_in(tmp_path) == []


def test_a_pipe_is_written_and_stays(tmp_path, random_netlist):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    link = tmp_path / "link"
    link.symlink_to("pipe")
    save_netlist(tmp_path / "net.npz", random_netlist(1))
    found = []
    for path, save in (
        (pipe, lambda path: write_text(path, "né\n")),
        (link, lambda path: save_netlist(path, random_netlist(1))),
    ):
        reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()), daemon=True)
        reader.start()
        save(path)
        reader.join(20)
        assert stat.S_ISFIFO(pipe.lstat().st_mode)
        assert link.is_symlink()
    assert found[0] == "né\n".encode()
    (tmp_path / "piped.npz").write_bytes(found[1])
    assert store.load_netlist(tmp_path / "piped.npz") == random_netlist(1)
    assert left_in(tmp_path) == ["link", "net.npz", "pipe", "piped.npz"]


def test_a_link_leads_to_the_file_that_is_replaced(tmp_path):
    deep = tmp_path / "deep"
    deep.mkdir()
    for number, is_there in enumerate((True, False)):
        target, link, twice = deep / f"{number}", tmp_path / f"l{number}", tmp_path / f"t{number}"
        if is_there:
            target.write_text("old")
        link.symlink_to(Path("deep") / f"{number}")
        twice.symlink_to(link)
        write_text(twice, "new")
        assert target.read_text() == "new"
        assert not target.is_symlink()
        assert link.is_symlink()
        assert twice.is_symlink()
    assert left_in(deep) == ["0", "1"]


def test_links_that_lead_nowhere_and_other_things_are_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "to").symlink_to("folder")
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for name, said in (("to", "it is a folder"), ("loop", "link"), ("socket", "is no file")):
            with pytest.raises(InputError, match=said):
                write_text(tmp_path / name, "text")
    assert left_in(tmp_path) == ["folder", "loop", "socket", "to"]


@pytest.mark.parametrize("name", ["file/out", "file/deeper/out", "x" * 300, "folder", ""])
def test_impossible_places(name, tmp_path):
    (tmp_path / "file").write_text("a file, no folder")
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    path = tmp_path / name if name else Path()
    with pytest.raises(InputError, match="cannot write"):
        write_text(path, "text")
    assert left_in(tmp_path) == ["file", "folder"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no /proc here")
def test_a_folder_that_cannot_be_written():
    with pytest.raises(InputError, match=r"cannot write /proc/gate2hw/out"):
        write_text("/proc/gate2hw/out", "text")
