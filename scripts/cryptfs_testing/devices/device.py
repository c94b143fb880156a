"""One device: a state folder, a backing folder that a client syncs, and a mount."""

import re
import shutil
from pathlib import Path

from ..harness.command import CommandError
from ..harness.cryptfs import Cryptfs

# What a log may tell that is no false alarm: what is on its way, what was merged, and that somebody wrote to what a
# client replaced within the half second before it was stored (docs/MERGING.md, "What is not covered").
EXPECTED = re.compile(
    r"has not arrived yet|was replaced while it was open; what was written to it and not stored yet"
    r"|is in a file beside it|was deleted here and changed on another device: it has its name back"
)
ALARM = re.compile(r"\b(warning|error)\b|panicked")


class Device(Cryptfs):
    def __init__(self, scratch: Path, name: str) -> None:
        self.title = name
        super().__init__(scratch / name)
        self.log = scratch / f"{name}.log"
        self.environment["CRYPTFS_LOG"] = "info"

    def begin_as(self, other: Cryptfs) -> None:
        """Has a copy of what the other one has."""
        shutil.copytree(other.backing, self.backing, dirs_exist_ok=True)

    def arguments(self, *options: str) -> list[str | Path]:
        return [*super().arguments(*options), "--log-file", self.log]

    def alarms(self) -> list[str]:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return [line for line in text.splitlines() if ALARM.search(line) and not EXPECTED.search(line)]

    def check(self) -> list[str]:
        """What `cryptfs check` finds, a line each, notes included."""
        try:
            said, failed = self.cryptfs("check", "--all", "--data", "--passphrase-file", self.secret, self.backing), []
        except CommandError as error:
            # What it printed begins behind that it failed.
            said, failed = "\n".join(str(error).split(": ", 1)), [f"damage {str(error)[:200]}"]
        found = [line for line in said.splitlines() if line.startswith(("damage", "waiting", "note"))]
        return found if any(not line.startswith("note") for line in found) else found + failed
