"""Running commands."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict, Unpack

Argument = str | bytes | Path


class Options(TypedDict, total=False):
    """Keyword arguments that are handed to `subprocess.run`."""

    env: Mapping[str, str]
    timeout: float
    cwd: Path
    user: str
    group: str
    extra_groups: Sequence[str]


class CommandError(RuntimeError):
    """A command failed; the message has its output."""


def run(*command: Argument, stdin: bytes = b"", **options: Unpack[Options]) -> str:
    """Runs a command to its end and returns what it printed, standard error included.

    Raises `CommandError` if its exit status is not 0, and `subprocess.TimeoutExpired` after `timeout` seconds.
    """
    done = subprocess.run(
        command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **options
    )
    printed = done.stdout.decode(errors="replace")
    if done.returncode:
        raise CommandError(f"{os.fsdecode(command[0])} failed with {done.returncode}: {printed}")
    return printed
