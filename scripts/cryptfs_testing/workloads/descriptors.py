"""More files than the daemon may hold open: many new ones, long ones, unlinked ones in use."""

import contextlib
import os

from . import require


def content(number: int, length: int) -> bytes:
    return (f"{number} ".encode() * length)[:length]


def play(folder: str) -> None:
    for number in range(600):
        with open(f"{folder}/{number}", "wb") as file:
            file.write(content(number, 10_000))
    os.sync()
    with open(f"{folder}/long", "wb") as file:
        for number in range(150):
            file.seek(number << 20)
            file.write(content(number, 5_000))
    with contextlib.ExitStack() as stack:
        held = []
        for number in range(10):
            unlinked = stack.enter_context(open(f"{folder}/held", "w+b"))
            unlinked.write(content(number, 10_000))
            unlinked.flush()
            os.unlink(f"{folder}/held")
            held.append(unlinked)
        check(folder)
        for number, unlinked in enumerate(held):
            unlinked.seek(0)
            require(unlinked.read() == content(number, 10_000), "an unlinked file differs")
    for number in range(600):
        os.unlink(f"{folder}/{number}")


def check(folder: str) -> None:
    for number in range(600):
        with open(f"{folder}/{number}", "rb") as file:
            require(file.read() == content(number, 10_000), f"{number} differs")
    with open(f"{folder}/long", "rb") as file:
        for number in range(150):
            file.seek(number << 20)
            require(file.read(5_000) == content(number, 5_000), f"the long file differs at {number}")
