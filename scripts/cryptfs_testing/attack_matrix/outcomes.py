"""What a mount shows after an attack, in one word."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

MEANINGS = """\
  held     the right bytes: the attack had no effect
  error    an error for what was touched; everything else reads as before
  refused  other files cannot be read either, or the volume does not mount
  forged   mode, time or kind of a file are what the attacker set
  gone     silently missing
  old      an older state is shown as the present one
  back     a deleted file is there again
  short    the file ends early
  empty    a full file or folder is shown as empty
  zeros    zeros in the place of content
  mixed    bytes of two versions in one file
  wrong    bytes, or names, that never were in that place
  hang     no answer"""
WORST_LAST = [line.split()[0] for line in MEANINGS.splitlines()]
# Outcomes that show nothing of what is in the volume.
NOTHING = ["held", "error", "gone", "empty"]
BLOCK = 4096
# Looks at a mount and says an outcome, or raises `OSError`, which is one too.
Judge = Callable[[Path], str]


def worst(outcomes: Iterable[str]) -> str:
    return max(outcomes, key=WORST_LAST.index)


def said(judge: Judge, plain: Path) -> str:
    try:
        return judge(plain)
    except OSError:
        return "error"


def compare(found: bytes, right: bytes, past: Sequence[bytes] = ()) -> str:
    """What a file's content is, in one word. `past`: contents that it once had."""
    if found == right:
        return "held"
    if found in past:
        return "old" if found else "empty"
    if not found:
        return "empty"
    if right.startswith(found):
        return "short"
    pieces = [found[at : at + BLOCK] for at in range(0, len(found), BLOCK)]

    def stood(at: int, piece: bytes) -> bool:
        return any(state[at : at + len(piece)] == piece for state in (right, *past))

    if all(stood(number * BLOCK, piece) or not any(piece) for number, piece in enumerate(pieces)):
        return "zeros" if any(not any(piece) for piece in pieces) else "mixed"
    return "wrong"


def reads(path: str, right: bytes, past: Sequence[bytes] = ()) -> Judge:
    """A judge of one file."""

    def judge(plain: Path) -> str:
        file = plain / path
        try:
            found = file.read_bytes()
        except FileNotFoundError:
            # A name that is listed and cannot be found is an error, not an absence.
            return "error" if file.name in os.listdir(file.parent) else "gone"
        return compare(found, right, past)

    return judge


def worst_of(*judges: Judge) -> Judge:
    """A judge that says the worst of what others say."""

    def judge(plain: Path) -> str:
        return worst(said(one, plain) for one in judges)

    return judge
