"""A client of our own: copies single files in any order, and puts the loser of a conflict beside the winner, named as
one of the services names them (shared/facts/sync.md)."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from .client import Client, Key, look

STYLES: list[Callable[[str, int], str]] = [
    lambda name, number: f"{name} (A's conflicted copy 2026-11-28 {number})",
    lambda name, number: f"{name}-A-{number}",
    lambda name, number: f"{name} ({number})",
    lambda name, number: f"{name}.sync-conflict-20261128-{number:06}-ABCDEFG",
    lambda name, number: f"{name}.conflict{number}",
    lambda name, number: f"{name} (conflicted copy A 2026-11-28 {number:06})",
]


class Simulated(Client):
    name: ClassVar[str] = "sim"
    pause: ClassVar[float] = 1.5

    def start(self) -> None:
        self.base: dict[Path, str] = {}
        self.known: list[dict[Path, tuple[Key, str]]] = [{}, {}]
        self.copies = 0
        self.style = self.chance.choice(STYLES)
        self.all()

    def round(self) -> None:
        """Some of the files, or all."""
        self.all() if self.chance.random() < 0.4 else self.some(self.chance.random())

    def some(self, part: float) -> None:
        paths = list({*self.base, *look(self.folders[0]), *look(self.folders[1])})
        self.chance.shuffle(paths)
        for path in paths[: round(len(paths) * part)]:
            self.sync(path)

    def all(self) -> None:
        self.some(1)

    def digest(self, side: int, path: Path) -> tuple[Key | None, str | None]:
        """What is there; nothing if it changes meanwhile."""
        whole = self.folders[side] / path
        status = whole.stat()
        key = (status.st_size, status.st_mtime_ns, status.st_ino)
        known = self.known[side].get(path)
        if known and known[0] == key:
            return known
        with open(whole, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.known[side][path] = key, digest
        return key, digest

    def state(self, side: int, path: Path) -> tuple[Key | None, str | None]:
        try:
            return self.digest(side, path)
        except FileNotFoundError:
            return None, None

    def sync(self, path: Path) -> None:
        states = [self.state(side, path) for side in (0, 1)]
        here, there, base = states[0][1], states[1][1], self.base.get(path)
        if here == there:
            self.note(path, here)
        elif here == base or there == base:
            self.copy(path, 1 if here == base else 0, states)
        elif here is None or there is None:
            # A deletion loses against a change.
            self.copy(path, 0 if here else 1, states)
        else:
            self.conflict(path, states)

    def conflict(self, path: Path, states: list[tuple[Key | None, str | None]]) -> None:
        loser = self.chance.randrange(2)
        self.copies += 1
        aside = path.with_name(self.style(path.name, self.copies))
        whole = self.folders[loser] / path
        # As clients do: the loser gets another name.
        if self.stands(loser, path, states):
            os.rename(whole, self.folders[loser] / aside)
            self.copy(path, 1 - loser, [(None, None) if side == loser else states[side] for side in (0, 1)])

    def stands(self, side: int, path: Path, states: list[tuple[Key | None, str | None]]) -> bool:
        """Whether a side is as it was looked at."""
        try:
            status = (self.folders[side] / path).stat()
        except FileNotFoundError:
            return states[side][0] is None
        return states[side][0] == (status.st_size, status.st_mtime_ns, status.st_ino)

    def copy(self, path: Path, source: int, states: list[tuple[Key | None, str | None]]) -> None:
        """Unless one of them has changed since."""
        target, digest = self.folders[1 - source] / path, states[source][1]
        if digest is None:
            if self.stands(0, path, states) and self.stands(1, path, states):
                target.unlink()
                self.note(path, None)
            return
        aside = self.scratch / "on its way"
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(self.folders[source] / path, aside)
            target.parent.mkdir(parents=True, exist_ok=True)
            if self.stands(0, path, states) and self.stands(1, path, states):
                os.rename(aside, target)
                self.note(path, digest)

    def note(self, path: Path, digest: str | None) -> None:
        if digest is None:
            self.base.pop(path, None)
        else:
            self.base[path] = digest
