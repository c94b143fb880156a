"""The changes that are measured, in a folder of notes and two large files."""

import os
import random
from collections.abc import Callable
from pathlib import Path

NOTE = 2000
# Bytes of the large files, by name.
LARGE = {"file of 2 MB": 2_000_000, "file of 128 MB": 128_000_000}
FOLDER, OTHER = "notes", "other notes"


def fill(plain: Path, notes: int) -> None:
    """What is there before any change."""
    (plain / FOLDER).mkdir()
    (plain / OTHER).mkdir()
    for number in range(notes):
        (plain / FOLDER / f"note {number}.txt").write_bytes(random.randbytes(NOTE))
    for name, size in LARGE.items():
        (plain / name).write_bytes(random.randbytes(size))
    os.sync()


def note(plain: Path, number: int) -> Path:
    return plain / FOLDER / f"note {number}.txt"


def create(plain: Path) -> None:
    (plain / FOLDER / f"new note {random.getrandbits(32)}.txt").write_bytes(random.randbytes(NOTE))


def save_by_rename(plain: Path) -> None:
    """As editors save."""
    temporary = plain / FOLDER / ".note.swp"
    with open(temporary, "wb") as file:
        file.write(random.randbytes(NOTE))
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(note(plain, 1))


def rename(plain: Path) -> None:
    """There and back is two changes: each time to a name of its own."""
    one, other = note(plain, 2), plain / FOLDER / "renamed.txt"
    one.rename(other) if one.exists() else other.rename(one)


def move(plain: Path) -> None:
    one, other = note(plain, 3), plain / OTHER / "note 3.txt"
    one.rename(other) if one.exists() else other.rename(one)


def delete(plain: Path) -> None:
    max((plain / FOLDER).iterdir(), key=lambda path: path.name).unlink()


def rewrite(plain: Path) -> None:
    with open(note(plain, 4), "r+b") as file:
        file.write(random.randbytes(NOTE))


def chmod(plain: Path) -> None:
    path = note(plain, 5)
    path.chmod(path.stat().st_mode ^ 0o011)


def one_byte(name: str) -> Callable[[Path], None]:
    def change(plain: Path) -> None:
        with open(plain / name, "r+b") as file:
            file.seek(LARGE[name] * 7 // 10)
            file.write(random.randbytes(1))

    return change


def idle(plain: Path) -> None:
    pass


def read_everything(plain: Path) -> None:
    for path in plain.rglob("*"):
        if path.is_file():
            path.read_bytes()


CHANGES: dict[str, Callable[[Path], None]] = {
    "create a note": create,
    "save a note by rename": save_by_rename,
    "rename a note": rename,
    "move a note": move,
    "delete a note": delete,
    "rewrite a note in place": rewrite,
    "chmod a note": chmod,
    **{f"1 byte in a {name}": one_byte(name) for name in LARGE},
    "idle": idle,
    "read everything": read_everything,
}
