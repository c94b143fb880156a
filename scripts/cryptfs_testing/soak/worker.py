"""One process that works in the mount, and its model of what the mount should hold."""

import ctypes
import os
import pickle
import random
import re
import time
import zlib
from pathlib import Path
from typing import NoReturn

from ..workloads import Mismatch

BLOCK = 4096
LINE = 32
TORN_IN_A_ROW = 50
LONGEST = 400 * BLOCK
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
KEEP_SIZE_PUNCH_HOLE = 3


def block(owner: int, serial: int) -> bytes:
    """A block that tells who made it, and whether it is whole."""
    body = f"{owner} {serial} ".encode().ljust(LINE) * (BLOCK // LINE - 1)
    return b"soak".ljust(24) + f"{zlib.crc32(body):08x}".encode() + body


def is_whole(data: bytes, owner: int) -> bool:
    if data.count(0) == len(data):
        return True
    body = data[LINE:]
    return (
        data.startswith(b"soak")
        and body.startswith(f"{owner} ".encode())
        and data[24:LINE] == f"{zlib.crc32(body):08x}".encode()
    )


def may_be_torn(data: bytes, owner: int) -> bool:
    """Whether a read that met a write of `owner` may have returned this: a part of either content.

    The kernel copies out of a page while another process copies into it. On ext4 3 % of the reads beside a writer are
    torn so, on tmpfs one in three thousand. Only the lines in which one content ends are not whole then.
    """
    lines = [data[at : at + LINE] for at in range(LINE, len(data), LINE)]
    whole = re.compile(rb"%d \d+ +|\0+" % owner)
    return sum(not whole.fullmatch(line) for line in lines) <= 2


class Worker:
    """A process with a folder of its own. What it knows of it outlives it in the file `state`.

    `files`: path below the folder to the number of a content in `contents`; two paths may be links of one file.
    """

    def __init__(self, mountpoint: Path, number: int, seed: str, workers: int, state: Path) -> None:
        self.mountpoint, self.number, self.workers, self.state = mountpoint, number, workers, state
        self.chance = random.Random(f"{seed} {number}")
        self.root = mountpoint / f"worker-{number}"
        saved = pickle.loads(state.read_bytes()) if state.exists() else ({}, {}, {""}, 0, 0)
        self.files: dict[str, int]
        self.contents: dict[int, bytearray]
        self.folders: set[str]
        self.serial: int
        self.done: int
        self.files, self.contents, self.folders, self.serial, self.done = saved

    def fail(self, what: str) -> NoReturn:
        raise Mismatch(f"worker {self.number}, operation {self.done}: {what}")

    def compare(self, path: str) -> None:
        with open(self.root / path, "rb") as file:
            found = file.read()
        wanted = self.contents[self.files[path]]
        if found != wanted:
            at = next(
                (at for at, pair in enumerate(zip(found, wanted)) if pair[0] != pair[1]), min(len(found), len(wanted))
            )
            self.fail(f"{path} has {len(found)} bytes, not {len(wanted)}, and differs at {at}")

    def compare_all(self) -> None:
        self.root.mkdir(exist_ok=True)
        found = set()
        for folder, folders, names in os.walk(self.root):
            below = os.path.relpath(folder, self.root)
            found |= {os.path.normpath(os.path.join(below, name)) for name in folders + names}
        wanted = set(self.files) | (self.folders - {""})
        if found != wanted:
            self.fail(f"too many: {sorted(found - wanted)}, missing: {sorted(wanted - found)}")
        for path, content in self.files.items():
            self.compare(path)
            links = os.stat(self.root / path).st_nlink
            if links != list(self.files.values()).count(content):
                self.fail(f"{path} has {links} links")

    def path(self) -> str:
        folder = self.chance.choice(sorted(self.folders))
        return os.path.join(folder, f"file-{self.chance.randrange(6)}")

    def act(self) -> None:
        self.done += 1
        chance = self.chance
        known = chance.choice(sorted(self.files)) if self.files else None
        act = chance.choices(
            ("write", "make", "cut", "punch", "sync", "read", "look", "link", "move", "remove", "folder"),
            (20, 12, 5, 5, 8, 12, 12, 4, 8, 7, 3),
        )[0]
        if act == "folder":
            self.change_folders()
        elif act == "look":
            self.look_at_another()
        elif act == "make" or known is None:
            self.make(self.path())
        elif act == "read":
            self.compare(known)
        elif act == "link":
            self.link(known, self.path())
        elif act == "move":
            self.move(known, self.path())
        elif act == "remove":
            os.unlink(self.root / known)
            del self.files[known]
            self.forget()
        else:
            descriptor = os.open(self.root / known, os.O_RDWR)
            try:
                self.change(act, descriptor, self.contents[self.files[known]])
            finally:
                os.close(descriptor)

    def make(self, path: str) -> None:
        if path not in self.files:
            os.close(os.open(self.root / path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
            self.serial += 1
            self.files[path], self.contents[self.serial] = self.serial, bytearray()

    def move(self, known: str, other: str) -> None:
        os.rename(self.root / known, self.root / other)
        if self.files.get(other) != self.files[known]:
            self.files[other] = self.files.pop(known)
        self.forget()

    def change(self, act: str, descriptor: int, content: bytearray) -> None:
        at = self.chance.randrange(len(content) // BLOCK + 2) * BLOCK
        if act == "write":
            at = min(at, LONGEST)
            self.serial += 1
            data = block(self.number, self.serial) * self.chance.choice((1, 1, 2, 8, 40))
            os.pwrite(descriptor, data, at)
            content.extend(bytes(max(0, at - len(content))))
            content[at : at + len(data)] = data
        elif act == "cut":
            os.ftruncate(descriptor, at)
            del content[at:]
            content.extend(bytes(at - len(content)))
        elif act == "punch" and content:
            length = self.chance.choice((1, 3, 20)) * BLOCK
            if libc.fallocate(descriptor, KEEP_SIZE_PUNCH_HOLE, at, length):
                raise OSError(ctypes.get_errno(), "fallocate")
            end = min(len(content), at + length)
            content[at:end] = bytes(max(0, end - at))
        elif act == "sync":
            os.fsync(descriptor)

    def link(self, known: str, other: str) -> None:
        if other in self.files:
            return
        try:
            os.link(self.root / known, self.root / other)
        except FileNotFoundError:
            # The kernel may take a file for removed until somebody asks for its attributes: BUGS in man/cryptfs.1.
            os.stat(self.root / known)
            os.link(self.root / known, self.root / other)
        self.files[other] = self.files[known]

    def change_folders(self) -> None:
        name = f"folder-{self.chance.randrange(4)}"
        if name not in self.folders:
            os.mkdir(self.root / name)
            self.folders.add(name)
        elif not any(path.startswith(name + "/") for path in self.files):
            os.rmdir(self.root / name)
            self.folders.remove(name)

    def forget(self) -> None:
        """Drops contents without a name."""
        used = set(self.files.values())
        self.contents = {number: content for number, content in self.contents.items() if number in used}

    def look_at_another(self) -> None:
        owner = self.chance.randrange(self.workers)
        try:
            folder = self.mountpoint / f"worker-{owner}"
            names = [name for name in os.listdir(folder) if name.startswith("file-")]
            with open(folder / self.chance.choice(names), "rb", buffering=0) as file:
                at = 0
                while data := self.read_whole(file.fileno(), at, owner):
                    if not is_whole(data, owner):
                        self.fail(f"worker {owner}'s {file.name!r} holds {data!r} at {at}")
                    at += len(data)
        except (FileNotFoundError, IndexError):
            pass

    @staticmethod
    def read_whole(descriptor: int, at: int, owner: int) -> bytes:
        """The block at `at`, read once more where a write of `owner` came between; what stays torn is returned so."""
        for _ in range(TORN_IN_A_ROW):
            data = os.pread(descriptor, BLOCK, at)
            if is_whole(data, owner) or not may_be_torn(data, owner):
                break
            time.sleep(0.001)
        return data

    def run(self, until: float) -> None:
        self.compare_all()
        while time.time() < until:
            self.act()
        self.state.write_bytes(pickle.dumps((self.files, self.contents, self.folders, self.serial, self.done)))
