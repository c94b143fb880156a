//! Random operations on the filesystem and on the reference: every answer agrees, and in the end the whole tree.
//!
//! `CRYPTFS_SEED` and `CRYPTFS_CASES` replay a run or make it longer; a failure is shrunk and printed with its seed.

use super::model::Model;
use super::operations::{Answer, Operation, Place, apply, operation};
use super::support::{Backing, ROOT_USER, list, now, tick};
use crate::chunk::limits as chunk_limits;
use crate::fs::ops::*;
use crate::fs::{Error, Filesystem};
use crate::test_rng::{seed, variable};
use crate::volume::tests::lower_limits;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use std::collections::BTreeMap;

const CASES: u32 = 2000;
const OPERATIONS: usize = 40;

/// The same node in both filesystems.
#[derive(Clone, Copy)]
struct Pair {
    real: NodeId,
    model: NodeId,
    is_directory: bool,
}

const ROOT: Pair = Pair { real: NodeId::ROOT, model: NodeId::ROOT, is_directory: true };

struct Both {
    backing: Backing,
    real: Filesystem,
    model: Model,
    /// Nodes that the transport knows, the root first.
    known: Vec<Pair>,
    /// Lookups counted, by the real number.
    lookups: BTreeMap<NodeId, u64>,
}

impl Both {
    fn new() -> Both {
        let backing = Backing::new();
        let real = backing.mount(false);
        let root = real.attributes(NodeId::ROOT).unwrap();
        let model = Model::new(root, now, real.volume.size_limit());
        Both { backing, real, model, known: vec![ROOT], lookups: BTreeMap::new() }
    }

    fn pair(&self, place: Place) -> Pair {
        if place >= 64 {
            return self.known[usize::from(place) % self.known.len()];
        }
        let directories: Vec<_> = self.known.iter().filter(|pair| pair.is_directory).collect();
        *directories[usize::from(place) % directories.len()]
    }

    fn step(&mut self, operation: &Operation) {
        tick();
        match *operation {
            Operation::Inspect(place) => return self.compare_node(self.pair(place)),
            Operation::List(place) => return self.compare_listing(self.pair(place)),
            Operation::Forget(place) => return self.forget(self.pair(place)),
            Operation::Remount => {
                self.real.volume.close().unwrap();
                return self.remount();
            }
            Operation::Kill => {
                self.sync_tree();
                return self.remount();
            }
            _ => {}
        }
        let real = apply(&self.real, operation, &|place| self.pair(place).real);
        let model = apply(&self.model, operation, &|place| self.pair(place).model);
        match (real, model) {
            (Ok((real, real_node)), Ok((model, model_node))) => {
                assert_eq!(without_numbers(real), without_numbers(model), "answers to {operation:?}");
                if let (Some(real), Some(model)) = (real_node, model_node) {
                    self.entered(real, model);
                }
            }
            (real, model) => assert_eq!(real.err(), model.err(), "errors of {operation:?}"),
        }
    }

    fn entered(&mut self, real: NodeId, model: NodeId) {
        let is_directory = self.model.attributes(model).unwrap().kind == Kind::Directory;
        *self.lookups.entry(real).or_default() += 1;
        match self.known.iter().find(|pair| pair.real == real || pair.model == model) {
            Some(known) => assert!(known.real == real && known.model == model, "one node for one inode"),
            None => self.known.push(Pair { real, model, is_directory }),
        }
    }

    fn forget(&mut self, pair: Pair) {
        if let Some(count) = self.lookups.remove(&pair.real) {
            self.real.forget(pair.real, count);
            assert_eq!(self.real.attributes(pair.real), Err(Error::Stale));
            self.known.retain(|known| known.real != pair.real);
        }
    }

    /// After which the daemon may be killed and nothing is lost.
    fn sync_tree(&mut self) {
        self.compare_tree(ROOT);
        for pair in &self.known {
            match pair.is_directory {
                true => self.real.sync_directory(pair.real, false).unwrap(),
                false => self.real.sync(pair.real, false).unwrap(),
            }
        }
    }

    /// The transport knows the root only, and looks everything up again.
    fn remount(&mut self) {
        self.real = self.backing.mount(false);
        self.known = vec![ROOT];
        self.lookups.clear();
        self.compare_tree(ROOT);
    }

    fn compare_tree(&mut self, pair: Pair) {
        self.compare_node(pair);
        if !pair.is_directory {
            return;
        }
        self.compare_listing(pair);
        for (name, kind, _) in list(&self.model, pair.model, 2, usize::MAX).unwrap() {
            let model = self.model.lookup(ROOT_USER, pair.model, &name).unwrap().unwrap().node;
            let real = self.real.lookup(ROOT_USER, pair.real, &name).unwrap().unwrap().node;
            self.entered(real, model);
            self.compare_tree(Pair { real, model, is_directory: kind == Kind::Directory });
        }
    }

