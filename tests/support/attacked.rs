//! The entries of the volume that is attacked: in memory by `src/volume/tests/hostile`, through mounts by `tests/cli/attacks`.

pub const BLOCK: usize = 4096;

/// Small files, files of blocks and one of three chunks of 1 MiB, in the root and in two directories, with their sizes.
/// Directories end in a slash and come before what lies in them.
pub const ENTRIES: [(&str, usize); 11] = [
    ("x/", 0),
    ("y/", 0),
    ("small", 100),
    ("other", 100),
    ("blocks", 5 * BLOCK),
    ("twin", 5 * BLOCK),
    ("big", 2_500_000),
    ("x/one", 3 * BLOCK),
    ("x/two", 90),
    ("y/one", 3 * BLOCK),
    ("y/three", 80),
];
