"""Files whose content says which version of which file it is."""

BLOCK = 4096
# A version and a size, or None for no such file.
State = tuple[int, int] | None


def content(name: str, version: int, size: int) -> bytes:
    """What version `version` of a file holds: it tells itself apart from every other one."""
    line = f"{name} {version} ".encode()
    return (line * (size // len(line) + 1))[:size]


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