    /// Attributes, xattrs, target, content, holes.
    fn compare_node(&self, Pair { real, model, .. }: Pair) {
        let stat = self.model.attributes(model).unwrap();
        assert_eq!(comparable(self.real.attributes(real).unwrap()), comparable(stat));
        assert_eq!(self.real.read_link(real), self.model.read_link(model));
        let names = self.model.list_xattrs(ROOT_USER, model).unwrap();
        assert_eq!(self.real.list_xattrs(ROOT_USER, real).unwrap(), names);
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let value = self.real.get_xattr(ROOT_USER, real, name);
            assert_eq!(value, self.model.get_xattr(ROOT_USER, model, name));
        }
        if stat.kind == Kind::File {
            let mut expected = vec![0; stat.size as usize + 1];
            let mut found = vec![1; stat.size as usize + 1];
            assert_eq!(self.model.read(model, 0, &mut expected).unwrap() as u64, stat.size);
            assert_eq!(self.real.read(real, 0, &mut found).unwrap() as u64, stat.size);
            let differ = (0..stat.size as usize).find(|&at| expected[at] != found[at]);
            assert_eq!(differ, None, "content differs at this offset");
            self.check_holes(real, &expected[..stat.size as usize]);
        }
    }

    /// Data and holes alternate, and a hole holds zeros.
    fn check_holes(&self, real: NodeId, content: &[u8]) {
        let mut at = 0;
        while at < content.len() {
            let data = match self.real.seek(real, at as u64, Seek::Data) {
                Ok(data) => data as usize,
                Err(error) => {
                    assert_eq!(error, Error::NoSuchDeviceOrAddress);
                    content.len()
                }
            };
            assert!(data >= at && content[at..data].iter().all(|byte| *byte == 0), "a hole from {at}");
            if data == content.len() {
                break;
            }
            at = self.real.seek(real, data as u64, Seek::Hole).unwrap() as usize;
            assert!(at > data && at <= content.len(), "data from {data}");
        }
        let end = content.len() as u64;
        assert_eq!(self.real.seek(real, end, Seek::Hole), Err(Error::NoSuchDeviceOrAddress));
    }

    /// The same entries, and the same again when read in two parts.
    fn compare_listing(&self, Pair { real, model, .. }: Pair) {
        let whole = match (list(&self.real, real, 0, usize::MAX), list(&self.model, model, 0, usize::MAX)) {
            (Ok(real), Ok(model)) => {
                let sorted = |list: &[(Vec<u8>, Kind, u64)]| {
                    let mut names: Vec<_> =
                        list.iter().map(|(name, kind, _)| (name.clone(), *kind)).collect();
                    names.sort_by(|a, b| a.0.cmp(&b.0));
                    names
                };
                assert_eq!(sorted(&real), sorted(&model));
                real
            }
            (real, model) => return assert_eq!(real.err(), model.err()),
        };
        // Though the newest come first.
        assert!(whole.iter().skip(2).is_sorted_by_key(|(_, _, cookie)| *cookie));
        let mut parts = list(&self.real, real, 0, whole.len() / 2).unwrap();
        let cookie = parts.last().map_or(0, |(_, _, cookie)| *cookie);
        parts.extend(list(&self.real, real, cookie, usize::MAX).unwrap());
        assert_eq!(parts, whole);
    }
}

fn without_numbers(answer: Answer) -> Answer {
    match answer {
        Answer::Attributes(attributes) => Answer::Attributes(comparable(attributes)),
        Answer::Node(attributes) => Answer::Node(comparable(attributes)),
        other => other,
    }
}

/// Without what is each filesystem's own: the inode number, the space used, a directory's size.
fn comparable(attributes: Attributes) -> Attributes {
    let size = if attributes.kind == Kind::Directory { 0 } else { attributes.size };
    Attributes { inode_number: 0, blocks: 0, size, links_in_doubt: false, ..attributes }
}

#[test]
fn the_filesystem_agrees_with_the_reference() {
    let seed = seed();
    let cases = variable("CRYPTFS_CASES").unwrap_or(CASES);
    let mut long_seed = [0; 32];
    long_seed[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 3000, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &long_seed);
    let outcome = TestRunner::new_with_rng(config, rng).run(
        &(0..9, 0..6, 0..6, prop::collection::vec(operation(), 1..OPERATIONS)),
        |(tail, compact, slots, operations)| {
            // What happens at sizes that a few operations do not reach, at sizes that they do.
            lower_limits(2 << 20, 50_usize << tail, 50_u64 << compact);
            chunk_limits::lower(9_u64 << (2 * slots), 2_usize << slots);
            let mut both = Both::new();
            operations.iter().for_each(|operation| both.step(operation));
            both.step(&Operation::Kill);
            both.step(&Operation::Remount);
            Ok(())
        },
    );
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, (tail, compact, slots, operations))) => {
            let lines: Vec<_> = operations.iter().map(|operation| format!("{operation:?}")).collect();
            let limits = format!("tail {tail}, compact {compact}, slots {slots}");
            panic!("CRYPTFS_SEED={seed}: {why}\n{limits}\n{}", lines.join("\n"))
        }
        Err(TestError::Abort(why)) => panic!("CRYPTFS_SEED={seed}: {why}"),
    }
}
