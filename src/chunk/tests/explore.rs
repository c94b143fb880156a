//! Every interleaving of what can be done to a small chunk, and of what can happen to it, to a depth.
//!
//! The real chunk code runs over `disk`, one file of two roots and a few slots. What must hold in every state:
//! reading never fails to authenticate and gives what was written; after a kill the newest commit is there; after a
//! power cut (each slot old, any version written since, or torn) a commit is there that is no older than the last one
//! acknowledged as durable, with exactly its content; no number names two states; a read error is an error.

mod judge;

use super::super::mutants::{Mutant, plant};
use super::super::slots::limit;
use super::super::{
    BLOCK, BlockCount, BlockNumber, Chunk, Commit, Context, DeviceId, Error, Section, Sync, vector,
};
use super::disk::{Block, BlockId, Disk, Drive, Failure, TORN};
use super::mutants::{BESIDE, FAILING, MANY, MAPPED, ONE};
use super::node::{Content, Node, Registry, RootWords};
use super::{ID, context_of};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The size of what is explored.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub blocks: u16,
    pub slots: usize,
    pub depth: u32,
    pub crashes: u32,
    pub failures: u32,
    /// Bytes of inline content: with enough of it, two blocks need a map block.
    pub inline: usize,
    /// Blocks that are written and durable before it begins; the last one is then left alone.
    pub filled: u16,
    /// Devices that then join its version, all at once: as if each had committed the same.
    pub devices: u8,
}

/// What can be done.
#[derive(Clone, Copy, Debug)]
enum Action {
    Write(u16),
    Clear(u16),
    Commit,
    FailCommit(Failure),
    StartSync,
    FinishSync,
    FailSync,
    Recover,
    Settle,
    Kill,
    PowerCut,
}

/// How many distinct states were found, and how many crashes were judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    pub states: usize,
    pub cuts: usize,
}

type Judgement = Result<(), String>;

struct Explorer {
    size: Size,
    drive: Drive,
    context: Arc<Context>,
    registry: Registry,
    /// The steps that were left when a state was last explored.
    seen: HashMap<u64, u32>,
    cuts: usize,
    path: Vec<Action>,
    /// The commit that was durable when it began, 0 for none.
    filled: Commit,
}

/// Explores everything; an error says what went wrong, and how.
pub fn explore(size: Size, fault: Option<Mutant>) -> Result<Found, String> {
    limit(2 + size.slots);
    plant(fault);
    let drive = Drive(Arc::new(Mutex::new(Disk::new(2 + size.slots))));
    let mut context = context_of(Arc::new(drive.clone()), &[2]);
    Arc::get_mut(&mut context).expect("no chunk has it yet").clock = || 0;
    let mut chunk = Chunk::new(&context, ID, BlockCount(size.blocks));
    chunk.set_inline(vec![1; size.inline]);
    // Names are not part of this model.
    chunk.prepare().unwrap();
    chunk.name_synced();
    let root = Node {
        chunk,
        disk: drive.0.lock().clone(),
        newest: 0,
        syncing: None,
        synced: Commit(0),
        committed: BTreeMap::new(),
        content: vec![None; size.blocks.into()],
        crashes: 0,
        failures: 0,
        dead: false,
    };
    let (registry, seen, cuts, path) = (Registry::default(), HashMap::new(), 0, Vec::new());
    let mut explorer = Explorer { size, drive, context, registry, seen, cuts, path, filled: Commit(0) };
    let filling = (0..size.filled).map(Action::Write);
    let durable =
        [Action::Commit, Action::StartSync, Action::FinishSync].into_iter().filter(|_| size.filled > 0);
    let begun = filling.chain(durable).try_fold(root, |node, action| explorer.advance(&node, action));
    let outcome = begun.and_then(|mut node| {
        explorer.filled = node.chunk.version().commit();
        explorer.join_devices(&mut node.chunk);
        explorer.visit(node, size.depth)
    });
    plant(None);
    limit(1 << 16);
    outcome.map_err(|what| format!("{what}\nafter {:?}", explorer.path))?;
    Ok(Found { states: explorer.seen.len(), cuts: explorer.cuts })
}

