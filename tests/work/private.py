#!/usr/bin/env python3
"""Run as the daemon's own user: tries to read its memory and to attach to it, which both must fail.

private.py PID
"""

import ctypes
import os
import sys

PTRACE_SEIZE = 0x4206


def main(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    if os.stat(f"/proc/{pid}/cmdline").st_size and os.getuid() == 0:
        sys.exit("private: root may do all this; run it as an ordinary user")
    status = open(f"/proc/{pid}/status").read()
    uid = next(line.split()[1] for line in status.splitlines() if line.startswith("Uid:"))
    if int(uid) != os.getuid():
        sys.exit(f"private: the daemon is uid {uid}'s, not ours")
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
        try:
            path = f"/proc/{pid}/{what}"
            os.listdir(path) if what == "fd" else open(path, "rb").read(1)
        except PermissionError:
            continue
        sys.exit(f"private: /proc/PID/{what} can be read")
    if libc.ptrace(PTRACE_SEIZE, int(pid), None, None) == 0:
        sys.exit("private: ptrace attaches")


main(sys.argv[1])
