//! Listings while the directory changes: each entry that was there when one began and stays is met once, and nothing that
//! came since. An entry stays when it is renamed within the directory, replaced, or exchanged.

use super::support::*;
use crate::fs::ops::*;
use crate::fs::{Error, Filesystem};
use crate::test_rng::{TestRng, seed};
use std::collections::{BTreeMap, BTreeSet};

/// Entries have cookies from here on; before that a listing is at `.` and `..` yet.
const FIRST_STORED: u64 = 256;
const NAMES: usize = 60;
const STEPS: usize = 400;
const ROUNDS: usize = 60;

/// What is made last, so that each entry can be told from all others.
type Id = usize;

#[derive(Default)]
struct Listing {
    cookie: u64,
    awaited: BTreeSet<Id>,
    ended: bool,
}

struct ListingFixture {
    fs: Filesystem,
    at: NodeId,
    elsewhere: NodeId,
    /// The entries by their names now.
    entries: BTreeMap<String, Id>,
    next: Id,
    listings: Vec<Listing>,
}

impl ListingFixture {
    fn name(rng: &mut TestRng) -> String {
        format!("{:0>1$}", rng.below(NAMES), 1 + rng.below(2) * 40)
    }

    fn create(&mut self, rng: &mut TestRng) {
        let name = ListingFixture::name(rng);
        if make_file(&self.fs, USER, self.at, &name, 0o644).is_ok() {
            assert!(self.entries.insert(name, self.next).is_none());
            self.next += 1;
        }
    }

    fn unlink(&mut self, rng: &mut TestRng) {
        let name = ListingFixture::name(rng);
        let removed = self.fs.unlink(USER, self.at, name.as_bytes()).is_ok();
        assert_eq!(removed, self.forget(&name));
    }

    /// The entry is no more; nobody waits for it.
    fn forget(&mut self, name: &str) -> bool {
        let gone = self.entries.remove(name);
        gone.iter()
            .for_each(|id| self.listings.iter_mut().for_each(|listing| _ = listing.awaited.remove(id)));
        gone.is_some()
    }

    fn rename(&mut self, rng: &mut TestRng, exchange: bool) {
        let (from, to) = (ListingFixture::name(rng), ListingFixture::name(rng));
        let flags = RenameFlags { exchange, ..RenameFlags::default() };
        let done = self.fs.rename(USER, (self.at, from.as_bytes()), (self.at, to.as_bytes()), flags).is_ok();
        let there = [&from, &to].map(|name| self.entries.contains_key(name));
        assert_eq!(done, there[0] && (there[1] || !exchange));
        if !done || exchange || from == to {
            return;
        }
        if there[1] {
            // The entry of that name stays; the other one goes.
            self.forget(&from);
        } else if let Some(id) = self.entries.remove(&from) {
            self.entries.insert(to, id);
        }
    }

    /// Out to another directory and, under some name, in again.
    fn leave_and_come(&mut self, rng: &mut TestRng) {
        let (from, to) = (ListingFixture::name(rng), ListingFixture::name(rng));
        let (inside, outside) = ((self.at, from.as_bytes()), (self.elsewhere, b"x".as_slice()));
        if self.fs.rename(USER, inside, outside, RenameFlags::default()).is_err() {
            return;
        }
        self.forget(&from);
        self.fs.rename(USER, outside, (self.at, to.as_bytes()), RenameFlags::default()).unwrap();
        if !self.entries.contains_key(&to) {
            self.entries.insert(to, self.next);
            self.next += 1;
        }
    }

    fn begin(&mut self) {
        self.listings.push(Listing::default());
    }

    fn go_on(&mut self, rng: &mut TestRng, count: usize) {
        let at = rng.below(self.listings.len());
        let listing = &mut self.listings[at];
        if listing.cookie < FIRST_STORED {
            listing.awaited = self.entries.values().copied().collect();
        }
        let found = list(&self.fs, self.at, listing.cookie, count).unwrap();
        listing.ended = found.len() < count;
        for (name, _, cookie) in found {
            listing.cookie = cookie;
            let name = String::from_utf8(name).unwrap();
            if name != "." && name != ".." {
                let id = self.entries[&name];
                assert!(listing.awaited.remove(&id), "{name} was met twice, or came since");
            }
        }
        assert!(!listing.ended || listing.awaited.is_empty(), "not met: {:?}", listing.awaited);
    }
}

