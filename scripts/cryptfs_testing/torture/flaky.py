"""A backing folder on sshfs whose connection is cut from time to time: a server for SFTP behind a port, without SSH.

What a connection brought before it was cut the server does later, beside what the next one asks: its disk may be slow.
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

from ..harness import mounts, processes
from ..harness.command import run
from ..harness.system import PATIENCE

SERVER = Path("/usr/lib/openssh/sftp-server")


class Connection:
    def __init__(self, folder: Path, late: float) -> None:
        self.late = late
        self.servers: list[int] = []
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

    def cut(self, late: float = 0) -> None:
        """Ends the connection; sshfs makes another one at the next call. The server does what it has so much later."""
        for child in children(self.listener.pid):
            servers = children(child)
            self.servers += servers
            send(servers, signal.SIGSTOP)
            send([child], signal.SIGKILL)
            Timer(late, send, (servers, signal.SIGCONT)).start()

    def settle(self) -> None:
        """Returns when the server has done all that it has of connections that were cut."""
        for server in self.servers:
            if not processes.ends_within(server, PATIENCE):
                raise RuntimeError("the server of a connection that was cut does not end")
        self.servers.clear()

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
                self.cut(chance.uniform(0, self.late))

    def end(self) -> None:
        mounts.detach(self.mountpoint)
        self.cut()
        self.settle()
        self.listener.kill()
        self.listener.wait()


def children(process: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def send(to: list[int], number: signal.Signals) -> None:
    for process in to:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


@contextlib.contextmanager
def connection(folder: Path, late: float) -> Iterator[Connection]:
    made = Connection(folder, late)
    try:
        yield made
    finally:
        made.end()
