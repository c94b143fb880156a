"""What each name may hold, by what the system calls said and by nothing else."""

from dataclasses import dataclass, field

BLOCK = 4096
# A version and a size, or None for no such file.
State = tuple[int, int] | None
NOTHING = (0, 0)


def content(name: str, version: int, size: int) -> bytes:
    """What version `version` of a file holds: it tells itself apart from every other one."""
    line = f"{name} {version} ".encode()
    return (line * (size // len(line) + 1))[:size]


@dataclass
class Name:
    """`now`: what a live mount may show. `kept`: what may be there after the daemon was killed."""

    now: set[State] = field(default_factory=lambda: {None})
    kept: set[State] = field(default_factory=lambda: {None})

    def begin(self, *states: State) -> None:
        """A call is made that may lead to these states, or leave a part of each."""
        self.now |= set(states)
        self.kept |= set(states)

    def succeed(self, state: State, *, durable: bool) -> None:
        """It said that it was done; `durable`: so did fsync."""
        self.now = {state}
        if durable:
            self.kept = {state}

    def stored(self) -> None:
        """An unmount, or the end of the daemon, said that everything is stored."""
        self.kept = set(self.now)

    def found(self, name: str, data: bytes | None) -> None:
        """After the daemon was killed. What was found is what there is from now on."""
        whole = {state for state in self.kept if holds(name, data, state)}
        self.now = whole or set(self.kept)
        self.kept = set(self.now)


def holds(name: str, data: bytes | None, state: State) -> bool:
    if state is None or data is None:
        return state is None and data is None
    return data == content(name, *state)


def matches(name: str, data: bytes | None, states: set[State]) -> bool:
    """Whether the data is one of the states. A write that failed may have left any part of it, block by block."""
    if any(holds(name, data, state) for state in states):
        return True
    if data is None or NOTHING not in states:
        return False
    candidates = [content(name, *state) for state in states if state]
    zeros = bytes(BLOCK)

    def is_known(at: int) -> bool:
        block = data[at : at + BLOCK]
        parts = [zeros, *(candidate[at : at + BLOCK] for candidate in candidates)]
        return any(block == part[: len(block)].ljust(len(block), b"\0") for part in parts)

    return all(is_known(at) for at in range(0, len(data), BLOCK))
