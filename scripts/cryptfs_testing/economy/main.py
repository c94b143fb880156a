"""Measures what a sync client has to upload for one change, in bytes and uploads of files, beside gocryptfs and CryFS.

The backing folder of 1,000 notes of 2 kB, a file of 2 MB and one of 128 MB lies on tmpfs. A model of a client looks at
it 20 times a second and sends each changed file whole once it has not changed for --delay seconds: the default stands
for a client that is so quick that it sends a journal both when it is written and when it is emptied. `renames` is what
a client sends that recognises a renamed file by its content.

`running`: in a mount that has changed something before, until the folder has come to rest. `session`: from before a
mount to after its unmount, with that change in between. Needs root, what `scripts/setup --peers` installs (what is
missing is left out and named) and `cargo build --release --locked`, or --binary.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..harness import arguments
from ..harness.cryptfs import Cryptfs
from ..harness.peers import Cryfs, Gocryptfs
from ..harness.places import place
from ..harness.system import System, is_installed
from .changes import CHANGES, create, fill
from .client import Client, Uploads

# MiB of the filesystem for the backing folders.
SIZE = 4096
# Seconds within which a backing folder has to come to rest.
PATIENCE = 120


class SmallChunks(Cryptfs):
    """As a user makes it who edits large files."""

    name = "cryptfs-1M"

    def create(self, *options: str | Path) -> None:
        super().create("--chunk-size", "1M", *options)


KINDS: tuple[type[System], ...] = (Cryptfs, SmallChunks, Gocryptfs, Cryfs)


@dataclass
class Settings:
    """`delay` and `rest` in seconds."""

    notes: int
    delay: float
    rest: float


def running(system: System, change: str, settings: Settings) -> Uploads:
    """In a mount that goes on; it is mounted when this is called, and then."""
    Client(system.backing, settings.delay).wait_for_rest(settings.rest, PATIENCE)
    client = Client(system.backing, settings.delay)
    CHANGES[change](system.mountpoint)
    client.wait_for_rest(settings.rest, PATIENCE)
    return client.uploads


def session(system: System, change: str, settings: Settings) -> Uploads:
    """A mount of its own; nothing is mounted when this is called, and then."""
    client = Client(system.backing, settings.delay)
    system.mount()
    try:
        client.wait_for_rest(settings.rest, PATIENCE)
        CHANGES[change](system.mountpoint)
        client.wait_for_rest(settings.rest, PATIENCE)
    finally:
        system.unmount()
    client.wait_for_rest(settings.rest, PATIENCE)
    return client.uploads


def measure(system: System, changes: list[str], settings: Settings) -> None:
    """Prints the table of one system."""
    system.create()
    system.mount()
    fill(system.mountpoint, settings.notes)
    system.unmount()
    print(f"\n{system.name:28}{'running':>20}{'renames':>20}{'session':>20}{'renames':>20}", flush=True)
    for change in changes:
        system.mount()
        try:
            create(system.mountpoint)
            goes_on = running(system, change, settings)
        finally:
            system.unmount()
        whole = session(system, change, settings)
        cells = [shown(*figures) for found in (goes_on, whole) for figures in pairs(found)]
        print(f"{change:28}" + "".join(f"{cell:>20}" for cell in cells), flush=True)


def pairs(found: Uploads) -> tuple[tuple[int, int], tuple[int, int]]:
    return (found.bytes, found.files), (found.detected_bytes, found.detected_files)


def shown(size: int, files: int) -> str:
    return f"{(size + 500) // 1000:,} kB in {files}"


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--systems", default=",".join(kind.name for kind in KINDS), help="only these (%(default)s)")
    parser.add_argument("--changes", help="only these, separated by commas: " + ", ".join(CHANGES))
    parser.add_argument("--notes", type=int, default=1000, help="how many notes the folder has (%(default)s)")
    parser.add_argument(
        "--delay", type=float, default=0.25, help="seconds that a file rests before it is sent (%(default)s)"
    )
    parser.add_argument(
        "--rest", type=float, default=4, help="seconds without a change that end a measurement (%(default)s)"
    )
    options = parser.parse_args()
    Cryptfs.program = options.binary
    arguments.exit_when_terminated()
    changes = options.changes.split(",") if options.changes else list(CHANGES)
    if unknown := [change for change in changes if change not in CHANGES]:
        parser.error(f"no such change: {', '.join(unknown)}")
    settings = Settings(options.notes, options.delay, options.rest)
    print(f"{settings.notes} notes, a file is sent once it has not changed for {settings.delay:g} s")
    for kind in KINDS:
        if kind.name not in options.systems.split(","):
            continue
        if not is_installed(kind):
            print(f"left out, not installed: {kind.name}", file=sys.stderr)
            continue
        with place("tmpfs", Path(tempfile.gettempdir()), SIZE) as folder:
            measure(kind(folder), changes, settings)
