"""Doing things as the user nobody."""

import ctypes
import grp
import os
import pwd
import sys
import traceback
from collections.abc import Callable

PR_SET_DUMPABLE = 4
USER, GROUP = "nobody", "nogroup"


def call_as_nobody(function: Callable[..., object], *arguments: object) -> None:
    """Calls a function in a child process that is nobody's. Raises `RuntimeError` if it raises."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            become_nobody()
            function(*arguments)
            sys.stdout.flush()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError(f"{function.__module__}.{function.__name__} failed as {USER}")


def user_id() -> int:
    return pwd.getpwnam(USER).pw_uid


def become_nobody() -> None:
    """For good. Without the last call the process would not be dumpable, which an ordinary user's is."""
    os.chdir("/")
    os.setgroups([])
    os.setgid(grp.getgrnam(GROUP).gr_gid)
    os.setuid(user_id())
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
