"""Somebody who was a member once: their slot was removed and the keys rotated, and they kept all that they had."""

import random
from pathlib import Path

from ..harness.cryptfs import Cryptfs
from ..harness.snapshot import Snapshot


class Insider:
    """Has the volume as it was, files that they wrote into it with the keys of that time, and its key folder."""

    def __init__(self, volume: Cryptfs, scratch: Path) -> None:
        """To be made of a new volume, whose owner then removes the slot and rotates."""
        secret = scratch / "insider"
        opened = ("--passphrase-file", volume.secret)
        volume.cryptfs("key", "add", volume.backing, "--recovery", "--recovery-file", secret, *opened)
        before = Snapshot(volume.backing)
        slot = next(path for path, content in before.files.items() if b'"owner": 0' in content)
        own = Cryptfs(scratch / "insiders")
        before.restore(own.backing)
        own.secret = secret
        own.mount()
        for number in range(8):
            (own.mountpoint / f"forged {number}").write_bytes(bytes([number]) * 300_000)
        own.unmount()
        forged = Snapshot(own.backing).files
        self.chunks = [entry for entry in forged.items() if entry[0].parts[0] in ("chunks", "journals")]
        self.keys = [entry for entry in before.files.items() if entry[0].parts[0] == "keys"]
        volume.cryptfs("key", "remove", volume.backing, slot.stem, *opened)
        volume.cryptfs("key", "rotate", volume.backing, "--recovery-key-file", volume.secret)

    def files(self, whim: random.Random) -> tuple[Path, bytes]:
        """Something to put into the backing folder: its path there."""
        if whim.random() < 0.5:
            return whim.choice(self.chunks)
        path, content = whim.choice(self.keys)
        if whim.random() < 0.5:
            at = whim.randrange(len(content))
            content = content[:at] + bytes([content[at] ^ 1 << whim.randrange(8)]) + content[at + 1 :]
        return path.with_name(f"{whim.getrandbits(128):032x}.json" if whim.random() < 0.5 else path.name), content
