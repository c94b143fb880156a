#!/usr/bin/env python3
"""Random names of 1 to 255 bytes, any but `/` and NUL: makes files of them, compares listings, deletes them.

names.py make FOLDER LIST BYTES | compare FOLDER LIST | delete FOLDER LIST. The seed is printed; CRYPTFS_SEED repeats.
"""

import os
import random
import sys

BYTES = bytes(byte for byte in range(1, 256) if byte != ord("/"))


def make(root, total):
    seed = int(os.environ.get("CRYPTFS_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"  names: CRYPTFS_SEED={seed}", flush=True)
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
    return names


def main(action, root, listing, total="0"):
    root = os.fsencode(root)
    if action == "make":
        names = make(root, int(total))
        with open(listing, "wb") as file:
            file.write(b"\0".join(sorted(names)))
        return
    with open(listing, "rb") as file:
        names = file.read().split(b"\0")
    if action == "compare":
        if sorted(os.listdir(root)) != names:
            sys.exit("names: the listing differs")
        print(f"  {len(names)} names, {sum(map(len, names))} bytes")
        for name in names[::100]:
            os.lstat(os.path.join(root, name))
    else:
        for name in names:
            os.unlink(os.path.join(root, name))


main(*sys.argv[1:])
