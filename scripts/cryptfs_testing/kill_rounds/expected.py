"""What each name may hold after a kill, from the notes of the writers."""

import json
from pathlib import Path

from .writer import content

# Seconds after which what was written is durable although nobody asked for it.
OLD = 5.5
BLOCK = 4096
# A version and a size, or None for no such file.
State = tuple[int, int] | None


class Expected:
    """What a name may hold: the last acknowledged state, and whatever came after it."""

    def __init__(self) -> None:
        self.states: set[State] = {None}

    def begin(self, state: State) -> None:
        self.states.add(state)

    def acknowledge(self, state: State) -> None:
        self.states = {state}


def read_notes(path: Path, killed: float, expected: dict[str, Expected]) -> None:
    """Takes the notes of a writer into account; `killed` is when the daemon was."""
    for line in path.read_text().splitlines():
        at, act, *rest = json.loads(line)
        if act == "died":
            continue
        name = rest[0]
        state = (rest[1], rest[2]) if len(rest) > 1 else None
        here = expected.setdefault(name, Expected())
        if act in ("write", "replace", "remove"):
            here.begin(state)
            if act == "write":
                here.begin((0, 0))
        elif act in ("replaced", "removed") or rest[3] or killed - at > OLD:
            here.acknowledge(state)


def check(mountpoint: Path, expected: dict[str, Expected]) -> list[str]:
    """Holds the mount against what is expected; returns what is wrong."""
    wrong = []
    for name, here in expected.items():
        path = mountpoint / name
        data = path.read_bytes() if path.exists() else None
        if matches(name, data, here.states):
            state = next((state for state in here.states if holds(name, data, state)), None)
            if state is not None or data is None:
                here.acknowledge(state)
            continue
        shown = None if data is None else (len(data), data[:40])
        wrong.append(f"{name}: found {shown}, expected one of {sorted(map(str, here.states))}")
    known = set(expected)
    for path in mountpoint.iterdir():
        if path.name.removesuffix(".new") not in known:
            wrong.append(f"{path.name}: nobody made it")
        path.read_bytes()
    return wrong


def holds(name: str, data: bytes | None, state: State) -> bool:
    if state is None or data is None:
        return state is None and data is None
    return data == content(name, *state)


def matches(name: str, data: bytes | None, states: set[State]) -> bool:
    """Whether the data is one of the states. A write under way may have left any part of it, block by block."""
    if any(holds(name, data, state) for state in states):
        return True
    if data is None or (0, 0) not in states:
        return False
    candidates = [content(name, *state) for state in states if state]
    zeros = bytes(BLOCK)

    def is_known(at: int) -> bool:
        block = data[at : at + BLOCK]
        parts = [zeros, *(candidate[at : at + BLOCK] for candidate in candidates)]
        return any(block == part[: len(block)].ljust(len(block), b"\0") for part in parts)

    return all(is_known(at) for at in range(0, len(data), BLOCK))
