"""What each name may hold, by what the system calls said and by nothing else."""

from dataclasses import dataclass, field

from ..workloads.versioned import State, holds

NOTHING = (0, 0)


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
