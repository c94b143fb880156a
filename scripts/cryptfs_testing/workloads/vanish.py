"""Works in a mount whose backing folder goes away: what fsync acknowledged is there later, and nothing hangs."""

import errno
import os
import signal

from . import require

# What a caller may be told: that it did not work, not that it did.
ALLOWED = {errno.EIO, errno.EACCES, errno.ENOENT, errno.ESTALE, errno.EROFS, errno.ENOTCONN}
# Seconds after which a process that waits is ended.
PATIENCE = 60


def save(folder: str, notes: str, name: str, data: bytes) -> None:
    """Makes a file durable; notes it once that is acknowledged."""
    descriptor = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    with open(notes, "a") as file:
        file.write(f"{name} {len(data)}\n")


def content(name: str, length: int) -> bytes:
    return (name.encode() * length)[:length]


def play(when: str, folder: str, notes: str) -> None:
    """`when`: before the folder is gone, where every write must succeed, or during that."""
    signal.alarm(PATIENCE)
    saved, refused = 0, set()
    for number in range(40):
        for length in (100, 50_000):
            name = f"{when}-{os.getuid()}-{number}-{length}"
            try:
                save(folder, notes, name, content(name, length))
                saved += 1
            except OSError as error:
                if error.errno not in ALLOWED or when == "before":
                    raise
                refused.add(errno.errorcode[error.errno])
    signal.alarm(0)
    print(f"  {when}: {saved} saved, refused with {sorted(refused)}", flush=True)


def check(folder: str, notes: str) -> None:
    """What was acknowledged is there."""
    signal.alarm(PATIENCE)
    with open(notes) as file:
        for line in file:
            name, length = line.split()
            with open(f"{folder}/{name}", "rb") as saved:
                require(saved.read() == content(name, int(length)), f"{name} is not as it was acknowledged")
    signal.alarm(0)
