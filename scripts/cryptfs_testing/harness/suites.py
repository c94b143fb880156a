"""Test suites of others, fetched at one commit."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .command import run


@contextlib.contextmanager
def fetched(repository: str, commit: str, built: Path) -> Iterator[Path]:
    """A folder with the sources, to be built in; what is built lies at `built` afterwards."""
    built.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=built.parent) as folder:
        source = Path(folder) / "source"
        run("git", "clone", "-q", repository, source)
        run("git", "checkout", "-q", "--detach", commit, cwd=source)
        yield source
        source.rename(built)
