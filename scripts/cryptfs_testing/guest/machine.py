"""A virtual machine with a TPM that lives on from boot to boot."""

import subprocess
import tempfile
import time
from pathlib import Path

from ..harness.command import CommandError, run

QEMU = "qemu-system-x86_64"
# Some machines that are guests themselves refuse what `host` would set of this one.
KVM = ("-accel", "kvm", "-cpu", "host,-arch-capabilities")
# Page tables of five levels are only slower.
EMULATION = ("-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max,la57=off")
# How much longer everything may take when it is emulated.
SLOWNESS = 8


def has_kvm(kernel: Path) -> bool:
    """Whether KVM runs a kernel here. In a machine that is a guest itself it may be there and stand still.

    The kernel has no root, says so, and restarts, which ends the program.
    """
    if not Path("/dev/kvm").exists():
        return False
    with tempfile.NamedTemporaryFile() as log:
        try:
            run(
                QEMU, *KVM, "-m", "256", "-display", "none", "-nodefaults", "-no-reboot", "-kernel", kernel,
                "-append", "console=ttyS0 panic=-1", "-serial", f"file:{log.name}", timeout=20,
            )  # fmt: skip
        except (CommandError, subprocess.TimeoutExpired):
            return False
        return b"Kernel panic" in Path(log.name).read_bytes()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"no {path}")
        time.sleep(0.02)


class Machine:
    """What is said inside comes through a port of virtio's; the console is kept for those who look for a fault."""

    def __init__(self, scratch: Path, image: Path, system: Path, patience: float) -> None:
        self.scratch, self.image = scratch, image
        [self.kernel] = (system / "boot").glob("vmlinuz-*")
        [self.initrd] = (system / "boot").glob("initrd.img-*")
        self.is_emulated = not has_kvm(self.kernel)
        self.slowness = SLOWNESS if self.is_emulated else 1
        self.patience = patience * self.slowness
        self.tpm, self.log = scratch / "tpm", scratch / "console"
        self.said, self.acknowledged = scratch / "said", scratch / "acknowledged"
        self.tpm.mkdir()

    def boot(self, boot: str, acknowledged: int) -> tuple[list[str], int]:
        """Returns what was said, and how many files were acknowledged. The machine turns itself off, or is turned off
        after too long a time; `acknowledged` tells it how many files there were the last time.
        """
        for file in (self.said, self.acknowledged):
            file.write_bytes(b"")
        socket = self.scratch / "tpm.socket"
        socket.unlink(missing_ok=True)
        emulator = subprocess.Popen(
            [
                "swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.tpm}", "--ctrl", f"type=unixio,path={socket}",
                "--terminate", "--flags", "startup-clear",
            ]
        )  # fmt: skip
        try:
            wait_for(socket)
            run(*self.command(socket, f"inside={boot} acknowledged={acknowledged}"), timeout=self.patience)
        except subprocess.TimeoutExpired:
            print(f"{boot}: takes longer than {self.patience:.0f} seconds", flush=True)
        finally:
            emulator.terminate()
            emulator.wait()
        whole = [line for line in self.acknowledged.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return self.said.read_text(errors="replace").splitlines(), int(whole[-1]) if whole else 0

    def command(self, tpm: Path, words: str) -> list[str]:
        # What else runs on this machine goes first: emulation takes all that it gets.
        qemu = ["nice", "-n", "10", QEMU, *EMULATION] if self.is_emulated else [QEMU, *KVM]
        # On a busy machine an emulated one waits in vain for its timer's ticks, unless it takes them for granted.
        words += f" slowness={self.slowness}" + (" no_timer_check" if self.is_emulated else "")
        # systemd's own patience, with services and devices.
        long = 90 * self.slowness
        waits = f"systemd.default_timeout_start_sec={long} systemd.default_device_timeout_sec={long}"
        return [
            *qemu, "-machine", "q35", "-m", "1024", "-smp", "2", "-display", "none", "-no-reboot", "-nodefaults",
            "-kernel", str(self.kernel), "-initrd", str(self.initrd),
            "-append", f"root=/dev/vda rw console=ttyS0 quiet panic=-1 systemd.show_status=1 {waits} {words}",
            "-drive", f"file={self.image},format=raw,if=virtio,cache=writeback",
            "-chardev", f"socket,id=tpm,path={tpm}", "-tpmdev", "emulator,id=tpm0,chardev=tpm",
            "-device", "tpm-crb,tpmdev=tpm0",
            "-serial", f"file:{self.log}",
            "-device", "virtio-serial-pci", "-chardev", f"file,id=said,path={self.said}",
            "-device", "virtserialport,chardev=said,name=said",
            "-chardev", f"file,id=acknowledged,path={self.acknowledged}",
            "-device", "virtserialport,chardev=acknowledged,name=acknowledged",
        ]  # fmt: skip

    def console(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""
