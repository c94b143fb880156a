"""The judges of the long runs accept what may be, and nothing else."""

import unittest
from pathlib import Path
from tempfile import TemporaryDirectory

from ..attack_matrix.outcomes import BLOCK, compare
from ..attack_rounds.history import History
from ..devices.judge import Content, judge, unexplained
from ..devices.ledger import Ledger
from ..devices.versions import UNIT, Malformed, parse, render, replaced, tokens, units
from ..harness.snapshot import Snapshot
from ..kill_rounds.expected import Expected, check, read_notes
from ..prove.context import require_same
from ..soak.worker import Worker, block, is_whole, may_be_torn
from ..torture.model import NOTHING, Name
from ..workloads import Mismatch, tree
from ..workloads.versioned import State, content, matches


class KillRounds(unittest.TestCase):
    def test_acknowledged_content_is_required(self) -> None:
        here = Expected()
        here.acknowledge((7, 5000))
        self.assertTrue(matches("a", content("a", 7, 5000), here.states))
        self.assertFalse(matches("a", content("a", 6, 5000), here.states))
        self.assertFalse(matches("a", content("a", 7, 4999), here.states))
        self.assertFalse(matches("a", None, here.states))

    def test_a_write_under_way_may_have_left_parts_block_by_block(self) -> None:
        states: set[State] = {(0, 0), (7, 9000), (8, 9000)}
        old, new = content("a", 7, 9000), content("a", 8, 9000)
        self.assertTrue(matches("a", new[:4096] + old[4096:], states))
        self.assertFalse(matches("a", new[:4000] + old[4000:], states))

    def test_what_is_missing_or_strange_is_told(self) -> None:
        with TemporaryDirectory() as folder:
            (Path(folder) / "stranger").touch()
            here = Expected()
            here.acknowledge((1, 10))
            wrong = check(Path(folder), {"a": here})
        self.assertEqual([line.split(":")[0] for line in wrong], ["a", "stranger"])

    def test_a_write_without_sync_counts_once_it_is_old(self) -> None:
        with TemporaryDirectory() as folder:
            notes = Path(folder) / "notes"
            notes.write_text('[100, "write", "a", 1, 10]\n[100, "wrote", "a", 1, 10, false]\n')
            for killed, states in ((101, {None, (1, 10), (0, 0)}), (110, {(1, 10)})):
                expected: dict[str, Expected] = {}
                read_notes(notes, killed, expected)
                self.assertEqual(expected["a"].states, states)


class Torture(unittest.TestCase):
    def test_what_a_call_said_is_required_of_a_live_mount_and_what_fsync_said_after_a_kill(self) -> None:
        here = Name()
        here.begin(NOTHING, (1, 10))
        here.succeed((1, 10), durable=False)
        self.assertEqual((here.now, here.kept), ({(1, 10)}, {None, NOTHING, (1, 10)}))
        here.succeed((1, 10), durable=True)
        self.assertEqual(here.kept, {(1, 10)})

    def test_a_call_that_failed_leaves_both_and_an_unmount_what_the_mount_showed(self) -> None:
        here = Name()
        here.begin(NOTHING, (1, 10))
        here.succeed((1, 10), durable=True)
        here.begin(None)
        self.assertEqual(here.now, {None, (1, 10)})
        here.succeed(None, durable=False)
        self.assertEqual(here.kept, {None, (1, 10)})
        here.stored()
        self.assertEqual(here.kept, {None})

    def test_what_was_found_after_a_kill_is_there_from_then_on(self) -> None:
        here = Name({(2, 10)}, {None, (1, 10), (2, 10)})
        here.found("a", content("a", 1, 10))
        self.assertEqual((here.now, here.kept), ({(1, 10)}, {(1, 10)}))


class AttackRounds(unittest.TestCase):
    def test_only_what_stood_there_is_accepted(self) -> None:
        file, first, second = History(), b"1" * 5000, b"2" * 5000
        file.becomes(first)
        file.becomes(second)
        self.assertTrue(file.held(first))
        self.assertTrue(file.held(second[:BLOCK] + first[BLOCK:]))
        self.assertFalse(file.held(second[:100] + first[100:]))
        self.assertFalse(file.held(b"3" * 5000))
        self.assertFalse(file.held(bytes(5000)))
        self.assertFalse(file.held(first[:4999]))


class AttackMatrix(unittest.TestCase):
    def test_outcomes(self) -> None:
        old, new = b"1" * 3 * BLOCK, b"2" * 3 * BLOCK
        for found, outcome in [
            (new, "held"),
            (old, "old"),
            (b"", "empty"),
            (new[:BLOCK], "short"),
            (new[:BLOCK] + bytes(BLOCK) + new[2 * BLOCK :], "zeros"),
            (new[:BLOCK] + old[BLOCK:], "mixed"),
            (b"3" * 3 * BLOCK, "wrong"),
        ]:
            self.assertEqual(compare(found, new, [old]), outcome)


