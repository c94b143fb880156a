"""How fast a volume is imported, checked and exported."""

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from ..harness.cryptfs import Cryptfs
from ..harness.peers import Gocryptfs
from ..harness.system import is_installed
from .timed import Taken, timed

IN_A_FOLDER = 500
LARGEST = 5000


def fill(source: Path, files: int, seed: int) -> None:
    """So many files of random sizes; all bytes differ."""
    dice = random.Random(seed)
    for number in range(files):
        folder = source / f"folder {number // IN_A_FOLDER}"
        if number % IN_A_FOLDER == 0:
            folder.mkdir(parents=True)
        (folder / f"file {number}").write_bytes(dice.randbytes(dice.randrange(LARGEST)))


class Table:
    """Rows, each a ratio to one before it."""

    def __init__(self) -> None:
        self.rows: dict[str, Taken] = {}
        print(f"{'':44}{'seconds':>9}{'of CPU':>9}{'MB':>7}", flush=True)

    def add(self, name: str, taken: Taken, beside: str = "") -> None:
        self.rows[name] = taken
        ratio = f"   {taken.seconds / self.rows[beside].seconds:.2f} of {beside}" if beside else ""
        print(f"{name:44}{taken.seconds:9.1f}{taken.cpu:9.1f}{taken.memory:7.0f}{ratio}", flush=True)


class Bench:
    """A volume, a source and a table."""

    def __init__(self, scratch: Path, files: int, seed: int) -> None:
        self.scratch, self.source = scratch, scratch / "source"
        fill(self.source, files, seed)
        self.volume = Cryptfs(scratch)
        self.volume.create()
        self.table = Table()

    def run(self, *words: str | Path, cold: bool = True, piped_to: list[str] | None = None) -> Taken:
        command, *rest = words
        program = [self.volume.program, command, "--passphrase-file", self.volume.secret, *rest]
        return timed(*program, env=self.volume.environment, cold=cold, piped_to=piped_to)

    def beside(self, name: str, command: str, *words: str | Path) -> None:
        self.table.add(name, timed(*words), command)


def check(scratch: Path, files: int, seed: int) -> Bench:
    bench = Bench(scratch, files, seed)
    backing, table = bench.volume.backing, bench.table
    table.add("import", bench.run("import", bench.source, backing))
    table.add("check", bench.run("check", backing))
    table.add("check, from the page cache", bench.run("check", backing, cold=False), "check")
    table.add("check --data", bench.run("check", "--data", backing), "check")
    return bench


def compare(scratch: Path, files: int, seed: int) -> None:
    bench = check(scratch, files, seed)
    volume, source, backing = bench.volume, bench.source, bench.volume.backing
    bench.beside("tar of the backing folder", "check --data", "tar", "-cf", "-", "-C", backing, ".")
    exported = scratch / "exported"
    bench.table.add("export", bench.run("export", backing, exported))
    shutil.rmtree(exported)
    bench.table.add("export - | tar t", bench.run("export", backing, "-", piped_to=["tar", "t"]), "export")
    copied = scratch / "copied"
    mounted(volume.mount, volume.unmount, bench, "cp -a out of a mount", "export", (volume.mountpoint, copied))
    shutil.rmtree(copied)
    shutil.rmtree(backing)
    backing.mkdir()
    volume.create()
    inside = (source, volume.mountpoint / "copied")
    mounted(volume.mount, volume.unmount, bench, "cp -a into a mount, and unmount", "import", inside)
    shutil.rmtree(backing)
    bench.beside("cp -a of the files themselves", "import", "cp", "-a", source, copied)
    shutil.rmtree(copied)
    if is_installed(Gocryptfs):
        peer = Gocryptfs(scratch)
        peer.create()
        inside = (source, peer.mountpoint / "copied")
        mounted(peer.mount, peer.unmount, bench, "cp -a into gocryptfs, and unmount", "import", inside)
        fsck: list[str | Path] = ["gocryptfs", "-q", "-fsck", "-passfile", peer.secret, peer.backing]
        bench.beside("gocryptfs -fsck", "check --data", *fsck)


def mounted(
    mount: Callable[[], None],
    unmount: Callable[[], None],
    bench: Bench,
    name: str,
    beside: str,
    copy: tuple[Path, Path],
) -> None:
    """The time of a copy includes that of unmounting, which writes what waits."""
    os.sync()
    mount()
    try:
        copying = timed("cp", "-a", *copy)
    finally:
        start = time.perf_counter()
        unmount()
    seconds = copying.seconds + time.perf_counter() - start
    bench.table.add(name, copying._replace(seconds=seconds), beside)
