"""The attacks, one function a row of docs/testing-attacks.md; the first line of each is what the table calls it."""

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from ..harness.snapshot import Snapshot
from .outcomes import reads, worst_of
from .volume import Attack, Place, Volume, bytes_of


def pairs(one: Place, other: Place) -> Iterable[tuple[Path, Path]]:
    """Files of two places that stand for the same part of each: by their number, and by their ending."""
    return zip(sorted(one.files, key=lambda path: path.suffix), sorted(other.files, key=lambda path: path.suffix))


def swap(one: Place, other: Place) -> Attack:
    def attack(root: Path) -> None:
        for a, b in pairs(one, other):
            in_a, in_b = (root / a).read_bytes(), (root / b).read_bytes()
            (root / a).write_bytes(in_b)
            (root / b).write_bytes(in_a)

    return attack


def row_04(volume: Volume) -> str:
    """two files of one directory change places"""
    one, other = volume.file("a", bytes_of(1, 2)), volume.file("b", bytes_of(2, 2))
    judge = worst_of(reads("a", bytes_of(1, 2)), reads("b", bytes_of(2, 2)))
    return volume.outcomes([swap(one, other)], judge)


def row_05(volume: Volume) -> str:
    """two files of two directories change places"""
    volume.folder("x")
    volume.folder("y")
    one, other = volume.file("x/a", bytes_of(1, 2)), volume.file("y/b", bytes_of(2, 2))
    judge = worst_of(reads("x/a", bytes_of(1, 2)), reads("y/b", bytes_of(2, 2)))
    return volume.outcomes([swap(one, other)], judge)


def row_06(volume: Volume) -> str:
    """directory x gets the contents of y"""
    x, y = volume.folder("x"), volume.folder("y")
    in_x, in_y = volume.file("x/one", bytes_of(1, 1)), volume.file("y/two", bytes_of(2, 1))

    def attack(root: Path) -> None:
        tree, other = x.is_tree(in_x), y.is_tree(in_y)
        if tree and other:
            shutil.rmtree(root / tree)
            shutil.copytree(root / other, root / tree)
        else:
            for a, b in pairs(x, y):
                shutil.copyfile(root / b, root / a)

    def judge(plain: Path) -> str:
        names = os.listdir(plain / "x")
        if not names:
            return "empty"
        if names != ["one"]:
            return "wrong"
        return reads("x/one", bytes_of(1, 1))(plain)

    return volume.outcomes([attack], judge)


def row_09(volume: Volume) -> str:
    """the files of a deleted file are brought back"""
    place = volume.file("a", bytes_of(1))
    kept = Snapshot(volume.root)
    volume.session((volume.plain / "a").unlink)

    def attack(root: Path) -> None:
        for path in place.files:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(kept.files[path])

    return volume.outcomes([attack], lambda plain: "back" if "a" in os.listdir(plain) else "held")


def row_10(volume: Volume) -> str:
    """cut at a block boundary"""
    place = volume.file("a", bytes_of(1))
    largest, begin, block = volume.grid(place)

    def cut(path: Path, length: int) -> Attack:
        return lambda root: os.truncate(root / path, length)

    forms = [cut(largest, begin + kept * block) for kept in (1, 2, 3)]
    forms += [cut(path, 0) for path in place.files]
    return volume.outcomes(forms, reads("a", bytes_of(1)))


def row_11(volume: Volume) -> str:
    """an aligned block is zeroed"""
    place = volume.file("a", bytes_of(1))
    largest, begin, block = volume.grid(place)

    def zero(path: Path, at: int) -> Attack:
        def attack(root: Path) -> None:
            with open(root / path, "r+b") as file:
                file.seek(at)
                file.write(bytes(block))

        return attack

    forms = [zero(largest, begin + number * block) for number in range(4)]
    return volume.outcomes(forms, reads("a", bytes_of(1)))


def versions(volume: Volume, blocks: int) -> tuple[Place, Snapshot, bytes, bytes]:
    """A file in two versions of the same size, the backing folder after each, and the backing files that it has."""
    old, new = bytes_of(1, blocks), bytes_of(2, blocks)
    place = volume.file("a", old)
    before = Snapshot(volume.root)

    def overwrite() -> None:
        with open(volume.plain / "a", "r+b") as file:
            file.write(new)

    volume.session(overwrite)
    return place, before, old, new


def row_13(volume: Volume) -> str:
    """one file's backing files are put back as they were"""
    place, before, old, new = versions(volume, 4)

    def attack(root: Path) -> None:
        for path in place.files:
            (root / path).write_bytes(before.files[path])

    return volume.outcomes([attack], reads("a", new, [old]))


def row_14(volume: Volume) -> str:
    """parts of two versions of one file"""
    place, before, old, new = versions(volume, 9 * 256)
    several = sorted(place.files, key=lambda path: len(before.files[path]), reverse=True)

    def mix_files(parts: list[Path]) -> Attack:
        def attack(root: Path) -> None:
            for path in parts:
                (root / path).write_bytes(before.files[path])

        return attack

    def mix_within(path: Path, first_half: bool) -> Attack:
        def attack(root: Path) -> None:
            now, then = (root / path).read_bytes(), before.files[path]
            middle = min(len(now), len(then)) // 2
            middle -= (middle - begin) % block
            (root / path).write_bytes(then[:middle] + now[middle:] if first_half else now[:middle] + then[middle:])

        return attack

    forms = []
    if len(several) > 1:
        forms += [mix_files(several[::2]), mix_files(several[1::2]), mix_files(several[:1])]
    small = volume.file("apart/small", bytes_of(3))
    _, begin, block = volume.grid(small)
    forms += [mix_within(several[0], half) for half in (True, False)]
    return volume.outcomes(forms, reads("a", new, [old]))


def row_25(volume: Volume) -> str:
    """the cloud changes the case of a file's names"""
    place = volume.file("a name", bytes_of(1))

    def attack(root: Path) -> None:
        for path in place.files:
            (root / path).rename((root / path).with_name(path.name.swapcase()))

    return volume.outcomes([attack], reads("a name", bytes_of(1)))


def row_26(volume: Volume) -> str:
    """mode, times, attributes and kind of the backing files"""
    place = volume.file("a", bytes_of(1))
    volume.session(lambda: os.utime(volume.plain / "a", (1.7e9, 1.7e9)))

    def each(act: Callable[[Path], object]) -> Attack:
        return lambda root: [act(root / path) for path in place.files]

    def attribute(path: Path) -> None:
        # Not every filesystem has these: then there is nothing to ignore.
        with contextlib.suppress(OSError):
            os.setxattr(path, "user.forged", b"1")

    def link(path: Path) -> None:
        path.rename(path.with_name("kept"))
        path.symlink_to("kept")

    def judge(plain: Path) -> str:
        now = os.lstat(plain / "a")
        names = os.listxattr(plain / "a")
        if stat.S_IMODE(now.st_mode) & 0o6002 or now.st_mtime != 1.7e9 or names or not stat.S_ISREG(now.st_mode):
            return "forged"
        return reads("a", bytes_of(1))(plain)

    forms = [each(lambda path: path.chmod(0o6777)), each(lambda path: os.utime(path, (1e9, 1e9))), each(attribute)]
    forms.append(each(link))
    return volume.outcomes(forms, judge)


ROWS: dict[int, Callable[[Volume], str]] = {
    4: row_04,
    5: row_05,
    6: row_06,
    9: row_09,
    10: row_10,
    11: row_11,
    13: row_13,
    14: row_14,
    25: row_25,
    26: row_26,
}
