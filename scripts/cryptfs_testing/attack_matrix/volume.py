"""A volume under attack, and where in its backing folder things lie."""

import contextlib
import os
import random
import select
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from ..harness.processes import ends_within
from ..harness.snapshot import Snapshot
from ..harness.system import System
from .outcomes import BLOCK, NOTHING, Judge, said, worst

# Seconds that reading everything through a mount may take.
PATIENCE = 20
# Forms of one attack that are played at most.
FORMS = 8
BYSTANDER = random.Random(0).randbytes(5000)
# Changes the backing folder that it is given.
Attack = Callable[[Path], object]


def bytes_of(seed: int, blocks: int = 4) -> bytes:
    """Contents that tell themselves apart, without a block of zeros."""
    return random.Random(seed).randbytes(blocks * BLOCK)


class Place:
    """Where something lies in the backing folder: the files that came with it, and the folder if it has its own."""

    def __init__(self, before: Snapshot, after: Snapshot) -> None:
        self.files = [path for path in after.files if path not in before.files]
        self.folders = sorted(after.folders - before.folders)

    def is_tree(self, child: "Place") -> Path | None:
        """The folder of this place that everything of `child` lies in, if peers keep trees as trees."""
        inside = [folder for folder in self.folders if all(folder in file.parents for file in child.files)]
        return inside[0] if inside and child.files else None


class Volume:
    """A volume under attack."""

    def __init__(self, kind: type[System], scratch: Path) -> None:
        self.system = kind(scratch)
        self.system.create()
        self.root = self.system.backing
        self.plain = self.system.mountpoint
        self.make(lambda: (self.plain / "apart").mkdir())
        self.make(lambda: (self.plain / "apart/bystander").write_bytes(BYSTANDER))

    def session(self, act: Callable[[], object]) -> None:
        """Mounts, acts and unmounts."""
        self.system.mount()
        try:
            act()
        finally:
            self.end()

    def end(self) -> None:
        """Unmounts and waits until the daemon has ended, so that the backing folder is at rest."""
        daemon = self.system.daemon()
        if self.system.is_mounted():
            try:
                self.system.unmount()
            except (RuntimeError, subprocess.TimeoutExpired):
                self.system.force_unmount()
        if daemon and not ends_within(daemon, PATIENCE):
            with contextlib.suppress(OSError):
                os.kill(daemon, signal.SIGKILL)
            ends_within(daemon, PATIENCE)

    def make(self, act: Callable[[], object]) -> Place:
        """What came into the backing folder by something that is done in a session."""
        before = Snapshot(self.root)
        self.session(act)
        return Place(before, Snapshot(self.root))

    def file(self, path: str, content: bytes) -> Place:
        return self.make(lambda: (self.plain / path).write_bytes(content))

    def folder(self, path: str) -> Place:
        return self.make(lambda: (self.plain / path).mkdir())

    def grid(self, place: Place) -> tuple[Path, int, int]:
        """The largest file of a place, where its blocks begin and how large one is, measured by a longer file."""
        sizes = {path: len(content) for path, content in Snapshot(self.root).files.items()}
        longer = self.file("apart/longer", bytes_of(99, 8))
        after = Snapshot(self.root).files
        largest = max(place.files, key=sizes.__getitem__)
        small, large = sizes[largest], max(len(after[path]) for path in longer.files)
        block = (large - small) // 4
        if len(longer.files) != len(place.files) or block < BLOCK:
            return largest, 0, BLOCK
        return largest, small - 4 * block, block

    def outcomes(self, forms: Sequence[Attack], judge: Judge) -> str:
        """Plays each form of an attack on the volume as it is now; the worst outcome."""
        state = Snapshot(self.root)
        outcomes = ["held"]
        for form in forms[:FORMS]:
            # What a peer remembers on this device is part of the state.
            memory = self.system.folder.parent
            saved = memory / "saved"
            remembered = [memory / name for name in ("state", "cryfs") if (memory / name).exists()]
            for folder in remembered:
                shutil.copytree(folder, saved / folder.name, symlinks=True)
            form(self.root)
            outcomes.append(self.watch(judge))
            state.restore(self.root)
            for folder in remembered:
                shutil.rmtree(folder)
                shutil.move(saved / folder.name, folder)
        return worst(outcomes)

    def watch(self, judge: Judge) -> str:
        """What a mount shows now. The look is taken by a child, which can be given up."""
        try:
            self.system.mount()
        except (RuntimeError, subprocess.TimeoutExpired):
            self.end()
            return "refused"
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            os.write(writing, self.look(judge).encode())
            os._exit(0)
        os.close(writing)
        answered = select.select([reading], [], [], PATIENCE)[0]
        answer = os.read(reading, 100) if answered else b""
        os.close(reading)
        if not answered:
            self.system.force_unmount()
        os.waitpid(child, 0)
        self.end()
        return answer.decode() or "hang"

    def look(self, judge: Judge) -> str:
        outcome = said(judge, self.plain)
        try:
            unharmed = (self.plain / "apart/bystander").read_bytes() == BYSTANDER
        except OSError:
            unharmed = False
        # Some peers end when they are alarmed: the mountpoint is an empty folder then.
        ended = not self.system.is_mounted()
        return "refused" if (ended and outcome in NOTHING) or (not unharmed and outcome in NOTHING[:2]) else outcome
