"""Measures cryptfs beside its peers as a user would meet both: default options, over io_uring and over /dev/fuse, on
tmpfs and on disks, CPUs that may sleep and CPUs that are kept awake, a fresh mount before each first look.

Within a round each system runs each load in turn; figures are medians over the rounds. The last table has a column for
each place, state of the CPUs and transport: ratios to the best peer of the same run, the worst column first.
Bigger is better everywhere. Disks are ext4, btrfs and xfs in a file each, with direct I/O; there CPUs may sleep, as
spinning misleads (bench/machine.py says why). Needs root, what `scripts/setup --peers` installs (what is missing is
left out and named) and `cargo build --release --locked`; for the systems ceiling and ceiling-device (the transport
over memory, without crypto: `--systems … --against ceiling`) also `--example ceiling`.
"""

import argparse
import contextlib
import shutil
import tempfile
from pathlib import Path

from ..harness import arguments, places, processes
from ..harness.cryptfs import Cryptfs, variant
from ..harness.peers import ENCRYPTED, Ceiling, CeilingDevice, Gocryptfs, Native, SecurefsLite
from ..harness.system import System, is_installed
from .loads import LOADS, USUAL, Load
from .machine import URING, awake, description, setting
from .results import Results
from .sizes import Sizes

TRANSPORTS = (variant("io_uring=transport=uring"), variant("device=transport=device"))
KINDS: tuple[type[System], ...] = (Native, Cryptfs, *TRANSPORTS, Ceiling, CeilingDevice, *ENCRYPTED)
QUICK_PEERS = (Gocryptfs, SecurefsLite)
# MiB of a filesystem that is made; less is taken of the disk, as the file is sparse.
SIZE = 12 << 10


def environments(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Places, and whether CPUs are asleep or awake there."""
    found = []
    for place in [str(options.backing)] if options.backing else options.places.split(","):
        if reason := places.missing(place):
            print(f"left out: {place}: {reason}")
            continue
        both = place in ("tmpfs", "/dev/shm") and not options.asleep and not options.awake
        states = ["asleep", "awake"] if both else ["awake" if options.awake else "asleep"]
        found += [(place, state) for state in states]
    return found


def systems(options: argparse.Namespace) -> list[type[System]]:
    """Those to be measured; what is missing is said."""
    peers = QUICK_PEERS if options.quick else ENCRYPTED
    wanted = options.systems.split(",") if options.systems else [kind.name for kind in (*TRANSPORTS, *peers)]
    kinds = [kind for kind in KINDS if kind.name in wanted] + options.also
    if missing := [kind.name for kind in kinds if not is_installed(kind)]:
        print(f"left out, not installed: {', '.join(missing)}")
    return [kind for kind in kinds if is_installed(kind)]


def measure(system: System, environment: str, sizes: Sizes, loads: list[Load], results: Results) -> int:
    """One round of one system; returns the daemon's peak memory in MiB."""
    system.create()
    peak = 0
    for load in loads:
        system.mount()
        try:
            for name, rate in load(system, sizes):
                results.add(environment, name, system.name, rate)
            if daemon := system.daemon():
                peak = max(peak, processes.peak_memory(daemon))
        finally:
            system.unmount()
    return peak


def parsed() -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    every = ",".join(load.__name__ for load in LOADS)
    parser.add_argument("--quick", action="store_true", help="small sizes, one round, gocryptfs and securefs-lite only")
    parser.add_argument("--rounds", type=int, default=0, help="how many rounds (3; 1 with --quick)")
    parser.add_argument("--places", default=",".join(places.NAMES), help="only these (%(default)s), or folders")
    parser.add_argument("--backing", type=Path, help="only this folder")
    parser.add_argument("--images", type=Path, default=Path("/var/tmp"), help="where disks in files lie (%(default)s)")
    parser.add_argument("--asleep", action="store_true", help="CPUs may sleep everywhere")
    parser.add_argument("--awake", action="store_true", help="CPUs are kept awake everywhere")
    parser.add_argument("--systems", help="only these: " + ",".join(kind.name for kind in KINDS))
    against = ",".join(kind.name for kind in ENCRYPTED)
    parser.add_argument("--against", default=against, help="the best of these is 1 in the last table (%(default)s)")
    parser.add_argument("--loads", default=",".join(USUAL), help=f"only these (%(default)s) of {every}")
    parser.add_argument("--options", default="", help="more mount options for cryptfs")
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        type=variant,
        metavar="NAME=OPTIONS",
        help="cryptfs once more, with these mount options",
    )
    return parser.parse_args()


def main() -> None:
    options = parsed()
    Cryptfs.program = options.binary
    arguments.exit_when_terminated()
    loads = [load for load in LOADS if load.__name__ in options.loads.split(",")]
    with setting(URING, "Y") as has_uring, tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        kinds = systems(options)
        if not has_uring:
            print("left out: this kernel has no FUSE over io_uring")
            kinds = [kind for kind in kinds if kind is not TRANSPORTS[0]]
        for kind in kinds:
            if options.options and issubclass(kind, Cryptfs):
                kind.options = ",".join(filter(None, [kind.options, options.options]))
        ours = [kind.name for kind in kinds if issubclass(kind, Cryptfs)]
        results = Results(options.against.split(","), ours)
        sizes, peaks = Sizes(options.quick, Path(memory)), dict.fromkeys((kind.name for kind in kinds), 0)
        print(description(), flush=True)
        rounds = options.rounds or (1 if options.quick else 3)
        for place, state in environments(options):
            environment = f"{place}, {state}"
            with contextlib.ExitStack() as stack:
                if state == "awake":
                    stack.enter_context(awake())
                folder = stack.enter_context(places.place(place, options.images, SIZE))
                for number in range(rounds):
                    # Each begins with another system: what the first one finds, caches and disk, is not always its own.
                    for kind in kinds[number % len(kinds) :] + kinds[: number % len(kinds)]:
                        system = kind(folder)
                        peak = measure(system, environment, sizes, loads, results)
                        peaks[kind.name] = max(peaks[kind.name], peak)
                        shutil.rmtree(system.folder)
            results.print_rates(environment)
    results.print_ratios()
    print(f"\npeak memory, MiB: {', '.join(f'{name} {peak}' for name, peak in peaks.items() if peak)}")
