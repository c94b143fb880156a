"""A backing folder on sshfs whose connection is cut from time to time: a server for SFTP behind a port, without SSH."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from ..harness import mounts
from ..harness.command import run

SERVER = Path("/usr/lib/openssh/sftp-server")


class Connection:
    def __init__(self, folder: Path) -> None:
        self.server, self.mountpoint = folder / "server", folder / "net"
        self.server.mkdir()
        self.mountpoint.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        listen = f"TCP-LISTEN:{self.port},bind=127.0.0.1,fork,reuseaddr"
        self.listener = subprocess.Popen(["socat", listen, f"EXEC:{SERVER}"])
        self.mount()

    def mount(self) -> None:
        deadline = time.monotonic() + 20
        options = f"directport={self.port},reconnect"
        while not mounts.is_mounted(self.mountpoint):
            with contextlib.suppress(RuntimeError):
                run("sshfs", "-o", options, f"localhost:{self.server}", self.mountpoint)
            if time.monotonic() > deadline:
                raise RuntimeError("sshfs does not mount")

    def cut(self) -> None:
        """Ends the connection; sshfs makes another one at the next call."""
        children = Path(f"/proc/{self.listener.pid}/task/{self.listener.pid}/children").read_text()
        for child in children.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)

    def break_for(self, seconds: float) -> None:
        """Ends sshfs itself, and mounts it again later."""
        found = run("pgrep", "-f", f"sshfs.*directport={self.port}").split()
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
        mounts.detach(self.mountpoint)
        time.sleep(seconds)
        self.mount()

    def disturb(self, chance: random.Random, until: float) -> None:
        while time.time() < until:
            time.sleep(chance.uniform(0.05, 0.8))
            if chance.random() < 0.15:
                self.break_for(chance.uniform(0, 2))
            else:
                self.cut()

    def end(self) -> None:
        mounts.detach(self.mountpoint)
        self.cut()
        self.listener.kill()
        self.listener.wait()


@contextlib.contextmanager
def connection(folder: Path) -> Iterator[Connection]:
    made = Connection(folder)
    try:
        yield made
    finally:
        made.end()
