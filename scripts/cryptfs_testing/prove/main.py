"""Real work in a real mount, each step with a time limit: what unit tests cannot show. Takes some minutes and 25 GB.

CRYPTFS=program PROVE_TMP=folder MOUNT_OPTIONS=transport=fuser scripts/prove [STEP…]
"""

import argparse
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from ..harness import arguments
from ..harness.cryptfs import Cryptfs
from ..harness.repository import CRYPTFS
from . import limits, models, programs
from .context import Context, NeedsRoot

Step = Callable[[Context], None]
ORDER = [
    "tree",
    "git",
    "crate",
    "sqlite",
    "fsx",
    "names",
    "suspects",
    "damage",
    "copied",
    "one-byte",
    "memory",
    "private",
    "full",
    "vanish",
    "read-only",
    "descriptors",
    "times",
    "positions",
    "locks",
]
EVERY: dict[str, Step] = {
    step.__name__.removeprefix("step_").replace("_", "-"): step
    for step in (*programs.STEPS, *models.STEPS, *limits.STEPS)
}
# Seconds that a step may take.
LIMITS = {"memory": 900, "fsx": 900, "names": 600}
USUAL_LIMIT = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", metavar="STEP", help="all of them unless given: " + ", ".join(ORDER))
    steps = parser.parse_args().steps or ORDER
    if unknown := [name for name in steps if name not in EVERY]:
        parser.error(f"no such step: {', '.join(unknown)}")
    Cryptfs.program = Path(os.environ.get("CRYPTFS", CRYPTFS)).resolve()
    Cryptfs.options = os.environ.get("MOUNT_OPTIONS", "rw")
    arguments.exit_when_terminated()
    with tempfile.TemporaryDirectory(prefix="prove.", dir=os.environ.get("PROVE_TMP", "/tmp")) as folder:
        context = Context(Path(folder))
        for name in steps:
            print(name, flush=True)
            start = time.monotonic()
            try:
                take(name, context)
            finally:
                context.clean_up()
            print(f"  passed after {time.monotonic() - start:.0f} s", flush=True)


def take(name: str, context: Context) -> None:
    """Takes a step in a process group of its own; ends the program if it fails or takes too long."""
    process = multiprocessing.Process(target=in_child, args=(EVERY[name], context))
    process.start()
    try:
        process.join(LIMITS.get(name, USUAL_LIMIT))
        if process.exitcode is None:
            sys.exit(f"prove: {name} took too long")
        if process.exitcode:
            sys.exit(f"prove: {name} failed")
    finally:
        if process.is_alive() and process.pid:
            os.killpg(process.pid, signal.SIGKILL)
            process.join()


def in_child(step: Step, context: Context) -> None:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        step(context)
    except NeedsRoot:
        print("  (needs root)")
    except BaseException:
        traceback.print_exc()
        sys.exit(1)
