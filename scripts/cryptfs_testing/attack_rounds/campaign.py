"""The rounds: attack, work, look; remounts and new beginnings between them."""

import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..harness import mounts
from ..harness.command import CommandError
from ..harness.cryptfs import Cryptfs
from ..harness.snapshot import Snapshot
from . import Wrong
from .attacker import Attacker
from .bystander import Bystander
from .elsewhere import Elsewhere
from .insider import Insider
from .owner import Owner

# Rounds after which the volume begins anew.
EPOCH = 25
# Earlier states that are kept for the attacker.
KEPT = 6
# Seconds after which the daemon stores what changed, and a little.
QUIET = 1.2
# An exit status from here on is none that the program gives on purpose.
UNKNOWN_STATUS = 64


class Volume(Cryptfs):
    """A recovery key opens without the cost of a passphrase."""

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self.environment["RUST_BACKTRACE"] = "1"
        self.log = self.folder / "log"
        self.log.touch()

    def create(self, *options: str | Path) -> None:
        self.secret.unlink()
        self.cryptfs("init", "--no-passphrase", "--recovery-file", self.secret, "--no-tpm2", *options, self.backing)


class Campaign:
    def __init__(self, volume: Volume, chance: random.Random) -> None:
        self.volume, self.chance, self.tally = volume, chance, Counter[str]()
        self.volume.create("--chunk-size", "1M")
        insider = Insider(self.volume, self.volume.folder)
        self.attacker = Attacker(self.volume.backing, self.volume.secret, insider)
        self.beside = ThreadPoolExecutor(1)
        self.bystander = Bystander(self.volume)
        self.elsewhere = Elsewhere(self.volume, self.volume.folder, chance)
        self.owner = Owner(self.volume.mountpoint, chance, self.tally, self.elsewhere.files, self.adopts)
        # In every other epoch the attacker spares the bystander.
        self.is_spared = True
        self.born = Snapshot(self.volume.backing), Snapshot(self.volume.state)
        self.begin()

    def adopts(self) -> bool:
        return b"what was put into it here is in the root" in self.volume.log.read_bytes()

    def begin(self) -> None:
        """The volume as it was made, and some honest work on it."""
        self.owner.forget()
        self.is_spared = not self.is_spared
        self.bystander.kept = None
        self.first_sight()
        self.restore()
        self.attacker.spared = self.bystander.files if self.is_spared else set()
        if not self.mount():
            raise Wrong("an untouched volume does not mount: " + self.volume.log.read_text(errors="replace")[-500:])
        self.owner.make_folders()
        for _ in range(12):
            self.owner.work()
        self.unmount()
        self.attacker.past.append(Snapshot(self.volume.backing))
        self.mount()
        for _ in range(4):
            self.owner.work()
        self.owner.check_all(honest=True)

    def restore(self) -> None:
        self.born[0].restore(self.volume.backing)
        self.born[1].restore(self.volume.state)
        self.attacker.past, self.attacker.made = [self.born[0]], []

    def first_sight(self) -> None:
        """Something is wrong already with what the other device left when this one first sees it."""
        self.restore()
        self.attacker.spared = self.elsewhere.others
        self.attacker.whim = random.Random(self.chance.getrandbits(64))
        self.attack(2)
        if self.mount():
            self.owner.check_all()
            self.unmount()

    def mount(self) -> bool:
        """Whether it does: what is damaged may be refused, in words."""
        try:
            self.volume.serve(self.chance.choice(["writeback", "no_writeback"]), log=self.volume.log)
        except RuntimeError as error:
            status = self.volume.process and self.volume.process.poll()
            if not status or not 0 < status < UNKNOWN_STATUS:
                raise Wrong(f"mount ended with {status}") from error
            self.tally["mounts refused"] += 1
            self.volume.process = None
            return False
        return True

    def unmount(self) -> None:
        """Asks for it, or else forces it: a volume that stopped has nothing to lose."""
        daemon = self.volume.process
        if not daemon:
            return
        self.check_daemon()
        try:
            self.volume.cryptfs("umount", self.volume.mountpoint)
        except CommandError:
            self.tally["unmounts refused"] += 1
        if mounts.is_mounted(self.volume.mountpoint):
            self.volume.force_unmount()
            return
        self.volume.process = None
        # What could not be written may be an error at the end, and no more.
        if daemon.wait() not in range(UNKNOWN_STATUS):
            raise Wrong(f"the daemon ended with {daemon.returncode}")

    def check_daemon(self) -> None:
        if self.volume.process and self.volume.process.poll() is not None:
            raise Wrong(f"the daemon ended with {self.volume.process.returncode}")
        if b"panick" in self.volume.log.read_bytes():
            raise Wrong("the daemon panicked")

    def check_bystander(self) -> None:
        if self.is_spared:
            self.bystander.check(self.chance, self.attacker.made)

    def attack(self, times: int) -> None:
        for _ in range(times):
            try:
                self.attacker.attack()
            except OSError:
                # The daemon, the owner or an earlier attack was faster; a link or folder is in the way.
                self.tally["attacks that could not be made"] += 1

    def round(self) -> None:
        self.attacker.whim = random.Random(self.chance.getrandbits(64))
        if self.chance.random() < 0.3:
            attacks = self.beside.submit(self.attack, 4)
            self.tally["rounds side by side"] += 1
        else:
            attacks = self.beside.submit(self.attack, 1)
            attacks.result()
        for _ in range(self.chance.randrange(3)):
            self.owner.work()
        for _ in range(3):
            folder, name, _ = self.owner.pick()
            self.owner.check(folder, name)
        self.owner.check_elsewhere()
        self.check_bystander()
        attacks.result()
        if self.is_spared and self.chance.random() < 0.04:
            # The daemon stores by itself what others changed: an error of theirs comes then.
            time.sleep(QUIET)
        self.check_bystander()
        self.check_daemon()
        if self.chance.random() < 0.12:
            self.remount()

    def remount(self) -> None:
        if self.chance.random() < 0.3:
            self.volume.force_unmount()
        self.unmount()
        self.attacker.past = [*self.attacker.past[1 - KEPT :], Snapshot(self.volume.backing)]
        if self.mount():
            self.tally["mounts"] += 1
            self.owner.check_all()
            self.check_bystander()
        elif self.is_spared:
            raise Wrong(f"the volume does not mount; {self.attacker.made}")
        else:
            # Too damaged to open.
            self.begin()

    def play(self, rounds: int, seconds: float, progress: Callable[[int], None]) -> int:
        """Returns how many rounds there was time for; `progress` is told the number of each."""
        start = time.monotonic()
        for number in range(rounds):
            progress(number)
            if time.monotonic() - start > seconds:
                return number
            if number % EPOCH == 0 and number:
                if self.chance.random() < 0.5:
                    self.volume.force_unmount()
                self.unmount()
                self.volume.log.write_bytes(b"")
                self.begin()
            self.round()
        return rounds
