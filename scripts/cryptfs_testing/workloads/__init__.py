"""Work that is done in a mounted folder, and compared with what it should have come to.

Each raises `Mismatch` if the folder shows something else.
"""


class Mismatch(Exception):
    """The mounted folder does not show what it should."""


def require(holds: bool, what: str) -> None:
    """Raises `Mismatch` with `what` unless `holds`."""
    if not holds:
        raise Mismatch(what)
