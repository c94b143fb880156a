"""What the steps share: a volume, its mount, and the rescue program as a second opinion."""

import os
import random
import shutil
import sys
from pathlib import Path

from ..harness import mounts, privileges, processes
from ..harness.command import CommandError, run
from ..harness.cryptfs import Cryptfs
from ..harness.repository import RESCUE
from ..harness.system import PATIENCE
from ..workloads import Mismatch, tree

# Lines of a difference that are shown.
SHOWN = 20


class NeedsRoot(Exception):
    """The step cannot be taken by an ordinary user."""


class Volume(Cryptfs):
    """A volume that may be given to nobody: what is done with it then is done by an ordinary user."""

    is_nobodys = False

    def cryptfs(self, *arguments: str | Path) -> str:
        if not self.is_nobodys:
            return super().cryptfs(*arguments)
        return run(
            self.program,
            *arguments,
            env=self.environment,
            timeout=PATIENCE,
            cwd=Path("/"),
            user=privileges.USER,
            group=privileges.GROUP,
            extra_groups=[],
        )

    def give_to_nobody(self) -> None:
        """The folder, and a copy of the program, which may lie where only we come."""
        folder = self.folder.parent
        copy = folder / "bin" / "cryptfs"
        copy.parent.mkdir()
        shutil.copy(self.program, copy)
        type(self).program = copy
        self.is_nobodys = True
        folder.chmod(0o711)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, privileges.user_id(), -1, follow_symlinks=False)


class Context:
    """The folder of a run, and the volume of the step that runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.volume: Volume

    def new_volume(self, *options: str) -> Path:
        """A new volume, mounted; returns the mountpoint. `options`: of `cryptfs init`."""
        self.volume = Volume(self.folder)
        self.volume.state.mkdir(exist_ok=True)
        self.volume.create(*options)
        self.volume.mount()
        return self.volume.mountpoint

    def remount(self) -> None:
        self.volume.unmount()
        self.volume.mount()

    def kill_and_mount(self) -> None:
        """What is rescued of what a dead daemon leaves is what the next one shows."""
        self.volume.force_unmount()
        rescued = self.rescued()
        self.volume.mount()
        require_same(tree.listing(self.volume.mountpoint), rescued, "what was rescued after a kill")

    def rescued(self) -> list[str]:
        """What the rescue program, written from docs/FORMAT.md alone, gets out of the backing folder."""
        extracted = self.folder / "rescued"
        shutil.rmtree(extracted, ignore_errors=True)
        secret = ("--passphrase-file", self.volume.secret)
        try:
            run(RESCUE, *secret, self.volume.backing, "extract", extracted, env=self.volume.environment)
            return tree.listing(extracted)
        finally:
            shutil.rmtree(extracted, ignore_errors=True)

    def unmount_and_rescue(self) -> None:
        """What was shown is what is rescued."""
        shown = tree.listing(self.volume.mountpoint)
        self.volume.unmount()
        require_same(shown, self.rescued(), "what was rescued")

    def clean_up(self) -> None:
        """Removes the mounts of a step that failed, and the folder's content."""
        os.chdir("/")
        for path in mounts.below(self.folder):
            daemon = processes.find(path)
            try:
                run(Cryptfs.program, "umount", path, timeout=PATIENCE)
            except (CommandError, OSError):
                mounts.detach(path)
            if daemon and not processes.ends_within(daemon, PATIENCE):
                print(f"prove: daemon {daemon} does not end", file=sys.stderr)
        backing = self.folder / Volume.name / "backing"
        if backing.is_dir():
            backing.chmod(0o700)
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def require_same(one: list[str], other: list[str], what: str) -> None:
    """Raises `Mismatch` with the first lines that only one of two sorted lists has."""
    if one != other:
        only_one, only_other = set(one) - set(other), set(other) - set(one)
        lines = [f"- {line}" for line in sorted(only_one)] + [f"+ {line}" for line in sorted(only_other)]
        raise Mismatch("\n".join([f"{what} differs", *lines[:SHOWN]]))


def require_root() -> None:
    if os.geteuid() != 0:
        raise NeedsRoot


def seed() -> int:
    """CRYPTFS_SEED, or a random number; printed."""
    chosen = int(os.environ.get("CRYPTFS_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"  CRYPTFS_SEED={chosen}", flush=True)
    return chosen