class Soak(unittest.TestCase):
    def test_a_block_is_its_owners_and_whole(self) -> None:
        data = block(3, 17)
        self.assertTrue(is_whole(data, 3))
        self.assertTrue(is_whole(bytes(BLOCK), 3))
        self.assertFalse(is_whole(data, 4))
        self.assertFalse(is_whole(data[:-1] + b"x", 3))

    def test_a_read_that_met_a_write_holds_a_part_of_either(self) -> None:
        old, new = block(3, 17), block(3, 18)
        for end in (10, 1000, 1029, BLOCK - 5):
            self.assertTrue(may_be_torn(new[:end] + old[end:], 3))
        self.assertFalse(may_be_torn(new[:1000] + block(4, 9)[1000:], 3))
        self.assertFalse(may_be_torn(new[:1000] + bytes(200) + b"?" * (BLOCK - 1200), 3))

    def test_what_stays_torn_is_told(self) -> None:
        with TemporaryDirectory() as folder, open(Path(folder) / "file", "w+b") as file:
            torn = block(3, 17)[:1000] + block(3, 18)[1000:]
            file.write(torn)
            file.flush()
            self.assertEqual(Worker.read_whole(file.fileno(), 0, 3), torn)


class Devices(unittest.TestCase):
    def setUp(self) -> None:
        self.ledger = Ledger()
        self.old, part = units(1, 9), units(2, 3)
        self.new = replaced(self.old, 4, part)
        for version, token in ((self.old, 1), (self.new, 2)):
            self.ledger.begin(version)
            self.ledger.acknowledge(token, "a: file", durable=True)

    def wrong(self, *trees: dict[str, Content]) -> list[str]:
        return [what.split(":")[0] for what in judge(list(trees), self.ledger).wrong]

    def test_a_content_tells_its_writes(self) -> None:
        data = render(self.new)
        self.assertEqual((parse(data), len(data), tokens(self.new)), (self.new, 9 * UNIT, {1, 2}))
        for spoilt in (data[:-1], data[:700] + b"x" + data[701:], bytes(UNIT - 1), data[1:] + data[:1]):
            with self.assertRaises(Malformed):
                parse(spoilt)

    def test_what_both_show_and_somebody_wrote_is_right(self) -> None:
        shown: dict[str, Content] = {"folder": None, "folder/file": self.new}
        self.assertEqual(self.wrong(shown, shown), [])
        begun: dict[str, Content] = {"file": self.new, "copy": self.new[:16]}
        self.assertEqual(self.wrong(begun, begun), [])

    def test_what_came_while_a_machine_stood_still_was_overwritten_unread(self) -> None:
        shown: dict[str, Content] = {"other": self.old}
        for path, seen, upon, is_excused in (
            ("file", {1}, b"", True),
            ("renamed", {1}, self.old, True),
            ("renamed", {1}, b"", False),
            ("file", {1, 2}, self.old, False),
        ):
            self.setUp()
            self.ledger.acknowledge(2, "a: file", durable=True, upon=upon)
            self.assertEqual(self.wrong(shown, shown)[:1], ["lost"])
            self.ledger.stood_still(path, seen)
            self.assertEqual(self.wrong(shown, shown)[:1], [] if is_excused else ["lost"])
        # What was written after it is not what was overwritten.
        self.ledger.stood_still("file", {1})
        self.ledger.acknowledge(2, "a: file", durable=True)
        self.assertEqual(self.wrong(shown, shown)[:1], ["lost"])

    def test_each_thing_that_is_wrong_is_told(self) -> None:
        right: dict[str, Content] = {"file": self.new}
        mixed: dict[str, Content] = {"file": self.new, "other": replaced(self.old, 3, units(2, 1))}
        self.assertEqual(self.wrong(right, {}), ["file differs"])
        self.assertEqual(self.wrong(right, {"file": None}), ["file differs"])
        self.assertEqual(self.wrong(mixed, mixed), ["other is what no device had"])
        refused: dict[str, Content] = {"file": self.new, "x": "cannot be read: Input/output error"}
        self.assertEqual(self.wrong(refused, refused), ["x cannot be read"])

    def test_zeros_are_right_only_between_a_whole_version_and_what_was_written_behind_its_end(self) -> None:
        short = units(3, 2)
        self.ledger.begin(short)
        behind: dict[str, Content] = {"file": self.new, "x": short + bytes(16) + units(2, 3)}
        spoilt = [self.new[:32] + bytes(8) + self.new[40:], self.new[:16] + bytes(16) + units(2, 3), short + bytes(8)]
        self.assertEqual(self.wrong(behind, behind), ["x is what no device had"])
        self.ledger.place(4, units(2, 3))
        self.assertEqual(self.wrong(behind, behind), [])
        begun: dict[str, Content] = {"file": self.new, "x": short + bytes(16) + units(2, 1)}
        self.assertEqual(self.wrong(begun, begun), [])
        for version in spoilt:
            shown: dict[str, Content] = {"file": self.new, "x": parse(render(version))}
            self.assertEqual(self.wrong(shown, shown), ["x is what no device had"])

    def test_an_acknowledged_write_is_required_unless_it_was_removed_by_who_had_read_it(self) -> None:
        old: dict[str, Content] = {"file": self.old}
        self.assertEqual(self.wrong(old, old), ["lost"])
        self.ledger.remove({2})
        self.assertEqual(self.wrong(old, old), [])

    def test_one_that_was_not_synced_is_told_only(self) -> None:
        self.ledger.acknowledge(3, "a: file", durable=False)
        new: dict[str, Content] = {"file": self.new}
        verdict = judge([new, new], self.ledger)
        self.assertEqual((verdict.wrong, len(verdict.told)), ([], 2))


