"""Two devices at work on one volume through a sync client, and nothing lost.

Two mounts with a state folder and a backing folder each; the client syncs the folders on loopback. On both, files are
made, appended to, overwritten in place and whole, saved by rename, renamed, moved and removed at random, folders too;
some files are of several chunk files. Then all comes to rest, and it is judged: both show the same; each write that
fsync acknowledged is somewhere, unless a device removed or overwrote it having read it; no file holds what no device
wrote; `cryptfs check` finds nothing and the logs no alarm; and nothing changes in the folders any more.

--live: both work at the same time, the client runs. --turns: one is mounted and works, then the other, and the client
gets more or less time in between. Prints its seed; the same seed makes the same choices, though not at the same
instants. With --keep what was wrong can be looked at: the folders stay, with the logs and the history of all writes.
"""

import random
import shutil
import sys
import tempfile
from pathlib import Path

from ..harness import arguments
from ..harness.cryptfs import Cryptfs
from .client import Client
from .commands import Bisync, Unison
from .device import Device
from .judge import Verdict
from .run import NotAtRest, Run, Settings
from .simulated import Simulated
from .syncthing import Syncthing

CLIENTS: dict[str, type[Client]] = {kind.name: kind for kind in (Simulated, Syncthing, Bisync, Unison)}


def main() -> None:
    parser = arguments.with_seed(arguments.with_scratch(arguments.parser(__doc__)))
    parser.add_argument("--client", choices=sorted(CLIENTS), required=True)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--live", action="store_true", help="both are mounted all the time (as usual)")
    mode.add_argument("--turns", action="store_true", help="one at a time is mounted")
    parser.add_argument("--large", type=int, default=3, help="files of several chunk files (%(default)s)")
    parser.add_argument("--seconds", type=float, default=1800, help="of work (%(default)s)")
    parser.add_argument(
        "--pause", type=float, default=0.5, help="seconds between two changes of a device (%(default)s)"
    )
    parser.add_argument("--patience", type=float, default=900, help="seconds to come to rest (%(default)s)")
    parser.add_argument("--keep", type=Path, help="where to leave the folders and logs if something is wrong")
    options = parser.parse_args()
    Cryptfs.program = options.binary
    arguments.exit_when_terminated()
    print(f"seed {options.seed}, {options.client}, {'turns' if options.turns else 'live'}", flush=True)
    scratch = Path(tempfile.mkdtemp(prefix="devices-", dir=options.scratch))
    settings = Settings(options.seconds, options.large, options.pause, options.patience)
    is_right = False
    try:
        is_right = play(scratch, options.client, settings, str(options.seed), is_live=not options.turns)
    finally:
        if options.keep and not is_right:
            shutil.move(scratch, options.keep)
            print(f"left in {options.keep}", file=sys.stderr)
        else:
            shutil.rmtree(scratch)
    sys.exit(not is_right)


def play(scratch: Path, name: str, settings: Settings, seed: str, *, is_live: bool) -> bool:
    """Whether nothing was wrong."""
    first, second = devices = [Device(scratch, name) for name in ("a", "b")]
    first.create("--chunk-size", "1M")
    second.begin_as(first)
    client = CLIENTS[name](scratch, (first.backing, second.backing), random.Random(f"{seed} client"))
    run = Run(devices, client, settings, seed)
    try:
        client.start()
        run.live() if is_live else run.turns()
        try:
            verdict = run.finish()
        except NotAtRest as error:
            verdict = Verdict(wrong=[str(error), *run.failures])
    finally:
        for device in devices:
            device.force_unmount()
        client.end()
        (scratch / "history").write_text("\n".join(run.ledger.history) + "\n")
    print(*(f"{count:6} {what}" for what, count in sorted(run.ledger.done.items())), *verdict.told, sep="\n")
    if verdict.wrong:
        print("FAILED:", *verdict.wrong, sep="\n  ")
    else:
        print("nothing is lost, nothing mixed, and all is quiet")
    return not verdict.wrong
