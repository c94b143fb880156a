"""Several processes work at random on a volume whose backing filesystem is small, or comes and goes; the daemon is
killed or unmounted in between, another program takes the space, and files are deleted. Whatever write, close, fsync and
umount said is true afterwards.

Places: tmpfs and ext4 (64 MiB), btrfs (128 MiB), xfs (300 MiB), and sshfs, whose connection is cut and which is itself
killed and mounted again. All but sshfs need root. Prints its seed; the same seed makes the same choices, though not at
the same instants.
"""

import contextlib
import errno
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from ..harness import arguments, places
from ..harness.command import CommandError, run
from ..harness.cryptfs import Cryptfs
from ..harness.system import PATIENCE
from ..workloads.versioned import matches
from .flaky import Connection, connection
from .model import Name
from .worker import Worker, read, write

# What their makers ask for at least.
MEBIBYTES = {"xfs": 300, "btrfs": 128}
FULL = {errno.ENOSPC, errno.EDQUOT}


class Torture:
    def __init__(self, volume: Cryptfs, seed: str, workers: int, flaky: Connection | None) -> None:
        self.volume, self.seed, self.flaky = volume, seed, flaky
        self.chance = random.Random(seed)
        self.notes = [volume.folder / f"notes-{number}" for number in range(workers)]
        self.log, self.filler = volume.folder / "log", volume.backing.parent / "filler"
        # The first failure of an outage is the kernel's or ours, with whatever number.
        self.refusal = ""
        self.allowed = {*FULL, errno.EIO, errno.ETIMEDOUT} if flaky else FULL

    def round(self, number: int) -> list[str]:
        """Returns what is wrong."""
        if self.flaky:
            # A daemon that begins knows nothing of what the former one had sent.
            self.flaky.settle()
        daemon = self.volume.serve(log=self.log)
        if wrong := self.compare(found=True):
            return wrong
        until = time.time() + self.chance.choice([0.3, 1, 2, 4])
        if not self.flaky and self.chance.random() < 0.6:
            self.fill()
        if self.work(number, until):
            return ["a worker failed"]
        if self.chance.random() < 0.4:
            daemon.kill()
            daemon.wait()
            self.filler.unlink(missing_ok=True)
            return []
        if wrong := self.compare(found=False):
            return wrong
        try:
            is_stored = self.end()
        except subprocess.TimeoutExpired as late:
            still = "mounted" if self.volume.is_mounted() else "not mounted"
            # Such as who keeps the mount: another program may have taken it along into a namespace of its own.
            told = self.refusal or (late.output or b"nothing").decode(errors="replace")
            said = f"the daemon does not end ({still}); umount said {told}"
            return [said, *threads(daemon.pid)]
        if is_stored:
            self.each(store)
        return []

    def work(self, number: int, until: float) -> bool:
        """Whether a worker failed."""
        workers = []
        for at, notes in enumerate(self.notes):
            worker = Worker(self.volume.mountpoint, at, f"{self.seed} {number}", notes)
            workers.append(multiprocessing.Process(target=run_worker, args=(worker, until, self.allowed)))
        for process in workers:
            process.start()
        if self.flaky:
            self.flaky.disturb(self.chance, until)
        for process in workers:
            process.join()
        return any(process.exitcode for process in workers)

    def end(self) -> bool:
        """Unmounts; whether that, or the end of the daemon, said that everything is stored."""
        if self.chance.random() < 0.5:
            self.filler.unlink(missing_ok=True)
        daemon = self.volume.process
        assert daemon
        self.refusal = ""
        self.unmount()
        self.filler.unlink(missing_ok=True)
        # What cannot be stored stays mounted: it is tried once more with room for it, and given up where the volume's
        # own files are what fills the disk.
        for more in ([], ["--discard"]):
            if self.volume.is_mounted():
                self.unmount(*more)
        return daemon.wait(PATIENCE) == 0

    def unmount(self, *more: str) -> None:
        try:
            self.volume.cryptfs("umount", *more, self.volume.mountpoint)
        except CommandError as error:
            self.refusal = str(error)

    def fill(self) -> None:
        """Another program leaves no more than some MiB."""
        usage = os.statvfs(self.volume.backing)
        size = usage.f_bavail * usage.f_frsize - self.chance.randrange(12 << 20)
        with contextlib.suppress(OSError), open(self.filler, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(size, 1))

    def compare(self, *, found: bool) -> list[str]:
        """Holds the mount against what is expected. `found`: after the daemon ended, in whatever way."""
        wrong = []

        def look(names: dict[str, Name]) -> None:
            for name, here in names.items():
                try:
                    data = self.read(name)
                except OSError as error:
                    wrong.append(f"{name}: {error}, expected one of {sorted(map(str, here.kept | here.now))}")
                    continue
                states = here.kept if found else here.now
                if not matches(name, data, states):
                    shown = None if data is None else (len(data), data[:40])
                    wrong.append(f"{name}: found {shown}, expected one of {sorted(map(str, states))}")
                if found:
                    here.found(name, data)

        self.each(look)
        return wrong

    def read(self, name: str) -> bytes | None:
        """What passes is waited out."""
        path, deadline = self.volume.mountpoint / name, time.monotonic() + 20
        while True:
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno not in self.allowed or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def each(self, do: Callable[[dict[str, Name]], None]) -> None:
        for notes in self.notes:
            names, failures = read(notes)
            do(names)
            write(notes, names, failures)