class Trees(unittest.TestCase):
    def test_a_difference_is_a_mismatch(self) -> None:
        with TemporaryDirectory() as folder:
            file = Path(folder) / "file"
            file.write_bytes(b"1")
            before = tree.listing(folder)
            require_same(before, tree.listing(folder), "it")
            file.chmod(0o600)
            with self.assertRaisesRegex(Mismatch, "it differs\n- .*file.*\n\\+ .*file"):
                require_same(before, tree.listing(folder), "it")

    def test_a_snapshot_is_restored_but_for_what_is_spared(self) -> None:
        with TemporaryDirectory() as folder:
            root = Path(folder)
            (root / "kept").mkdir()
            for name in ("kept/one", "two", "spared"):
                (root / name).write_bytes(b"before")
            snapshot = Snapshot(root)
            (root / "kept/one").unlink()
            (root / "kept").rmdir()
            (root / "two").unlink()
            (root / "two").symlink_to("spared")
            (root / "spared").write_bytes(b"after")
            (root / "new").mkdir()
            snapshot.restore(root, [Path("spared")])
            found = Snapshot(root)
        self.assertEqual(found.folders, {Path("kept")})
        contents = {str(path): content for path, content in found.files.items()}
        self.assertEqual(contents, {"kept/one": b"before", "two": b"before", "spared": b"after"})


class Checks(unittest.TestCase):
    """What a device deleted and another one's client brought back is no fault; what looks like it is."""

    RETURNED = "note     d/e: was removed on this device and is back: the next mount names it again (chunks/00/aa)"
    UNNAMED = "waiting  d/e: is in no folder; the one it says it is in may be on its way (chunks/00/aa)"

    def test_what_another_device_removes_again(self) -> None:
        below = "damage   d/e/f: cannot be read: its chunk file is gone (chunks/00/bb)"
        beside = "damage   d/f: cannot be read: its chunk file is gone (chunks/00/cc)"
        self.assertEqual(unexplained([[self.RETURNED], [self.UNNAMED, below, beside]]), [[], [beside]])

    def test_what_has_no_path(self) -> None:
        returned = self.RETURNED.replace("d/e", "chunks/00/aa").removesuffix(" (chunks/00/aa)")
        unnamed = self.UNNAMED.replace("d/e", "chunks/00/aa").removesuffix(" (chunks/00/aa)")
        self.assertEqual(unexplained([[returned], [self.UNNAMED], [unnamed]]), [[], [], []])
        self.assertEqual(unexplained([[], [unnamed]]), [[], [unnamed]])

    def test_what_a_removed_folder_names(self) -> None:
        unnamed = "damage   chunks/00/aa: is in no folder any more"
        gone = "damage   chunks/00/bb: cannot be read: its chunk file is gone"
        self.assertEqual(unexplained([[self.RETURNED], [unnamed, gone]]), [[], []])
        self.assertEqual(unexplained([[], [unnamed, gone]]), [[], [unnamed, gone]])

    def test_what_nobody_removed(self) -> None:
        other = self.UNNAMED.replace("aa", "dd")
        self.assertEqual(unexplained([[self.RETURNED], [other]]), [[], [other]])
        self.assertEqual(unexplained([[], [self.UNNAMED]]), [[], [self.UNNAMED]])

    def test_a_folder_in_two_places_waits_for_its_time_or_for_a_removed_folder(self) -> None:
        twice = "waiting  d/f: is a folder with several names; that one was removed may be on its way (chunks/00/bb)"
        self.assertEqual(unexplained([[twice], []]), [[twice], []])
        self.assertEqual(unexplained([[twice], []], is_early=True), [[], []])
        self.assertEqual(unexplained([[self.RETURNED], [self.UNNAMED, twice]]), [[], []])
        damage = twice.replace("waiting", "damage ").replace("; that one was removed may be on its way", "")
        self.assertEqual(unexplained([[damage], []], is_early=True), [[damage], []])

    def test_a_name_in_a_removed_folder_is_one_that_a_file_does_not_say(self) -> None:
        otherwise = "waiting  f: has other names than it says; another device's change may be on its way (chunks/00/bb)"
        self.assertEqual(unexplained([[otherwise], []], is_early=True), [[otherwise], []])
        self.assertEqual(unexplained([[self.RETURNED], [self.UNNAMED, otherwise]]), [[], []])
