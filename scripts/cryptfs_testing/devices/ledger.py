"""What the devices wrote and removed, as the system calls said."""

import threading
import time
from collections import Counter
from dataclasses import dataclass

from .versions import Version, runs, tokens, without_hole


@dataclass(frozen=True)
class Write:
    """Where, when it was acknowledged, and what the file held before, as far as who wrote it knew."""

    path: str
    at: float
    upon: set[int]


@dataclass(frozen=True)
class Stall:
    """A machine stood still between a look at a file and what took the place of that. What came in between was shown,
    and nobody looked at it."""

    path: str
    seen: set[int]
    until: float

    def took(self, token: int, write: Write) -> bool:
        """Whether that write may have been what came."""
        is_there = self.path == write.path or bool(self.seen & write.upon)
        return is_there and token not in self.seen and write.at < self.until


class Ledger:
    """`made`: each write that an fsync acknowledged, and where. `weak`: those that only write and close did, which a
    client may replace within the half second before they are stored (docs/MERGING.md). `gone`: those that a device
    removed or overwrote, having read them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.started = time.monotonic()
        self.versions: set[Version] = {b""}
        # What was written at a place within a file, and which unit that is.
        self.placed: list[tuple[int, Version]] = []
        self.made: dict[int, str] = {}
        self.weak: dict[int, str] = {}
        self.gone: set[int] = set()
        self.writes: dict[int, Write] = {}
        self.stalls: list[Stall] = []
        self.done: Counter[str] = Counter()
        self.last = 0
        self.history: list[str] = []

    def token(self) -> int:
        with self.lock:
            self.last += 1
            return self.last

    def begin(self, version: Version) -> None:
        """Some file may become this, or any beginning of it, from now on."""
        with self.lock:
            self.versions.add(version)

    def place(self, at: int, part: Version) -> None:
        """Some file may get this there from now on, be it another version than was read before."""
        with self.lock:
            self.placed.append((at, part))

    def acknowledge(self, token: int, where: str, *, durable: bool, upon: Version = b"") -> None:
        write = Write(where.split(": ", 1)[1], time.monotonic(), tokens(upon))
        with self.lock:
            (self.made if durable else self.weak)[token] = where
            self.writes[token] = write

    def stood_still(self, path: str, seen: set[int]) -> None:
        """Until now, since somebody looked at a file that he overwrote just now."""
        with self.lock:
            self.stalls.append(Stall(path, seen, time.monotonic()))

    def remove(self, found: set[int]) -> None:
        with self.lock:
            self.gone |= found

    def note(self, what: str) -> None:
        with self.lock:
            self.history.append(f"{time.monotonic() - self.started:8.3f} {what}")

    def count(self, what: str) -> None:
        with self.lock:
            self.done[what] += 1

    def is_known(self, version: Version) -> bool:
        """Whether it is what some device had, or a beginning of that: a client may take a file between two writes."""
        is_begun = version in self.versions or any(known.startswith(version) for known in self.versions)
        return is_begun or self.is_behind_the_end(version)

    def is_behind_the_end(self, version: Version) -> bool:
        """Whether somebody wrote at a place of a file that a client had replaced by a shorter one since it was read:
        zeros lie between (docs/MERGING.md, "What is not covered")."""

        def is_it(at: int, part: Version) -> bool:
            before, written = version[: at * 8], version[at * 8 :]
            kept = without_hole(before)
            return bool(written) and part.startswith(written) and kept != before and kept in self.versions

        with self.lock:
            return any(is_it(at, part) for at, part in self.placed)

    def is_overwritten_unread(self, token: int) -> bool:
        """Whether it may have come while a machine stood still between a look and the write that replaced what was
        seen: no filesystem can tell that whoever overwrites what was shown for twenty seconds means what was there
        before."""
        return any(stall.took(token, self.writes[token]) for stall in self.stalls)

    def lost(self, contents: list[Version]) -> tuple[dict[int, str], dict[int, str]]:
        """Of what has to be somewhere, and of what only was written, that which is nowhere."""
        there = {token for content in contents for token in tokens(content)}
        accounted = self.gone | there
        made, weak = (
            {token: where for token, where in wanted.items() if token not in accounted}
            for wanted in (self.made, self.weak)
        )
        return made, weak

    def describe(self, version: Version) -> str:
        return f"{len(version) // 8} units: {runs(version)}"
