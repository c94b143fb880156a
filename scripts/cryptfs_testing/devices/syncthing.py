"""Two instances of Syncthing that know nobody but each other, on loopback."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, ClassVar

from ..harness.command import run
from .client import Client, wait_for

KEY = "only-for-tests"
PATIENCE = 60
CONFIG = """<configuration version="35">
  <folder id="volume" label="volume" path="{folder}" type="sendreceive" rescanIntervalS="3600" fsWatcherEnabled="true"
      fsWatcherDelayS="{delay}" ignorePerms="false" autoNormalize="true">
    <filesystemType>basic</filesystemType>
    <device id="{ids[0]}"></device>
    <device id="{ids[1]}"></device>
    <minDiskFree unit="%">0</minDiskFree>
    <maxConflicts>-1</maxConflicts>
  </folder>
  <device id="{ids[0]}" name="a" compression="never"><address>tcp://127.0.0.1:{ports[0]}</address></device>
  <device id="{ids[1]}" name="b" compression="never"><address>tcp://127.0.0.1:{ports[1]}</address></device>
  <gui enabled="true" tls="false"><address>127.0.0.1:{gui}</address><apikey>{key}</apikey></gui>
  <options>
    <listenAddress>tcp://127.0.0.1:{port}</listenAddress>
    <globalAnnounceEnabled>false</globalAnnounceEnabled>
    <localAnnounceEnabled>false</localAnnounceEnabled>
    <relaysEnabled>false</relaysEnabled>
    <natEnabled>false</natEnabled>
    <reconnectionIntervalS>2</reconnectionIntervalS>
    <startBrowser>false</startBrowser>
    <urAccepted>-1</urAccepted>
    <autoUpgradeIntervalH>0</autoUpgradeIntervalH>
    <crashReportingEnabled>false</crashReportingEnabled>
    <stunKeepaliveStartS>0</stunKeepaliveStartS>
  </options>
</configuration>
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for made in sockets:
        made.bind(("127.0.0.1", 0))
    ports = [made.getsockname()[1] for made in sockets]
    for made in sockets:
        made.close()
    return ports


class Syncthing(Client):
    name: ClassVar[str] = "syncthing"
    # Seconds for which a file has to be at rest before it is sent; Syncthing's own is 10.
    delay: ClassVar[int] = 2

    def start(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        homes = [self.scratch / side for side in "ab"]
        for home in homes:
            run("syncthing", "generate", f"--home={home}", "--no-default-folder", "--skip-port-probing")
        ids = [run("syncthing", f"--home={home}", "--device-id").strip() for home in homes]
        ports = free_ports(4)
        self.guis = ports[2:]
        for side, home in enumerate(homes):
            fields = {"ids": ids, "ports": ports, "port": ports[side], "gui": self.guis[side], "key": KEY}
            config = CONFIG.format(folder=self.folders[side], delay=self.delay, **fields)
            (home / "config.xml").write_text(config)
        for home in homes:
            command = ["syncthing", "serve", f"--home={home}", "--no-browser", "--no-restart", "--no-upgrade"]
            with open(self.log(), "ab") as log:
                self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        wait_for("answer of Syncthing", PATIENCE, lambda: all(self.answers(side) for side in (0, 1)))
        self.round()

    def ask(self, side: int, path: str, method: str = "GET") -> Any:
        address = f"http://127.0.0.1:{self.guis[side]}/rest/{path}"
        request = urllib.request.Request(address, headers={"X-API-Key": KEY}, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            found = answer.read()
        return json.loads(found) if found else None

    def answers(self, side: int) -> bool:
        try:
            there = self.ask(side, "system/connections")["connections"].values()
            return any(other["connected"] for other in there)
        except (OSError, urllib.error.URLError):
            return False

    def is_idle(self) -> bool:
        found = [self.ask(side, "db/status?folder=volume") for side in (0, 1)]
        return (
            all(status["state"] == "idle" and not status["needTotalItems"] for status in found)
            and found[0]["globalBytes"] == found[1]["globalBytes"]
            and found[0]["globalFiles"] == found[1]["globalFiles"]
        )

    def round(self) -> None:
        """Looks at everything, and waits until all is sent."""
        for side in (0, 1):
            self.ask(side, "db/scan?folder=volume", "POST")
        time.sleep(self.delay)
        wait_for("end of Syncthing's work", 4 * PATIENCE, self.is_idle)

    def end(self) -> None:
        for process in getattr(self, "processes", []):
            process.terminate()
        for process in getattr(self, "processes", []):
            process.wait()


def version() -> str:
    return run(Path("syncthing"), "--version").split(" ")[1]
