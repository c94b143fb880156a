"""Random names of 1 to 255 bytes, any but `/` and NUL: files are made of them, listed and deleted."""

import os
import random

from . import require

BYTES = bytes(byte for byte in range(1, 256) if byte != ord("/"))


def create(root: bytes, total: int, seed: int) -> list[bytes]:
    """Files with names of `total` bytes together; returns the names, sorted."""
    rng = random.Random(seed)
    names = {b"\xff" * 255, b"a" * 255, b"...", b" ", b"\n", b"-"}
    size = sum(map(len, names))
    while size < total:
        name = bytes(rng.choices(BYTES, k=rng.randint(1, 255)))
        if name not in names and name not in (b".", b".."):
            names.add(name)
            size += len(name)
    for name in names:
        os.mknod(os.path.join(root, name), 0o600)
    return sorted(names)


def compare(root: bytes, names: list[bytes]) -> None:
    require(sorted(os.listdir(root)) == names, "the listing differs")
    print(f"  {len(names)} names, {sum(map(len, names))} bytes", flush=True)
    for name in names[::100]:
        os.lstat(os.path.join(root, name))


def delete(root: bytes, names: list[bytes]) -> None:
    for name in names:
        os.unlink(os.path.join(root, name))
    require(not os.listdir(root), "names are left")
