"""What has to be true once nobody changes anything any more."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from .ledger import Ledger
from .versions import Malformed, Version, parse

# A file that could not be read: why.
Content = Version | str | None
CONFLICT = re.compile(r" \(conflict \d{4}-\d\d-\d\d \d{6} [0-9a-f]+\)")


def tree(mountpoint: Path) -> dict[str, Content]:
    """Each name, and what is there: None for a folder, a version, or the reason why it cannot be read."""
    found: dict[str, Content] = {}

    def refused(error: OSError) -> None:
        found[os.path.relpath(error.filename, mountpoint)] = f"cannot be listed: {error.strerror}"

    for folder, folders, names in os.walk(mountpoint, onerror=refused):
        below = Path(folder).relative_to(mountpoint)
        found |= {str(below / name): None for name in folders}
        for name in names:
            try:
                found[str(below / name)] = parse(Path(folder, name).read_bytes())
            except OSError as error:
                found[str(below / name)] = f"cannot be read: {error.strerror}"
            except Malformed as error:
                found[str(below / name)] = f"is a mixture: {error}"
    return found


# What `check` says of what one device deleted and another one's client brought back, until the former removes it again.
RETURNED = re.compile(r"note +.*?: was removed on this device and is back\b")
UNNAMED = re.compile(r"(?:waiting|damage) +(.*?): is in no folder\b")
# What an unnamed folder names.
GONE = re.compile(r"damage +chunks/\S+: cannot be read: its chunk file is gone$")
# What it may say of what such a folder names, too.
TWICE = re.compile(r"waiting +.*?: is a folder with several names\b")
OTHERWISE = re.compile(r"waiting +.*?: has other names than it says\b")
# Behind what has a path; what has none is named by it.
CHUNK = re.compile(r"\((chunks/\S+)\)$|^\w+ +(chunks/\S+): ")
BELOW = re.compile(r"(?:damage|waiting) +(.*?)/[^/]*: ")


def unexplained(checks: list[list[str]], *, is_early: bool = False) -> list[list[str]]:
    """Of what each device's check found what is wrong: not what another device deleted, and what lies in it.
    `is_early`: less time has passed than a folder that two devices moved waits in two places (docs/MERGING.md)."""

    def chunk(line: str) -> str | None:
        match = CHUNK.search(line)
        return match and (match[1] or match[2])

    returned = {chunk(line) for lines in checks for line in lines if RETURNED.match(line)} - {None}
    found = []
    for lines in checks:
        unnamed = [match for line in lines if chunk(line) in returned and (match := UNNAMED.match(line))]
        deleted = {match[1] for match in unnamed}
        explained = {match.string for match in unnamed}
        explained |= {line for line in lines if (match := BELOW.match(line)) and match[1] in deleted}
        if unnamed:
            explained |= {line for line in lines if GONE.match(line) or OTHERWISE.match(line)}
        if unnamed or is_early:
            explained |= {line for line in lines if TWICE.match(line)}
        found.append([line for line in lines if not line.startswith("note") and line not in explained])
    return found


@dataclass
class Verdict:
    wrong: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


def judge(trees: list[dict[str, Content]], ledger: Ledger) -> Verdict:
    """Holds what the devices show against each other, and against what they did."""
    verdict = Verdict()
    for path in sorted(set().union(*trees)):
        contents = [shown.get(path, "is not there") for shown in trees]
        if any(content != contents[0] for content in contents):
            described = [describe(content, ledger) for content in contents]
            verdict.wrong.append(f"{path} differs: {' / '.join(described)}")
        for content in contents[:1]:
            if isinstance(content, str):
                verdict.wrong.append(f"{path} {content}")
            elif content is not None and not ledger.is_known(content):
                verdict.wrong.append(f"{path} is what no device had: {ledger.describe(content)}")
    versions = [content for shown in trees for content in shown.values() if isinstance(content, bytes)]
    lost, weak = ledger.lost(versions)
    unread = {token: where for token, where in lost.items() if ledger.is_overwritten_unread(token)}
    for token, where in lost.items():
        if token in unread:
            continue
        verdict.wrong.append(f"lost: {token}, of {where}")
        verdict.wrong += [f"    {line}" for line in ledger.history if is_about(line, token)]
    files = sum(isinstance(content, bytes) for content in trees[0].values())
    conflicts = sum(CONFLICT.search(path) is not None for path in trees[0])
    verdict.told.append(
        f"{len(trees[0])} names, {files} files, {conflicts} conflict files; {len(ledger.made)} writes acknowledged by "
        f"fsync, {len(ledger.weak)} by close only, {len(ledger.gone)} removed or overwritten"
    )
    verdict.told += [f"overwritten after a machine stood still: {token}, of {where}" for token, where in unread.items()]
    verdict.told += [f"lost before it was stored: {token}, of {where}" for token, where in weak.items()]
    return verdict


def is_about(line: str, token: int) -> bool:
    return re.search(rf"token {token}\b", line) is not None


def describe(content: Content, ledger: Ledger) -> str:
    if isinstance(content, bytes):
        return ledger.describe(content)
    return content or "a folder"
