"""Times that were set are kept when what was written is written back later, out of the page cache."""

import os

from . import require

PAST = 1_234_567_890_123_456_789


def play(folder: str) -> None:
    """Sets times of files whose content the kernel may still hold."""
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


def check_again(folder: str) -> None:
    """After a remount."""
    for name in ("set", "synced"):
        found = os.stat(f"{folder}/{name}")
        require((found.st_mtime_ns, found.st_atime_ns) == (PAST, PAST), f"{name} is of {found.st_mtime_ns}")
    shown, found_now = int(os.getxattr(f"{folder}/written", "user.mtime")), os.stat(f"{folder}/written").st_mtime_ns
    require(shown == found_now, f"the mtime was {shown} before the remount and is {found_now} now")
