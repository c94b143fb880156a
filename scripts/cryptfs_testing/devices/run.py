"""One run: the devices work, the client syncs, all comes to rest, and is judged."""

import itertools
import random
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from .client import Client, digests, look
from .device import Device
from .judge import Verdict, judge, tree, unexplained
from .ledger import Ledger
from .worker import Worker

# Seconds in which a folder must not change to count as at rest: chunk files are not touched again within ten.
QUIET = 13
# Seconds after which a folder that two devices moved has one place, at the latest.
NAMED_AFTER = 600


@dataclass
class Settings:
    """`seconds` of work; `pause`: between two changes on one device, on average; `patience`: seconds within which all
    has to come to rest, and be right: a version may wait ten minutes for its chunks; `large`: files of several chunk
    files."""

    seconds: float
    large: int
    pause: float
    patience: float


class Run:
    def __init__(self, devices: list[Device], client: Client, settings: Settings, seed: str) -> None:
        self.devices, self.client, self.settings = devices, client, settings
        self.chance = random.Random(f"{seed} run")
        self.ledger = Ledger()
        self.workers = [
            Worker(device.title, device.mountpoint, self.ledger, seed, settings.large) for device in devices
        ]
        self.failures: list[str] = []
        self.stop = threading.Event()

    def live(self) -> None:
        for device in self.devices:
            device.mount()
        until = time.monotonic() + self.settings.seconds
        threads = [threading.Thread(target=self.guarded, args=(self.work, worker, until)) for worker in self.workers]
        threads.append(threading.Thread(target=self.guarded, args=(self.sync_until, until)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def guarded(self, do: Callable[..., None], *given: object) -> None:
        try:
            do(*given)
        except BaseException:
            self.failures.append(traceback.format_exc())
            self.stop.set()

    def work(self, worker: Worker, until: float) -> None:
        while time.monotonic() < until and not self.stop.wait(worker.chance.expovariate(1 / self.settings.pause)):
            worker.act()

    def sync_until(self, until: float) -> None:
        """Syncthing watches the folders itself."""
        if not self.client.pause:
            return
        while time.monotonic() < until and not self.stop.wait(self.chance.uniform(0, 2 * self.client.pause)):
            self.client.round()

    def turns(self) -> None:
        until = time.monotonic() + self.settings.seconds
        while time.monotonic() < until:
            at = self.chance.randrange(2)
            self.devices[at].mount()
            for _ in range(self.chance.randrange(1, 20)):
                self.workers[at].act()
                time.sleep(self.chance.expovariate(2 / self.settings.pause))
            self.devices[at].unmount()
            if self.chance.random() < 0.6:
                self.client.round()
        for device in self.devices:
            device.mount()

    def rest(self, patience: float) -> None:
        """Until the client has nothing to do and both folders are the same and stay so."""
        deadline = time.monotonic() + patience
        while True:
            self.client.round()
            before = [look(device.backing) for device in self.devices]
            time.sleep(QUIET)
            self.client.round()
            folders = [device.backing for device in self.devices]
            if before == [look(folder) for folder in folders]:
                hashed = [digests(folder) for folder in folders]
                if hashed[0] == hashed[1]:
                    return
                difference = sorted({path for path, _ in set(hashed[0].items()) ^ set(hashed[1].items())})
            else:
                difference = sorted(
                    {
                        path
                        for at, folder in enumerate(folders)
                        for path, _ in set(before[at].items()) ^ set(look(folder).items())
                    }
                )
            if time.monotonic() > deadline:
                raise NotAtRest(
                    f"the folders do not come to rest; last of all {[str(path) for path in difference[:20]]}"
                )

    def judge(self) -> Verdict:
        """Judges until nothing is wrong, or patience ends: what is missing may wait for its chunks."""
        started = time.monotonic()
        for attempt in itertools.count():
            self.rest(self.settings.patience)
            verdict = judge([tree(device.mountpoint) for device in self.devices], self.ledger)
            if not verdict.wrong or time.monotonic() - started > self.settings.patience:
                break
            if not attempt:
                print(f"not yet: {len(verdict.wrong)} things, such as {verdict.wrong[0]}", flush=True)
            time.sleep(20)
        verdict.told.append(f"right after {time.monotonic() - started:.0f} s" if not verdict.wrong else "never right")
        return verdict

    def finish(self) -> Verdict:
        """Judges live, then what is left: that nothing changes by looking, the checks, and the logs."""
        verdict = self.judge()
        for device in self.devices:
            device.unmount()
        self.rest(self.settings.patience)
        before = [look(device.backing) for device in self.devices]
        for device in self.devices:
            device.mount()
        trees = [tree(device.mountpoint) for device in self.devices]
        time.sleep(QUIET)
        verdict.wrong += [
            f"after a remount: {what}" for what in judge(trees, self.ledger).wrong if what not in verdict.wrong
        ]
        for device in self.devices:
            device.unmount()
        for device, seen in zip(self.devices, before):
            changed = sorted(str(path) for path, _ in set(seen.items()) ^ set(look(device.backing).items()))
            if changed:
                verdict.wrong.append(f"looking on {device.title} changed {changed[:10]}")
            verdict.wrong += [f"log of {device.title}: {line}" for line in device.alarms()[:20]]
        checks = [device.check() for device in self.devices]
        is_early = self.settings.patience < NAMED_AFTER
        for device, found in zip(self.devices, unexplained(checks, is_early=is_early), strict=True):
            verdict.wrong += [f"check on {device.title}: {line}" for line in found]
        verdict.wrong += [what for worker in self.workers for what in worker.wrong] + self.failures
        return verdict


class NotAtRest(RuntimeError):
    pass
