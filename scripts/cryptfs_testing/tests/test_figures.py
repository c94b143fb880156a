"""Counts of uploads, and ratios to peers."""

import contextlib
import io
import os
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory

from ..bench.results import Results
from ..economy.client import Client, Uploads


class Economy(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(TemporaryDirectory()))
        for number in range(3):
            (self.folder / str(number)).write_bytes(b"%d" % number * 1000)
        self.client = Client(self.folder, 0)

    def uploads(self) -> Uploads:
        """Two looks: one sees a change, the next one that the file has come to rest."""
        self.client.look()
        self.client.look()
        self.assertTrue(self.client.look())
        return self.client.uploads

    def test_what_is_at_rest_is_not_sent(self) -> None:
        os.utime(self.folder / "0", (1, 1))
        self.assertEqual(self.uploads(), Uploads())

    def test_a_changed_file_is_sent_whole(self) -> None:
        with open(self.folder / "0", "r+b") as file:
            file.write(b"x")
        self.assertEqual(self.uploads(), Uploads(1000, 1, 1000, 1))

    def test_a_renamed_file_is_recognised_once(self) -> None:
        (self.folder / "0").rename(self.folder / "renamed")
        (self.folder / "copy").write_bytes(b"0" * 1000)
        self.assertEqual(self.uploads(), Uploads(2000, 2, 1000, 1, removed=1))

    def test_a_file_that_goes_on_changing_waits(self) -> None:
        self.client.delay = 1e9
        (self.folder / "0").write_bytes(b"new")
        self.assertFalse(self.client.look())
        self.assertFalse(self.client.look())
        self.assertEqual(self.client.uploads, Uploads())


class Ratios(unittest.TestCase):
    def test_the_worst_column_comes_first_and_says_what_is_behind(self) -> None:
        results = Results(peers=["one", "other"], ours=["cryptfs"])
        for place, rates in {"fast": (1, 2, 3), "slow": (4, 2, 3)}.items():
            for system, rate in zip(("one", "other", "cryptfs"), rates):
                for factor in (0.5, 1, 100):
                    results.add(place, "create", system, rate * factor)
        self.assertEqual(results.ratio("fast", "create", "cryptfs"), 1.5)
        self.assertEqual(results.ratio("slow", "create", "cryptfs"), 0.75)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            results.print_ratios()
        words = [line.split() for line in printed.getvalue().splitlines()]
        self.assertIn(["slow", "fast"], words)
        self.assertIn(["create", "0.75*", "1.50"], words)
        self.assertEqual(words[-1][-2:], ["1", "0"])
