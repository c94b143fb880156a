"""Fills a small volume until ENOSPC; what was acknowledged must stay, and there must be room again after a deletion."""

import errno
import hashlib
import os
import shutil

from . import require


def fill(root: str) -> dict[str, str]:
    """Files of 1 MiB, each made durable, until there is no room; their digests."""
    sums = {}
    try:
        for number in range(10_000):
            data = os.urandom(1 << 20)
            fd = os.open(f"{root}/{number}", os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.write(fd, data)
                os.fsync(fd)
            finally:
                os.close(fd)
            sums[str(number)] = hashlib.sha256(data).hexdigest()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    print(f"  full after {len(sums)} MiB", flush=True)
    return sums


def check(root: str, sums: dict[str, str]) -> None:
    for name, wanted in sums.items():
        with open(f"{root}/{name}", "rb") as file:
            require(hashlib.file_digest(file, "sha256").hexdigest() == wanted, f"{name} differs")


def play(root: str) -> dict[str, str]:
    """Returns the digests of what is left in the end."""
    sums = fill(root)
    require(len(sums) >= 20, "it is full too early")
    check(root, sums)
    for name in list(sums)[:10]:
        os.unlink(f"{root}/{name}")
        del sums[name]
    folder = os.open(root, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    for name in os.listdir(root):
        if name not in sums:
            os.unlink(f"{root}/{name}")
    with open(f"{root}/new", "w") as file:
        file.writelines(f"{name} {wanted}\n" for name, wanted in sums.items())
        file.flush()
        os.fsync(file.fileno())
    check(root, sums)
    print(f"  {shutil.disk_usage(root).free >> 20} MiB free in the end", flush=True)
    return sums
