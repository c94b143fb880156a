"""Random operations on two files of a mounted volume, each compared with a model in memory.

Reads, writes (also O_DIRECT, O_APPEND and through mmap), truncation, punched holes, zeroed ranges, fallocate,
copy_file_range, SEEK_DATA and SEEK_HOLE, fsync, and now and then a remount, or the daemon killed right after an fsync
and mounted again, after which everything must be as the model says.
"""

import ctypes
import mmap
import os
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass

from . import Mismatch

libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
PAGE = 4096
TRACE = 40


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    if libc.fallocate(fd, mode, offset, length):
        raise OSError(ctypes.get_errno(), "fallocate")


@dataclass
class Options:
    """`remount` and `kill` mount the volume anew, after an honest unmount and after a kill."""

    folder: str
    remount: Callable[[], None]
    kill: Callable[[], None]
    operations: int = 100_000
    # Operations between remounts.
    every: int = 2_000
    # The largest size of a file, and the volume's chunk size, for the borders; in bytes.
    size: int = 5 << 20
    chunk: int = 1 << 20


class File:
    """One file and what it should hold."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.model = bytearray()
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)

    def reopen(self) -> None:
        self.fd = os.open(self.path, os.O_RDWR)

    def expect(self, offset: int, length: int, found: bytes, what: str) -> None:
        wanted = self.model[offset : offset + length]
        if found != wanted:
            at = next((i for i, (a, b) in enumerate(zip(found, wanted)) if a != b), min(len(found), len(wanted)))
            raise Mismatch(
                f"{what} {self.path} {offset}+{length}: differs at {offset + at} of size {len(self.model)}; "
                f"{len(found)} bytes instead of {len(wanted)}: {bytes(found[at : at + 16]).hex()} "
                f"instead of {bytes(wanted[at : at + 16]).hex()}"
            )

    def check_all(self, what: str) -> None:
        if os.fstat(self.fd).st_size != len(self.model):
            raise Mismatch(f"{what} {self.path}: size {os.fstat(self.fd).st_size}, not {len(self.model)}")
        self.expect(0, len(self.model), os.pread(self.fd, len(self.model) + 1, 0), what)

    def put(self, offset: int, data: bytes) -> None:
        if offset > len(self.model):
            self.model.extend(bytes(offset - len(self.model)))
        self.model[offset : offset + len(data)] = data

    def resize(self, size: int) -> None:
        del self.model[size:]
        self.model.extend(bytes(size - len(self.model)))


class Exerciser:
    def __init__(self, options: Options, rng: random.Random) -> None:
        self.options, self.rng = options, rng
        self.files = [File(os.path.join(options.folder, name)) for name in ("a", "b")]
        self.trace: list[tuple[object, ...]] = []
        self.counts: dict[str, int] = {}
        self.actions = {
            "read": 20,
            "write": 22,
            "append": 3,
            "direct_read": 4,
            "direct_write": 4,
            "mmap_read": 8,
            "mmap_write": 10,
            "truncate": 6,
            "punch": 5,
            "zero": 5,
            "reserve": 2,
            "copy": 6,
            "seek": 4,
            "fsync": 2,
        }

    def range(self, aligned: bool = False) -> tuple[int, int]:
        limit = self.options.size
        length = min(int(2 ** self.rng.uniform(0, 18)), limit // 2)
        size = len(self.file.model)
        reach = min(limit, size + (self.rng.random() < 0.2) * (limit - size))
        offset = self.rng.randrange(max(1, reach))
        if self.rng.random() < 0.3:
            border = self.rng.choice([PAGE, self.options.chunk])
            offset = max(0, offset // border * border - self.rng.choice([0, 0, 1, length // 2]))
        if aligned:
            offset, length = offset // PAGE * PAGE, -(-length // PAGE) * PAGE
        return offset, min(length, limit - offset)

    def data(self, length: int) -> bytes:
        return self.rng.randbytes(length) if self.rng.random() < 0.9 else bytes(length)

    def read(self) -> None:
        offset, length = self.range()
        self.note(offset, length)
        self.file.expect(offset, length, os.pread(self.file.fd, length, offset), "read")

    def write(self) -> None:
        offset, length = self.range()
        self.note(offset, length)
        data = self.data(length)
        if os.pwrite(self.file.fd, data, offset) != length:
            raise Mismatch("short write")
        self.file.put(offset, data)

    def append(self) -> None:
        length = min(self.range()[1], self.options.size - len(self.file.model))
        self.note(len(self.file.model), length)
        data = self.data(length)
        fd = os.open(self.file.path, os.O_WRONLY | os.O_APPEND)
        os.write(fd, data)
        os.close(fd)
        self.file.put(len(self.file.model), data)

    def direct_read(self) -> None:
        offset, length = self.range(aligned=True)
        if length == 0:
            return
        self.note(offset, length)
        fd = os.open(self.file.path, os.O_RDONLY | os.O_DIRECT)
        buffer = mmap.mmap(-1, length)
        count = os.preadv(fd, [buffer], offset)
        os.close(fd)
        self.file.expect(offset, length, buffer[:count], "direct read")

    def direct_write(self) -> None:
        offset, length = self.range(aligned=True)
        if length == 0 or length % PAGE:
            return
        self.note(offset, length)
        fd = os.open(self.file.path, os.O_WRONLY | os.O_DIRECT)
        buffer = mmap.mmap(-1, length)
        buffer[:] = data = self.data(length)
        if os.pwritev(fd, [buffer], offset) != length:
            raise Mismatch("short direct write")
        os.close(fd)
        self.file.put(offset, data)

    def mapped(self) -> tuple[int, int, int, mmap.mmap] | None:
        offset, length = self.range()
        length = min(length, len(self.file.model) - offset)
        if length <= 0:
            return None
        self.note(offset, length)
        start = offset // PAGE * PAGE
        return offset, length, start, mmap.mmap(self.file.fd, offset + length - start, offset=start)

    def mmap_read(self) -> None:
        if (found := self.mapped()) is not None:
            offset, length, start, mapping = found
            self.file.expect(offset, length, mapping[offset - start : offset - start + length], "mmap read")
            mapping.close()

    def mmap_write(self) -> None:
        if (found := self.mapped()) is not None:
            offset, length, start, mapping = found
            mapping[offset - start : offset - start + length] = data = self.data(length)
            if self.rng.random() < 0.2:
                mapping.flush()
            mapping.close()
            self.file.put(offset, data)

    def truncate(self) -> None:
        size = self.range()[0]
        self.note(size, 0)
        os.ftruncate(self.file.fd, size)
        self.file.resize(size)

    def punch(self) -> None:
        offset, length = self.range()
        if length == 0:
            return
        self.note(offset, length)
        fallocate(self.file.fd, PUNCH_HOLE | KEEP_SIZE, offset, length)
        end = min(offset + length, len(self.file.model))
        if offset < end:
            self.file.put(offset, bytes(end - offset))

    def zero(self) -> None:
        offset, length = self.range()
        if length == 0:
            return
        keep = self.rng.random() < 0.5
        self.note(offset, length)
        fallocate(self.file.fd, ZERO_RANGE | (KEEP_SIZE if keep else 0), offset, length)
        end = min(offset + length, len(self.file.model)) if keep else offset + length
        if offset < end:
            self.file.put(offset, bytes(end - offset))

    def reserve(self) -> None:
        offset, length = self.range()
        if length == 0:
            return
        self.note(offset, length)
        # No space is set aside: the C library writes zeros instead.
        os.posix_fallocate(self.file.fd, offset, length)
        self.file.resize(max(len(self.file.model), offset + length))

    def copy(self) -> None:
        source, target = self.file, self.rng.choice(self.files)
        offset, length = self.range()
        to = self.range()[0]
        length = min(length, self.options.size - to)
        if source is target and abs(to - offset) < length:
            return
        self.note(offset, length, to, target.path)
        wanted = bytes(source.model[offset : offset + length])
        done = 0
        while done < len(wanted):
            count = os.copy_file_range(source.fd, target.fd, len(wanted) - done, offset + done, to + done)
            if count == 0:
                raise Mismatch("copy_file_range stopped early")
            done += count
        if wanted:
            target.put(to, wanted)

    def seek(self) -> None:
        """What a hole covers must be zeros in the model; data and holes must alternate."""
        offset, _ = self.range()
        size = len(self.file.model)
        if offset >= size:
            return
        self.note(offset, 0)
        hole = os.lseek(self.file.fd, offset, os.SEEK_HOLE)
        try:
            data = os.lseek(self.file.fd, offset, os.SEEK_DATA)
        except OSError:
            data = size
        if not offset <= hole <= size or not offset <= data <= size or (hole > offset) == (data > offset):
            raise Mismatch(f"seek {self.file.path} {offset}: data at {data}, hole at {hole} of {size}")
        if any(self.file.model[offset:data]):
            raise Mismatch(f"seek {self.file.path}: {offset}..{data} is called a hole and is none")

    def fsync(self) -> None:
        self.note(0, 0)
        self.rng.choice([os.fsync, os.fdatasync])(self.file.fd)

    def note(self, *what: object) -> None:
        self.trace.append((self.step, self.name, self.file.path, *what))
        del self.trace[:-TRACE]
        self.counts[self.name] = self.counts.get(self.name, 0) + 1

    def again(self, name: str, mount_anew: Callable[[], None]) -> None:
        """Mounts anew, and compares all."""
        self.trace.append((self.step, name))
        self.counts[name] = self.counts.get(name, 0) + 1
        for file in self.files:
            if name == "kill":
                os.fsync(file.fd)
            os.close(file.fd)
        mount_anew()
        for file in self.files:
            file.reopen()
            file.check_all("after " + name)

    def run(self) -> None:
        names, weights = list(self.actions), list(self.actions.values())
        for step in range(self.options.operations):
            self.step = step
            self.file = self.rng.choice(self.files)
            self.name = self.rng.choices(names, weights)[0]
            getattr(self, self.name)()
            if self.step % self.options.every == self.options.every - 1:
                for file in self.files:
                    file.check_all("whole")
                which = self.rng.choice(["remount", "kill"])
                self.again(which, getattr(self.options, which))


def play(options: Options, seed: int) -> None:
    """Raises `Mismatch` after printing the last operations."""
    exerciser = Exerciser(options, random.Random(seed))
    try:
        exerciser.run()
    except (Mismatch, OSError) as error:
        for line in exerciser.trace:
            print(*line, file=sys.stderr)
        raise Mismatch(f"fsx: step {exerciser.step}, {exerciser.name}: {error}") from error
    finally:
        for file in exerciser.files:
            os.close(file.fd)
    print("fsx:", *(f"{count} {name}" for name, count in sorted(exerciser.counts.items())), flush=True)
