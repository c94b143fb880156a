"""What works on a volume without a mount, one of:

  speed      seconds, seconds of the CPU and peak memory of import, check and export, beside others
  check      the same of import and check alone, for very many files
  tree       a tree of sources imported, exported and streamed through tar, each held against it by hash and metadata
  lost-root  the root directory's chunk file deleted: how many files bear their old path after a repair

Run it alone, with a release build, as root (page caches are dropped before each measurement)."""

import tempfile
from pathlib import Path

from ..harness import arguments
from ..harness.cryptfs import Cryptfs
from . import lost_root, speed, tree


def main() -> None:
    parser = arguments.with_seed(arguments.with_scratch(arguments.parser(__doc__ or "")))
    parser.add_argument("what", choices=["speed", "check", "tree", "lost-root"])
    parser.add_argument("--files", type=int, default=100_000, help="of speed and check (100,000)")
    parser.add_argument("--source", type=Path, default=Path("/usr/include"), help="of tree (/usr/include)")
    options = parser.parse_args()
    Cryptfs.program = options.binary
    arguments.exit_when_terminated()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        scratch = Path(folder)
        match options.what:
            case "speed":
                speed.compare(scratch, options.files, options.seed)
            case "check":
                speed.check(scratch, options.files, options.seed)
            case "tree":
                tree.compare(scratch, options.source)
            case _:
                lost_root.measure(scratch, options.seed)
