"""Another device of the same owner's, which was killed and is not seen again: its journal stays live."""

import os
import random
from pathlib import Path

from ..harness.cryptfs import Cryptfs
from ..harness.snapshot import Snapshot
from .history import History

# Its folder, at the top of the volume.
ELSEWHERE = "elsewhere"
# In the journal only, in a chunk file, in two. None is of whole blocks, so that an empty file is never taken for one.
SIZES = [50, 3000, 9000, 60_001, 1_300_001]


class Elsewhere:
    """`files`: what it made and synced, by name; each had one content only, and was never seen empty. `others`: what is
    not its own in the backing folder."""

    def __init__(self, volume: Cryptfs, scratch: Path, chance: random.Random) -> None:
        device = Cryptfs(scratch / "elsewhere")
        device.secret = volume.secret
        before = Snapshot(volume.backing)
        before.restore(device.backing)
        device.serve()
        folder = device.mountpoint / ELSEWHERE
        folder.mkdir()
        # Journalled before there is content: what a device that lacks a chunk file could take for an empty file.
        for size in SIZES:
            (folder / str(size)).touch()
        sync(folder)
        self.files: dict[str, History] = {}
        for size in SIZES:
            file = self.files[str(size)] = History()
            file.becomes(chance.randbytes(size))
            file.sizes = {size}
            (folder / str(size)).write_bytes(file.content)
            sync(folder / str(size))
        device.force_unmount()
        after = Snapshot(device.backing)
        after.restore(volume.backing)
        self.others = {path for path, content in after.files.items() if content == before.files.get(path)}


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
