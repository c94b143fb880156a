"""Who may import whom in this package, and how long a file may get (docs/ARCHITECTURE.md, "Tests")."""

import ast
import unittest
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
# Every other room is a program: it may name these two, and itself.
MAY_NAME = {"harness": set[str](), "workloads": {"harness"}, "tests": {path.stem for path in PACKAGE.iterdir()}}
SHARED = {"harness", "workloads"}
LONGEST = 350


def rooms_named(source: str) -> set[str]:
    """Rooms that a file of a room imports from, by `from ..room import` or `from .. import room`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level == 2:
            found |= {node.module.split(".")[0]} if node.module else {name.name for name in node.names}
    return found


def violations(room: str, source: str) -> list[str]:
    named = rooms_named(source) - MAY_NAME.get(room, SHARED) - {room}
    wrong = [f"names {other}" for other in sorted(named)]
    lines = source.count("\n")
    return [*wrong, f"has {lines} lines"] if lines > LONGEST else wrong


class Walls(unittest.TestCase):
    def test_the_package_keeps_to_them(self) -> None:
        files = sorted(PACKAGE.glob("*/*.py"))
        self.assertGreater(len(files), 50)
        for path in files:
            self.assertEqual(violations(path.parent.name, path.read_text()), [], path)

    def test_each_violation_is_told(self) -> None:
        for room, source, wrong in [
            ("harness", "from ..workloads import tree", ["names workloads"]),
            ("workloads", "from ..prove.context import Context", ["names prove"]),
            ("economy", "from .. import bench", ["names bench"]),
            ("soak", "\n" * 351, ["has 351 lines"]),
            ("soak", "from ..harness import mounts\nfrom .worker import block", []),
        ]:
            self.assertEqual(violations(room, source), wrong, source)