def threads(process: int) -> list[str]:
    """What the threads of a process wait for."""
    tasks = sorted(Path(f"/proc/{process}/task").iterdir())
    return [" ".join((task / file).read_text().strip() for file in ("comm", "wchan", "syscall")) for task in tasks]


def store(names: dict[str, Name]) -> None:
    for name in names.values():
        name.stored()


def run_worker(worker: Worker, until: float, allowed: set[int]) -> None:
    try:
        worker.work(until, allowed)
    except BaseException:
        traceback.print_exc()
        sys.exit(1)


def main() -> None:
    parser = arguments.with_seed(arguments.with_scratch(arguments.parser(__doc__)))
    parser.add_argument("--place", choices=[*places.NAMES, "sshfs"], default="tmpfs")
    parser.add_argument("--quota", type=int, metavar="MIB", help="of btrfs: all that may be written, also by root")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=1800, help="stop after this long")
    late = "of sshfs: by how much, at most, the server is late with what came by a connection that was cut"
    parser.add_argument("--late", type=float, default=0.5, metavar="SECONDS", help=late)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where what is wrong is kept, if anything is")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--options", default="", help="mount options")
    options = parser.parse_args()
    if options.quota and options.place != "btrfs":
        parser.error("--quota wants --place btrfs")
    print(f"seed {options.seed}, {options.place}", flush=True)
    Cryptfs.program, Cryptfs.options = options.binary, options.options
    arguments.exit_when_terminated()
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch, contextlib.ExitStack() as stack:
        flaky = backing = None
        if options.place == "sshfs":
            flaky = stack.enter_context(connection(Path(scratch), options.late))
            backing = flaky.mountpoint
        else:
            mebibytes = MEBIBYTES.get(options.place, 64)
            backing = stack.enter_context(places.place(options.place, Path(scratch), mebibytes))
        if options.quota:
            run("btrfs", "quota", "enable", backing)
            run("btrfs", "qgroup", "limit", f"{options.quota}M", backing)
        volume = Cryptfs(Path(scratch))
        volume.backing = backing / "volume"
        volume.backing.mkdir()
        volume.create()
        try:
            torture = Torture(volume, str(options.seed), options.workers, flaky)
            rounds = play(torture, options.rounds, options.seconds)
            failures = sum(read(notes)[1] for notes in torture.notes)
        except SystemExit as end:
            if options.keep and end.code == 1:
                volume.force_unmount()
                shutil.copytree(scratch, options.keep / str(options.seed), symlinks=True, dirs_exist_ok=True)
            raise
        finally:
            volume.force_unmount()
    print(f"{rounds} rounds, whatever was said is true; {failures} calls failed")


def play(torture: Torture, rounds: int, seconds: float) -> int:
    """Returns how many rounds there was time for; ends the program if something is wrong."""
    started = time.monotonic()
    for number in range(rounds):
        if time.monotonic() - started > seconds:
            print("time is up")
            return number
        if wrong := torture.round(number):
            print(f"round {number} FAILED:", *wrong, torture.log.read_text(errors="replace")[-3000:], sep="\n  ")
            sys.exit(1)
    return rounds
