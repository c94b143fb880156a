"""xfstests, generic tests of its quick group, on a test and a scratch volume over each transport: what fails is what is
known to, each for its reason. As root, with the release binary or CRYPTFS; about twenty minutes a transport. Installs
what building it needs where apt-get can. What is built is used again where it lies in a FOLDER that is given.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from .harness.command import CommandError, run
from .harness.cryptfs import CHEAP
from .harness.repository import CRYPTFS
from .harness.suites import fetched
from .workloads import require

REPOSITORY, COMMIT = (
    "https://git.kernel.org/pub/scm/fs/xfs/xfstests-dev.git",
    "63a29724a85f1999e49bf0a9bf0d22643b6116e5",
)
NEEDS = (
    "acl", "attr", "autoconf", "automake", "bc", "gawk", "gcc", "libacl1-dev", "libaio-dev", "libattr1-dev",
    "libcap-dev", "libcap2-bin", "libtool-bin", "make", "psmisc", "quota", "uuid-dev", "xfslibs-dev", "xfsprogs",
)  # fmt: skip
TRANSPORTS = ["uring", "device", "fuser"]
# In common/rc: a FUSE filesystem with a type of its own is one, and is unmounted by its mountpoint: umount(8) does not
# look for a folder among the devices.
CHANGES = [
    ("s/fuse.glusterfs/glusterfs/", r"s/fuse\.cryptfs/fuse/' -e 's/fuse.glusterfs/glusterfs/"),
    ("\ttmpfs)\n\t\t_unmount $SCRATCH_MNT\n", "\ttmpfs|fuse)\n\t\t_unmount $SCRATCH_MNT\n"),
    ("\t\t_unmount $TEST_DEV\n", "\t\t_unmount $TEST_DIR\n"),
]
URING = Path("/sys/module/fuse/parameters/enable_uring")

# Left out, for what they want of the machine or of every mount; 62 and 564 failed once for their tools and were not
# looked into since.
ENVIRONMENT: dict[int, str] = {
    3: "wants access times to move",
    62: "failed for the awk that was there",
    394: "lowers ulimit -f below what the shell that runs it may write",
    564: "failed for the limits of the shell that runs it",
    732: "mounts one device twice",
    759: "wants huge pages",
}
# Fail, and why that is right or not cryptfs's doing. passthrough_hp: libfuse 3.17.4's, on a tmpfs, --nopassthrough.
KNOWN: dict[int, str] = {
    451: "buffered reads beside direct writes: stale pages in the kernel, on passthrough_hp too",
    531: "raises the limit of open files, where the machine refuses that; 80,000 without a name are no trouble",
    604: "at times, on a busy machine: mounts what is about to be unmounted, and a volume is mounted once",
}

# In a mount namespace of its own: the program as mount(8)'s helper, the users that the tests become.
SCRIPT = """
# Other mounts would live on here, whoever unmounts them outside.
awk '$3 == "fuse.cryptfs" { print $2 }' /proc/mounts | while read -r other; do umount -l "$other"; done
sbin=$(realpath /sbin)
mount -t overlay -o "lowerdir=$FOLDER/helpers:$sbin" overlay "$sbin"
for name in passwd group; do mount --bind "$FOLDER/$name" "/etc/$name"; done
cd "$BUILT"
exec ./check "$@"
"""
# mount(8) of util-linux 2.38 keeps suid and dev, its defaults, to itself: they are not cryptfs's.
HELPER = '#!/bin/bash\nexec -a "$0" "{}" -o suid,dev "$@"\n'
USERS = {"fsgqa": 31001, "fsgqa2": 31002, "123456-fsgqa": 31003}


def build(repository: str, built: Path) -> None:
    run("apt-get", "install", "-q", "-y", "--no-install-recommends", *NEEDS)
    with fetched(repository, COMMIT, built) as source:
        library = source / "common/rc"
        text = library.read_text()
        for before, after in CHANGES:
            require(text.count(before) == 1, "common/rc is not as expected")
            text = text.replace(before, after)
        library.write_text(text)
        run("make", "-s", cwd=source)


def prepare(folder: Path) -> dict[str, str]:
    """Helpers, users, two volumes and two mountpoints; the environment that tells xfstests of them."""
    (folder / "helpers").mkdir()
    for name in ("mount.fuse.cryptfs", "mount.cryptfs"):
        helper = folder / "helpers" / name
        helper.write_text(HELPER.format(program()))
        helper.chmod(0o755)
    lines = {"passwd": "{0}:*:{1}:{1}::/tmp:/bin/bash\n", "group": "{0}:x:{1}:\n"}
    for file, line in lines.items():
        users = "".join(line.format(name, number) for name, number in USERS.items())
        (folder / file).write_text(Path("/etc", file).read_text() + users)
    secret = folder / "passphrase"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "FOLDER": str(folder)}
    for name in ("test", "scratch"):
        (folder / f"{name}-plain").mkdir()
        run(program(), "init", folder / name, "--passphrase-file", secret, *CHEAP, env=environment)
    folder.chmod(0o711)
    return environment | {
        "FSTYP": "fuse",
        "FUSE_SUBTYP": ".cryptfs",
        "TEST_DEV": str(folder / "test"),
        "TEST_DIR": str(folder / "test-plain"),
        "SCRATCH_DEV": str(folder / "scratch"),
        "SCRATCH_MNT": str(folder / "scratch-plain"),
        "RESULT_BASE": str(folder / "results"),
    }


def program() -> Path:
    return Path(os.environ.get("CRYPTFS", CRYPTFS)).resolve()


def passes(transport: str, built: Path, folder: Path, tests: list[str], excluded: Path, more: str) -> bool:
    """Whether nothing fails that is not known to; prints what does."""
    folder.mkdir()
    options = f"-o allow_other,passphrase-file={folder}/passphrase,transport={transport}{more}"
    environment = prepare(folder) | {"MOUNT_OPTIONS": options, "TEST_FS_MOUNT_OPTS": options, "BUILT": str(built)}
    # What is unmounted outside meanwhile is not kept mounted here, where mounts are shared at all.
    apart = ("unshare", "--mount", "--propagation", "slave")
    command: list[str | Path] = [*apart, "sh", "-ec", SCRIPT, "check", "-E", excluded, *tests]
    tested = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", check=False,
    )  # fmt: skip
    told = {word: re.search(rf"^{word}: (.*)", tested.stdout, re.M) for word in ("Ran", "Failures", "Not run")}
    numbers = {word: {int(n) for n in re.findall(r"generic/(\d+)", found[1])} if found else set()
               for word, found in told.items()}  # fmt: skip
    failures = numbers["Failures"]
    unknown, mended = failures - KNOWN.keys(), (KNOWN.keys() & numbers["Ran"]) - numbers["Not run"] - failures
    # Those that found out that they cannot run are among those that ran.
    ran = len(numbers["Ran"] - numbers["Not run"])
    print(f"{transport}{more}: {ran} ran, {len(failures)} failed, {len(numbers['Not run'])} not run")
    for number in sorted(failures & KNOWN.keys()):
        print(f"  generic/{number:03} fails: {KNOWN[number]}")
    for number in sorted(mended):
        print(f"  generic/{number:03} passes, though known to fail: {KNOWN[number]}")
    sys.stdout.flush()
    if not numbers["Ran"] or unknown:
        print(tested.stdout, file=sys.stderr)
        for number in sorted(unknown):
            print(f"  generic/{number:03} FAILS", file=sys.stderr)
            for result in (folder / "results").glob(f"**/generic/{number:03}.out.bad"):
                print(result.read_text(errors="replace")[:4000], file=sys.stderr)
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transport", choices=[*TRANSPORTS, "all"], default="all")
    parser.add_argument("--options", default="", help="more mount options, separated by commas")
    parser.add_argument("--scratch", type=Path, metavar="FOLDER", help="where what is built is kept")
    parser.add_argument("--from", dest="repository", default=REPOSITORY)
    parser.add_argument("tests", nargs="*", help="such as generic/355, instead of the quick group")
    options = parser.parse_args()
    transports = TRANSPORTS if options.transport == "all" else [options.transport]
    if os.geteuid() != 0:
        sys.exit("xfstests: needs root")
    if not program().is_file():
        sys.exit(f"xfstests: no {program()}; cargo build --release --locked")
    if "uring" in transports:
        try:
            URING.write_text("Y")
        except OSError:
            sys.exit("xfstests: this kernel has no FUSE over io_uring")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        built = (options.scratch or folder).resolve() / f"xfstests-{COMMIT}"
        try:
            if not (built / "ltp/fsstress").exists():
                build(options.repository, built)
        except CommandError as error:
            sys.exit(f"xfstests: it does not build: {error}")
        excluded = folder / "excluded"
        excluded.write_text("".join(f"generic/{number:03}  # {why}\n" for number, why in ENVIRONMENT.items()))
        more = f",{options.options}" if options.options else ""
        tests = options.tests or ["-g", "generic/quick"]
        failed = [
            transport
            for transport in transports
            if not passes(transport, built, folder / transport, tests, excluded, more)
        ]
    if failed:
        sys.exit(f"xfstests: failed over {', '.join(failed)}")
