"""The state of the machine while it is measured."""

import contextlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

AUTOGROUPS = Path("/proc/sys/kernel/sched_autogroup_enabled")
URING = Path("/sys/module/fuse/parameters/enable_uring")


@contextlib.contextmanager
def setting(switch: Path, value: str) -> Iterator[bool]:
    """Sets a switch of the kernel, and puts it back; whether it could be set."""
    try:
        before = switch.read_text()
        switch.write_text(value)
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        switch.write_text(before)


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """Keeps the CPUs awake with a spinner each, at idle priority: waking a virtual CPU costs more than a request.

    For a backing folder on a disk that is wrong: when a daemon wakes from waiting for the disk, the scheduler may let
    the spinner go on to the next tick, 3 ms (kernel 6.18: `perf sched timehist`). With autogroups a daemon, which is a
    session of its own, would have to share the CPU with the spinners as with an equal, however low their priority.
    """
    with setting(AUTOGROUPS, "0"):
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


def description() -> str:
    """What a table of figures is to be read with."""
    model = next(
        (line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "?",
    )
    date = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    load = os.getloadavg()[0]
    return (
        f"{date} UTC, Linux {platform.release()}, {os.cpu_count()} CPUs ({model}), load average {load:.1f} at the start"
    )
