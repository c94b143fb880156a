"""Steps in which something is short, missing or forbidden: memory, room, descriptors, the backing folder itself."""

import os
from pathlib import Path

from ..harness import mounts, processes
from ..harness.command import run
from ..harness.privileges import call_as_nobody
from ..workloads import descriptors, full, private, require, vanish
from .context import Context, Volume, require_root

# MiB that the daemon may take.
MEMORY = 200


def step_memory(context: Context) -> None:
    """10 GiB written and read, 100,000 files created."""
    plain = context.new_volume()
    daemon = context.volume.daemon()
    assert daemon
    pattern = os.urandom(64 << 20)
    big = plain / "big"
    with open(big, "wb", buffering=0) as file:
        for _ in range(160):
            file.write(pattern)
        os.fsync(file.fileno())
    print(f"  10 GiB written: {processes.peak_memory(daemon)} MiB", flush=True)
    if os.geteuid() == 0:
        mounts.drop_caches(1)
    with open(big, "rb", buffering=0) as file:
        for _ in range(160):
            require(file.read(len(pattern)) == pattern, "10 GiB read back differ")
    print(f"  10 GiB read: {processes.peak_memory(daemon)} MiB", flush=True)
    big.unlink()
    for folder in range(100):
        (plain / str(folder)).mkdir()
        for name in range(1000):
            (plain / f"{folder}/{name}").write_text(f"{folder} {name}")
    peak = processes.peak_memory(daemon)
    print(f"  100,000 files created: {peak} MiB", flush=True)
    require(sum(len(names) for _, _, names in os.walk(plain)) == 100_000, "files are missing")
    require(peak < MEMORY, f"the daemon took more than {MEMORY} MiB")
    context.volume.unmount()


def step_private(context: Context) -> None:
    """Neither core dumps nor a debugger of the same user get at keys."""
    context.new_volume()
    context.volume.unmount()
    if os.geteuid() == 0:
        context.volume.give_to_nobody()
    context.volume.mount()
    daemon = context.volume.daemon()
    assert daemon
    limits = Path(f"/proc/{daemon}/limits").read_text()
    core = next(line.split() for line in limits.splitlines() if line.startswith("Max core file size"))
    require(core[4:6] == ["0", "0"], "core dumps are possible")
    if os.geteuid() == 0:
        call_as_nobody(private.play, daemon)
    else:
        private.play(daemon)
    context.volume.unmount()


def step_full(context: Context) -> None:
    """ENOSPC is an error for who writes, and no more."""
    require_root()
    context.volume = volume = Volume(context.folder)
    run("mount", "-t", "tmpfs", "-o", "size=64m", "none", volume.backing)
    volume.create()
    volume.mount()
    plain = str(volume.mountpoint)
    sums = full.play(plain)
    context.remount()
    full.check(plain, sums)
    volume.unmount()
    run("umount", volume.backing)


def step_vanish(context: Context) -> None:
    """The backing folder is unmounted, moved, and closed to us, under a live mount."""
    require_root()
    plain = context.new_volume()
    volume, vault = context.volume, context.volume.backing
    real, vanished = vault.with_name("real"), vault.with_name("vanished")
    notes = context.folder / "notes"
    notes.mkdir()
    plain.chmod(0o777)
    where = (str(plain), str(notes / "acknowledged"))
    vanish.play("before", *where)
    volume.unmount()
    vault.rename(real)
    vault.mkdir()
    run("mount", "--bind", real, vault)
    volume.mount()
    run("umount", "-l", vault)
    vanish.play("during", *where)
    volume.unmount()
    vault.rmdir()
    real.rename(vault)
    volume.mount()
    vanish.check(*where)
    vault.rename(vanished)
    vanish.play("during", *where)
    volume.unmount()
    vanished.rename(vault)
    volume.mount()
    vanish.check(*where)
    volume.unmount()
    # Root may do everything: an ordinary user's daemon.
    volume.give_to_nobody()
    volume.mount()
    call_as_nobody(vanish.play, "before", *where)
    vault.chmod(0)
    call_as_nobody(vanish.play, "during", *where)
    vault.chmod(0o755)
    volume.unmount()
    volume.mount()
    call_as_nobody(vanish.check, *where)
    volume.unmount()


def step_read_only(context: Context) -> None:
    """A folder that cannot be written to is mounted read-only."""
    require_root()
    plain = context.new_volume()
    volume, vault = context.volume, context.volume.backing
    (plain / "file").write_text("kept")
    volume.unmount()
    run("mount", "--bind", vault, vault)
    run("mount", "-o", "remount,ro,bind", vault)
    volume.mount()
    require(mounts.is_mounted(plain, "fuse.cryptfs ro,"), "the mount is not shown as read-only")
    check_read_only(plain)
    volume.unmount()
    run("umount", vault)
    volume.give_to_nobody()
    run("chmod", "-R", "a-w", vault)
    volume.mount()
    call_as_nobody(check_read_only, plain)
    volume.unmount()


def check_read_only(plain: Path) -> None:
    require((plain / "file").read_text() == "kept", "the file is lost")
    try:
        (plain / "new").touch()
    except OSError:
        return
    require(False, "it can be written to")


def step_descriptors(context: Context) -> None:
    """A daemon that may open 64 files."""
    context.new_volume("--chunk-size", "1M")
    context.volume.unmount()
    # The hard limit is the daemon's too: as root it could raise a soft one.
    volume = context.volume
    run("prlimit", "--nofile=64:64", volume.program, "mount", *volume.arguments(), env=volume.environment)
    descriptors.play(str(context.volume.mountpoint))
    context.remount()
    context.volume.unmount()


STEPS = (step_memory, step_private, step_full, step_vanish, step_read_only, step_descriptors)
