"""The loads. Each works in a mounted system and gives names of what it did with how many a second."""

import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator

from ..harness.command import run
from ..harness.mounts import drop_caches
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


def sequential(system: System, sizes: Sizes) -> Iterator[Rate]:
    """MB/s of writing one large file and syncing it, then of reading it after a remount."""
    path, piece = system.mountpoint / "large", random.randbytes(1 << 20)

    def write() -> None:
        with open(path, "wb", buffering=0) as file:
            for _ in range(sizes.megabytes):
                file.write(piece)
            os.fsync(file)

    def read() -> None:
        with open(path, "rb", buffering=0) as file:
            buffer = bytearray(1 << 20)
            while file.readinto(buffer):
                pass

    bytes_moved = sizes.megabytes * (1 << 20) / 1e6
    written = timed(write)
    system.remount()
    yield "sequential write MB/s", bytes_moved / written
    yield "sequential read MB/s", bytes_moved / timed(read)


def scattered(system: System, sizes: Sizes) -> Iterator[Rate]:
    """4 KiB reads and overwrites a second at random places of the large file."""
    path, piece = system.mountpoint / "large", random.randbytes(BLOCK)
    places = [random.randrange(sizes.megabytes * 256) * BLOCK for _ in range(sizes.scattered)]
    system.remount()
    descriptor = os.open(path, os.O_RDWR)
    yield "random read/s", len(places) / timed(lambda: [os.pread(descriptor, BLOCK, at) for at in places])

    def write(sync_each: bool, places: list[int]) -> None:
        for at in places:
            os.pwrite(descriptor, piece, at)
            if sync_each:
                os.fdatasync(descriptor)
        os.fsync(descriptor)

    yield "random write/s", len(places) / timed(lambda: write(False, places))
    few = places[: len(places) // 5]
    yield "write + fsync/s", len(few) / timed(lambda: write(True, few))
    os.close(descriptor)
    path.unlink()


def large(system: System, sizes: Sizes) -> Iterator[Rate]:
    """One large file, from end to end and at random."""
    yield from sequential(system, sizes)
    yield from scattered(system, sizes)


def tree(system: System, sizes: Sizes) -> Iterator[Rate]:
    """Unpacking a source tree, finding, reading and removing it; trees a second."""
    where = system.mountpoint / "tree"
    where.mkdir()
    yield "unpack trees/s", 1 / timed(lambda: run("tar", "-xf", sizes.archive, "-C", where))
    system.remount()
    yield "find trees/s", 1 / timed(lambda: run("find", where, "-printf", "%s %T@ %m\\n"))
    system.remount()
    yield "read trees/s", 1 / timed(lambda: run("sh", "-c", f"tar -cf - -C {where} . | cat > /dev/null"))
    yield "rm -rf trees/s", 1 / timed(lambda: run("rm", "-rf", where))


def small(system: System, sizes: Sizes, clients: int = 1) -> Iterator[Rate]:
    """Creating, looking at, renaming and unlinking small files; operations a second over all clients."""
    folder, content = system.mountpoint / "small", random.randbytes(1000)
    share = sizes.files // clients
    mine = [[f"{folder}/{client}/{number}" for number in range(share)] for client in range(clients)]
    for client in range(clients):
        (folder / str(client)).mkdir(parents=True)

    def create(path: str) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(descriptor, content)
        os.close(descriptor)

    def each(act: Callable[[str], object]) -> float:
        if clients == 1:
            return timed(lambda: [act(path) for path in mine[0]])
        # Processes, as Python's threads take turns.
        children = []
        start = time.perf_counter()
        for paths in mine:
            child = os.fork()
            if child == 0:
                for path in paths:
                    act(path)
                os._exit(0)
            children.append(child)
        if any(os.waitpid(child, 0)[1] for child in children):
            raise RuntimeError("a client failed")
        return time.perf_counter() - start

    suffix = "" if clients == 1 else f" x{clients}"
    count = share * clients
    yield f"create/s{suffix}", count / each(create)
    drop_caches(2)
    yield f"stat/s{suffix}", count / each(os.stat)
    yield f"rename/s{suffix}", count / each(lambda path: os.rename(path, path + "r"))
    yield f"unlink/s{suffix}", count / each(lambda path: os.unlink(path + "r"))
    shutil.rmtree(folder)


def small2(system: System, sizes: Sizes) -> Iterator[Rate]:
    """The same by two clients at once."""
    return small(system, sizes, 2)


def small4(system: System, sizes: Sizes) -> Iterator[Rate]:
    """The same by four clients at once."""
    return small(system, sizes, 4)


def sqlite(system: System, sizes: Sizes) -> Iterator[Rate]:
    """Transactions a second, of one insert each."""
    path = system.mountpoint / "database"
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("create table t(id integer primary key, text text)")

    def work() -> None:
        for number in range(sizes.transactions):
            database.execute("insert into t(text) values(?)", (f"row {number} " * 10,))

    yield "SQLite tx/s", sizes.transactions / timed(work)
    database.close()
    path.unlink()


LOADS: tuple[Load, ...] = (large, tree, small, small2, small4, sqlite)
