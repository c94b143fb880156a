"""Where backing folders lie while they are measured: tmpfs, a filesystem in a file, or a folder that is given."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from . import mounts
from .command import CommandError, run

# By filesystem, the command that makes one without asking, and the package that has it.
MKFS: dict[str, tuple[list[str], str]] = {
    "ext4": (["mkfs.ext4", "-q", "-F"], "e2fsprogs"),
    "btrfs": (["mkfs.btrfs", "-q", "-f"], "btrfs-progs"),
    "xfs": (["mkfs.xfs", "-q", "-f"], "xfsprogs"),
}
NAMES = ("tmpfs", *MKFS)


def missing(name: str) -> str:
    """Why a place cannot be had here; empty if it can."""
    if name not in MKFS:
        return ""
    command, package = MKFS[name]
    if not shutil.which(command[0]):
        return f"{command[0]} is not installed (Debian package {package})"
    if not any(line.split()[-1] == name for line in Path("/proc/filesystems").read_text().splitlines()):
        with contextlib.suppress(CommandError, FileNotFoundError):
            run("modprobe", name)
            return ""
        return f"the kernel has no {name}"
    return ""


@contextlib.contextmanager
def place(name: str, images: Path, mebibytes: int) -> Iterator[Path]:
    """A folder on an empty filesystem of that name, or a new one in the folder `name`. `images`: a folder on a disk;
    the file there is read and written past the page cache, and a flush of the loop device is one of the disk."""
    if name not in NAMES:
        with tempfile.TemporaryDirectory(dir=name, prefix="cryptfs-place.") as folder:
            yield Path(folder)
        return
    with tempfile.TemporaryDirectory(prefix="cryptfs-place.") as work, contextlib.ExitStack() as stack:
        mountpoint = Path(work)
        if name == "tmpfs":
            run("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "none", mountpoint)
        else:
            image = (
                Path(stack.enter_context(tempfile.TemporaryDirectory(dir=images, prefix="cryptfs-place."))) / "image"
            )
            with open(image, "wb") as file:
                file.truncate(mebibytes << 20)
            run(*MKFS[name][0], image)
            device = run("losetup", "--find", "--show", "--direct-io=on", image).strip()
            stack.callback(run, "losetup", "--detach", device)
            run("mount", "-t", name, device, mountpoint)
        try:
            yield mountpoint
        finally:
            # What a system that failed left mounted, or its daemon that is still ending, keeps this busy.
            for path in mounts.below(mountpoint):
                mounts.detach(path)
            mounts.detach(mountpoint)
