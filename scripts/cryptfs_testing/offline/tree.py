"""A tree imported and exported, each way held against a mount by hash and metadata."""

import subprocess
from pathlib import Path

from ..harness.command import CommandError, run
from ..harness.cryptfs import Cryptfs
from ..harness.repository import RESCUE


def listing(volume: Cryptfs, folder: Path, into: Path) -> Path:
    """What is in a folder, as `cryptfs-rescue tree` tells it: kind, mode, owner, times, links, xattrs, hash."""
    told = run(RESCUE, "--passphrase-file", volume.secret, folder, "tree")
    # The top is each folder's own.
    into.write_text("\n".join(line for line in told.splitlines() if '"path": "."' not in line))
    return into


def same(one: Path, other: Path, what: str) -> None:
    ours, theirs = one.read_text().splitlines(), other.read_text().splitlines()
    if ours != theirs:
        differing = [line for pair in zip(ours, theirs) if pair[0] != pair[1] for line in pair]
        raise RuntimeError(f"{what} differs: {differing[:2] or (len(ours), len(theirs))}")
    print(f"{what}: {len(ours)} files and folders are the same", flush=True)


def compare(scratch: Path, source: Path) -> None:
    volume = Cryptfs(scratch)
    volume.create()
    secret: list[str | Path] = ["--passphrase-file", volume.secret]
    held = listing(volume, source, scratch / "held")
    # However long that takes: a large tree on a busy machine is no failure.
    run(volume.program, "import", *secret, source, volume.backing, env=volume.environment)
    volume.mount()
    try:
        same(held, listing(volume, volume.mountpoint, scratch / "mounted"), "a mount of the import")
    finally:
        volume.unmount()
    exported, streamed = scratch / "exported", scratch / "streamed"
    run(volume.program, "export", *secret, volume.backing, exported, env=volume.environment)
    same(held, listing(volume, exported, scratch / "of export"), "an export")
    streamed.mkdir()
    extract: list[str | Path] = [
        "tar",
        "--extract",
        "--xattrs",
        "--xattrs-include=*",
        "--numeric-owner",
        "--directory",
        streamed,
    ]
    exporting: list[str | Path] = [volume.program, "export", *secret, volume.backing, "-"]
    pipe(exporting, extract, volume)
    same(held, listing(volume, streamed, scratch / "of tar"), "export - | tar x")
    names = pipe(exporting, ["tar", "t"], volume)
    if len(names.splitlines()) != len(held.read_text().splitlines()) + 1:
        raise RuntimeError("export - | tar t lists something else")
    print(f"export - | tar t: {len(names.splitlines())} entries")


def pipe(command: list[str | Path], into: list[str | Path], volume: Cryptfs) -> str:
    """What the second command prints."""
    with subprocess.Popen(command, env=volume.environment, stdout=subprocess.PIPE) as writing:
        told = subprocess.run(into, stdin=writing.stdout, stdout=subprocess.PIPE, check=True).stdout
    if writing.returncode:
        raise CommandError(f"{command[0]} failed with {writing.returncode}")
    return told.decode(errors="surrogateescape")
