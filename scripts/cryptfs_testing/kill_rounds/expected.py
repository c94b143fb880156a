"""What each name may hold after a kill, from the notes of the writers."""

import json
from pathlib import Path

from ..workloads.versioned import State, holds, matches

# Seconds after which what was written is durable although nobody asked for it.
OLD = 5.5


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
