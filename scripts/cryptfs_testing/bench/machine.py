"""The state of the machine while it is measured."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

AUTOGROUPS = Path("/proc/sys/kernel/sched_autogroup_enabled")
URING = Path("/sys/module/fuse/parameters/enable_uring")


def has_uring() -> bool:
    """Whether the kernel offers FUSE over io_uring."""
    return URING.exists() and URING.read_text().strip() == "Y"


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """Keeps the CPUs awake with a spinner each, at idle priority: waking a virtual CPU costs more than a request.

    For a backing folder on a disk that is wrong: when a daemon wakes from waiting for the disk, the scheduler may let
    the spinner go on to the next tick, 3 ms (kernel 6.18: `perf sched timehist`).
    """
    spinners = []
    for cpu in os.sched_getaffinity(0):
        command = ["chrt", "-i", "0", "taskset", "-c", str(cpu), sys.executable, "-c", "while True: pass"]
        spinners.append(subprocess.Popen(command))
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


@contextlib.contextmanager
def without_autogroups() -> Iterator[None]:
    """With autogroups a daemon (a session of its own) would have to share the CPU with the spinners of ours as with an
    equal, however low their priority."""
    if not AUTOGROUPS.exists():
        yield
        return
    before = AUTOGROUPS.read_text()
    AUTOGROUPS.write_text("0")
    try:
        yield
    finally:
        AUTOGROUPS.write_text(before)
