"""A booted Debian with a TPM, in which cryptfs is used as on a person's second day: boot after boot, by the packages
that scripts/package built (those in target/package). As root, with debootstrap, qemu and swtpm (scripts/setup --guest).
Each boot has a time limit. Where KVM runs no kernel, which is tried for twenty seconds, the machine is emulated:
a boot takes minutes, and everything has eight times as long.

    install    the volume is made, a slot of the TPM with it; lines of fstab
    use        fstab mounted it without a word; automount and idle; a credential; a user's unit at login; sleep locks
    ask        the TPM's slot is gone: systemd asks for the passphrase, which a script gives; then the machine is shut
               down in the midst of writing
    after      all is there that was acknowledged; the package is upgraded while the volume is mounted

Prints each thing that was to be seen, and the console of a boot in which something was not. With --keep FOLDER the
system that debootstrap made is kept there, and taken from there the next time.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from ..harness.arguments import exit_when_terminated
from ..harness.repository import ROOT
from .image import make_image, make_system
from .machine import Machine

BOOTS = ("install", "use", "ask", "after")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, default=ROOT / "target/package", help="the folder of the .deb files")
    parser.add_argument("--suite", default="trixie", help="of Debian (trixie)")
    parser.add_argument("--patience", type=float, default=300, help="seconds that a boot may take by KVM (300)")
    parser.add_argument("--keep", type=Path, help="where the system is kept")
    options = parser.parse_args()
    exit_when_terminated()
    if os.geteuid() != 0:
        sys.exit("guest: needs root: debootstrap does")
    packages = sorted(options.packages.glob("cryptfs*.deb"))
    if len(packages) != 2:
        sys.exit(f"guest: no two packages in {options.packages}: scripts/package builds them")
    with tempfile.TemporaryDirectory(dir=options.keep) as scratch:
        system = make_system((options.keep or Path(scratch)) / options.suite, options.suite)
        image = make_image(Path(scratch), system, packages)
        machine = Machine(Path(scratch), image, system, options.patience)
        print("the machine is emulated" if machine.is_emulated else "the machine runs by KVM", flush=True)
        wrong = play(machine)
    sys.exit(f"guest: {wrong} of what was to be seen was not" if wrong else 0)


def play(machine: Machine) -> int:
    """Returns how much was not as it should be."""
    wrong, acknowledged = 0, 0
    for boot in BOOTS:
        began = time.monotonic()
        seen, acknowledged = machine.boot(boot, acknowledged)
        print("\n".join(f"{boot}: {line}" for line in seen))
        print(f"{boot}: took {time.monotonic() - began:.0f} s", flush=True)
        bad = sum(not line.startswith("ok ") for line in seen)
        # Its last word, without which it was cut off.
        bad += "ok end" not in seen
        if boot == "ask":
            print(f"ask: {acknowledged} files were acknowledged when the machine was shut down", flush=True)
            bad += acknowledged == 0
        if bad:
            print(machine.console(), file=sys.stderr)
        wrong += bad
    return wrong
