"""Steps in which real programs work: tar, git, cargo, SQLite."""

import hashlib
import os
import random
import subprocess
from pathlib import Path

from ..harness.command import run
from ..harness.repository import ROOT
from ..workloads import require, tree
from . import source_tree
from .context import Context, Volume, require_same


def step_tree(context: Context) -> None:
    """An archive of a tree with everything that tar keeps."""
    plain, source = context.new_volume(), context.folder / "source"
    source_tree.create(source)
    archive = context.folder / "source.tar"
    run("tar", "-C", source, "--xattrs", "-cf", archive, ".")
    run("tar", "-C", plain, "--xattrs", "-xpf", archive)
    before = tree.listing(source)
    require_same(before, tree.listing(plain), "the tree")
    context.remount()
    require_same(before, tree.listing(plain), "the tree after a remount")
    context.unmount_and_rescue()


def step_copied(context: Context) -> None:
    """The backing folder, copied by a service that keeps neither modes nor times nor xattrs."""
    plain, source = context.new_volume(), context.folder / "source"
    source_tree.create(source)
    run("cp", "-a", f"{source}/.", plain)
    before = tree.listing(plain)
    context.volume.unmount()
    elsewhere = Volume(context.folder / "elsewhere")
    elsewhere.backing.rmdir()
    run("cp", "-r", context.volume.backing, elsewhere.backing)
    elsewhere.mount()
    require_same(before, tree.listing(elsewhere.mountpoint), "the copied tree")
    elsewhere.unmount()


def step_git(context: Context) -> None:
    """Commits, renames, a branch, garbage collection; and `git fsck`."""
    plain = context.new_volume()
    clone = plain / "clone"
    run("git", "clone", "-q", ROOT, clone)

    def git(*words: str) -> str:
        return run("git", *words, cwd=clone)

    git("config", "user.name", "prove")
    git("config", "user.email", "prove@example.org")
    git("config", "commit.gpgsign", "false")
    name, other = "README.md", "README.new"
    for number in range(1, 31):
        with open(clone / name, "a") as file:
            file.write(f"{number}\n")
        git("mv", name, other)
        name, other = other, name
        git("commit", "-qam", f"change {number}")
    git("checkout", "-q", "-b", "side", "HEAD~10")
    git("gc", "-q", "--aggressive", "--prune=now")
    git("fsck", "--strict", "--full")
    context.remount()
    git("fsck", "--strict", "--full")
    require(not git("status", "--porcelain"), "git sees changes that nobody made")
    context.unmount_and_rescue()


def step_crate(context: Context) -> None:
    """cargo builds a crate and runs what it built."""
    plain = context.new_volume()
    crate = plain / "built"
    run("cargo", "new", "-q", "--vcs", "none", crate)
    for number in range(1, 41):
        (crate / f"src/m{number}.rs").write_text(f"pub fn f() -> usize {{ {number} }}\n")
    modules = "".join(f"mod m{number};\n" for number in range(1, 41))
    (crate / "src/main.rs").write_text(modules + 'fn main() { println!("{}", m1::f() + m40::f()); }\n')

    def build(*words: str) -> None:
        environment = {**os.environ, "RUSTFLAGS": "-Adead_code"}
        environment.pop("CARGO_TARGET_DIR", None)
        run("cargo", "build", "-q", "--offline", *words, cwd=crate, env=environment)

    build()
    require(run(crate / "target/debug/built") == "41\n", "the built program does not run")
    (crate / "src/m40.rs").write_text("pub fn f() -> usize { 41 }\n")
    build("--release")
    context.remount()
    require(run(crate / "target/release/built") == "42\n", "the built program does not run after a remount")
    build("--release")
    context.unmount_and_rescue()


def step_sqlite(context: Context) -> None:
    """Transactions in both journal modes; unharmed by a remount and by a kill."""
    plain = context.new_volume()
    databases = {mode: plain / f"{mode}.db" for mode in ("delete", "wal")}
    sums = {}
    for mode, path in databases.items():
        run("sqlite3", path, stdin=transactions(mode).encode())
        sums[mode] = dump(path)
    for mount_anew in (context.remount, context.kill_and_mount):
        mount_anew()
        for mode, path in databases.items():
            require(run("sqlite3", path, "pragma integrity_check") == "ok\n", f"{mode}: integrity_check")
            require(dump(path) == sums[mode], f"{mode}: other contents")
    context.unmount_and_rescue()


def transactions(mode: str) -> str:
    chance = random.Random(1)
    lines = [f"pragma journal_mode={mode}; create table t(id integer primary key, v blob); create index i on t(v);"]
    for number in range(3000):
        lines.append(
            f"begin; insert into t(v) values(randomblob({chance.randrange(1, 3000)}));"
            f"update t set v=randomblob(50) where id={chance.randrange(1, number + 2)};"
            f"delete from t where id={chance.randrange(1, 4 * number + 2)}; commit;"
        )
    return "\n".join(lines)


def dump(database: Path) -> str:
    dumped = subprocess.run(["sqlite3", database, ".dump"], check=True, capture_output=True)
    return hashlib.sha256(dumped.stdout).hexdigest()


def step_one_byte(context: Context) -> None:
    """A byte in a file of 1 GiB changes two chunk files at most."""
    plain = context.new_volume()
    big = plain / "big"
    run("dd", "if=/dev/urandom", f"of={big}", "bs=1M", "count=1024", "status=none")
    before = chunk_sums(context)
    with open(big, "r+b") as file:
        os.pwrite(file.fileno(), b"x", 700_000_001)
    after = chunk_sums(context)
    changed = [path for path, digest in after.items() if before.get(path) != digest]
    print(f"  {len(changed)} of {len(after)} chunk files changed", flush=True)
    require(1 <= len(changed) <= 2, "too many files changed, or none")


def chunk_sums(context: Context) -> dict[Path, str]:
    """Digests of the chunk files of a volume at rest, which is mounted again then."""
    context.volume.unmount()
    sums = {}
    for path in (context.volume.backing / "chunks").rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                sums[path] = hashlib.file_digest(file, "sha256").hexdigest()
    context.volume.mount()
    return sums


STEPS = (step_tree, step_git, step_crate, step_sqlite, step_copied, step_one_byte)
