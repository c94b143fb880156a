#!/usr/bin/env python3
"""More files than the daemon may hold open: many new ones, long ones, unlinked ones in use.

descriptors.py FOLDER
"""

import os
import sys


def content(number, length):
    return (f"{number} ".encode() * length)[:length]


def main(folder):
    for number in range(600):
        with open(f"{folder}/{number}", "wb") as file:
            file.write(content(number, 10_000))
    os.sync()
    with open(f"{folder}/long", "wb") as file:
        for number in range(150):
            file.seek(number << 20)
            file.write(content(number, 5_000))
    held = []
    for number in range(10):
        file = open(f"{folder}/held", "w+b")
        file.write(content(number, 10_000))
        file.flush()
        os.unlink(f"{folder}/held")
        held.append(file)
    for number in range(600):
        with open(f"{folder}/{number}", "rb") as file:
            if file.read() != content(number, 10_000):
                sys.exit(f"descriptors: {number} differs")
    with open(f"{folder}/long", "rb") as file:
        for number in range(150):
            file.seek(number << 20)
            if file.read(5_000) != content(number, 5_000):
                sys.exit(f"descriptors: the long file differs at {number}")
    for number, file in enumerate(held):
        file.seek(0)
        if file.read() != content(number, 10_000):
            sys.exit("descriptors: an unlinked file differs")
    for number in range(600):
        os.unlink(f"{folder}/{number}")


main(sys.argv[1])
