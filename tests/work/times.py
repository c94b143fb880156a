#!/usr/bin/env python3
"""Times that were set are kept when what was written is written back later, out of the page cache.

times.py [--again] FOLDER: --again checks after a remount.
"""

import os
import sys

PAST = 1_234_567_890_123_456_789


def main(again, folder):
    if not again:
        for name, syncs in (("set", False), ("synced", True)):
            with open(f"{folder}/{name}", "wb") as file:
                file.write(b"x" * 3_000_000)
                file.flush()
                os.utime(file.fileno(), ns=(PAST, PAST))
                if syncs:
                    os.fsync(file.fileno())
        with open(f"{folder}/written", "wb") as file:
            file.write(b"x" * 3_000_000)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            file.write(b"y" * 100_000)
            file.flush()
            shown = os.fstat(file.fileno()).st_mtime_ns
        os.setxattr(f"{folder}/written", "user.mtime", str(shown).encode())
        return
    for name in ("set", "synced"):
        found = os.stat(f"{folder}/{name}")
        if (found.st_mtime_ns, found.st_atime_ns) != (PAST, PAST):
            sys.exit(f"times: {name} is of {found.st_mtime_ns}")
    found = os.stat(f"{folder}/written").st_mtime_ns
    if found != int(os.getxattr(f"{folder}/written", "user.mtime")):
        sys.exit(f"times: what was shown before the remount is {found} now")


main(sys.argv[1] == "--again", sys.argv[-1])
