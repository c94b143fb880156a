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
    """`files`: what it made and synced, by name; each had one content only, and was never seen empty."""

    def __init__(self, volume: Cryptfs, scratch: Path, chance: random.Random) -> None:
        device = Cryptfs(scratch / "elsewhere")
        device.secret = volume.secret
        Snapshot(volume.backing).restore(device.backing)
        device.serve()
        folder = device.mountpoint / ELSEWHERE
        folder.mkdir()
        self.files: dict[str, History] = {}
        for size in SIZES:
            file = self.files[str(size)] = History()
            file.becomes(chance.randbytes(size))
            file.sizes = {size}
            with open(folder / str(size), "wb", buffering=0) as plain:
                plain.write(file.content)
                os.fsync(plain.fileno())
        device.force_unmount()
        Snapshot(device.backing).restore(volume.backing)
