"""What a sync client is to a run, and what is the same in all of them."""

import hashlib
import os
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

# What clients keep in a folder for themselves.
FOREIGN = (".stfolder", ".stignore", ".stversions", ".syncthing.", ".unison.")
# Size, time of the last change, inode number.
Key = tuple[int, int, int]


class Client(ABC):
    """Syncs two folders. One of these is made in a run, and ended with it."""

    name: ClassVar[str]
    # Seconds between two rounds of a client that does not watch the folder.
    pause: ClassVar[float] = 0

    def __init__(self, scratch: Path, folders: tuple[Path, Path], chance: random.Random) -> None:
        self.scratch, self.folders, self.chance = scratch / "client", folders, chance
        self.scratch.mkdir()

    @abstractmethod
    def start(self) -> None:
        """Both folders hold the same."""

    @abstractmethod
    def round(self) -> None:
        """Syncs once, or waits until there is nothing to sync, as the client does it."""

    def end(self) -> None:
        """Whatever state it is in."""
        return

    def log(self) -> Path:
        return self.scratch / "log"


def is_foreign(path: Path) -> bool:
    return any(part.startswith(FOREIGN) or part.endswith((".partial", ".unison.tmp")) for part in path.parts)


def look(folder: Path) -> dict[Path, Key]:
    """The files in a folder, but for those that clients keep there."""
    found = {}
    for directory, _, names in os.walk(folder):
        for name in names:
            path = Path(directory, name)
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            if not is_foreign(path.relative_to(folder)):
                found[path.relative_to(folder)] = (status.st_size, status.st_mtime_ns, status.st_ino)
    return found


def digests(folder: Path) -> dict[Path, str]:
    found = {}
    for path in look(folder):
        with open(folder / path, "rb") as file:
            found[path] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def wait_for(what: str, seconds: float, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(f"no {what} after {seconds:g} s")
        time.sleep(0.1)
