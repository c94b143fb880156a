"""Sixteen processes work in one mount for some minutes, each against its model of what it did; then everything is
mounted again and compared, and so on.

Each process has a folder of its own, in which it makes, writes, cuts, punches, links, moves and removes files, and
knows what every one of them holds. It also reads the others' files, in which every block must be one that its owner
wrote, or zeros. Prints its seed; the same seed makes the same choices.
"""

import multiprocessing
import pickle
import sys
import tempfile
import time
import traceback
from pathlib import Path

from ..harness import arguments
from ..harness.cryptfs import Cryptfs
from .worker import Worker


def main() -> None:
    parser = arguments.with_seed(arguments.with_scratch(arguments.parser(__doc__)))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=10, help="in how many parts, with a new mount between two")
    parser.add_argument("--workers", type=int, default=16)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    Cryptfs.program = options.binary
    arguments.exit_when_terminated()
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        volume = Cryptfs(Path(scratch))
        volume.create("--chunk-size", "1M")
        states = [Path(scratch) / f"state-{number}" for number in range(options.workers)]
        for part in range(options.rounds + 1):
            volume.mount()
            try:
                # The last part only compares.
                seconds = options.minutes * 60 / options.rounds if part < options.rounds else 0
                failed = play(volume, f"{options.seed} {part}", states, seconds)
            finally:
                volume.unmount()
            if failed:
                sys.exit(f"part {part} FAILED")
        done = sum(pickle.loads(state.read_bytes())[4] for state in states)
        print(f"{done} operations of {options.workers} workers, {options.rounds} remounts, no difference")


def play(volume: Cryptfs, seed: str, states: list[Path], seconds: float) -> bool:
    """All workers work for so long; whether one of them failed."""
    until = time.time() + seconds
    workers = []
    for number, state in enumerate(states):
        given = (until, Worker(volume.mountpoint, number, seed, len(states), state))
        workers.append(multiprocessing.Process(target=work, args=given))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return any(worker.exitcode for worker in workers)


def work(until: float, worker: Worker) -> None:
    try:
        worker.run(until)
    except BaseException:
        traceback.print_exc()
        sys.exit(1)
