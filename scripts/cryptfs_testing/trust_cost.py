"""What remembering the chunks' versions costs: rates of create and fsync in a mount with a state folder and in one
without, in turn, and the median of their ratios (1.00 is no cost). Run it alone, with a release build."""

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from .harness import arguments
from .harness.cryptfs import Cryptfs

# No folder can be made there.
NOWHERE = "/dev/null/nowhere"


class Rates(NamedTuple):
    """Creates and fsyncs a second, and the seconds that unmounting took."""

    creates: float
    fsyncs: float
    unmounting: float


def measure(scratch: Path, remembers: bool, files: int, syncs: int) -> Rates:
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        volume = Cryptfs(Path(folder))
        volume.environment |= {"CRYPTFS_LOG": "error"}
        if not remembers:
            volume.environment |= {"XDG_STATE_HOME": NOWHERE}
        volume.create()
        volume.mount()
        try:
            start = time.perf_counter()
            for number in range(files):
                (volume.mountpoint / str(number)).write_bytes(b"x" * 100)
            creates = files / (time.perf_counter() - start)
            descriptor = os.open(volume.mountpoint / "0", os.O_RDWR)
            start = time.perf_counter()
            for _ in range(syncs):
                os.pwrite(descriptor, b"y" * 100, 0)
                os.fsync(descriptor)
            fsyncs = syncs / (time.perf_counter() - start)
            os.close(descriptor)
        finally:
            start = time.perf_counter()
            volume.unmount()
        return Rates(creates, fsyncs, time.perf_counter() - start)


def main() -> None:
    parser = arguments.with_scratch(arguments.parser(__doc__), Path("/dev/shm"))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--syncs", type=int, default=5_000)
    options = parser.parse_args()
    Cryptfs.program = options.binary
    ratios = []
    for number in range(options.rounds):
        order = [True, False] if number % 2 == 0 else [False, True]
        found = {kept: measure(options.scratch, kept, options.files, options.syncs) for kept in order}
        ratios.append(Rates(*(one / other for one, other in zip(found[True], found[False]))))
        print(shown(ratios[-1]), flush=True)
    median = Rates(*(statistics.median(column) for column in zip(*ratios)))
    print(f"median of with / without: {shown(median)}")


def shown(rates: Rates) -> str:
    return f"creates {rates.creates:.3f}  fsyncs {rates.fsyncs:.3f}  unmounting {rates.unmounting:.3f}"