impl Explorer {
    fn visit(&mut self, mut node: Node, left: u32) -> Judgement {
        node.prune(&self.registry);
        let fingerprint = node.fingerprint(&self.registry);
        if left == 0 || self.seen.get(&fingerprint).is_some_and(|&before| before >= left) {
            return Ok(());
        }
        if self.seen.insert(fingerprint, left).is_none() {
            self.load(&node);
            self.judge_read_errors(&node)?;
            self.judge_damage(&node)?;
        }
        for action in self.actions(&node) {
            self.path.push(action);
            match action {
                Action::PowerCut => self.cut(&node, left)?,
                _ => self.step(&node, action, left)?,
            }
            self.path.pop();
        }
        Ok(())
    }

    fn actions(&self, node: &Node) -> Vec<Action> {
        let mut actions = Vec::new();
        if node.chunk.wants_recovery() && node.syncing.is_none() && !node.dead {
            actions.push(Action::Recover);
        }
        if !node.chunk.state.failed && !node.dead {
            for number in 0..self.size.blocks - u16::from(self.size.filled > 0) {
                actions.push(Action::Write(number));
                if node.content[usize::from(number)].is_some() {
                    actions.push(Action::Clear(number));
                }
            }
            if node.chunk.is_dirty() {
                actions.push(Action::Commit);
            }
            match node.syncing {
                None => actions.extend([Action::StartSync, Action::Settle]),
                Some(_) => actions.push(Action::FinishSync),
            }
            if node.failures < self.size.failures && node.syncing.is_some() {
                actions.push(Action::FailSync);
            }
            if node.failures < self.size.failures && node.syncing.is_none() && node.chunk.is_dirty() {
                actions.extend([Action::FailCommit(Failure::Written), Action::FailCommit(Failure::Torn)]);
            }
        }
        if node.crashes < self.size.crashes {
            actions.extend([Action::Kill, Action::PowerCut]);
        }
        actions
    }

    /// One action, what must hold after it, and everything that can follow.
    fn step(&mut self, before: &Node, action: Action, left: u32) -> Judgement {
        let node = self.advance(before, action)?;
        self.visit(node, left - 1)
    }

    /// One action and what must hold after it.
    fn advance(&mut self, before: &Node, action: Action) -> Result<Node, String> {
        let mut node = before.fork();
        self.load(&node);
        let done = self.act(&mut node, action)?;
        node.disk = self.drive.0.lock().clone();
        node.disk.fail_root = None;
        node.newest = self.context.newest.load(Ordering::Relaxed);
        self.registry.learn(&node.chunk, &node.disk);
        if let Action::Write(number) = action
            && done
        {
            let entry = node.chunk.data.get(BlockNumber(number), &node.chunk.blocks()).map_err(text)?;
            node.content[usize::from(number)] = Some(self.registry.block_of(&entry, &node.disk));
        }
        if done || matches!(action, Action::FailCommit(_)) {
            self.note_commit(&mut node, before, action)?;
        }
        if !node.dead {
            self.judge_content(&node.chunk, &node.content)?;
        }
        // What a chunk says is durable is believed for ever.
        node.synced = node.synced.max(node.chunk.durable());
        Ok(node)
    }

    /// Whether it was done. Not so: a write without a free slot, a commit during a sync.
    fn act(&mut self, node: &mut Node, action: Action) -> Result<bool, String> {
        let chunk = &mut node.chunk;
        match action {
            Action::Write(number) => {
                let value = self.drive.0.lock().written + 1;
                match chunk.write(Section::Data, BlockNumber(number), &plain(value)) {
                    Ok(()) => Ok(true),
                    Err(Error::SlotsExhausted(_)) => Ok(false),
                    Err(error) => Err(text(error)),
                }
            }
            Action::Clear(number) => {
                chunk.clear(Section::Data, BlockNumber(number)..BlockNumber(number + 1)).map_err(text)?;
                node.content[usize::from(number)] = None;
                Ok(true)
            }
            Action::Commit => match chunk.commit() {
                Ok(_) => Ok(true),
                Err(Error::SlotsExhausted(_)) => Ok(false),
                Err(Error::Failed(_)) if node.syncing.is_some() => Ok(false),
                Err(error) => Err(text(error)),
            },
            Action::FailCommit(failure) => {
                self.drive.0.lock().fail_root = Some(failure);
                node.failures += 1;
                match chunk.commit() {
                    Ok(_) => Err("a commit whose root could not be written was acknowledged".into()),
                    Err(_) => Ok(false),
                }
            }
            Action::StartSync => {
                match chunk.start_sync() {
                    Ok(Some(_)) => {
                        self.drive.0.lock().begin_sync();
                        node.syncing = Some(chunk.version().commit());
                    }
                    Ok(None) => node.synced = chunk.version().commit().max(node.synced),
                    Err(Error::SlotsExhausted(_)) => return Ok(false),
                    Err(error) => return Err(text(error)),
                }
                Ok(true)
            }
            Action::FinishSync | Action::FailSync => self.finish(node, matches!(action, Action::FailSync)),
            Action::Recover => chunk.recover().map(|()| true).map_err(text),
            Action::Settle => chunk.write_backup_root().map_err(text),
            Action::Kill => self.kill(node).map(|()| true),
            Action::PowerCut => unreachable!("a power cut has many outcomes"),
        }
    }

