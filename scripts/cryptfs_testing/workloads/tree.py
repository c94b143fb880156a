"""Lists all that a tree holds, one line a name, sorted: to be compared before and after.

Kind, permissions, owner, mtime in ns, number of links, device, target, xattrs, and the SHA-256 of the content.
"""

import hashlib
import os
import stat


def line(path: bytes, name: bytes) -> str:
    info = os.lstat(path)
    fields: list[object] = [f"{info.st_mode:o}", info.st_uid, info.st_gid]
    fields += [info.st_mtime_ns, info.st_nlink, info.st_rdev]
    if stat.S_ISREG(info.st_mode):
        with open(path, "rb") as file:
            fields += [info.st_size, hashlib.file_digest(file, "sha256").hexdigest()]
    elif stat.S_ISLNK(info.st_mode):
        fields.append(repr(os.readlink(path)))
    for xattr in sorted(os.listxattr(path, follow_symlinks=False)):
        fields.append(f"{xattr}={os.getxattr(path, xattr, follow_symlinks=False).hex()}")
    return " ".join(map(str, [repr(name), *fields]))


def listing(top: str | os.PathLike[str]) -> list[str]:
    root = os.fsencode(top)
    lines = [line(root, b".")]
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            lines.append(line(path, os.path.relpath(path, root)))
    return sorted(lines)
