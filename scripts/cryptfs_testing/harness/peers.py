"""What cryptfs is measured beside: other encrypted filesystems, none at all, and its own transport alone."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from .command import run
from .cryfs_config import with_cheap_scrypt
from .mounts import drop_caches
from .repository import RELEASE
from .system import PASSPHRASE, PATIENCE, System


class Native(System):
    """The backing folder itself."""

    name = "native"

    def create(self) -> None:
        pass

    def mount(self) -> None:
        run("mount", "--bind", self.backing, self.mountpoint)

    def unmount(self) -> None:
        run("umount", self.mountpoint)


class Ceiling(System):
    """cryptfs's transport over memory, without crypto. Forgets its files at unmount, so it is not mounted anew."""

    name = "ceiling"
    program = RELEASE / "examples" / "ceiling"
    options: ClassVar[Sequence[str]] = ()

    def create(self) -> None:
        pass

    def mount(self) -> None:
        self.process = subprocess.Popen([self.program, self.mountpoint, *self.options], stdout=subprocess.DEVNULL)
        self.wait_until_mounted()

    def unmount(self) -> None:
        super().unmount()
        if self.process:
            self.process.wait(PATIENCE)
            self.process = None

    def remount(self) -> None:
        drop_caches()


class CeilingDevice(Ceiling):
    name = "ceiling-device"
    options = ("transport=device",)


class Gocryptfs(System):
    name = program = "gocryptfs"

    def create(self) -> None:
        run("gocryptfs", "-q", "-init", "-scryptn", "10", "-passfile", self.secret, self.backing)

    def mount(self) -> None:
        run("gocryptfs", "-q", "-passfile", self.secret, self.backing, self.mountpoint, timeout=PATIENCE)


class Securefs(System):
    program = "securefs"
    format: ClassVar[str]

    def create(self) -> None:
        twice = 2 * (PASSPHRASE + b"\n")
        run("securefs", "create", "--format", self.format, "--rounds", "1", self.backing, stdin=twice)

    def mount(self) -> None:
        command: list[str | Path] = ["securefs", "mount", "-b", "--log", "/dev/null", self.backing, self.mountpoint]
        run(*command, stdin=PASSPHRASE + b"\n", timeout=PATIENCE)
        self.wait_until_mounted()


class SecurefsLite(Securefs):
    name, format = "securefs-lite", "4"


class SecurefsFull(Securefs):
    name, format = "securefs-full", "2"


class Cryfs(System):
    """Its key derivation takes twenty seconds and has no option for less: a volume is made once, and its configuration
    sealed anew under a cheap one."""

    name = program = "cryfs"
    created: ClassVar[dict[Path, bytes]] = {}

    def create(self) -> None:
        if not self.created:
            self.serve("--cipher", "aes-256-gcm", patience=10 * PATIENCE)
            self.unmount()
            paths = [path for path in self.backing.rglob("*") if path.is_file()]
            self.created.update({path.relative_to(self.backing): path.read_bytes() for path in paths})
            config = Path("cryfs.config")
            self.created[config] = with_cheap_scrypt(self.created[config], PASSPHRASE)
        for path, content in self.created.items():
            (self.backing / path).parent.mkdir(exist_ok=True)
            (self.backing / path).write_bytes(content)

    def mount(self) -> None:
        self.serve()

    def serve(self, *options: str, patience: float = PATIENCE) -> None:
        self.process = subprocess.Popen(
            ["cryfs", "-f", *options, self.backing, self.mountpoint],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.environment,
        )
        assert self.process.stdin
        self.process.stdin.write(PASSPHRASE + b"\n")
        self.process.stdin.close()
        self.wait_until_mounted(patience=patience)

    def unmount(self) -> None:
        """It goes on writing when the mount is gone."""
        super().unmount()
        if self.process:
            self.process.wait(PATIENCE)
            self.process = None


class Encfs(System):
    name = program = "encfs"

    def create(self) -> None:
        """The first mount does."""

    def mount(self) -> None:
        command: list[str | Path] = ["encfs", "--standard", "--stdinpass", self.backing, self.mountpoint]
        run(*command, stdin=PASSPHRASE + b"\n", timeout=PATIENCE)


ENCRYPTED: tuple[type[System], ...] = (Gocryptfs, SecurefsLite, SecurefsFull, Cryfs, Encfs)
