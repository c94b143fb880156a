"""What telldir, seekdir and rewinddir promise, in a directory that changes while it is read: what is there all along is
shown once, a position leads back to where it was told, and from the start all is shown as it is now.

    python3 -m cryptfs_testing.workloads.positions FOLDER [BITS]

BITS: how large positions may be.
"""

import collections
import ctypes
import os
import sys
from collections.abc import Iterable, Iterator

from . import require as check

STAYING, GOING = 4000, 1000
libc = ctypes.CDLL(None, use_errno=True)
libc.opendir.restype, libc.opendir.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
libc.readdir.restype, libc.readdir.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
libc.telldir.restype, libc.telldir.argtypes = ctypes.c_long, [ctypes.c_void_p]
libc.seekdir.restype, libc.seekdir.argtypes = None, [ctypes.c_void_p, ctypes.c_long]
libc.rewinddir.restype, libc.rewinddir.argtypes = None, [ctypes.c_void_p]
libc.closedir.argtypes = [ctypes.c_void_p]
# Of d_name in a struct dirent of 64 bits.
NAME_OFFSET = 19


def read(stream: int, limit: int = sys.maxsize) -> Iterator[str]:
    """The names from here on."""
    while limit:
        entry = libc.readdir(stream)
        if not entry:
            return
        limit -= 1
        yield os.fsdecode(ctypes.string_at(entry + NAME_OFFSET))


def staying(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith("stays")]


def play(top: str, bits: int = 63) -> None:
    folder = f"{top}/positions"
    os.mkdir(folder)
    for number in range(STAYING):
        os.mknod(f"{folder}/stays-{number}")
        if number < GOING:
            os.mknod(f"{folder}/goes-{number}")
    going = collections.deque(range(GOING))
    stream = libc.opendir(os.fsencode(folder))
    seen: list[str] = []
    told: list[tuple[int, int]] = []
    # A listing that goes in circles is to end too.
    for turn, name in enumerate(read(stream, 3 * STAYING)):
        seen.append(name)
        if turn % 5 == 0:
            told.append((libc.telldir(stream), len(seen)))
            check(told[-1][0] >> bits == 0, f"position {told[-1][0]} has more than {bits} bits")
        elif turn % 5 == 1 and going:
            # In turns one that was shown or is soon, and one far behind.
            os.unlink(f"{folder}/goes-{going.popleft() if turn % 2 else going.pop()}")
        elif turn % 5 == 2:
            os.mknod(f"{folder}/comes-{turn}")
    check(len(seen) == len(set(seen)), "a name was shown twice")
    check(len(staying(seen)) == STAYING, f"{len(staying(seen))} of {STAYING} that stay were shown")

    for turn, (position, count) in enumerate(reversed(told[::7])):
        os.mknod(f"{folder}/more-{turn}")
        if turn % 2:
            os.unlink(f"{folder}/more-{turn - 1}")
        libc.seekdir(stream, position)
        # What is left of those that stay, in the same order. Others come and go between them.
        found, expected = staying(read(stream, 500)), staying(seen[count:])
        check(found == expected[: len(found)], f"position {position} leads elsewhere")
        check(len(found) > 50 or len(found) == len(expected), f"behind position {position} names are missing")

    libc.rewinddir(stream)
    found = sorted(read(stream, 3 * STAYING))
    check(found == sorted([".", "..", *os.listdir(folder)]), "from the start not all is shown as it is now")
    check("more-1" in found and "more-0" not in found and "goes-0" not in found, "what was shown is old")
    libc.closedir(stream)


if __name__ == "__main__":
    play(sys.argv[1], *map(int, sys.argv[2:]))
