"""The filesystems that cryptfs is put beside, each made, mounted and unmounted: for `bench` and `attack-matrix`."""

import hashlib
import os
import struct
import subprocess
import time
from pathlib import Path

PASSPHRASE = b"only for measuring"
RELEASE = Path(__file__).resolve().parent.parent / "target" / "release"
# Seconds that mounting or unmounting may take.
PATIENCE = 60


def run(*command, stdin=b"", env=None, timeout=None):
    """Runs a command to its end; its output is shown only if it fails."""
    done = subprocess.run(
        command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, timeout=timeout
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stdout.decode(errors='replace')}")


class System:
    """A filesystem under test: a folder that is mounted, unmounted and mounted again."""

    name = ""
    needs = ""

    def __init__(self, scratch):
        self.backing = scratch / self.name / "backing"
        self.mountpoint = scratch / self.name / "mount"
        self.secret = scratch / self.name / "passphrase"
        for folder in (self.backing, self.mountpoint):
            folder.mkdir(parents=True)
        self.secret.write_bytes(PASSPHRASE)
        self.secret.chmod(0o600)
        self.environment = {
            **os.environ,
            "XDG_STATE_HOME": str(scratch / "state"),
            "CRYFS_LOCAL_STATE_DIR": str(scratch / "cryfs"),
            "CRYFS_FRONTEND": "noninteractive",
            "CRYFS_NO_UPDATE_CHECK": "true",
        }
        self.init()

    def init(self):
        """Makes the volume."""

    def mount(self):
        """Mounts it; returns when it answers."""

    def unmount(self):
        run("fusermount3", "-u", self.mountpoint, timeout=PATIENCE)
        self.wait_for(False)

    def is_mounted(self):
        return f" {self.mountpoint} " in Path("/proc/mounts").read_text()

    def wait_for(self, mounted, process=None, patience=PATIENCE):
        """Until the mount is there, or gone."""
        deadline = time.monotonic() + patience
        while self.is_mounted() != mounted:
            if time.monotonic() > deadline or process and process.poll() is not None:
                raise RuntimeError(f"{self.name} does not {'mount' if mounted else 'unmount'}")
            time.sleep(0.01)

    def remount(self):
        """Mounts anew, with cold caches."""
        self.unmount()
        run("sync")
        Path("/proc/sys/vm/drop_caches").write_text("3")
        self.mount()

    def daemon(self):
        """The process that serves the mount, if there is one."""
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = entry.read_bytes().split(b"\0")
            except OSError:
                continue
            if str(self.mountpoint).encode() in words and not words[0].endswith(b"python3"):
                return int(entry.parent.name)
        return None


class Native(System):
    name = "native"

    def mount(self):
        run("mount", "--bind", self.backing, self.mountpoint)

    def unmount(self):
        run("umount", self.mountpoint)


class Cryptfs(System):
    name = "cryptfs"
    needs = RELEASE / "cryptfs"
    options = ""

    def init(self):
        self.options = f",{self.options}" if self.options else ""
        run(self.needs, "init", "--passphrase-file", self.secret, "--no-recovery", "--no-tpm2", "--iter-time", "1",
            self.backing, env=self.environment)

    def mount(self):
        run(self.needs, "mount", self.backing, self.mountpoint, "-o", f"passphrase-file={self.secret}{self.options}",
            env=self.environment, timeout=PATIENCE)

    def unmount(self):
        run(self.needs, "umount", self.mountpoint, env=self.environment, timeout=PATIENCE)


def variant(text):
    """Cryptfs once more, with other mount options: NAME=OPTIONS."""
    name, options = text.split("=", 1)
    return type(name, (Cryptfs,), {"name": f"cryptfs-{name}", "options": options})


class Ceiling(System):
    """Forgets its files at unmount, so what a load reads after a remount is written again first."""

    name = "ceiling"
    needs = RELEASE / "examples" / "ceiling"
    keeps = False
    options = []

    def mount(self):
        self.process = subprocess.Popen([self.needs, self.mountpoint, *self.options], stdout=subprocess.DEVNULL)
        self.wait_for(True)

    def unmount(self):
        super().unmount()
        self.process.wait()

    def remount(self):
        Path("/proc/sys/vm/drop_caches").write_text("3")


