"""Locks between processes, flock(2) of files and fcntl(2) of ranges: who may not have one is told or waits, and who
waits is woken, also by the end of a process.

    python3 -m cryptfs_testing.workloads.locks FOLDER
"""

import errno
import fcntl
import multiprocessing
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

from . import require

PATIENCE = 60
SHARED, EXCLUSIVE, NONE = fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN
AT_ONCE = fcntl.LOCK_NB


def serve(path: str, end: "Connection[Any, Any]") -> None:
    """Runs in a process of its own: makes the calls that it is told, and sends their results."""
    with open(path, "r+b") as file:
        while True:
            call, *words = end.recv()
            try:
                getattr(fcntl, call)(file, *words)
                end.send("done")
            except OSError as error:
                end.send(errno.errorcode[error.errno or 0])


class Process:
    def __init__(self, path: str) -> None:
        self.pipe, end = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=serve, args=(path, end), daemon=True)
        self.process.start()

    def expect(self, expected: str, *words: object) -> None:
        self.pipe.send(words)
        self.ends(expected, words)

    def ends(self, expected: str, words: object = "waiting") -> None:
        require(self.pipe.poll(PATIENCE), f"{words} does not end")
        result = self.pipe.recv()
        require(result == expected, f"{words}: {result}, not {expected}")

    def waits(self, *words: object) -> None:
        """Asks for a lock; returns when the kernel shows that it waits for it."""
        self.pipe.send(words)
        deadline = time.monotonic() + PATIENCE
        while not self.is_shown_waiting():
            require(not self.pipe.poll() and time.monotonic() < deadline, f"{words} does not wait")
            time.sleep(0.001)

    def is_shown_waiting(self) -> bool:
        with open("/proc/locks") as locks:
            lines = [line.split() for line in locks]
        return any("->" in words and str(self.process.pid) in words for words in lines)

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


def whole_files(path: str) -> None:
    one, two, three = Process(path), Process(path), Process(path)
    one.expect("done", "flock", EXCLUSIVE)
    two.expect("EAGAIN", "flock", EXCLUSIVE | AT_ONCE)
    two.expect("EAGAIN", "flock", SHARED | AT_ONCE)
    two.waits("flock", EXCLUSIVE)
    one.expect("done", "flock", NONE)
    two.ends("done")
    one.expect("EAGAIN", "flock", SHARED | AT_ONCE)
    one.waits("flock", SHARED)
    two.kill()
    one.ends("done")
    three.expect("done", "flock", SHARED | AT_ONCE)
    three.expect("EAGAIN", "flock", EXCLUSIVE | AT_ONCE)
    one.kill()
    three.expect("done", "flock", EXCLUSIVE | AT_ONCE)
    three.kill()


def ranges(path: str) -> None:
    """lockf takes the length and then the start."""
    one, two = Process(path), Process(path)
    one.expect("done", "lockf", EXCLUSIVE, 10, 0)
    two.expect("done", "lockf", EXCLUSIVE | AT_ONCE, 10, 10)
    two.expect("EAGAIN", "lockf", SHARED | AT_ONCE, 1, 9)
    two.waits("lockf", EXCLUSIVE, 1, 9)
    one.expect("done", "lockf", NONE, 1, 9)
    two.ends("done")
    two.expect("EAGAIN", "lockf", EXCLUSIVE | AT_ONCE, 1, 0)
    one.expect("EAGAIN", "lockf", SHARED | AT_ONCE, 0, 9)
    one.waits("lockf", SHARED, 0, 15)
    two.kill()
    one.ends("done")
    one.kill()


def play(folder: str) -> None:
    path = f"{folder}/locked"
    with open(path, "wb") as file:
        file.write(b"x" * 100)
    whole_files(path)
    ranges(path)


if __name__ == "__main__":
    play(sys.argv[1])
