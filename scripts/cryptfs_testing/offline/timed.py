"""A command run to its end, and what that took."""

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..harness.command import CommandError
from ..harness.mounts import drop_caches


class Taken(NamedTuple):
    """Seconds on the clock and of the CPU, and the most memory, in MB, of the process."""

    seconds: float
    cpu: float
    memory: float


def timed(
    *command: str | Path,
    env: Mapping[str, str] | None = None,
    piped_to: list[str] | None = None,
    cold: bool = True,
    allowed: tuple[int, ...] = (0,),
) -> Taken:
    """Runs a command, from cold caches unless told otherwise; of what it is piped to only the clock counts."""
    if cold:
        os.sync()
        drop_caches()
    start = time.perf_counter()
    where = subprocess.PIPE if piped_to else subprocess.DEVNULL
    process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=where)
    reader = None
    if piped_to:
        reader = subprocess.Popen(piped_to, stdin=process.stdout, stdout=subprocess.DEVNULL)
        if process.stdout:
            process.stdout.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if reader and reader.wait():
        raise CommandError(f"{piped_to} failed")
    if process.returncode not in allowed:
        raise CommandError(f"{command[0]} failed with {process.returncode}")
    return Taken(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)
