"""A file that no attack concerns: it can be written and synced, and keeps what it holds, whatever happens to others."""

import os
import random
from pathlib import Path

from ..harness.cryptfs import Cryptfs
from ..harness.snapshot import Snapshot
from . import Wrong
from .owner import ASIDE


class Bystander:
    """`files`: what is its own in the backing folder: its chunk, its directory's, the root's, and the journal."""

    def __init__(self, volume: Cryptfs) -> None:
        self.path = volume.mountpoint / ASIDE / "bystander"
        self.kept: bytes | None = None
        before = Snapshot(volume.backing).files
        volume.serve()
        self.path.parent.mkdir()
        self.path.touch()
        volume.unmount()
        after = Snapshot(volume.backing).files
        self.files: set[Path] = {path for path, content in after.items() if content != before.get(path)}
        if len([path for path in self.files if path.parts[0] in ("chunks", "journals")]) != 4:
            raise Wrong(f"the bystander lies in {self.files}")

    def check(self, chance: random.Random, attacks: list[str]) -> None:
        """It is as it was synced last, and can be written and synced."""
        try:
            found = self.path.read_bytes()
            if self.kept is not None and found != self.kept:
                raise Wrong(f"the bystander lost what was synced; {attacks}")
            self.kept = chance.randbytes(6000)
            with open(self.path, "r+b", buffering=0) as file:
                os.pwrite(file.fileno(), self.kept, 0)
                os.fsync(file.fileno())
        except OSError as error:
            raise Wrong(f"the bystander suffers: {error}; {attacks}") from error
