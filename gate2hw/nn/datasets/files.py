"""Published files: found where people keep them, unpacked, and believed only with their md5."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gate2hw.errors import InputError

__all__ = ["Md5", "Published", "check_md5", "find_folder", "not_found", "payload"]

_SUFFIXES: Final = ("", ".gz", ".xz")


@dataclass(frozen=True)
class Md5:
    """What is published about a file: md5 of its content, or only of its gzipped form."""

    content: str = ""
    gzipped: str = ""


@dataclass(frozen=True)
class Published:
    """A set of files that belong together.

    `places` are the folders, relative to a data folder, where they may lie; `files` gives the
    md5 of each; `source` says in a few words where to get them.
    """

    name: str
    places: tuple[str, ...]
    files: dict[str, Md5]
    source: str


def _existing(folder: Path, name: str) -> list[Path]:
    return [path for suffix in _SUFFIXES if (path := folder / f"{name}{suffix}").is_file()]


def find_folder(published: Published, folders: Sequence[Path | str]) -> Path | None:
    """The first folder that holds all files, each as it is, as .gz or as .xz; None without one."""
    for folder in folders:
        for place in published.places:
            candidate = Path(folder).expanduser() / place
            if all(_existing(candidate, name) for name in published.files):
                return candidate
    return None


def not_found(forms: Sequence[Published], folders: Sequence[Path | str]) -> InputError:
    """The error that says which files are wanted, where they were looked for, how to get them."""
    wanted = ", or ".join(", ".join(form.files) for form in forms)
    places = sorted({place for form in forms for place in form.places if place})
    tried = ", ".join(str(folder) for folder in folders)
    below = f" (or below it in {', '.join(places)})" if places else ""
    return InputError(
        f"no folder holds {forms[0].name}'s files ({wanted}; .gz or .xz will do); tried {tried}"
        f"{below}; get them ({forms[0].source}) and name their folder with --data"
    )


def check_md5(path: Path, data: bytes, expected: str) -> None:
    """Raise InputError naming `path` and both sums unless the md5 of `data` is `expected`."""
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != expected:
        raise InputError(
            f"{path}: is not the published file (md5 {found}, expected {expected}); get it again, "
            "or use it as it is with --set data.check=false"
        )


def _unpacked(path: Path) -> tuple[bytes, bytes]:
    """(bytes of the file, its content) of a plain, .gz or .xz file; InputError if unreadable."""
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            return data, gzip.decompress(data)
        if path.suffix == ".xz":
            return data, lzma.decompress(data)
        return data, data
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


def payload(published: Published, folder: Path, name: str, *, check: bool = True) -> bytes:
    """The content of one of the files in `folder`.

    With `check`, its md5 must be the published one. Where only the md5 of the gzipped file was
    published, that file is preferred; a plain one alone is then taken unchecked (its reader
    checks its form). Raises InputError for a file that is unreadable or another.
    """
    md5 = published.files[name]
    paths = _existing(folder, name)
    if not paths:
        raise not_found([published], [folder])
    path = paths[0]
    if not md5.content and (zipped := folder / f"{name}.gz") in paths:
        path = zipped
    packed, data = _unpacked(path)
    if check and md5.content:
        check_md5(path, data, md5.content)
    elif check and md5.gzipped and path.suffix == ".gz":
        check_md5(path, packed, md5.gzipped)
    return data
