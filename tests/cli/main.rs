//! cryptfs as a person uses it: the program itself, on real mounts.
//!
//! `forged.rs`: slots that somebody made or changed; `life.rs`: a volume from init to unmount; `refusals.rs`: what is refused, with which words and exit code; `keys.rs`:
//! slots; `recipients.rs`: age's plugins and SSH keys; `rotate.rs`: rotation; `ways_in.rs`: where secrets come from; `texts.rs`: help and manual against committed copies, which
//! `CRYPTFS_BLESS=1` rewrites.

mod forged;
mod freshness;
mod keys;
mod life;
mod owners;
mod recipients;
mod refusals;
mod rotate;
mod sandbox;
mod terminal;
mod texts;
mod transports;
mod ways_in;
