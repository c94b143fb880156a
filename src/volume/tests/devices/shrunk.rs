//! Of a random walk that failed the steps that it takes to fail, and what lies in the folders after each of them.
//!
//! For walks of which each step draws by itself, so that the others can be left out. `CRYPTFS_SHRINK=100`: a step is left out if one
//! of so many walks without it fails like the first; ids and times are new each time, so that not all of them do.

use super::*;
use crate::chunk::{Chunk, Commit, InodeId};
use crate::store::memory::Memory;
use crate::store::{Area, FileName};
use crate::test_rng::{TestRng, variable};
use crate::volume::format::directory_log::Dot;
use crate::volume::reader::{Content, Node, Reader};
use std::any::Any;
use std::cell::RefCell;
use std::fmt::Write;

/// One walk.
pub(super) struct Steps<'a> {
    seed: u64,
    /// Those that are taken.
    taken: &'a [usize],
    shows_folders: bool,
    told: RefCell<String>,
}

impl Steps<'_> {
    /// The steps, each with what it draws from.
    pub fn each(&self) -> impl Iterator<Item = (usize, TestRng)> {
        let draws = |step: usize| TestRng(self.seed ^ (step as u64 + 1).wrapping_mul(0xd6e8_feb8_6659_fd93));
        self.taken.iter().map(move |&step| (step, draws(step)))
    }

    /// Tells what was done.
    pub fn tell(&self, fleet: &FleetFixture, what: &str) {
        let mut told = self.told.borrow_mut();
        writeln!(told, "{what}").expect("it is a string");
        if self.shows_folders {
            let folders =
                fleet.devices.iter().map(|device| (device.client.name, &device.keys, &device.store));
            let keys = fleet.devices[0].keys.remembering(Remembered::default());
            for (name, keys, store) in folders.chain([("the server", &keys, &fleet.server)]) {
                writeln!(told, "  {name}:\n{}", describe(keys, store)).expect("it is a string");
            }
        }
    }
}

/// Takes all steps.
pub(super) fn walk(seed: u64, count: usize, walk: impl Fn(&Steps<'_>)) {
    let attempt = |taken: &[usize], shows_folders| {
        let steps = Steps { seed, taken, shows_folders, told: RefCell::default() };
        let outcome = catch_unwind(AssertUnwindSafe(|| walk(&steps)));
        outcome.map_err(|why| (kind(&*why), why, steps.told.into_inner()))
    };
    let mut taken: Vec<usize> = (0..count).collect();
    let Err((wanted, mut why, mut told)) = attempt(&taken, false) else { return };
    let mut fails = |taken: &[usize], shows_folders| {
        (0..variable("CRYPTFS_SHRINK").unwrap_or(0)).any(|_| match attempt(taken, shows_folders) {
            Err((kind, again, log)) if kind == wanted => {
                (why, told) = (again, log);
                true
            }
            _ => false,
        })
    };
    let mut at = taken.len();
    while at > 0 {
        at -= 1;
        let mut fewer = taken.clone();
        fewer.remove(at);
        if fails(&fewer, false) {
            taken = fewer;
            at = taken.len().min(at + 1);
        }
    }
    fails(&taken, true);
    println!("CRYPTFS_SEED={seed}, steps {taken:?}\n{told}");
    resume_unwind(why);
}

/// What went wrong, without what is different each time.
fn kind(why: &(dyn Any + Send)) -> String {
    let said = why.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| why.downcast_ref::<&str>().copied()).unwrap_or_default();
    said.split([':', '0', '1', '2']).next().unwrap_or_default().to_owned()
}

/// What each file of a folder says.
fn describe(keys: &Fixture, store: &Memory) -> String {
    let mut told = String::new();
    for item in store.items() {
        let Some(image) = store.take(&item) else { continue };
        let (of, aside) = match &item {
            Item::File(name) => (*name, ""),
            Item::Copy(copy) => (copy.of, " (a copy)"),
        };
        let alone = Memory::new();
        alone.put(&Item::File(of), Some(image));
        let reader =
            Reader::new(keys.context_with(Arc::new(alone), Arc::new(crate::chunk::Forgetful)), CHUNK);
        let id = reader.context().identify(of).filter(|id| id.index.is_first());
        let deletion = id.and_then(|id| keys.remembered.tombstone(id)).map_or(String::new(), |known| {
            format!(", deleted as {} {{{}}}", dots(&known.version.0), dots(&known.entries))
        });
        writeln!(told, "    {}{aside}{deletion}", describe_file(&reader, of)).expect("it is a string");
    }
    told
}

fn describe_file(reader: &Reader, name: FileName) -> String {
    let Some(id) = reader.context().identify(name) else { return "?".to_owned() };
    match (name.area, reader.node(id.inode)) {
        (Area::Journals, _) => format!("{id:?}"),
        (_, Err(error)) => format!("{}: {error}", short(id.inode)),
        (_, Ok(node)) => {
            let version = Chunk::open(reader.context(), id, GEOMETRY.blocks(id.index));
            let version = version.map(|chunk| dots(&chunk.version().0)).unwrap_or_default();
            format!("{} {version}: {}", short(id.inode), describe_node(reader, &node))
        }
    }
}

fn describe_node(reader: &Reader, node: &Node) -> String {
    let of = |dot: Option<(u64, DeviceId)>| {
        dot.map_or("?".to_owned(), |(counter, device)| dots(&[(device, Commit(counter))]))
    };
    let links = node.record.extension.links.iter();
    let links: Vec<_> = links
        .map(|link| {
            format!("{}/{} {}", short(link.parent), String::from_utf8_lossy(&link.name), of(link.dot))
        })
        .collect();
    let said = match reader.entries(node) {
        Ok(entries) => {
            let vector: Vec<_> =
                entries.vector().iter().map(|(device, counter)| (*device, Commit(*counter))).collect();
            let found = entries.iter_after(0).map(|entry| {
                let dot = Dot::from_cookie(entry.cookie);
                let dot = entries.vector().get(usize::from(dot.device)).map(|author| (dot.counter, author.0));
                format!("{} → {} {}", String::from_utf8_lossy(entry.name), short(entry.inode), of(dot))
            });
            format!("{} {{{}}}", dots(&vector), found.collect::<Vec<_>>().join(", "))
        }
        Err(_) => {
            let mut bytes = vec![0; node.record.size as usize];
            let read = Content::new(reader, node).read(0, &mut bytes);
            read.map_or_else(|error| error.to_string(), |()| String::from_utf8_lossy(&bytes).into_owned())
        }
    };
    format!("{} links [{}] {said}", node.record.links_count, links.join(", "))
}

fn short(id: InodeId) -> String {
    format!("{:02x}{:02x}", id.0[0], id.0[1])
}

/// Of each device its letter, and the counter in microseconds, as far as it differs.
fn dots(entries: &[(DeviceId, Commit)]) -> String {
    let of = |(device, counter): &(DeviceId, Commit)| {
        format!("{:x}:{}", device.0[0] >> 4, counter.0 % 1_000_000_000)
    };
    entries.iter().map(of).collect::<Vec<_>>().join(",")
}
