"""A random attacker on a real mount: changes the backing folder while an owner works, and reads what the mount shows.

In each round something is done to the backing folder (bits flipped, files swapped, cut, moved, planted, deleted,
zeroed, brought back old; links, pipes, folders and sockets in their places), then the owner works on and reads. What is
read of a file is what the owner wrote into that place of that file at some time, or an error; a folder shows names that
it once had, or an error; the daemon neither dies nor panics nor keeps anybody waiting. In some rounds the attacker
works beside the owner, at the same time. Every 25 rounds begin with an honest volume; between rounds it is now and then
mounted anew, after an honest unmount or a kill. In every other such epoch there is a bystander, a file that no attack
concerns: it can be written and synced, and the volume mounted, whatever happens to the others.

Prints its seed; the same seed makes the same choices, though ids, nonces and the clock are new each time.
"""

import faulthandler
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NoReturn

from ..harness import arguments
from ..harness.cryptfs import Cryptfs
from .campaign import Campaign, Volume

# Seconds without an answer that are a hang.
PATIENCE = 60
# Characters of the daemon's log that are shown after a failure.
SHOWN = 3000


class Watchdog:
    """Ends the run when nothing happens any more: says so, and takes the mount away, so that nobody waits."""

    def __init__(self, seed: int, mountpoint: Path) -> None:
        self.seed, self.mountpoint, self.last, self.round = seed, mountpoint, time.monotonic(), 0
        threading.Thread(target=self.watch, daemon=True).start()

    def beat(self, number: int) -> None:
        self.last, self.round = time.monotonic(), number

    def watch(self) -> NoReturn:
        while time.monotonic() - self.last < PATIENCE:
            time.sleep(1)
        print(f"seed {self.seed}: round {self.round} HANGS", flush=True)
        faulthandler.dump_traceback()
        subprocess.run(["umount", "-l", self.mountpoint], check=False)
        os._exit(1)


def main() -> None:
    parser = arguments.with_seed(arguments.with_scratch(arguments.parser(__doc__)))
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=1800, help="stop after this long")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    Cryptfs.program = options.binary
    arguments.exit_when_terminated()
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        volume = Volume(Path(scratch))
        watchdog = Watchdog(options.seed, volume.mountpoint)
        try:
            campaign = Campaign(volume, random.Random(options.seed))
            rounds = campaign.play(options.rounds, options.seconds, watchdog.beat)
        except Exception:
            print(f"seed {options.seed}: round {watchdog.round} FAILED; the end of the log:", flush=True)
            print(volume.log.read_text(errors="backslashreplace")[-SHOWN:], flush=True)
            raise
        finally:
            volume.force_unmount()
    tally = campaign.tally
    print(
        f"{rounds} rounds, never a wrong byte:", ", ".join(f"{count} {what}" for what, count in sorted(tally.items()))
    )
    if not tally["reads refused"] or tally["reads"] < rounds / 5:
        sys.exit("the attacks were hardly noticed, or nothing was read")
