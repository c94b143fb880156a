"""Things that filesystems get wrong, each on purpose; `check_again` after a remount: what should have stayed."""

import mmap
import os
import shutil
import subprocess
import threading

from . import require as must

CHUNK = 4 << 20


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def write(path: str, data: bytes | bytearray) -> None:
    with open(path, "wb") as file:
        file.write(data)


def sparse_copies(root: str) -> None:
    """cp looks for holes; what another process has just written, still in the page cache, is none."""
    fd = os.open(f"{root}/sparse", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 3 * CHUNK)
    for number, offset in enumerate((0, CHUNK - 5, 2 * CHUNK + 4096, 3 * CHUNK - 7)):
        os.pwrite(fd, b"data%d" % number, offset)
        for how in ("always", "auto", "never"):
            subprocess.run(["cp", f"--sparse={how}", f"{root}/sparse", f"{root}/copy"], check=True)
            must(read(f"{root}/copy") == read(f"{root}/sparse"), f"cp --sparse={how} of an open file")
    subprocess.run(["tar", "-C", root, "-Scf", f"{root}/tar", "sparse"], check=True)
    out = subprocess.run(["tar", "-xOSf", f"{root}/tar"], check=True, capture_output=True).stdout
    must(out == read(f"{root}/sparse"), "tar -S of an open file")
    os.close(fd)


def blocks(root: str) -> None:
    write(f"{root}/small", b"small")
    write(f"{root}/inline", bytes(3000))
    write(f"{root}/full", os.urandom(300_000))
    fd = os.open(f"{root}/holes", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 100 * CHUNK)
    os.pwrite(fd, b"x", 50 * CHUNK)
    os.fsync(fd)
    os.close(fd)
    check_blocks(root)


def check_blocks(root: str) -> None:
    os.sync()
    used = {name: os.stat(f"{root}/{name}").st_blocks * 512 for name in ("small", "inline", "full", "holes")}
    must(0 < used["small"] <= 4096, f"st_blocks {used}")
    must(3000 <= used["inline"] <= 4096, f"st_blocks {used}")
    must(300_000 <= used["full"] < 310_000, f"st_blocks {used}")
    must(0 < used["holes"] <= 8192, f"st_blocks {used}")


def mapped(root: str) -> None:
    write(f"{root}/mapped", bytes(2 * CHUNK + 100))
    fd = os.open(f"{root}/mapped", os.O_RDWR)
    mapping = mmap.mmap(fd, 0)
    mapping[CHUNK - 10 : CHUNK + 10] = b"m" * 20
    mapping.flush()
    must(os.pread(fd, 20, CHUNK - 10) == b"m" * 20, "mmap is not seen by read")
    os.pwrite(fd, b"w" * 20, CHUNK - 10)
    must(mapping[CHUNK - 10 : CHUNK + 10] == b"w" * 20, "a write is not seen by mmap")
    os.close(fd)
    mapping[2 * CHUNK + 99] = 7
    mapping.close()


def direct(root: str) -> None:
    fd = os.open(f"{root}/direct", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    buffer = mmap.mmap(-1, 1 << 20)
    for turn in range(9):
        buffer[:] = bytes([turn + 1]) * len(buffer)
        must(os.pwrite(fd, buffer, turn << 20) == len(buffer), "O_DIRECT write")
    must(os.preadv(fd, [buffer], 3 << 20) == len(buffer) and buffer[:] == b"\4" * len(buffer), "O_DIRECT read")
    with open(f"{root}/direct", "rb") as file:
        must(all(file.read(1 << 20) == bytes([n + 1]) * (1 << 20) for n in range(9)), "buffered after O_DIRECT")
    os.close(fd)


def up_and_down(root: str) -> None:
    fd = os.open(f"{root}/updown", os.O_RDWR | os.O_CREAT)
    model = bytearray()
    sizes = (2 * CHUNK + 1, CHUNK, CHUNK + 1, CHUNK - 1, 3 * CHUNK, 1, 2 * CHUNK, 0, CHUNK + 4095)
    for step, size in enumerate(sizes):
        os.ftruncate(fd, size)
        model[size:] = bytes(max(0, size - len(model)))
        must(os.pread(fd, size + 1, 0) == model, f"truncate {step} to {size}")
        data = bytes([step + 1]) * 6000
        offset = max(0, size - 3000)
        os.pwrite(fd, data, offset)
        model[offset : offset + 6000] = data
        if step % 2:
            os.fsync(fd)
    os.close(fd)
    write(f"{root}/updown.model", model)


def unlinked(root: str) -> None:
    fd = os.open(f"{root}/unlinked", os.O_RDWR | os.O_CREAT)
    data = os.urandom(3 * CHUNK)
    os.write(fd, data)
    os.unlink(f"{root}/unlinked")
    os.sync()
    os.fsync(fd)
    os.pwrite(fd, b"end", 5 * CHUNK)
    os.fsync(fd)
    must(os.fstat(fd).st_nlink == 0, "nlink of an unlinked file")
    must(os.pread(fd, len(data), 0) == data, "an unlinked file's content")
    must(os.pread(fd, 9, 5 * CHUNK) == b"end", "an unlinked file's end")
    os.close(fd)


def renames(root: str) -> None:
    """As editors save: write, fsync, rename over the old file; many at once, and readers must see a whole one."""
    os.mkdir(f"{root}/storm")
    trouble: list[list[bytes]] = []

    def writer(number: int) -> None:
        for turn in range(150):
            data = b"%d %d\n" % (number, turn) * 500
            temporary = f"{root}/storm/tmp{number}"
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, f"{root}/storm/target{number % 2}")

    def reader() -> None:
        while any(thread.is_alive() for thread in writers):
            try:
                lines = read(f"{root}/storm/target0").split(b"\n")
            except FileNotFoundError:
                continue
            if len(set(lines[:-1])) != 1 or len(lines) != 501:
                trouble.append(lines[:1])

    writers = [threading.Thread(target=writer, args=[number]) for number in range(4)]
    for thread in writers:
        thread.start()
    reader()
    must(not trouble, f"a reader saw a half file: {trouble[:1]}")
    must(sorted(os.listdir(f"{root}/storm")) == ["target0", "target1"], "names after the storm")


def deep_and_wide(root: str) -> None:
    path = f"{root}/deep"
    os.mkdir(path)
    home = os.getcwd()
    os.chdir(path)
    for _ in range(300):
        os.mkdir("d" * 100)
        os.chdir("d" * 100)
    write("bottom", b"bottom")
    os.chdir(home)
    shutil.rmtree(path)


def check_again(root: str) -> None:
    check_blocks(root)
    must(read(f"{root}/updown") == read(f"{root}/updown.model"), "truncated file after a remount")
    must(read(f"{root}/mapped")[-1] == 7, "the last byte mapped")
    must(read(f"{root}/mapped")[CHUNK - 10 : CHUNK + 10] == b"w" * 20, "mapped bytes after a remount")
    must(read(f"{root}/copy") == read(f"{root}/sparse"), "sparse files after a remount")
    must(len(set(read(f"{root}/storm/target0").split(b"\n")[:-1])) == 1, "the storm's last after a remount")
    must(not os.path.exists(f"{root}/unlinked"), "an unlinked file came back")


SUSPECTS = (sparse_copies, blocks, mapped, direct, up_and_down, unlinked, renames, deep_and_wide)


def play(root: str) -> None:
    for suspect in SUSPECTS:
        suspect(root)
        print(f"  {suspect.__name__}", flush=True)
