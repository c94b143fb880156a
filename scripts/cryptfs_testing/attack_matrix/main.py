"""Plays attacks of the matrix on cryptfs and its peers, on real mounts, and prints what each mount says afterwards.

Needs root, what `scripts/setup --peers` installs (what is missing is left out and named) and `cargo build --release`,
or --binary. Takes some minutes.

Each attack has a volume of its own. Backing files are found by looking at the backing folder before and after something
is made, as the holder of the folder would. An attack that has several forms (which file, which block) is played in
each, each time from the same state; a cell shows the worst outcome, which is judged by what is read through the mount
alone:
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ..harness import arguments
from ..harness.cryptfs import Cryptfs, variant
from ..harness.peers import ENCRYPTED
from ..harness.system import System, is_installed
from .outcomes import MEANINGS
from .rows import ROWS
from .volume import Volume

KINDS: tuple[type[System], ...] = (Cryptfs, *ENCRYPTED)


def version(kind: type[System]) -> str:
    if issubclass(kind, Cryptfs):
        printed = subprocess.run([kind.program, "--version"], capture_output=True, text=True, check=True)
        return printed.stdout.split()[-1]
    query = ["dpkg-query", "-W", "-f", "${Version}", str(kind.program)]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout or "of unknown version"


def play(kind: type[System], row: int, folder: Path) -> str:
    """One cell. What cannot be set up at all is said as `?`, with the reason on stderr."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="attack-matrix.") as scratch:
        volume = None
        try:
            volume = Volume(kind, Path(scratch))
            return ROWS[row](volume)
        except (RuntimeError, OSError, ValueError, subprocess.TimeoutExpired) as error:
            print(f"row {row} on {kind.name}: {error}", file=sys.stderr)
            return "?"
        finally:
            if volume:
                volume.system.force_unmount()


def main() -> None:
    parser = arguments.with_scratch(arguments.parser(f"{__doc__}\n{MEANINGS}"), Path("/dev/shm"))
    parser.add_argument("--systems", help="only these, separated by commas")
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        type=variant,
        metavar="NAME=OPTIONS",
        help="cryptfs once more, with these mount options",
    )
    parser.add_argument("--rows", help="only these, separated by commas")
    options = parser.parse_args()
    Cryptfs.program = options.binary
    arguments.exit_when_terminated()
    kinds = [kind for kind in KINDS if not options.systems or kind.name in options.systems.split(",")]
    kinds += options.also
    if missing := [kind for kind in kinds if not is_installed(kind)]:
        print(f"left out, not installed: {', '.join(kind.name for kind in missing)}")
    kinds = [kind for kind in kinds if kind not in missing]
    rows = [int(row) for row in options.rows.split(",")] if options.rows else list(ROWS)
    start = time.monotonic()
    print(f"{'':54}" + "".join(f"{kind.name:>15}" for kind in kinds))
    for row in rows:
        print(f"{row:2} {ROWS[row].__doc__:51}", end="", flush=True)
        for kind in kinds:
            print(f"{play(kind, row, options.scratch):>15}", end="", flush=True)
        print()
    print(f"\n{MEANINGS}")
    print("versions:", ", ".join(f"{kind.name} {version(kind)}" for kind in kinds))
    print(f"in {time.monotonic() - start:.0f} s")
