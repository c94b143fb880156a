"""Kills a mount's daemon at random instants under load, mounts again, and checks that nothing acknowledged was lost.

Two writers work in the mount and note, outside of it, what they did and what fsync acknowledged. After each kill the
volume is mounted over the dead mount and every file is held against the notes:

- a file whose content and name were synced has that content, or the whole of something written to it later;
- a synced rename or removal has happened;
- what was written more than OLD seconds before the kill is there, synced or not;
- no file holds anything that was never written to it.

Prints its seed; the same seed makes the same choices, though not the same instants.
"""

import multiprocessing
import random
import sys
import tempfile
import time
from pathlib import Path

from ..harness import arguments
from ..harness.cryptfs import Cryptfs
from .expected import OLD, Expected, check, read_notes
from .writer import work

WRITERS = 2


def main() -> None:
    parser = arguments.with_seed(arguments.with_scratch(arguments.parser(__doc__)))
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=1800, help="stop after this long")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    Cryptfs.program = options.binary
    arguments.exit_when_terminated()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        volume = Cryptfs(Path(scratch))
        volume.create()
        try:
            rounds = play(volume, chance, options.rounds, options.seconds)
        finally:
            volume.force_unmount()
    print(f"{rounds} rounds, nothing lost")


def play(volume: Cryptfs, chance: random.Random, rounds: int, seconds: float) -> int:
    """Returns how many rounds there was time for; ends the program if something is wrong."""
    expected: dict[str, Expected] = {}
    started = time.monotonic()
    log = volume.folder / "log"
    for number in range(rounds):
        if time.monotonic() - started > seconds:
            print("time is up")
            return number
        try:
            daemon = volume.serve(log=log)
        except RuntimeError:
            sys.exit(f"round {number}: it does not mount: {log.read_text(errors='replace')}")
        if wrong := check(volume.mountpoint, expected):
            print(f"round {number} FAILED:", *wrong, sep="\n  ")
            sys.exit(1)
        notes = [volume.folder / f"writer{writer}.{number}" for writer in range(WRITERS)]
        writers = []
        for path in notes:
            given = (volume.mountpoint, path, chance.randrange(1 << 32))
            writers.append(multiprocessing.Process(target=work, args=given))
        for writer in writers:
            writer.start()
        # Every tenth is so long that some of its work is older than what may be lost.
        least, most = (OLD, OLD + 3) if number % 10 == 4 else (0, chance.choice([0.05, 0.2, 0.7, 1.5, 3]))
        time.sleep(chance.uniform(least, most))
        killed = time.time()
        daemon.kill()
        daemon.wait()
        for writer in writers:
            writer.join()
        for path in notes:
            read_notes(path, killed, expected)
            path.unlink()
    return rounds
