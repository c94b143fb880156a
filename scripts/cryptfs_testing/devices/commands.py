"""Clients that are a command, run from time to time: rclone bisync and Unison."""

import os
import subprocess
from pathlib import Path
from typing import ClassVar

from ..harness.repository import ROOT
from .client import Client

# Where scripts/setup --clients puts a newer one than Debian's, whose bisync cannot recover.
RCLONE = ROOT / "target" / "python" / "bin" / "rclone"
PATIENCE = 300


class Command(Client):
    def run(self, *command: str | Path, allowed: tuple[int, ...] = (0,), **environment: str) -> int:
        """Returns its exit status. What it printed is in the log."""
        with open(self.log(), "ab") as log:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
                timeout=PATIENCE,
                env={**os.environ, "HOME": str(self.scratch), **environment},
            )
        if done.returncode not in allowed:
            raise RuntimeError(f"{self.name} ended with {done.returncode}; see {self.log()}")
        return done.returncode


class Bisync(Command):
    name: ClassVar[str] = "bisync"
    pause: ClassVar[float] = 3

    def start(self) -> None:
        # Both versions are renamed, or the older one.
        self.resolve = self.chance.choice(("none", "newer"))
        print(f"--conflict-resolve {self.resolve}", flush=True)
        self.bisync("--resync")

    def bisync(self, *more: str, allowed: tuple[int, ...] = (0,)) -> int:
        settings = ["--config", "", "--workdir", str(self.scratch / "work"), "--resilient", "--recover"]
        settings += ["--create-empty-src-dirs", "--conflict-resolve", self.resolve, "--max-lock", "2m", "--force", "-v"]
        return self.run(RCLONE, "bisync", *self.folders, *settings, *more, allowed=allowed)

    def round(self) -> None:
        # 1: it came upon files that changed meanwhile, and goes on next time; 7: it wants to be told to begin anew.
        if self.bisync(allowed=(0, 1, 7)) == 7:
            self.bisync("--resync", "--resync-mode", "newer", allowed=(0, 1, 7))


class Unison(Command):
    name: ClassVar[str] = "unison"
    pause: ClassVar[float] = 3

    def start(self) -> None:
        self.round()

    def round(self) -> None:
        settings = ["-batch", "-ui", "text", "-times", "-perms", "-1", "-prefer", "newer", "-copyonconflict"]
        settings += ["-fastcheck", "false", "-confirmbigdel=false", "-ignorelocks"]
        # 1: something was skipped, as it changed meanwhile.
        self.run("unison", *self.folders, *settings, allowed=(0, 1, 2), UNISON=str(self.scratch))
