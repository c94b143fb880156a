//! cryptfs as a person uses it: the program itself, on real mounts.
//!
//! `attacks`: rows of the attack matrix; `check.rs`: check and repair; `commands.rs`: where a mount is not as it should
//! be; `damaged.rs`: a folder for each kind of damage; `device.rs`: the devices of a volume; `devices.rs`: two of them and a client that copies; `forged.rs`: slots that
//! somebody made or changed; `freshness.rs`: old states brought back; `full.rs`: a full disk, an ended daemon;
//! `holders.rs`: who keeps a mount; `home.rs`: asking without a terminal, managers, leaving; `keys.rs`: slots; `life.rs`: a volume from init to unmount; `look.rs`: reading without
//! a mount;
//! `machine.rs`: rights, log, swap; `options.rs`: mount options that promise something; `owner_key.rs`: who owns a volume;
//! `owners.rs`: uid= and gid=; `recipients.rs`: age's plugins and SSH keys; `refusals.rs`: what is refused, with which
//! words and exit code; `rotate.rs`: rotation; `status.rs`: how mounts are doing; `silent.rs`: a daemon that does not answer; `secrets.rs`: what must not be logged or linked; `units.rs`: systemd units; `texts.rs`: help and manual
//! against committed copies, which `CRYPTFS_BLESS=1` rewrites; `ways_in.rs`: where secrets come from. `sandbox.rs` and
//! `terminal.rs` are what they use.

mod attacks;
mod check;
mod commands;
mod copies;
mod damaged;
mod desktop;
mod device;
mod devices;
mod forged;
mod freshness;
mod fstab;
mod full;
mod holders;
mod home;
mod keys;
mod life;
mod look;
mod machine;
mod mistakes;
mod notice;
mod options;
mod owner_key;
mod owners;
mod recipients;
mod refusals;
mod rotate;
mod sandbox;
mod secrets;
mod silent;
mod status;
mod terminal;
mod texts;
mod transports;
mod units;
mod ways_in;
