"""Other processes, as /proc shows them."""

import os
import time
from pathlib import Path


def find(word: Path | str) -> int | None:
    """A process that has `word` as an argument and is no Python program."""
    wanted = os.fsencode(word)
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if wanted in words[1:] and b"python" not in os.path.basename(words[0]):
            return int(entry.parent.name)
    return None


def is_running(process: int) -> bool:
    """Whether a process has not ended. A zombie has, but not one whose other threads still run."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" or len(os.listdir(f"/proc/{process}/task")) > 1
    except OSError:
        return False


def ends_within(process: int, seconds: float) -> bool:
    """Waits for the end of a process that need not be a child."""
    deadline = time.monotonic() + seconds
    while is_running(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def peak_memory(process: int) -> int:
    """MiB of the largest resident set so far, 0 for a process that has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) // 1024
    except (OSError, IndexError):
        return 0