    fn finish(&mut self, node: &mut Node, fails: bool) -> Result<bool, String> {
        let commit = node.syncing.take().expect("a sync is under way");
        let sync = Sync { file: node.chunk.file.clone().expect("there is a file") };
        if fails {
            node.failures += 1;
            self.drive.0.lock().fail_sync();
            if node.chunk.finish_sync(sync, Err(std::io::ErrorKind::Other.into())).is_ok() {
                node.synced = commit;
            }
            return Ok(true);
        }
        self.drive.0.lock().end_sync();
        node.chunk.finish_sync(sync, Ok(())).map_err(text)?;
        node.synced = commit;
        Ok(true)
    }

    /// The process is killed: what it wrote stays, the rest is forgotten.
    fn kill(&mut self, node: &mut Node) -> Judgement {
        node.crashes += 1;
        node.syncing = None;
        self.drive.0.lock().syncing = None;
        // That an fdatasync failed in a process that died since, no later one can know.
        self.drive.0.lock().slots.iter_mut().for_each(|slot| slot.is_stuck = false);
        let Some(newest) = node.chunk.newest else { return self.restart(node, None) };
        let in_doubt = node.chunk.state.in_doubt || node.chunk.state.failed;
        self.restart(node, (!in_doubt).then_some(newest.commit))
    }

    /// A new process opens the chunk and finds what it must.
    fn restart(&mut self, node: &mut Node, expected: Option<Commit>) -> Judgement {
        let chunk = match self.reopen() {
            Ok(chunk) => chunk,
            // Nothing was promised: whoever owns the chunk makes it anew.
            Err(_) if node.synced == Commit(0) && expected.is_none() => {
                node.crashes = self.size.crashes;
                node.dead = true;
                return Ok(());
            }
            Err(error) => return Err(format!("cannot be opened: {error}")),
        };
        let commit = chunk.version().commit();
        self.judge_devices(&chunk)?;
        if commit < node.synced || expected.is_some_and(|expected| commit < expected) {
            return Err(format!("{commit:?} was found, {:?} was synced, {expected:?} written", node.synced));
        }
        let content = node.committed.get(&commit).ok_or(format!("nobody made {commit:?}"))?.clone();
        self.judge_content(&chunk, &content)?;
        node.chunk = chunk;
        node.content = content;
        self.join_devices(&mut node.chunk);
        Ok(())
    }

    /// Opens with a context that has seen nothing.
    fn reopen(&self) -> Result<Chunk, Error> {
        self.context.newest.store(0, Ordering::Relaxed);
        Chunk::open(&self.context, ID, BlockCount(self.size.blocks))
    }

