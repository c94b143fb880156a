"""What a file ever held."""

BLOCK = 4096
# A long write passes through sizes that lie so far apart at least.
STEP = 128 << 10


class History:
    """For each block the states it had, zero-padded, and every size."""

    def __init__(self) -> None:
        self.content = b""
        self.blocks: dict[int, set[bytes]] = {}
        self.sizes = {0}

    def becomes(self, content: bytes) -> None:
        """A write passes through states in which only its beginning is there."""
        self.sizes.update(range(len(self.content), len(content), STEP))
        self.sizes.add(len(content))
        for at in range(0, len(content), BLOCK):
            piece = content[at : at + BLOCK]
            if piece != self.content[at : at + BLOCK]:
                self.blocks.setdefault(at, set()).add(piece.ljust(BLOCK, b"\0"))
        self.content = content

    def held(self, found: bytes) -> bool:
        """Whether each block of what was found stood in its place at some time."""
        known = len(found) in self.sizes or any(abs(len(found) - size) % BLOCK == 0 for size in self.sizes)
        return known and not self.unknown_blocks(found)

    def unknown_blocks(self, found: bytes) -> list[int]:
        """Where blocks begin that never stood there."""
        places = range(0, len(found), BLOCK)
        return [at for at in places if not self._stood(at, found[at : at + BLOCK])]

    def _stood(self, at: int, piece: bytes) -> bool:
        return any(state.startswith(piece) for state in self.blocks.get(at, ()))

    def describe(self, found: bytes) -> str:
        """What never stood there, in words."""
        bad = self.unknown_blocks(found)
        zeros = sum(not any(found[at : at + BLOCK]) for at in bad)
        size = "known" if len(found) in self.sizes else "unknown"
        return f"size {size}, {len(bad)} blocks, {zeros} of zeros, from {bad[:1]}"
