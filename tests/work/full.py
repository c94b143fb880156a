#!/usr/bin/env python3
"""Fills a small volume until ENOSPC; what was acknowledged must stay, and there must be room again after a deletion.

full.py [--again] FOLDER: --again checks after a remount.
"""

import errno
import hashlib
import os
import shutil
import sys


def fill(root):
    sums = {}
    try:
        for number in range(10_000):
            path = f"{root}/{number}"
            data = os.urandom(1 << 20)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.write(fd, data)
                os.fsync(fd)
            finally:
                os.close(fd)
            sums[str(number)] = hashlib.sha256(data).hexdigest()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    print(f"  full after {len(sums)} MiB")
    return sums


def check(root, sums):
    for name, wanted in sums.items():
        with open(f"{root}/{name}", "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != wanted:
                sys.exit(f"full: {name} differs")


def main(again, root):
    if again:
        with open(f"{root}/sums") as file:
            return check(root, dict(line.split() for line in file))
    sums = fill(root)
    if len(sums) < 20:
        sys.exit("full: too early")
    check(root, sums)
    for name in list(sums)[:10]:
        os.unlink(f"{root}/{name}")
        del sums[name]
    folder = os.open(root, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    for name in os.listdir(root):
        if name not in sums:
            os.unlink(f"{root}/{name}")
    with open(f"{root}/sums", "w") as file:
        file.writelines(f"{name} {wanted}\n" for name, wanted in sums.items())
        file.flush()
        os.fsync(file.fileno())
    check(root, sums)
    print(f"  {shutil.disk_usage(root).free >> 20} MiB free in the end")


main(sys.argv[1] == "--again", sys.argv[-1])
