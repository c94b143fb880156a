"""What a person does on one device, at random."""

import contextlib
import ctypes
import errno
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

from .ledger import Ledger
from .versions import HOLE, UNIT, Malformed, Version, parse, render, replaced, tokens, units

FOLDERS, NAMES = 4, 10
# Units of a large file: several chunk files of a volume with chunks of 1 MiB.
LARGE_UNITS = (2400, 6000)
MOST_FILES = 60
# Seconds in which another version may come between a look and a write, as on a busy machine: what is lost then was
# overwritten by the worker, and the history says so.
STALLED = 1
NO_REPLACE = 1
AT_FDCWD = -100
libc = ctypes.CDLL(None, use_errno=True)
# What a name or a file that is not there any more, or not yet, may answer with (docs/MERGING.md).
EXPECTED = {
    errno.ENOENT,
    errno.EEXIST,
    errno.ENOTEMPTY,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EINVAL,
    errno.EIO,
    errno.ESTALE,
}


class Worker:
    def __init__(self, name: str, mountpoint: Path, ledger: Ledger, seed: str, large: int) -> None:
        self.name, self.mountpoint, self.ledger, self.large = name, mountpoint, ledger, large
        self.chance = random.Random(f"{seed} {name}")
        # What had to be something else than it was, whatever other devices do.
        self.wrong: list[str] = []

    def act(self) -> None:
        """One change. What fails as it may while files are on their way is counted, anything else raised."""
        acts = {
            self.create: 22,
            self.append: 14,
            self.overwrite: 9,
            self.write_in_place: 16,
            self.save: 12,
            self.rename: 9,
            self.move_folder: 4,
            self.remove: 7,
            self.make_folder: 5,
            self.remove_folder: 2,
        }
        act = self.chance.choices(list(acts), list(acts.values()))[0]
        try:
            act()
            self.ledger.count(act.__name__)
        except OSError as error:
            if error.errno not in EXPECTED:
                raise
            self.ledger.count(f"{act.__name__}: {errno.errorcode[error.errno]}")
            self.note(f"{act.__name__} failed: {error}")

    def note(self, what: str) -> None:
        self.ledger.note(f"{self.name}: {what}")

    def walk(self) -> tuple[list[Path], list[Path]]:
        """Folders and files."""
        folders, files = [self.mountpoint], []
        for folder, below, names in os.walk(self.mountpoint):
            folders += [Path(folder, name) for name in below]
            files += [Path(folder, name) for name in names]
        return folders, files

    def some_file(self, *, is_large: bool = False) -> Path:
        files = self.walk()[1]
        large = [path for path in files if path.name.startswith("large")]
        if chosen := large if is_large and large else files:
            return self.chance.choice(chosen)
        raise FileNotFoundError(errno.ENOENT, "no file yet")

    def some_place(self) -> Path:
        return self.chance.choice(self.walk()[0]) / f"file{self.chance.randrange(NAMES)}"

    def read(self, path: Path) -> Version:
        """What it holds. A mixture may be read while another version takes its place, but none that stays."""
        for _ in range(3):
            try:
                version = parse(path.read_bytes())
            except Malformed as error:
                why = str(error)
                continue
            has_hole = any(version.startswith(HOLE, at) for at in range(0, len(version), len(HOLE)))
            if not has_hole or self.ledger.is_known(version):
                return version
            why = f"zeros that nobody left: {self.ledger.describe(version)}"
        self.wrong.append(f"{self.name}: {self.short(path)} reads as a mixture: {why}")
        raise FileNotFoundError(errno.ENOENT, "a mixture")

    def short(self, path: Path) -> str:
        return str(path.relative_to(self.mountpoint))

    @contextlib.contextmanager
    def losing(self, path: Path, *, written: int | None = None) -> Iterator[Version]:
        """What is done removes what stands there: that was read, also what came in between. `written`: what takes its
        place in the same file."""
        with open(path, "rb") as file:
            looked = time.monotonic()
            before = self.read(path)
            self.ledger.remove(tokens(before))
            yield before
            self.took_the_place(path, before, looked)
            # Where it is cut off meanwhile, or cannot be read any more, the first look has to do.
            with contextlib.suppress(OSError, Malformed):
                self.ledger.remove(tokens(parse(file.read())) - {written})

    def took_the_place(self, path: Path, before: Version, looked: float) -> None:
        """Something overwrote what was looked at then."""
        if (stalled := time.monotonic() - looked) > STALLED:
            self.ledger.stood_still(self.short(path), tokens(before))
            self.note(f"{self.short(path)}: {stalled:.1f} s between the look and what took the place")

    def finish(self, descriptor: int) -> bool:
        """Whether it was made durable."""
        if self.chance.random() < 0.75:
            os.fsync(descriptor)
            return True
        return False

    def write(self, path: Path, flags: int, token: int, data: bytes, at: int = 0, *, upon: Version = b"") -> None:
        """`upon`: what it held before."""
        descriptor = os.open(path, flags | os.O_WRONLY, 0o644)
        try:
            while data:
                written = os.pwrite(descriptor, data, at)
                data, at = data[written:], at + written
            durable = self.finish(descriptor)
        finally:
            os.close(descriptor)
        self.ledger.acknowledge(token, f"{self.name}: {self.short(path)}", durable=durable, upon=upon)
        self.note(f"{self.short(path)} {'synced' if durable else 'written'}, token {token}")

    def new(self, *, is_large: bool) -> tuple[int, Version]:
        """A token, and what a file of it holds."""
        token = self.ledger.token()
        count = self.chance.randrange(*LARGE_UNITS) if is_large else self.chance.choice((1, 2, 5, 40, 200))
        version = units(token, count)
        self.ledger.begin(version)
        return token, version

    def create(self) -> None:
        folders, files = self.walk()
        large = [path for path in files if path.name.startswith("large")]
        is_large = len(large) < self.large
        path = (
            self.chance.choice(folders) / f"large{self.chance.randrange(self.large)}" if is_large else self.some_place()
        )
        if len(files) > MOST_FILES:
            return self.remove()
        if not path.exists():
            token, version = self.new(is_large=is_large)
            self.write(path, os.O_CREAT | os.O_EXCL, token, render(version))

    def append(self) -> None:
        path = self.some_file(is_large=self.chance.random() < 0.2)
        before, token = self.read(path), self.ledger.token()
        more = units(token, self.chance.choice((1, 3, 30)))
        self.ledger.begin(before + more)
        self.write(path, os.O_APPEND, token, render(more), len(before) // 8 * UNIT, upon=before)
        self.look_again(path, before + more)

    def overwrite(self) -> None:
        path = self.some_file()
        token, version = self.new(is_large=path.name.startswith("large"))
        with self.losing(path, written=token) as before:
            self.write(path, os.O_TRUNC, token, render(version), upon=before)

    def write_in_place(self) -> None:
        path = self.some_file(is_large=self.chance.random() < 0.8)
        looked = time.monotonic()
        before, token = self.read(path), self.ledger.token()
        count = len(before) // 8
        if not count:
            return
        at = self.chance.randrange(count)
        part = units(token, min(count - at, self.chance.choice((1, 2, 8, 100))))
        after = replaced(before, at, part)
        self.ledger.begin(after)
        self.ledger.place(at, part)
        self.ledger.remove(tokens(before) - tokens(after))
        self.write(path, 0, token, render(part), at * UNIT, upon=before)
        self.took_the_place(path, before, looked)
        self.look_again(path, after)

    def look_again(self, path: Path, expected: Version) -> None:
        """Another version may have come between the look and the write: then this device made a version of that."""
        found = self.read(path)
        if found != expected:
            self.ledger.count("another version came in between")
            self.ledger.begin(found)
            self.note(
                f"{self.short(path)} was another version" + "".join(f", token {t}" for t in sorted(tokens(found)))
            )

    def save(self) -> None:
        """As editors do: a new file that takes the name of the old one."""
        path = self.some_file(is_large=self.chance.random() < 0.15)
        before, token = self.read(path), self.ledger.token()
        after = before + units(token, self.chance.choice((1, 3, 30)))
        self.ledger.begin(after)
        temporary = path.with_name(f".saved-{token}")
        self.write(temporary, os.O_CREAT | os.O_EXCL, token, render(after), upon=before)
        with open(path, "rb") as file:
            looked = time.monotonic()
            # What came since then is overwritten unread.
            with contextlib.suppress(Malformed):
                self.ledger.remove(tokens(parse(file.read())) - tokens(after))
            os.rename(temporary, path)
            self.took_the_place(path, before, looked)
            self.note(f"{self.short(path)} saved, token {token}")

    def rename(self) -> None:
        source, target = self.some_file(), self.some_place()
        if self.chance.random() < 0.15 and target.exists() and target.is_file() and target != source:
            with self.losing(target):
                os.rename(source, target)
        else:
            self.rename_to_new(source, target)
        self.note(f"{self.short(source)} renamed to {self.short(target)}")

    def rename_to_new(self, source: Path, target: Path) -> None:
        if libc.renameat2(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), NO_REPLACE):
            raise OSError(ctypes.get_errno(), f"{self.short(source)} to {self.short(target)}")

    def move_folder(self) -> None:
        folders = self.walk()[0]
        source, above = self.chance.choice(folders), self.chance.choice(folders)
        if source != self.mountpoint:
            self.rename_to_new(source, above / f"folder{self.chance.randrange(FOLDERS)}")
            self.note(f"{self.short(source)} moved into {self.short(above)}")

    def remove(self) -> None:
        self.remove_file(self.some_file())

    def remove_file(self, path: Path) -> None:
        with self.losing(path) as before:
            path.unlink()
        self.note(f"{self.short(path)} removed" + "".join(f", token {token}" for token in sorted(tokens(before))))

    def make_folder(self) -> None:
        folders = self.walk()[0]
        if len(folders) < 3 * FOLDERS:
            path = self.chance.choice(folders) / f"folder{self.chance.randrange(FOLDERS)}"
            path.mkdir()
            self.note(f"{self.short(path)} made")

    def remove_folder(self) -> None:
        """With all that is in it, as `rm -r` does."""
        folders = self.walk()[0][1:]
        if not folders:
            return
        chosen = self.chance.choice(folders)
        for folder, _, names in os.walk(chosen, topdown=False):
            for name in names:
                self.remove_file(Path(folder, name))
            os.rmdir(folder)
        self.note(f"{self.short(chosen)} removed with all that was in it")
