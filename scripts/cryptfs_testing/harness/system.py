"""A filesystem under test: what cryptfs and its peers have in common."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from . import mounts, processes
from .command import run

PASSPHRASE = b"only for measuring"
# Seconds that mounting or unmounting may take.
PATIENCE = 60


class System(ABC):
    """A backing folder and its mountpoint below `scratch/NAME`, mounted and unmounted any number of times."""

    name: ClassVar[str]
    # The program without which it cannot be tested; empty where there is nothing to install.
    program: ClassVar[Path | str] = ""

    def __init__(self, scratch: Path) -> None:
        self.folder = scratch / self.name
        self.backing, self.mountpoint = self.folder / "backing", self.folder / "mount"
        self.secret, self.state = self.folder / "passphrase", scratch / "state"
        self.process: subprocess.Popen[bytes] | None = None
        for folder in (self.backing, self.mountpoint):
            folder.mkdir(parents=True)
        self.secret.touch(0o600)
        self.secret.write_bytes(PASSPHRASE)
        self.environment = {
            **os.environ,
            "XDG_STATE_HOME": str(self.state),
            "CRYFS_LOCAL_STATE_DIR": str(scratch / "cryfs"),
            "CRYFS_FRONTEND": "noninteractive",
            "CRYFS_NO_UPDATE_CHECK": "true",
        }

    @abstractmethod
    def create(self) -> None:
        """Makes the volume in the empty backing folder."""

    @abstractmethod
    def mount(self) -> None:
        """Mounts it; returns when it answers."""

    def unmount(self) -> None:
        run("fusermount3", "-u", self.mountpoint, timeout=PATIENCE)
        self.wait_until_mounted(False)

    def is_mounted(self) -> bool:
        return mounts.is_mounted(self.mountpoint)

    def wait_until_mounted(self, mounted: bool = True, patience: float = PATIENCE) -> None:
        """Waits until the mount is there, or gone. Raises `RuntimeError` if that takes too long or the daemon ends."""
        deadline = time.monotonic() + patience
        while self.is_mounted() != mounted:
            ended = mounted and self.process is not None and self.process.poll() is not None
            if time.monotonic() > deadline or ended:
                raise RuntimeError(f"{self.name} does not {'mount' if mounted else 'unmount'}")
            time.sleep(0.005)

    def remount(self) -> None:
        """Mounts anew, with cold caches."""
        self.unmount()
        mounts.drop_caches()
        self.mount()

    def daemon(self) -> int | None:
        """The process that serves the mount, if there is one."""
        if self.process and self.process.poll() is None:
            return self.process.pid
        return processes.find(self.mountpoint)

    def force_unmount(self) -> None:
        """Kills the daemon and removes the mount, whatever state they are in."""
        if daemon := self.daemon():
            with contextlib.suppress(OSError):
                os.kill(daemon, signal.SIGKILL)
            processes.ends_within(daemon, PATIENCE)
        if self.process:
            self.process.wait()
            self.process = None
        mounts.detach(self.mountpoint)


def is_installed(kind: type[System]) -> bool:
    """Whether the program that a system needs is there."""
    return not kind.program or shutil.which(kind.program) is not None
