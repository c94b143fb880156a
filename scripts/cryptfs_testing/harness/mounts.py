"""The table of mounts."""

import errno
import os
import subprocess
from pathlib import Path

# What calls to a mount say whose daemon is gone, or ends just now.
GONE = (errno.ENOTCONN, errno.ECONNABORTED, errno.ECANCELED)


def is_mounted(mountpoint: Path, kind: str = "") -> bool:
    """Whether something is mounted there, of a type that begins with `kind`. Unlike mountpoint(1) this also works where
    another user's mount does not let us in."""
    return f" {mountpoint} {kind}" in Path("/proc/self/mounts").read_text()


def answers(mountpoint: Path) -> bool:
    """Whether a live cryptfs is mounted there: a dead one is in the table too, and fails."""
    try:
        os.statvfs(mountpoint)
    except OSError as error:
        if error.errno in GONE:
            return False
    return is_mounted(mountpoint, "fuse.cryptfs")


def detach(mountpoint: Path) -> None:
    """Removes every mount there, dead or in use."""
    while is_mounted(mountpoint):
        subprocess.run(["umount", "-l", mountpoint], check=True)


def below(folder: Path) -> list[Path]:
    """Mountpoints in a folder, the last one mounted first."""
    mounted = [Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [path for path in reversed(mounted) if path != folder and path.is_relative_to(folder)]


def drop_caches(kinds: int = 3) -> None:
    """Writes everything out, and has the kernel forget pages (1), names and inodes (2) or both (3)."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text(str(kinds))
