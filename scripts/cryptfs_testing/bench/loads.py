"""The loads. Each works in a mounted system and gives names of what it did with how many a second.

What is looked at for the first time is looked at in a fresh mount with cold caches. Names are changed right after
names: the checkpoint of what came before runs meanwhile, as it does for a user.
"""

import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from functools import partial

from ..harness.command import run
from ..harness.system import System
from .sizes import Sizes

BLOCK = 4096
Rate = tuple[str, float]
Load = Callable[[System, Sizes], Iterator[Rate]]


def timed(act: Callable[[], object]) -> float:
    """Seconds that something took."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def large(system: System, sizes: Sizes) -> Iterator[Rate]:
    """One large file, from end to end (MB/s) and at random (4 KiB a time)."""
    path, bytes_moved = system.mountpoint / "large", sizes.mebibytes * (1 << 20) / 1e6
    yield "sequential write + fsync", bytes_moved / timed(lambda: write_large(str(path), sizes.mebibytes))
    system.remount()
    yield "sequential read", bytes_moved / timed(lambda: read_large(str(path)))
    system.remount()
    places = [random.randrange(sizes.mebibytes * 256) * BLOCK for _ in range(sizes.scattered)]
    descriptor = os.open(path, os.O_RDWR)
    try:
        yield "random read", len(places) / timed(lambda: [os.pread(descriptor, BLOCK, at) for at in places])
        yield "random write, one fsync", len(places) / timed(lambda: write_scattered(descriptor, places, False))
        few = places[: sizes.synced]
        yield "4 KiB write + fsync each", len(few) / timed(lambda: write_scattered(descriptor, few, True))
    finally:
        os.close(descriptor)
    path.unlink()


def write_large(path: str, mebibytes: int) -> None:
    piece = random.randbytes(1 << 20)
    with open(path, "wb", buffering=0) as file:
        for _ in range(mebibytes):
            file.write(piece)
        os.fsync(file)


def read_large(path: str) -> None:
    buffer = bytearray(1 << 20)
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def write_scattered(descriptor: int, places: list[int], sync_each: bool) -> None:
    piece = random.randbytes(BLOCK)
    for at in places:
        os.pwrite(descriptor, piece, at)
        if sync_each:
            os.fsync(descriptor)
    os.fsync(descriptor)


def tree(system: System, sizes: Sizes) -> Iterator[Rate]:
    """Unpacking a source tree; finding, reading and removing it, each in a fresh mount; trees a second."""
    where = system.mountpoint / "tree"
    where.mkdir()
    yield "unpack", 1 / timed(lambda: run("tar", "-xf", sizes.archive, "-C", where))
    system.remount()
    yield "find -printf, fresh mount", 1 / timed(lambda: run("find", where, "-printf", "%s %T@ %m\\n"))
    system.remount()
    yield "read tree, fresh mount", 1 / timed(lambda: run("sh", "-c", f"tar -cf - -C {where} . | cat > /dev/null"))
    system.remount()
    yield "rm -rf, fresh mount", 1 / timed(lambda: run("rm", "-rf", where))


def small(system: System, sizes: Sizes, clients: int = 1) -> Iterator[Rate]:
    """Creating, looking at, renaming and unlinking small files; operations a second over all clients."""
    folder, content = system.mountpoint / "small", random.randbytes(1000)
    share = sizes.files // clients
    paths = [[f"{folder}/{client}/{number}" for number in range(share)] for client in range(clients)]
    for client in range(clients):
        (folder / str(client)).mkdir(parents=True)
    suffix = "" if clients == 1 else f" x{clients}"
    count = share * clients

    def rate(act: Callable[[str], object]) -> float:
        return count / timed(lambda: for_each(paths, act))

    yield f"create{suffix}", rate(partial(create, content=content))
    system.remount()
    yield f"stat, fresh mount{suffix}", rate(os.stat)
    yield f"rename{suffix}", rate(lambda path: os.rename(path, path + "r"))
    yield f"unlink, right after{suffix}", rate(lambda path: os.unlink(path + "r"))
    shutil.rmtree(folder)


def create(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    os.write(descriptor, content)
    os.close(descriptor)


def for_each(paths: list[list[str]], act: Callable[[str], object]) -> None:
    """One client for each list: processes, as Python's threads take turns."""
    if len(paths) == 1:
        for path in paths[0]:
            act(path)
        return
    children = []
    for share in paths:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for path in share:
                    act(path)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    if any(statuses):
        raise RuntimeError("a client failed")


def small2(system: System, sizes: Sizes) -> Iterator[Rate]:
    return small(system, sizes, 2)


def small4(system: System, sizes: Sizes) -> Iterator[Rate]:
    return small(system, sizes, 4)


def sqlite(system: System, sizes: Sizes) -> Iterator[Rate]:
    """Transactions a second, of one insert each."""
    path = system.mountpoint / "database"
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("create table t(id integer primary key, text text)")

    def work() -> None:
        for number in range(sizes.transactions):
            database.execute("insert into t(text) values(?)", (f"row {number} " * 10,))

    yield "SQLite, a transaction each", sizes.transactions / timed(work)
    database.close()
    path.unlink()


LOADS: tuple[Load, ...] = (large, tree, small, small2, small4, sqlite)
# Those that run unless others are asked for.
USUAL = ("large", "tree", "small", "small4", "sqlite")
