"""A virtual machine with a TPM that lives on from boot to boot."""

import subprocess
import time
from pathlib import Path

from ..harness.command import run


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"no {path}")
        time.sleep(0.02)


class Machine:
    """What is said inside comes through a port of virtio's; the console is kept for those who look for a fault."""

    def __init__(self, scratch: Path, image: Path, system: Path, patience: float) -> None:
        self.scratch, self.image, self.system, self.patience = scratch, image, system, patience
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
        [kernel] = (self.system / "boot").glob("vmlinuz-*")
        [initrd] = (self.system / "boot").glob("initrd.img-*")
        # Some machines that are guests themselves refuse what `host` would set of this one.
        kvm = ["-enable-kvm", "-cpu", "host,-arch-capabilities"] if Path("/dev/kvm").exists() else []
        return [
            "qemu-system-x86_64", *kvm, "-m", "1024", "-smp", "2", "-display", "none", "-no-reboot", "-nodefaults",
            "-kernel", str(kernel), "-initrd", str(initrd),
            "-append", f"root=/dev/vda rw console=ttyS0 quiet systemd.show_status=1 {words}",
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
