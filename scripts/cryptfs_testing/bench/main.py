"""Measures cryptfs beside its peers, and beside its own ceiling (the same transport over memory, without crypto).

Each load runs on each system in turn within one round; the table shows medians over the rounds, and ratios of one run:
to the best FUSE peer and to the ceiling. Bigger is better everywhere. Needs root, the peers from Debian (gocryptfs,
securefs, cryfs, encfs; those missing are left out and named) and `cargo build --release --bins --example ceiling`.
"""

import argparse
import contextlib
import shutil
import statistics
import tempfile
from pathlib import Path

from ..harness import processes
from ..harness.cryptfs import Cryptfs, variant
from ..harness.peers import ENCRYPTED, Ceiling, CeilingDevice, Native
from ..harness.system import System, is_installed
from .loads import LOADS, Load
from .machine import awake, has_uring, without_autogroups
from .sizes import Sizes

KINDS: tuple[type[System], ...] = (Native, Cryptfs, Ceiling, CeilingDevice, *ENCRYPTED)
# Loads, and for each the rates of each system in the rounds.
Results = dict[str, dict[str, list[float]]]


def measure(system: System, sizes: Sizes, loads: list[Load], results: Results) -> int:
    """One round of one system; returns the daemon's peak memory in MiB."""
    system.create()
    peak = 0
    for load in loads:
        system.mount()
        try:
            for name, rate in load(system, sizes):
                results.setdefault(name, {}).setdefault(system.name, []).append(rate)
            if daemon := system.daemon():
                peak = max(peak, processes.peak_memory(daemon))
        finally:
            system.unmount()
    return peak


def print_table(results: Results, names: list[str]) -> None:
    """Medians and ratios."""
    peers = [name for name in names if name.split("-")[0] not in ("native", "cryptfs", "ceiling")]
    print(f"{'load':24}" + "".join(f"{name:>15}" for name in names) + f"{'/best peer':>12}{'/ceiling':>10}")
    for load, rates in results.items():
        medians = {name: statistics.median(rates[name]) for name in names if name in rates}
        row = "".join(f"{medians[name]:15.4g}" if name in medians else f"{'-':>15}" for name in names)
        ours = medians.get("cryptfs")
        best = max((medians[name] for name in peers if name in medians), default=None)
        ratio = f"{ours / best:12.2f}" if ours and best else f"{'-':>12}"
        ceiling = f"{ours / medians['ceiling']:10.2f}" if ours and "ceiling" in medians else f"{'-':>10}"
        print(f"{load:24}{row}{ratio}{ceiling}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: under three minutes")
    parser.add_argument("--rounds", type=int, default=0, help="how many rounds (3; 1 with --quick)")
    parser.add_argument("--backing", type=Path, default=Path("/dev/shm"), help="where the backing folders lie")
    parser.add_argument("--asleep", action="store_true", help="let the CPUs sleep, for a backing folder on a disk")
    parser.add_argument("--systems", help="only these, separated by commas")
    parser.add_argument("--loads", help="only these, separated by commas: " + ",".join(load.__name__ for load in LOADS))
    parser.add_argument("--options", default="", help="more mount options for cryptfs")
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        type=variant,
        metavar="NAME=OPTIONS",
        help="cryptfs once more, with these mount options",
    )
    options = parser.parse_args()
    Cryptfs.options = options.options
    usual = [kind.name for kind in KINDS if kind is not CeilingDevice]
    wanted = options.systems.split(",") if options.systems else usual
    kinds = [kind for kind in KINDS if kind.name in wanted] + options.also
    if missing := [kind for kind in kinds if not is_installed(kind)]:
        print(f"left out, not installed: {', '.join(kind.name for kind in missing)}")
    kinds = [kind for kind in kinds if kind not in missing]
    loads = [load for load in LOADS if not options.loads or load.__name__ in options.loads.split(",")]
    results: Results = {}
    peaks: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(without_autogroups())
        if not options.asleep:
            stack.enter_context(awake())
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.backing)))
        sizes = Sizes(options.quick, scratch)
        for number in range(options.rounds or (1 if options.quick else 3)):
            for kind in kinds:
                folder = scratch / f"round{number}"
                folder.mkdir(exist_ok=True)
                peak = measure(kind(folder), sizes, loads, results)
                peaks[kind.name] = max(peaks.get(kind.name, 0), peak)
                shutil.rmtree(folder / kind.name)
    state = "CPUs may sleep" if options.asleep else "CPUs kept awake by an idle-priority spinner each"
    over = "has" if has_uring() else "has no"
    print(f"{state}; backing folder on {options.backing}; the kernel {over} FUSE over io_uring")
    print_table(results, [kind.name for kind in kinds])
    print("peak memory of the daemon, MiB:", ", ".join(f"{name} {peak}" for name, peak in peaks.items() if peak))