    /// Every way in which the power may fail now.
    fn cut(&mut self, node: &Node, left: u32) -> Judgement {
        let [a, b] = [0, 1].map(|which| outcomes(&node.disk, which));
        for (a, b) in a.iter().flat_map(|a| b.iter().map(move |b| (a, b))) {
            let roots = [a, b].map(|block| self.registry.roots.get(&block.id));
            // A slot that neither root names is never read.
            let named = self.named(roots);
            let mut disks = vec![Disk { slots: Vec::new(), syncing: None, ..node.disk.clone() }];
            for slot in 0..node.disk.slots.len() {
                let outcomes = match slot {
                    0 => vec![a.clone()],
                    1 => vec![b.clone()],
                    _ if named.contains(&slot) => outcomes(&node.disk, slot),
                    _ => vec![Disk::torn()],
                };
                disks = disks
                    .iter()
                    .flat_map(|disk| outcomes.iter().map(move |block| with(disk, block)))
                    .collect();
            }
            for disk in disks {
                let mut after = Node { disk, syncing: None, crashes: node.crashes + 1, ..node.fork() };
                self.cuts += 1;
                self.load(&after);
                self.restart(&mut after, None)?;
                after.newest = self.context.newest.load(Ordering::Relaxed);
                self.visit(after, left - 1)?;
            }
        }
        Ok(())
    }

    fn named(&self, roots: [Option<&RootWords>; 2]) -> Vec<usize> {
        let direct = roots.into_iter().flatten().flat_map(|root| &root.names);
        let maps = direct.clone().filter_map(|name| self.registry.maps.get(&name.2)).flatten();
        direct.chain(maps).map(|name| usize::from(name.1)).collect()
    }

    /// Puts the node's disk and clock in place.
    fn load(&self, node: &Node) {
        let mut disk = self.drive.0.lock();
        // Numbers are given once, on whatever path.
        let written = disk.written;
        *disk = Disk { written, ..node.disk.clone() };
        self.context.newest.store(node.newest, Ordering::Relaxed);
    }

    /// Writes down what a commit that was just made, or perhaps made, holds.
    fn note_commit(&self, node: &mut Node, before: &Node, action: Action) -> Judgement {
        if matches!(action, Action::Kill) {
            return Ok(());
        }
        for which in 0..2 {
            let (now, then) = (node.disk.slots[which].live(), before.disk.slots[which].live());
            let Some(root) = self.registry.roots.get(&now.id).filter(|_| now.id != then.id) else {
                continue;
            };
            let former = node.committed.insert(root.commit, node.content.clone());
            if former.is_some_and(|former| former != node.content) {
                return Err(format!("{:?} names two states", root.commit));
            }
        }
        Ok(())
    }

    /// The next commit is one after which all have committed.
    fn join_devices(&self, chunk: &mut Chunk) {
        if self.size.devices > 0 && chunk.version().commit() == self.filled {
            let others = (0..self.size.devices).map(|number| (DeviceId([100 + number; 8]), Commit(0)));
            chunk.version.0.extend(others);
            chunk.state.dirty = true;
        }
    }
}

/// What a power cut may leave in a slot.
fn outcomes(disk: &Disk, slot: usize) -> Vec<Block> {
    let versions = &disk.slots[slot].versions;
    let torn = (versions.len() > 1 && versions.iter().all(|block| block.id != TORN)).then(Disk::torn);
    versions.iter().cloned().chain(torn).collect()
}

fn with(disk: &Disk, block: &Block) -> Disk {
    let mut disk = disk.clone();
    disk.slots.push(super::disk::Slot { versions: vec![block.clone()], is_stuck: false });
    disk
}

/// What is written as the block of that number.
fn plain(block: BlockId) -> [u8; BLOCK] {
    let mut plain = [0; BLOCK];
    plain.as_chunks_mut().0.fill(block.to_le_bytes());
    plain
}

fn text(error: Error) -> String {
    error.to_string()
}

#[test]
fn no_interleaving_loses_anything() {
    let deeper = if std::env::var_os("CRYPTFS_LONG").is_some() { 3 } else { 0 };
    let two = Size { blocks: 2, slots: 4, depth: 8, ..ONE };
    let (mapped, beside) = (Size { depth: 8, ..MAPPED }, Size { depth: 8, ..BESIDE });
    for size in [ONE, two, mapped, beside, Size { depth: 9, ..FAILING }] {
        let (size, started) = (Size { depth: size.depth + deeper, ..size }, std::time::Instant::now());
        let found = explore(size, None).unwrap();
        println!("{size:?}: {found:?} in {:.1?}", started.elapsed());
        assert!(found.states > 1000 && found.cuts > 300, "{found:?}");
    }
}

#[test]
fn no_interleaving_loses_a_device() {
    let found = explore(MANY, None).unwrap();
    println!("{found:?}");
    assert!(found.states > 1000 && found.cuts > 300, "{found:?}");
}
