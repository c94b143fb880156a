#!/usr/bin/env python3
"""Destroys chunk files in the backing folder: what they hold is an error, never wrong, and all else goes on.

damage.py PLAIN VAULT CRYPTFS PASSPHRASE-FILE MOUNT-OPTIONS
"""

import errno
import os
import shutil
import subprocess
import sys


def chunk_files(vault):
    return {os.path.join(folder, name) for folder, _, names in os.walk(f"{vault}/chunks") for name in names}


class Volume:
    def __init__(self, plain, vault, cryptfs, passphrase, options):
        self.plain, self.vault, self.cryptfs, self.passphrase, self.options = plain, vault, cryptfs, passphrase, options

    def remount(self, between=lambda: None):
        subprocess.run([self.cryptfs, "umount", self.plain], check=True)
        between()
        again = [self.cryptfs, "mount", self.vault, self.plain, "-o", self.options]
        subprocess.run([*again, "--passphrase-file", self.passphrase], check=True)

    def made_by(self, make):
        """The chunk files that something made."""
        self.remount()
        before = chunk_files(self.vault)
        make()
        self.remount()
        return chunk_files(self.vault) - before


def expect(number, act, *arguments):
    try:
        act(*arguments)
    except OSError as error:
        if error.errno == number:
            return
        raise
    sys.exit(f"damage: {act.__name__} {arguments} did not fail")


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def garbage(path):
    write(path, os.urandom(os.path.getsize(path)))


def main(volume):
    plain = volume.plain
    os.mkdir(f"{plain}/good")
    write(f"{plain}/good/file", b"good")
    victims = {}
    for how in ("garbage", "gone"):
        folder = f"{plain}/{how}"
        os.mkdir(folder)
        victims[f"{folder}/file"] = volume.made_by(lambda: write(f"{folder}/file", b"x" * 100_000))
        victims[f"{folder}/link"] = volume.made_by(lambda: os.symlink("target", f"{folder}/link"))
        victims[f"{folder}/folder"] = volume.made_by(lambda: os.mkdir(f"{folder}/folder"))
        write(f"{folder}/other", b"other")
    if any(len(chunks) != 1 for chunks in victims.values()):
        sys.exit(f"damage: not one chunk file each: {victims}")
    write(f"{plain}/garbage/folder/inner", b"inner")

    def destroy():
        for path, (chunk,) in victims.items():
            os.unlink(chunk) if path.startswith(f"{plain}/gone/") else garbage(chunk)

    volume.remount(destroy)
    for how in ("garbage", "gone"):
        folder = f"{plain}/{how}"
        if sorted(os.listdir(folder)) != ["file", "folder", "link", "other"]:
            sys.exit(f"damage: {how} is listed as {os.listdir(folder)}")
        subprocess.run(["ls", folder], check=True, stdout=subprocess.DEVNULL)
        if subprocess.run(["ls", "-l", folder], capture_output=True).returncode == 0:
            sys.exit("damage: ls -l says nothing")
        for _ in range(2):
            for name in ("file", "folder", "link"):
                expect(errno.EIO, os.lstat, f"{folder}/{name}")
            expect(errno.EIO, read, f"{folder}/file")
            expect(errno.EIO, os.readlink, f"{folder}/link")
            expect(errno.EIO, os.listdir, f"{folder}/folder")
        if read(f"{folder}/other") != b"other":
            sys.exit("damage: the neighbour suffered")
    os.unlink(f"{plain}/garbage/file")
    os.unlink(f"{plain}/garbage/link")
    os.rmdir(f"{plain}/garbage/folder")
    os.rmdir(f"{plain}/gone/folder")
    subprocess.run(["rm", "-r", f"{plain}/gone"], check=True)
    shutil.rmtree(f"{plain}/garbage")
    for _ in range(2):
        if os.listdir(plain) != ["good"] or os.lstat(plain).st_nlink != 3 or read(f"{plain}/good/file") != b"good":
            sys.exit(f"damage: left are {os.listdir(plain)}, {os.lstat(plain)}")
        volume.remount()


main(Volume(*sys.argv[1:]))
