"""Contents that tell which writes made them, unit by unit, so that a mixture of two versions is seen."""

from array import array

UNIT = 512
# Which write, and which of its units: one number of eight bytes.
SHIFT = 24
# What a file holds, without its bytes: the numbers of its units.
Version = bytes
# The number of a unit of zeros, which no write makes.
HOLE = bytes(8)


class Malformed(ValueError):
    """A unit that no write made, or a part of one."""


def units(token: int, count: int, first: int = 0) -> Version:
    """What one write writes."""
    return array("Q", [token << SHIFT | index for index in range(first, first + count)]).tobytes()


def render(version: Version) -> bytes:
    """The bytes of a file."""
    return b"".join(map(unit, array("Q", version)))


def without_hole(version: Version) -> Version:
    """What stands before zeros at its end."""
    while version.endswith(HOLE) and version:
        version = version[: -len(HOLE)]
    return version


def unit(number: int) -> bytes:
    if not number:
        return bytes(UNIT)
    line = f"{number >> SHIFT} {number & (1 << SHIFT) - 1} ".encode()
    return (line * (UNIT // len(line) + 1))[:UNIT]


def parse(data: bytes) -> Version:
    found = array("Q")
    for at in range(0, len(data), UNIT):
        part = data[at : at + UNIT]
        if part == bytes(UNIT):
            found.append(0)
            continue
        words = part[:40].split(b" ")
        try:
            number = int(words[0]) << SHIFT | int(words[1])
        except (ValueError, IndexError):
            raise Malformed(f"at {at} of {len(data)}: {part[:24]!r}") from None
        if part != unit(number):
            raise Malformed(f"at {at} of {len(data)}: a part of {words[0].decode()}")
        found.append(number)
    return found.tobytes()


def tokens(version: Version) -> set[int]:
    return {number >> SHIFT for number in array("Q", version) if number}


def replaced(version: Version, at: int, by: Version) -> Version:
    """With some units replaced, in place."""
    return version[: at * 8] + by + version[at * 8 + len(by) :]


def runs(version: Version) -> str:
    """For people: each write and how many units there are of it in a row."""
    shown: list[list[int]] = []
    for number in array("Q", version):
        token = number >> SHIFT
        if shown and shown[-1][0] == token:
            shown[-1][1] += 1
        else:
            shown.append([token, 1])
    return " ".join(f"{token}*{count}" for token, count in shown[:20])
