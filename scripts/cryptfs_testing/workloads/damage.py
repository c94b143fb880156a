"""Destroys chunk files in the backing folder: what they hold is an error, never wrong, and all else goes on."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..harness.cryptfs import Cryptfs
from . import Mismatch, require


def chunk_files(volume: Cryptfs) -> set[Path]:
    return {path for path in (volume.backing / "chunks").rglob("*") if path.is_file()}


def made_by(volume: Cryptfs, create: Callable[[], object]) -> set[Path]:
    """The chunk files that something made."""
    volume.unmount()
    before = chunk_files(volume)
    volume.mount()
    create()
    volume.unmount()
    made = chunk_files(volume) - before
    volume.mount()
    return made


def expect_eio(act: Callable[[Path], object], path: Path) -> None:
    try:
        act(path)
    except OSError as error:
        if error.errno == errno.EIO:
            return
        raise
    raise Mismatch(f"{act} {path} did not fail")


def check_destroyed(folder: Path) -> None:
    """Names are listed, but what they stand for is an error, also when asked again."""
    names = sorted(os.listdir(folder))
    require(names == ["file", "folder", "link", "other"], f"{folder.name} is listed as {names}")
    subprocess.run(["ls", folder], check=True, stdout=subprocess.DEVNULL)
    listed = subprocess.run(["ls", "-l", folder], capture_output=True, check=False)
    require(listed.returncode != 0, "ls -l says nothing")
    for _ in range(2):
        for name in ("file", "folder", "link"):
            expect_eio(os.lstat, folder / name)
        expect_eio(Path.read_bytes, folder / "file")
        expect_eio(os.readlink, folder / "link")
        expect_eio(os.listdir, folder / "folder")
    require((folder / "other").read_bytes() == b"other", "the neighbour suffered")


def play(volume: Cryptfs) -> None:
    plain = volume.mountpoint
    (plain / "good").mkdir()
    (plain / "good/file").write_bytes(b"good")
    victims: dict[Path, set[Path]] = {}
    for how in ("garbage", "gone"):
        folder = plain / how
        folder.mkdir()
        file, link, inner = folder / "file", folder / "link", folder / "folder"
        victims[file] = made_by(volume, partial(file.write_bytes, b"x" * 100_000))
        victims[link] = made_by(volume, partial(link.symlink_to, "target"))
        victims[inner] = made_by(volume, inner.mkdir)
        (folder / "other").write_bytes(b"other")
    require(all(len(chunks) == 1 for chunks in victims.values()), f"not one chunk file each: {victims}")
    (plain / "garbage/folder/inner").write_bytes(b"inner")
    volume.unmount()
    for path, (chunk,) in victims.items():
        if path.parent.name == "gone":
            chunk.unlink()
        else:
            chunk.write_bytes(os.urandom(chunk.stat().st_size))
    volume.mount()
    for how in ("garbage", "gone"):
        check_destroyed(plain / how)
    (plain / "garbage/file").unlink()
    (plain / "garbage/link").unlink()
    (plain / "garbage/folder").rmdir()
    (plain / "gone/folder").rmdir()
    subprocess.run(["rm", "-r", plain / "gone"], check=True)
    shutil.rmtree(plain / "garbage")
    for _ in range(2):
        left = os.listdir(plain)
        require(left == ["good"] and plain.lstat().st_nlink == 3, f"left are {left}, {plain.lstat()}")
        require((plain / "good/file").read_bytes() == b"good", "the neighbour suffered")
        volume.unmount()
        volume.mount()
