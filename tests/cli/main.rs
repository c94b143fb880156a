//! cryptfs as a person uses it: the program itself, on real mounts.
//!
//! `forged.rs`: slots that somebody made or changed; `life.rs`: a volume from init to unmount; `refusals.rs`: what is refused, with which words and exit code; `keys.rs`:
//! slots; `rotate.rs`: rotation; `ways_in.rs`: where secrets come from; `texts.rs`: help and manual against committed copies, which
//! `CRYPTFS_BLESS=1` rewrites.

mod forged;
mod freshness;
mod keys;
mod life;
mod refusals;
mod rotate;
mod sandbox;
mod texts;
mod ways_in;
