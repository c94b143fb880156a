"""A model of a client that keeps a folder in the cloud: it uploads each file whole that changed and came to rest."""

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Seconds between two looks at the folder.
INTERVAL = 0.05
# Inode number, size and modification time: what clients go by.
Key = tuple[int, int, int]


@dataclass
class Uploads:
    """What was sent. A client that detects renames does not send a file again whose content it has under a name that is
    gone; `detected_…` is what it sends."""

    bytes: int = 0
    files: int = 0
    detected_bytes: int = 0
    detected_files: int = 0
    removed: int = 0

    def add(self, size: int, is_renamed: bool) -> None:
        self.bytes += size
        self.files += 1
        if not is_renamed:
            self.detected_bytes += size
            self.detected_files += 1


@dataclass
class Client:
    """`delay`: seconds for which a file must not change before it is sent."""

    folder: Path
    delay: float
    uploads: Uploads = field(default_factory=Uploads)

    def __post_init__(self) -> None:
        self.sent: dict[str, tuple[Key, bytes]] = {}
        self.changed: dict[str, tuple[Key, float]] = {}
        # Contents that are in the cloud under names that are gone.
        self.gone: list[bytes] = []
        for path, key in self.files():
            if digest := digest_of(path):
                self.sent[path] = key, digest

    def files(self) -> Iterator[tuple[str, Key]]:
        folders = [str(self.folder)]
        while folders:
            try:
                for entry in os.scandir(folders.pop()):
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        found = entry.stat(follow_symlinks=False)
                        yield entry.path, (found.st_ino, found.st_size, found.st_mtime_ns)
            except FileNotFoundError:
                continue

    def look(self) -> bool:
        """Looks at the folder once and sends what has come to rest; whether anything is not as it was sent."""
        now, seen, is_at_rest = time.monotonic(), set(), True
        found = dict(self.files())
        for path in self.sent.keys() - found.keys():
            self.gone.append(self.sent.pop(path)[1])
            self.uploads.removed += 1
            is_at_rest = False
        for path, key in found.items():
            if path in self.sent and self.sent[path][0] == key:
                continue
            is_at_rest = False
            seen.add(path)
            if self.changed.get(path, (None, 0))[0] != key:
                self.changed[path] = key, now
            elif now - self.changed[path][1] >= self.delay:
                self.send(path, key)
        self.changed = {path: change for path, change in self.changed.items() if path in seen}
        return is_at_rest

    def send(self, path: str, key: Key) -> None:
        digest = digest_of(path)
        if digest is None:
            return
        if path not in self.sent or self.sent[path][1] != digest:
            is_renamed = digest in self.gone
            if is_renamed:
                self.gone.remove(digest)
            self.uploads.add(key[1], is_renamed)
        self.sent[path] = key, digest

    def wait_for_rest(self, seconds: float, patience: float) -> None:
        """Until nothing has changed for so long. Raises `RuntimeError` if that does not come within `patience`."""
        start = since = time.monotonic()
        while time.monotonic() - since < seconds:
            if not self.look():
                since = time.monotonic()
            if since - start > patience:
                raise RuntimeError("the backing folder does not come to rest")
            time.sleep(INTERVAL)


def digest_of(path: str) -> bytes | None:
    """None if it is gone."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except FileNotFoundError:
        return None
