"""A cryptfs volume."""

import os
import subprocess
import time
from pathlib import Path
from typing import ClassVar

from . import mounts, processes
from .command import run
from .repository import CRYPTFS
from .system import PATIENCE, System

CHEAP = ("--no-recovery", "--no-tpm2", "--iter-time", "1")


class Cryptfs(System):
    """One volume of the program `program`; another one is set for all by `Cryptfs.program = …`."""

    name = "cryptfs"
    program: ClassVar[Path | str] = CRYPTFS
    # Mount options beside the passphrase file, separated by commas.
    options: ClassVar[str] = ""

    def cryptfs(self, *arguments: str | Path) -> str:
        """Runs one of the program's commands; returns what it printed."""
        return run(self.program, *arguments, env=self.environment, timeout=PATIENCE)

    def create(self, *options: str | Path) -> None:
        """`options`: of `cryptfs init`, beside those that make a passphrase cheap."""
        self.cryptfs("init", "--passphrase-file", self.secret, *CHEAP, *options, self.backing)

    def arguments(self, *options: str) -> list[str | Path]:
        """Of `cryptfs mount`, with mount options beside those of the class."""
        every = [f"passphrase-file={self.secret}", *filter(None, [self.options]), *options]
        return [self.backing, self.mountpoint, "-o", ",".join(every)]

    def mount(self, *options: str) -> None:
        self.cryptfs("mount", *self.arguments(*options))

    def serve(self, *options: str, log: Path | None = None) -> subprocess.Popen[bytes]:
        """Mounts with the daemon as a child of ours, its standard error added to `log`; returns when it answers,
        also where a dead mount lies below.

        Raises `RuntimeError` if it ends instead; `process` then has its exit status.
        """
        with open(log or os.devnull, "ab") as errors:
            self.process = subprocess.Popen(
                [self.program, "mount", "-f", *self.arguments(*options)],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stderr=errors,
            )
        deadline = time.monotonic() + PATIENCE
        while not mounts.answers(self.mountpoint):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("cryptfs does not mount")
            time.sleep(0.005)
        return self.process

    def unmount(self) -> None:
        """Returns when the daemon has ended."""
        daemon = self.daemon()
        self.cryptfs("umount", self.mountpoint)
        if self.process:
            self.process.wait(PATIENCE)
            self.process = None
        if daemon and not processes.ends_within(daemon, PATIENCE):
            raise RuntimeError(f"the daemon {daemon} does not end after an unmount")


def variant(text: str) -> type[Cryptfs]:
    """Cryptfs with other mount options, from `NAME=OPTIONS`."""
    name, options = text.split("=", 1)
    return type(name, (Cryptfs,), {"name": f"cryptfs-{name}", "options": options})
