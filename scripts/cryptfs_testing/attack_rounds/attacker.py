"""Whoever holds the backing folder: changes it at random."""

import os
import random
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from ..harness.snapshot import Snapshot
from .insider import Insider

BLOCK = 4096


class Attacker:
    """`spared`: files that no attack may concern, by their path below the backing folder. `whim`: its choices, set for
    each round: who comes first must not change what the other one does."""

    def __init__(self, backing: Path, secret: Path, insider: Insider) -> None:
        self.backing, self.secret, self.insider = backing, secret, insider
        self.spared: set[Path] = set()
        # Earlier states of the backing folder, and the attacks made so far, in words.
        self.past: list[Snapshot] = []
        self.made: list[str] = []
        self.whim = random.Random()

    def attack(self) -> None:
        """Makes one attack; raises `OSError` where something is in the way."""
        files = sorted(path for path in self.backing.glob("[cj]*/**/*") if stat.S_ISREG(path.lstat().st_mode))
        if self.whim.random() < 0.9:
            files = [path for path in files if "journals" not in path.parts] or files
        files = [path for path in files if not self.spares(path.relative_to(self.backing))]
        if not files:
            return
        one, other = self.whim.choice(files), self.whim.choice(files)
        attack = self.whim.choice(ATTACKS)
        self.made.append(f"{attack.__name__} {one.name} {other.name}")
        attack(self, one, other)

    def spares(self, path: Path) -> bool:
        return path in self.spared

    def flip(self, one: Path, _: Path) -> None:
        with open(one, "r+b") as file:
            content = file.read(8 * BLOCK)
            if content:
                at = self.whim.randrange(len(content))
                file.seek(at)
                file.write(bytes([content[at] ^ 1 << self.whim.randrange(8)]))

    def zero(self, one: Path, _: Path) -> None:
        with open(one, "r+b") as file:
            file.seek(self.whim.randrange(8) * BLOCK)
            file.write(bytes(BLOCK))

    def swap(self, one: Path, other: Path) -> None:
        if one != other:
            held = one.with_name("held")
            one.rename(held), other.rename(one), held.rename(other)

    def cut(self, one: Path, _: Path) -> None:
        os.truncate(one, self.whim.randrange(one.stat().st_size + BLOCK))

    def append(self, one: Path, other: Path) -> None:
        with open(one, "ab") as file:
            file.write(other.read_bytes()[-BLOCK:])

    def move(self, one: Path, other: Path) -> None:
        one.replace(other)

    def copy(self, one: Path, other: Path) -> None:
        """In place: whoever holds it open sees it."""
        if one != other:
            other.write_bytes(one.read_bytes())

    def delete(self, one: Path, _: Path) -> None:
        one.unlink()

    def block(self, one: Path, other: Path) -> None:
        """A block of one in another, or in another place."""
        source = self.whim.choice([other.read_bytes(), self.version(one)])
        at, to = (self.whim.randrange(8) * BLOCK for _ in range(2))
        with open(one, "r+b") as file:
            file.seek(to)
            file.write(source[at : at + BLOCK])

    def plant(self, one: Path, _: Path) -> None:
        digits = self.whim.randbytes(16).hex()
        names = [one.name + suffix for suffix in (" (conflicted copy)", "\n", "\u202e", ".tmp", "~")] + [
            one.name.upper()
        ]
        planted = self.backing / "chunks" / digits[:2] / digits[2:]
        planted = self.whim.choice([planted, one.with_name(self.whim.choice(names))])
        planted.parent.mkdir(exist_ok=True)
        put(planted, one.read_bytes())

    def kind(self, one: Path, _: Path) -> None:
        """Something else in the place of a file."""
        one.unlink()
        kind = self.whim.randrange(4)
        if kind == 0:
            one.symlink_to(self.secret)
        elif kind == 1:
            os.mkfifo(one)
        elif kind == 2:
            one.mkdir()
        else:
            # By a short name: a socket's path has 107 bytes at most.
            with socket.socket(socket.AF_UNIX) as listener:
                os.chdir(one.parent)
                listener.bind(one.name)
                os.chdir("/")

    def link_folder(self, one: Path, _: Path) -> None:
        """A link in the place of a folder."""
        folder = one.parent
        if any(path.parent == folder.relative_to(self.backing) for path in self.spared):
            return
        if folder.name != "journals" and not folder.is_symlink():
            away = self.backing.with_name("away") / str(self.whim.getrandbits(64))
            away.parent.mkdir(exist_ok=True)
            folder.rename(away)
            folder.symlink_to(away)

    def old(self, one: Path, _: Path) -> None:
        """An older version of one file, in place or as a new one."""
        content = self.version(one)
        if self.whim.random() < 0.5:
            one.unlink()
        one.write_bytes(content)

    def back(self, _: Path, __: Path) -> None:
        """A file that was there once."""
        past = self.whim.choice(self.past)
        path = self.whim.choice(sorted(past.files))
        if path.parts[0] in ("chunks", "journals") and not self.spares(path):
            (self.backing / path).parent.mkdir(exist_ok=True)
            put(self.backing / path, past.files[path])

    def forge(self, _: Path, __: Path) -> None:
        """What a former member has of old keys, slots and lists, and files that they wrote with these."""
        path, content = self.insider.files(self.whim)
        if path.parts[0] == "keys" and (self.backing / path).exists():
            # Spoiling the owner's own files is for those who want it not to open.
            return
        if not self.spares(path):
            (self.backing / path).parent.mkdir(exist_ok=True)
            put(self.backing / path, content)

    def all(self, _: Path, __: Path) -> None:
        if self.whim.random() < 0.2:
            self.whim.choice(self.past).restore(self.backing, self.spared)

    def version(self, path: Path) -> bytes:
        """What a file was once, or is."""
        relative = path.relative_to(self.backing)
        return self.whim.choice(
            [past.files[relative] for past in self.past if past.files.get(relative)] or [path.read_bytes()]
        )


def put(path: Path, content: bytes) -> None:
    """A new file in the place of whatever is there: not through a link, nor into a pipe."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
    path.write_bytes(content)


ATTACKS: tuple[Callable[[Attacker, Path, Path], None], ...] = (
    Attacker.flip,
    Attacker.zero,
    Attacker.swap,
    Attacker.cut,
    Attacker.append,
    Attacker.move,
    Attacker.copy,
    Attacker.delete,
    Attacker.block,
    Attacker.plant,
    Attacker.kind,
    Attacker.link_folder,
    Attacker.old,
    Attacker.back,
    Attacker.forge,
    Attacker.all,
)
