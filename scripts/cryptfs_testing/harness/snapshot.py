"""A folder as it was, kept in memory: for putting a backing folder back, or parts of it."""

import stat
from collections.abc import Collection
from pathlib import Path


class Snapshot:
    """Regular files and folders by their path below the root; what is neither is left out."""

    def __init__(self, root: Path) -> None:
        self.files: dict[Path, bytes] = {}
        self.folders: set[Path] = set()
        for path in sorted(root.rglob("*")):
            kind = path.lstat().st_mode
            if stat.S_ISREG(kind):
                self.files[path.relative_to(root)] = path.read_bytes()
            elif stat.S_ISDIR(kind):
                self.folders.add(path.relative_to(root))

    def restore(self, root: Path, spared: Collection[Path] = ()) -> None:
        """Makes a folder hold just that, files changed in place, as whoever holds them open would notice. What is
        `spared` is left as it is."""
        untouched = {path for kept in spared for path in (kept, *kept.parents)}
        for path in sorted(root.rglob("*"), reverse=True):
            relative = path.relative_to(root)
            if relative in untouched:
                continue
            if not stat.S_ISDIR(path.lstat().st_mode):
                if relative not in self.files or not stat.S_ISREG(path.lstat().st_mode):
                    path.unlink()
            elif relative not in self.folders:
                path.rmdir()
        for folder in sorted(self.folders):
            (root / folder).mkdir(exist_ok=True)
        for relative, content in self.files.items():
            if relative not in untouched:
                (root / relative).write_bytes(content)
