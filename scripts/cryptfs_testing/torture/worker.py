"""A process that writes, replaces and removes files of its own, and notes what each system call said."""

import contextlib
import errno
import os
import pickle
import random
import time
from pathlib import Path

from ..harness import mounts
from ..workloads.versioned import content, matches
from .model import NOTHING, Name

SIZES = [10, 900, 3000, 5000, 20_000, 70_000, 700_000, 3_000_000, 9_000_000]
NAMES = 12
GONE = (*mounts.GONE, errno.ENODEV)


def read(notes: Path) -> tuple[dict[str, Name], int]:
    """What each name may hold, and how many calls failed."""
    found: tuple[dict[str, Name], int] = pickle.loads(notes.read_bytes()) if notes.exists() else ({}, 0)
    return found


def write(notes: Path, names: dict[str, Name], failures: int) -> None:
    notes.write_bytes(pickle.dumps((names, failures)))


class Worker:
    def __init__(self, mountpoint: Path, number: int, seed: str, notes: Path) -> None:
        self.mountpoint, self.notes = mountpoint, notes
        self.chance = random.Random(f"{seed} {number}")
        names, failures = read(notes)
        self.names = names or {f"{number}-{index}": Name() for index in range(NAMES)}
        self.version = max((state[0] for name in self.names.values() for state in name.now if state), default=0)
        self.failures = failures

    def work(self, until: float, allowed: set[int]) -> None:
        """Until that time, or until the mount is gone. Raises what no call may say here."""
        try:
            while time.time() < until:
                try:
                    self.act()
                except OSError as error:
                    if error.errno in GONE:
                        return
                    if error.errno not in allowed:
                        raise
                    self.failures += 1
        finally:
            write(self.notes, self.names, self.failures)

    def act(self) -> None:
        name = self.chance.choice(list(self.names))
        path, act = f"{self.mountpoint}/{name}", self.chance.random()
        if act < 0.5:
            self.write(name, path, self.chance.random() < 0.4)
        elif act < 0.7:
            self.replace(name, path)
        elif act < 0.85:
            self.remove(name, path)
        else:
            data = Path(path).read_bytes() if os.path.exists(path) else None
            if not matches(name, data, self.names[name].now):
                shown = None if data is None else (len(data), data[:40])
                raise AssertionError(f"{name}: {shown} is read, expected one of {self.names[name].now}")

    def new_state(self) -> tuple[int, int]:
        self.version += 1
        return self.version, self.chance.choice(SIZES)

    def write(self, name: str, path: str, sync: bool) -> None:
        state = self.new_state()
        self.names[name].begin(NOTHING, state)
        put(path, content(name, *state), sync)
        self.names[name].succeed(state, durable=sync)

    def replace(self, name: str, path: str) -> None:
        state = self.new_state()
        put(path + ".new", content(name, *state), True)
        self.names[name].begin(state)
        os.rename(path + ".new", path)
        self.names[name].succeed(state, durable=False)
        sync_names(self.mountpoint)
        self.names[name].succeed(state, durable=True)

    def remove(self, name: str, path: str) -> None:
        self.names[name].begin(None)
        if os.path.exists(path):
            os.unlink(path)
        self.names[name].succeed(None, durable=False)
        sync_names(self.mountpoint)
        self.names[name].succeed(None, durable=True)


def put(path: str, data: bytes, sync: bool) -> None:
    """An error of close counts as one of write: then the content was not stored."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest[:100_000]) :]
        if sync:
            os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        raise
    os.close(descriptor)


def sync_names(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
