"""The owner of the volume: works in the mount, and holds what it shows against what was ever there."""

import errno
import os
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from . import Wrong
from .elsewhere import ELSEWHERE
from .history import BLOCK, History

FOLDERS = ["", "x", "y", "x/z"]
# The bystander's folder.
ASIDE = "aside"
NAMES = ["a", "b", "c", "d", "a rather long name of a file \u00e9"]
SIZES = [0, 50, 3000, 4096, 9000, 60_000, 1_500_000, 2_300_000]
# How a name goes on that was taken.
CONFLICT = re.compile(r" \(conflict \d{4}-\d\d-\d\d \d{6} [0-9a-f]{4}\)$")
# What an application may be told; anything else is a mistake of the filesystem.
ALLOWED = {
    errno.EIO,
    errno.ENOENT,
    errno.EEXIST,
    errno.ENOTEMPTY,
    errno.ESTALE,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
}


class Owner:
    """`elsewhere`: the files that another device left, by name. They are read, and nothing is done to them. `adopts`:
    whether the volume has said that it gave names in the root to what was in a folder that is gone."""

    def __init__(
        self,
        plain: Path,
        chance: random.Random,
        tally: Counter[str],
        elsewhere: dict[str, History],
        adopts: Callable[[], bool],
    ) -> None:
        self.plain, self.chance, self.tally, self.elsewhere, self.adopts = plain, chance, tally, elsewhere, adopts
        self.forget()

    def forget(self) -> None:
        """For a volume that begins anew: nothing was ever there but the bystander and what another device left."""
        # Every file that a name ever stood for, the newest last; and the names that a folder ever had.
        self.files: dict[tuple[str, str], list[History]] = {
            (ELSEWHERE, name): [file] for name, file in self.elsewhere.items()
        }
        self.names: dict[str, set[str]] = {folder: set() for folder in FOLDERS}
        self.names[""] |= {ASIDE, ELSEWHERE}
        self.names[ELSEWHERE] = set(self.elsewhere)

    def make_folders(self) -> None:
        for folder in FOLDERS[1:]:
            (self.plain / folder).mkdir()
            parent, _, name = folder.rpartition("/")
            self.names[parent].add(name)

    def pick(self) -> tuple[str, str, Path]:
        folder, name = self.chance.choice(FOLDERS), self.chance.choice(NAMES)
        return folder, name, self.plain / folder / name

    def expected(self, folder: str, name: str) -> list[History]:
        return self.files.setdefault((folder, name), [])

    def work(self) -> None:
        """Something an owner does; what cannot be done on a damaged volume is not."""
        act = self.chance.choice([self.write, self.write, self.replace, self.cut, self.rename, self.remove, self.sync])
        try:
            act()
        except OSError as error:
            if error.errno not in ALLOWED:
                raise
            self.tally[errno.errorcode[error.errno]] += 1

    def current(self, folder: str, name: str, path: Path) -> History | None:
        """The file that has the name now, if it is as the model has it."""
        if not path.exists():
            return None
        found = path.read_bytes()
        return next((file for file in reversed(self.expected(folder, name)) if file.content == found), None)

    def replace(self) -> None:
        """A new file of any size, or a new content for the one there is."""
        folder, name, path = self.pick()
        content = self.chance.randbytes(self.chance.choice(SIZES))
        exists = path.exists()
        file = self.current(folder, name, path) if exists else History()
        if not file:
            return
        self.names[folder].add(name)
        if not exists:
            self.expected(folder, name).append(file)
        file.becomes(b"")
        file.becomes(content)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            os.write(descriptor, content)
        finally:
            os.close(descriptor)

    def write(self) -> None:
        """Some bytes within a file, or at its end."""
        folder, name, path = self.pick()
        file = self.current(folder, name, path)
        if not file:
            return
        at = self.chance.randrange(len(file.content) + 1)
        data = self.chance.randbytes(self.chance.choice([1, 100, 5000, 300_000]))
        if at // BLOCK != (at + len(data)) // BLOCK:
            # Block by block, as each is a state.
            at -= at % BLOCK
        file.becomes(file.content[:at] + data + file.content[at + len(data) :])
        with open(path, "r+b", buffering=0) as plain:
            os.pwrite(plain.fileno(), data, at)

    def cut(self) -> None:
        """Shorter, or longer with zeros."""
        folder, name, path = self.pick()
        file = self.current(folder, name, path)
        if not file:
            return
        size = self.chance.randrange(len(file.content) + 10_000)
        file.becomes(file.content[:size].ljust(size, b"\0"))
        os.truncate(path, size)

    def rename(self) -> None:
        folder, name, path = self.pick()
        to_folder, to_name, to = self.pick()
        if path.exists():
            self.names[to_folder].add(to_name)
            self.expected(to_folder, to_name).extend(self.expected(folder, name))
            path.rename(to)

    def remove(self) -> None:
        self.pick()[2].unlink()

    def sync(self) -> None:
        descriptor = os.open(self.pick()[2], os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def check(self, folder: str, name: str, honest: bool = False) -> None:
        """Reads a file past the page cache. `honest`: nobody attacked, so it must be readable."""
        try:
            descriptor = os.open(self.plain / folder / name, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                with open(descriptor, "rb", closefd=False) as file:
                    found = file.read()
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno not in ALLOWED or honest:
                raise
            self.tally["reads refused"] += error.errno == errno.EIO
            return
        self.tally["reads"] += 1
        known = self.expected(folder, name)
        if folder == "" and self.is_adopted(name):
            own = CONFLICT.sub("", name)
            known = [*known, *(file for home in FOLDERS[1:] for file in self.expected(home, own))]
        if not any(file.held(found) for file in known):
            what = "; ".join(file.describe(found) for file in known)
            raise Wrong(f"{folder}/{name} holds {len(found)} bytes that never were in it: {what}")

    def check_elsewhere(self) -> None:
        self.check(ELSEWHERE, self.chance.choice(list(self.elsewhere)))

    def is_adopted(self, name: str) -> bool:
        """Whether the root may have it out of a folder that is gone, of which only a journal had something; under
        another name if that was taken."""
        own = CONFLICT.sub("", name)
        is_taken = own == name or own in self.names[""]
        return self.adopts() and is_taken and any(own in self.names[folder] for folder in FOLDERS[1:])

    def check_all(self, honest: bool = False) -> None:
        for folder in self.names:
            try:
                names = os.listdir(self.plain / folder)
            except OSError as error:
                if error.errno not in ALLOWED or honest:
                    raise
                self.tally["listings refused"] += 1
                continue
            for name in names:
                if name not in self.names[folder] and not (folder == "" and self.is_adopted(name)):
                    raise Wrong(f"{folder} shows {name}, which never was there")
                if f"{folder}/{name}".strip("/") not in [*self.names, ASIDE]:
                    self.check(folder, name, honest)
