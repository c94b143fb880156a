"""A tree of some 5,000 files with modes, times, links and xattrs of all kinds, from crates that this machine has."""

import os
import shutil
from pathlib import Path

FILES = 5000


def create(target: Path) -> None:
    target.mkdir()
    copy_crates(target)
    files = sorted(Path(folder) / name for folder, _, names in os.walk(target) for name in names)
    for number, path in enumerate(files[:600]):
        if number % 3 == 0:
            link = target / f"link-{number}"
            link.symlink_to(path)
            os.utime(link, ns=(5, 10**9 + number), follow_symlinks=False)
        if number % 5 == 0:
            os.link(path, target / f"hard-{number}")
        if number % 7 == 0:
            os.setxattr(path, "user.prove", os.urandom(number))
        path.chmod(0o400 + number % 0o400)
        os.utime(path, ns=(1, 123456789 + number * 10**15))
    os.mkfifo(target / "fifo", 0o640)
    print(f"  {len(files)} files", flush=True)


def copy_crates(target: Path) -> None:
    count = 0
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    for crate in sorted((home / "registry/src").glob("*/*")):
        if count >= FILES:
            return
        shutil.copytree(crate, target / crate.name, symlinks=True)
        count += sum(len(files) for _, _, files in os.walk(target / crate.name))
