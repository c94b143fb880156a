"""Run as the daemon's own user: tries to read its memory and to attach to it, which both must fail."""

import ctypes
import os
from pathlib import Path

from . import require

PTRACE_SEIZE = 0x4206


def play(pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    require(os.getuid() != 0, "root may do all this; run it as an ordinary user")
    status = Path(f"/proc/{pid}/status").read_text()
    uid = next(line.split()[1] for line in status.splitlines() if line.startswith("Uid:"))
    require(int(uid) == os.getuid(), f"the daemon is of user {uid}, not ours")
    # The control: a dumpable process of the same user whose memory can be opened.
    child = os.fork()
    if child == 0:
        libc.pause()
    try:
        open(f"/proc/{child}/mem", "rb").close()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    for what in ("mem", "environ", "maps", "fd"):
        require(not is_readable(Path(f"/proc/{pid}/{what}")), f"/proc/PID/{what} can be read")
    require(libc.ptrace(PTRACE_SEIZE, pid, None, None) != 0, "ptrace attaches")


def is_readable(path: Path) -> bool:
    try:
        if path.is_dir():
            os.listdir(path)
        else:
            with open(path, "rb") as file:
                file.read(1)
    except PermissionError:
        return False
    return True