#[test]
fn each_entry_that_stays_is_met_once() {
    let mut rng = TestRng(seed());
    for _ in 0..ROUNDS {
        let fs = mounted();
        let at = make_directory(&fs, USER, NodeId::ROOT, "d", 0o755).unwrap();
        let elsewhere = make_directory(&fs, USER, NodeId::ROOT, "e", 0o755).unwrap();
        let mut fixture =
            ListingFixture { fs, at, elsewhere, entries: BTreeMap::new(), next: 0, listings: Vec::new() };
        fixture.begin();
        for _ in 0..STEPS {
            match rng.below(16) {
                0..5 => fixture.create(&mut rng),
                5..7 => fixture.unlink(&mut rng),
                7..10 => fixture.rename(&mut rng, false),
                10 => fixture.rename(&mut rng, true),
                11 => fixture.leave_and_come(&mut rng),
                12 => fixture.begin(),
                _ => {
                    let count = 1 + rng.below(9);
                    fixture.go_on(&mut rng, count);
                }
            }
        }
        for _ in 0..10 * fixture.listings.len() {
            fixture.go_on(&mut rng, NAMES);
        }
        assert!(fixture.listings.iter().any(|listing| listing.ended));
    }
}

#[test]
fn listing_with_attributes_counts_what_was_taken() {
    let fs = mounted();
    for name in ["a", "b", "c"] {
        let file = make_file(&fs, USER, NodeId::ROOT, name, 0o644).unwrap();
        fs.forget(file, 1);
    }
    let mut taken = Vec::new();
    let mut refused = None;
    fs.read_directory(NodeId::ROOT, 2, true, &mut |entry| {
        let node = entry.entry.expect("files are listed with attributes").node;
        if taken.len() == 2 {
            refused = Some(node);
            return false;
        }
        taken.push(node);
        true
    })
    .unwrap();
    assert_eq!(fs.attributes(refused.unwrap()), Err(Error::Stale));
    for node in taken {
        assert!(fs.attributes(node).is_ok());
        fs.forget(node, 1);
        assert_eq!(fs.attributes(node), Err(Error::Stale));
    }
}

/// rm -r reads and removes in turns.
#[test]
fn listing_goes_on_where_it_was_while_entries_go_and_come() {
    let fs = mounted();
    for n in 0..300 {
        make_file(&fs, USER, NodeId::ROOT, &format!("f{n}"), 0o644).unwrap();
    }
    let (mut cookie, mut seen) = (0, Vec::new());
    loop {
        let part = list(&fs, NodeId::ROOT, cookie, 7).unwrap();
        let Some(last) = part.last() else { break };
        cookie = last.2;
        for (name, kind, _) in &part {
            if *kind == Kind::File && !name.starts_with(b"new") {
                fs.unlink(USER, NodeId::ROOT, name).unwrap();
                seen.push(name.clone());
            }
        }
        if seen.len() < 100 {
            make_file(&fs, USER, NodeId::ROOT, &format!("new{}", seen.len()), 0o644).unwrap();
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 300);
}

/// Programs seek to positions that lie between those of entries: there is no end before the last one.
#[test]
fn positions_grow_along_a_listing() {
    let fs = mounted();
    for name in ["one", "two", "three"] {
        make_file(&fs, ROOT_USER, NodeId::ROOT, name, 0o644).unwrap();
        tick();
    }
    let listed = list(&fs, NodeId::ROOT, 0, 9).unwrap();
    assert_eq!(listed.len(), 5);
    assert!(listed.is_sorted_by_key(|(_, _, position)| *position), "{listed:?}");
    for (at, (_, _, position)) in listed.iter().enumerate() {
        assert!(*position <= i64::MAX as u64);
        assert_eq!(list(&fs, NodeId::ROOT, *position, 9).unwrap(), listed[at + 1..]);
        assert_eq!(list(&fs, NodeId::ROOT, position - 1, 9).unwrap(), listed[at..], "{at}");
    }
}
