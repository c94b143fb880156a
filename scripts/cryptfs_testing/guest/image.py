"""The guest's disk: a Debian as debootstrap makes it, our packages, and what is done inside."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from ..harness.command import run

NEEDS = (
    "linux-image-cloud-amd64", "systemd-sysv", "udev", "dbus", "dbus-user-session", "libpam-systemd", "fuse3", "socat",
    "kmod", "procps", "zstd",
)  # fmt: skip
INSIDE = Path(__file__).with_name("inside")
# MiB.
SIZE = 4096

UNIT = """\
[Unit]
After=multi-user.target
[Service]
Type=exec
ExecStart=/opt/inside
StandardOutput=journal+console
StandardError=journal+console
TimeoutStopSec=10
[Install]
WantedBy=graphical.target
"""


def make_system(folder: Path, suite: str) -> Path:
    """A folder with a bootable system, made unless it is there."""
    if not (folder / "vmlinuz").exists():
        making = folder.with_name(f"{folder.name}.making")
        shutil.rmtree(making, ignore_errors=True)
        run("debootstrap", "--variant=minbase", f"--include={','.join(NEEDS)}", suite, making)
        # An emulated machine is slow to unpack the modules of all disks that there are.
        (making / "etc/initramfs-tools/conf.d/small").write_text("MODULES=list\n")
        (making / "etc/initramfs-tools/modules").write_text("virtio_pci\nvirtio_blk\next4\n")
        run("chroot", making, "update-initramfs", "-u", "-k", "all")
        making.rename(folder)
    return folder


def make_image(scratch: Path, system: Path, packages: Sequence[Path]) -> Path:
    """A filesystem's image of such a system with our packages, and a newer version of them in /opt."""
    root, image = scratch / "root", scratch / "disk"
    run("cp", "-a", "--reflink=auto", system, root)
    for package in packages:
        shutil.copy(package, root / "opt")
        newer(package, root / "opt/newer")
    run("chroot", root, "sh", "-c", "apt-get update -q && apt-get install -q -y --no-install-recommends /opt/*.deb")
    shutil.copy(INSIDE, root / "opt/inside")
    (root / "etc/systemd/system/inside.service").write_text(UNIT)
    (root / "etc/fstab").write_text("/dev/vda / ext4 rw 0 1\n")
    run("chroot", root, "systemctl", "enable", "inside")
    run("chroot", root, "useradd", "-m", "-s", "/bin/bash", "anna")
    with image.open("wb") as file:
        file.truncate(SIZE << 20)
    run("mkfs.ext4", "-q", "-d", root, image)
    shutil.rmtree(root)
    return image


def newer(package: Path, folder: Path) -> None:
    """The same package as a later version."""
    unpacked = folder / "unpacked"
    folder.mkdir(exist_ok=True)
    run("dpkg-deb", "-R", package, unpacked)
    control = unpacked / "DEBIAN/control"
    lines = control.read_text().splitlines()
    versions = [line.removeprefix("Version: ") for line in lines if line.startswith("Version: ")]
    control.write_text("\n".join(lines).replace(versions[0], f"{versions[0]}+newer") + "\n")
    run("dpkg-deb", "--root-owner-group", "-b", unpacked, folder / package.name)
    shutil.rmtree(unpacked)
