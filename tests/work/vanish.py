#!/usr/bin/env python3
"""Works in a mount whose backing folder goes away: what fsync acknowledged is there later, and nothing hangs.

vanish.py before|during|after FOLDER NOTES
"""

import errno
import os
import signal
import sys

# What a caller may be told: that it did not work, not that it did.
HONEST = {errno.EIO, errno.EACCES, errno.ENOENT, errno.ESTALE, errno.EROFS, errno.ENOTCONN}


def save(folder, notes, name, data):
    """Makes a file last; notes it once that is acknowledged."""
    descriptor = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    with open(notes, "a") as file:
        file.write(f"{name} {len(data)}\n")


def content(name, length):
    return (name.encode() * length)[:length]


def main(when, folder, notes):
    signal.alarm(60)
    if when == "after":
        with open(notes) as file:
            for line in file:
                name, length = line.split()
                with open(f"{folder}/{name}", "rb") as saved:
                    if saved.read() != content(name, int(length)):
                        sys.exit(f"vanish: {name} is not as it was acknowledged")
        return
    saved, refused = 0, set()
    for number in range(40):
        for length in (100, 50_000):
            name = f"{when}-{os.getuid()}-{number}-{length}"
            try:
                save(folder, notes, name, content(name, length))
                saved += 1
            except OSError as error:
                if error.errno not in HONEST or when == "before":
                    raise
                refused.add(errno.errorcode[error.errno])
    print(f"  {when}: {saved} saved, refused with {sorted(refused)}")


main(*sys.argv[1:])
