"""Command-line options that several programs have."""

import argparse
import random
import signal
import sys
from pathlib import Path

from .repository import CRYPTFS


def parser(description: str) -> argparse.ArgumentParser:
    """A parser whose help begins with the whole description, as it is laid out, and has --binary and --scratch."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--binary", type=program, default=str(CRYPTFS), help="the cryptfs under test (the release build)")
    return made


def exit_when_terminated() -> None:
    """Has SIGTERM end the program as an exception does: mounts and temporary folders are removed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))


def with_seed(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Adds --seed, a random one unless given."""
    made.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="repeats a run's choices")
    return made


def with_scratch(made: argparse.ArgumentParser, default: Path | None = None) -> argparse.ArgumentParser:
    """Adds --scratch: a folder for temporary folders."""
    usual = default or "the usual place of temporary folders"
    made.add_argument("--scratch", type=Path, default=default, help=f"where to work ({usual})")
    return made


def program(text: str) -> Path:
    """The path of a program that can be run, made absolute."""
    path = Path(text).resolve()
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{text} is no program; try cargo build --release --locked")
    return path
