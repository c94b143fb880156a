"""Steps that compare the mount with a model, or with what a manual page promises."""

import os

from ..workloads import damage, fsx, locks, names, positions, suspects, times
from .context import Context, seed


def step_fsx(context: Context) -> None:
    """Random operations on two files; FSX_OPERATIONS says how many (100,000)."""
    plain = context.new_volume("--chunk-size", "1M")
    operations = int(os.environ.get("FSX_OPERATIONS", 100_000))
    fsx.play(fsx.Options(str(plain), context.remount, context.kill_and_mount, operations), seed())
    context.unmount_and_rescue()


def step_names(context: Context) -> None:
    """Ten million bytes of random names."""
    plain = os.fsencode(context.new_volume())
    made = names.create(plain, 10_000_000, seed())
    names.compare(plain, made)
    context.unmount_and_rescue()
    context.volume.mount()
    names.compare(plain, made)
    names.delete(plain, made)
    context.remount()
    names.compare(plain, [])
    context.volume.unmount()


def step_suspects(context: Context) -> None:
    plain = str(context.new_volume())
    suspects.play(plain)
    context.remount()
    suspects.check_again(plain)
    context.volume.unmount()


def step_damage(context: Context) -> None:
    context.new_volume()
    damage.play(context.volume)
    context.volume.unmount()


def step_times(context: Context) -> None:
    """Times set by a program outlive what is written back after it."""
    plain = str(context.new_volume())
    times.play(plain)
    context.remount()
    times.check_again(plain)
    context.volume.unmount()


def step_positions(context: Context) -> None:
    positions.play(str(context.new_volume()))
    context.volume.unmount()


def step_locks(context: Context) -> None:
    locks.play(str(context.new_volume()))
    context.volume.unmount()


STEPS = (step_fsx, step_names, step_suspects, step_damage, step_times, step_positions, step_locks)
