"""pjdfstest, the tests of what POSIX says of system calls on files, in a fresh volume on each transport. As root, with
the release binary or CRYPTFS; a minute and a half a transport. Installs what building it needs where apt-get can. What
is built is used again where it lies in a FOLDER that is given.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .harness.command import CommandError, run
from .harness.cryptfs import Cryptfs
from .harness.repository import CRYPTFS
from .harness.suites import fetched
from .workloads import require

REPOSITORY, COMMIT = "https://github.com/pjd/pjdfstest", "85a8aea9e685999ef0540392fd80535f873d7ff7"
NEEDS = ("autoconf", "automake", "gcc", "make", "perl", "openssl")
TRANSPORTS = ["uring", "device", "fuser"]
URING = Path("/sys/module/fuse/parameters/enable_uring")
# docs/TESTING.md says why it may seem to have fewer tests.
WHOLE = "Files=238, Tests=8827"


def build(repository: str, built: Path) -> None:
    if missing := [need for need in NEEDS if not shutil.which(need)]:
        run("apt-get", "install", "-q", "-y", "--no-install-recommends", *missing)
    with fetched(repository, COMMIT, built) as source:
        # rename/22.t keeps to filesystems that it knows by name to change the ctime of what is renamed, cryptfs too.
        settings = source / "tests/conf"
        before, line = settings.read_text(), '#fs="UFS"\n'
        require(line in before, "tests/conf is not as expected")
        settings.write_text(before.replace(line, 'fs="EXT4"\n', 1))
        for command in (["autoreconf", "-ifs"], ["./configure", "-q"], ["make", "-s", "pjdfstest"]):
            run(*command, cwd=source)


def passes(transport: str, built: Path, folder: Path) -> bool:
    """Whether all tests pass in a new volume; prints how many there were."""
    volume = Cryptfs(folder / transport)
    volume.create()
    # Others pass through to the mount; what lies beside it is root's.
    for path in (folder, folder / transport, volume.folder):
        path.chmod(0o711)
    daemon = volume.serve("allow_other", f"transport={transport}")
    try:
        tested = subprocess.run(
            ["prove", "-Q", "-r", "-j4", built / "tests"],
            cwd=volume.mountpoint, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        volume.unmount()
    finally:
        volume.force_unmount()
    count, result = (
        re.search(r"^Files=\d+, Tests=\d+", tested.stdout, re.M),
        re.search(r"^Result: .*", tested.stdout, re.M),
    )
    passed = not tested.returncode and not daemon.returncode and count is not None and count[0] == WHOLE
    if not passed:
        print(tested.stdout, file=sys.stderr)
    print(f"{transport}: {count and count[0]}, {result and result[0]}", flush=True)
    return passed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transport", choices=[*TRANSPORTS, "all"], default="all")
    parser.add_argument("--scratch", type=Path, metavar="FOLDER", help="where what is built is kept")
    parser.add_argument("--from", dest="repository", default=REPOSITORY)
    options = parser.parse_args()
    transports = TRANSPORTS if options.transport == "all" else [options.transport]
    Cryptfs.program = Path(os.environ.get("CRYPTFS", CRYPTFS)).resolve()
    if os.geteuid() != 0:
        sys.exit("pjdfstest: needs root: the tests become other users")
    if not Cryptfs.program.is_file():
        sys.exit(f"pjdfstest: no {Cryptfs.program}; cargo build --release --locked")
    if "uring" in transports:
        try:
            URING.write_text("Y")
        except OSError:
            sys.exit("pjdfstest: this kernel has no FUSE over io_uring")
    with tempfile.TemporaryDirectory() as folder:
        built = (options.scratch or Path(folder)).resolve() / f"pjdfstest-{COMMIT}"
        try:
            if not (built / "pjdfstest").exists():
                build(options.repository, built)
        except CommandError as error:
            sys.exit(f"pjdfstest: it does not build: {error}")
        failed = [transport for transport in transports if not passes(transport, built, Path(folder))]
    if failed:
        sys.exit(f"pjdfstest: failed over {', '.join(failed)}, or not {WHOLE}")
