"""Where things lie in the repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
RELEASE = ROOT / "target" / "release"
CRYPTFS = RELEASE / "cryptfs"
RESCUE = ROOT / "scripts" / "cryptfs-rescue"