class CeilingDevice(Ceiling):
    name = "ceiling-device"
    options = ["transport=device"]


class Gocryptfs(System):
    name = "gocryptfs"
    needs = "gocryptfs"

    def init(self):
        run("gocryptfs", "-q", "-init", "-scryptn", "10", "-passfile", self.secret, self.backing)

    def mount(self):
        run("gocryptfs", "-q", "-passfile", self.secret, self.backing, self.mountpoint, timeout=PATIENCE)


class Securefs(System):
    needs = "securefs"
    format = ""

    def init(self):
        run("securefs", "create", "--format", self.format, "--rounds", "1", self.backing, stdin=2 * (PASSPHRASE + b"\n"))

    def mount(self):
        run("securefs", "mount", "-b", "--log", "/dev/null", self.backing, self.mountpoint, stdin=PASSPHRASE + b"\n",
            timeout=PATIENCE)
        self.wait_for(True)


class SecurefsLite(Securefs):
    name, format = "securefs-lite", "4"


class SecurefsFull(Securefs):
    name, format = "securefs-full", "2"


class Cryfs(System):
    """Its key derivation takes twenty seconds and has no option: a volume is made once, and its configuration sealed
    anew under a cheap one."""

    name = needs = "cryfs"
    fresh = {}

    def init(self):
        if not self.fresh:
            self.mount("--cipher", "aes-256-gcm", patience=10 * PATIENCE)
            self.unmount()
            paths = [path for path in self.backing.rglob("*") if path.is_file()]
            self.fresh.update({path.relative_to(self.backing): path.read_bytes() for path in paths})
            self.fresh[Path("cryfs.config")] = cheaper(self.fresh[Path("cryfs.config")])
        for path, content in self.fresh.items():
            (self.backing / path).parent.mkdir(exist_ok=True)
            (self.backing / path).write_bytes(content)

    def mount(self, *options, patience=PATIENCE):
        command = ["cryfs", "-f", *options, self.backing, self.mountpoint]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, env=self.environment, **quiet)
        self.process.stdin.write(PASSPHRASE + b"\n")
        self.process.stdin.close()
        self.wait_for(True, self.process, patience)

    def unmount(self):
        """It goes on writing when the mount is gone."""
        super().unmount()
        self.process.wait(PATIENCE)


def cheaper(config):
    """A `cryfs.config` of AES-256-GCM with the least scrypt there is."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    header = b"cryfs.config;1;scrypt\0"
    length = struct.unpack_from("<Q", config, len(header))[0]
    parameters, outer = config[len(header) + 8 :][:length], config[len(header) + 8 + length :]
    factor, size, lanes = struct.unpack_from("<QII", parameters)
    salt = parameters[16:]

    def keys(factor):
        key = hashlib.scrypt(PASSPHRASE, salt=salt, n=factor, r=size, p=lanes, maxmem=(1 << 31) - 2, dklen=88)
        return AESGCM(key[:32]), AESGCM(key[32:64])

    def unseal(cipher, sealed):
        padded = cipher.decrypt(sealed[:16], sealed[16:], None)
        return padded[4 : 4 + struct.unpack_from("<I", padded)[0]]

    def seal(cipher, plain, size):
        nonce = os.urandom(16)
        padded = struct.pack("<I", len(plain)) + plain
        return nonce + cipher.encrypt(nonce, padded.ljust(size, b"\0"), None)

    (outer_key, inner_key), (new_outer_key, new_inner_key) = keys(factor), keys(2)
    inner_header = b"cryfs.config.inner;0\0aes-256-gcm\0"
    plain = unseal(inner_key, unseal(outer_key, outer).removeprefix(inner_header))
    inner = inner_header + seal(new_inner_key, plain, 900)
    parameters = struct.pack("<QII", 2, size, lanes) + salt
    return header + struct.pack("<Q", length) + parameters + seal(new_outer_key, inner, 1024)


class Encfs(System):
    name = needs = "encfs"

    def mount(self):
        run("encfs", "--standard", "--stdinpass", self.backing, self.mountpoint, stdin=PASSPHRASE + b"\n",
            timeout=PATIENCE)


SYSTEMS = [Native, Cryptfs, Ceiling, CeilingDevice, Gocryptfs, SecurefsLite, SecurefsFull, Cryfs, Encfs]
