"""A process that works in the mount and notes, outside of it, what it did and what fsync acknowledged."""

import json
import os
import random
import time
from pathlib import Path

from ..workloads.versioned import content

SIZES = [10, 900, 3000, 5000, 70_000, 700_000, 5_000_000]


def write(path: str, data: bytes, sync: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(descriptor, data[: len(data) // 2])
        os.write(descriptor, data[len(data) // 2 :])
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_names(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def work(mountpoint: Path, notes: Path, seed: int) -> None:
    """Creates, replaces, renames and removes files until the mount dies. Each note is made before or after the act."""
    chance = random.Random(seed)
    version = 0
    with open(notes, "a", buffering=1) as log:

        def note(*what: object) -> None:
            log.write(json.dumps([time.time(), *what]) + "\n")

        while True:
            version += 1
            name = f"{notes.stem}-{chance.randrange(12)}"
            path = f"{mountpoint}/{name}"
            size, act = chance.choice(SIZES), chance.random()
            try:
                if act < 0.5:
                    sync = chance.random() < 0.6
                    note("write", name, version, size)
                    write(path, content(name, version, size), sync)
                    note("wrote", name, version, size, sync)
                elif act < 0.8:
                    note("replace", name, version, size)
                    write(path + ".new", content(name, version, size), True)
                    os.rename(path + ".new", path)
                    sync_names(mountpoint)
                    note("replaced", name, version, size)
                elif act < 0.95:
                    note("remove", name)
                    if os.path.exists(path):
                        os.unlink(path)
                    sync_names(mountpoint)
                    note("removed", name)
                else:
                    time.sleep(chance.random() * 0.05)
            except OSError as error:
                note("died", error.errno)
                return
