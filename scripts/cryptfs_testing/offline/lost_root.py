"""How much of a tree a repair puts back in its place."""

import random
from pathlib import Path

from ..harness.cryptfs import Cryptfs
from .timed import timed

FOLDERS, IN_EACH = 500, 20
BRANCHES = 5


def fill(source: Path, seed: int) -> dict[Path, bytes]:
    """10,000 files in 500 folders below one another, five in each."""
    dice, held, folders = random.Random(seed), {}, [Path()]
    for number in range(FOLDERS):
        folder = folders[number // BRANCHES] / f"folder {number}"
        folders.append(folder)
        (source / folder).mkdir(parents=True)
        for name in range(IN_EACH):
            content = dice.randbytes(dice.randrange(3000))
            held[folder / f"file {name}"] = content
            (source / folder / f"file {name}").write_bytes(content)
    return held


def measure(scratch: Path, seed: int) -> None:
    """Tells of each file whether it is where it was. Raises `RuntimeError` if one is nowhere."""
    source, volume = scratch / "source", Cryptfs(scratch)
    held = fill(source, seed)
    volume.create()
    secret: list[str | Path] = ["--passphrase-file", volume.secret]
    volume.cryptfs("import", *secret, source, volume.backing)
    told = volume.cryptfs("stat", *secret, volume.backing)
    chunk = next(line.split()[-1] for line in told.splitlines() if line.startswith("Chunk file"))
    (volume.backing / chunk).unlink()
    for words, code in [(["check"], 4), (["check", "--repair", "--yes"], 3), (["check", "--data"], 0)]:
        command = [volume.program, *words, *secret, volume.backing]
        taken = timed(*command, env=volume.environment, allowed=(code,))
        print(f"{' '.join(words):24}{taken.seconds:6.1f} s, {taken.memory:.0f} MB", flush=True)
    volume.mount()
    try:
        found = {path.relative_to(volume.mountpoint) for path in volume.mountpoint.rglob("file *")}
        right = sum((volume.mountpoint / path).read_bytes() == held[path] for path in found & held.keys())
        elsewhere = len(found - held.keys())
    finally:
        volume.unmount()
    print(f"{len(held)} files: {right} in their place, {elsewhere} elsewhere")
    if right + elsewhere < len(held):
        raise RuntimeError("files are lost")
