"""How much each load does, and the tree that is unpacked."""

import random
import shutil
from pathlib import Path

from ..harness.command import run


class Sizes:
    """`scratch`: a folder in memory, for the archive of the tree."""

    def __init__(self, quick: bool, scratch: Path) -> None:
        self.mebibytes = 128 if quick else 1024
        self.scattered = 4000 if quick else 20_000
        self.synced = 400 if quick else 4000
        self.files = 1000 if quick else 5000
        self.transactions = 200 if quick else 2000
        self.archive = scratch / "tree.tar"
        make_tree(scratch / "source", 900 if quick else 4500)
        run("tar", "-cf", self.archive, "-C", scratch / "source", ".")
        shutil.rmtree(scratch / "source")


def make_tree(root: Path, files: int) -> None:
    """A tree like a source tree: mostly small files, a few large ones, 18 kB on average, twenty to a folder."""
    chance = random.Random(1)
    for number in range(files):
        folder = root / f"module{number // 200}" / f"part{number // 20 % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        size = min(int(chance.lognormvariate(8.84, 1.4)), 2_000_000)
        (folder / f"file{number}.c").write_bytes(chance.randbytes(size))
