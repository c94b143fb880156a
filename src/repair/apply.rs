//! Doing what a plan says, by the volume's own operations.

use super::places::{Home, nameless, true_links};
use super::plan::Step;
use super::{LOST_FOUND, PARTIAL};
use crate::check::Checked;
use crate::chunk::{BLOCK, BlockNumber, Chunk, ChunkId, ChunkIndex, Context, InodeId, Section};
use crate::volume::limits::NAME_MAX;
use crate::volume::{
    Content, Error, Inode, Kind, Link, Lost, NewInode, Reader, Record, Rename, Result, Timestamp, Volume,
};
use hashbrown::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Bytes copied at a time.
const PIECE: usize = 1 << 20;

/// What was done.
#[derive(Debug, Default)]
pub struct Done {
    pub steps: usize,
    /// Files of which the rest was copied: the copy's name, and which bytes of it are lost.
    pub copied: Vec<(Vec<u8>, Vec<Range<u64>>)>,
    /// Findings that nothing can be done about.
    pub settled: Vec<String>,
}

/// Before the volume is opened: what is older is accepted, and a new journal and a new root directory are begun, if the
/// plan says so. `keep` is shown each chunk file that is about to be replaced, and those that the plan keeps.
/// `chunk_size`: bytes.
///
/// # Errors
///
/// The store's, or `keep`'s.
pub fn open_again(
    context: &Arc<Context>,
    chunk_size: u64,
    (uid, gid): (u32, u32),
    steps: &[Step],
    keep: &mut dyn FnMut(ChunkId) -> Result<()>,
) -> Result<()> {
    for step in steps {
        if let Step::Accept { chunk, .. } = step {
            context.recall.gone(*chunk);
        }
    }
    context.recall.keep();
    if steps.contains(&Step::NewJournal) {
        keep(context.own_journal())?;
        Volume::discard_own_journal(context)?;
    }
    if steps.contains(&Step::NewRoot) {
        let root = ChunkId::first(InodeId::ROOT);
        keep(root)?;
        context.saw_known(root);
        Volume::format(context, chunk_size, uid, gid)?;
    }
    steps.iter().try_for_each(|step| match step {
        Step::Keep { chunk } => keep(*chunk),
        _ => Ok(()),
    })
}

/// A plan being carried out.
pub struct Apply<'a> {
    pub volume: &'a Arc<Volume>,
    /// The volume as the check saw it.
    pub reader: &'a Reader,
    pub checked: &'a Checked,
    pub now: Timestamp,
}

impl Apply<'_> {
    /// Does all steps; what they did is durable once the volume is closed. Links are corrected only in a plan that
    /// changes no names: the next check says what they are to be then.
    ///
    /// # Errors
    ///
    /// The volume's. What was done until then stays.
    pub fn run(&self, steps: &[Step]) -> Result<Done> {
        let mut done = Done::default();
        let corrects = steps.iter().all(Step::changes_no_name);
        let links = self.links_for(steps, corrects);
        let of = |inode: &InodeId| links.get(inode).map_or(&[][..], |links| &links[..]);
        let mut rebuilt = HashMap::new();
        for step in steps {
            match step {
                // Before the volume was opened.
                Step::Accept { .. } | Step::NewJournal | Step::NewRoot | Step::Keep { .. } => {}
                Step::Adopt { inode, home } => self.adopt(*inode, None, home, &mut rebuilt)?,
                Step::AddName { inode, link, home } => self.adopt(*inode, Some(link), home, &mut rebuilt)?,
                Step::Replace { lost, directory, name } => self.replace(*lost, *directory, name)?,
                Step::Nest { lost, into, name } => self.nest(*lost, *into, name, &mut rebuilt)?,
                Step::CopyRest { inode, directory, name, further } => {
                    done.copied.push(self.copy_rest(*inode, *directory, name, further)?);
                    // Before the name of the damaged one goes.
                    self.volume.sync_all()?;
                }
                Step::RemoveName { directory, name, .. } => {
                    self.remove_name(&self.volume.inode(*directory)?, name)?;
                }
                Step::PartNames { directory, name, hidden } => self.part_names(*directory, name, *hidden)?,
                Step::OneName { inode } => {
                    let own = self.reader.node(*inode)?.record.extension.links;
                    let names = of(inode);
                    let is_own = |link: &&Link| own.iter().any(|known| known.is_same_name(link));
                    let kept = names.iter().find(is_own).or(names.first());
                    self.forget_names(names.iter().filter(|link| Some(*link) != kept))?;
                }
                Step::LeaveRing { inode } => self.forget_names(of(inode).iter())?,
                Step::CorrectLinks { .. } if !corrects => continue,
                Step::CorrectLinks { inode } => {
                    let links = of(inode);
                    if !links.is_empty() || *inode == InodeId::ROOT {
                        self.volume.correct_links(&self.volume.inode(*inode)?, links.to_vec())?;
                    }
                }
                Step::Settle { finding } => done.settled.push(finding.clone()),
            }
            done.steps += 1;
        }
        if steps.contains(&Step::NewRoot) {
            rebuilt.insert(InodeId::ROOT, self.volume.root()?);
        }
        rebuilt.iter().try_for_each(|(lost, made)| self.make_like(*lost, made))?;
        Ok(done)
    }

    /// What directories say of the inodes whose links the steps ask for. `corrects`: links are corrected.
    fn links_for(&self, steps: &[Step], corrects: bool) -> HashMap<InodeId, Vec<Link>> {
        let wanted = |step: &Step| match step {
            Step::CorrectLinks { inode } if corrects => Some(*inode),
            Step::OneName { inode } | Step::LeaveRing { inode } => Some(*inode),
            _ => None,
        };
        let wanted: HashSet<InodeId> = steps.iter().filter_map(wanted).collect();
        match wanted.is_empty() {
            true => HashMap::new(),
            false => true_links(self.reader, &wanted, &self.checked.directories),
        }
    }

    fn forget_names<'a>(&self, mut names: impl Iterator<Item = &'a Link>) -> Result<()> {
        names.try_for_each(|link| {
            let directory = self.volume.inode(link.parent)?;
            absent(self.volume.forget_entry(&directory, &link.name, self.now))
        })
    }

    /// `rebuilt`: directories that are made for lost ones.
    fn adopt(
        &self,
        id: InodeId,
        instead_of: Option<&Link>,
        home: &Home,
        rebuilt: &mut HashMap<InodeId, Arc<Inode>>,
    ) -> Result<()> {
        let (directory, name) = self.home(home)?;
        self.volume.adopt(&self.volume.inode(id)?, &directory, &name, instead_of, self.now)?;
        if let Home::Rebuilt { lost, .. } = home {
            rebuilt.insert(*lost, directory);
        }
        Ok(())
    }

    /// Moves what was made for a lost directory into what is made for the one that it was in.
    fn nest(
        &self,
        lost: InodeId,
        into: InodeId,
        name: &[u8],
        rebuilt: &mut HashMap<InodeId, Arc<Inode>>,
    ) -> Result<()> {
        let (made, hex) = (self.folder(&[], None)?, nameless(lost));
        if self.volume.lookup(&made, &hex)?.is_none() {
            return Ok(());
        }
        let home = match into {
            InodeId::ROOT => Home::Back { directory: into, name: name.to_vec() },
            _ => Home::Rebuilt { lost: into, name: name.to_vec() },
        };
        let (directory, name) = self.home(&home)?;
        let how = Rename::NoReplace;
        self.volume.rename((&made, &hex), (&directory, &name), how, None, self.now)?;
        rebuilt.insert(into, directory);
        Ok(())
    }

    /// What a lost directory was like: by its record, if only its entries are lost, or as this device kept it. Of the root
    /// the record is the new one's.
    fn like(&self, lost: InodeId) -> Option<Record> {
        let record = self.reader.node(lost).ok().filter(|_| lost != InodeId::ROOT).map(|node| node.record);
        record.or_else(|| self.reader.kept_record(lost)).filter(|record| record.kind == Kind::Directory)
    }

    /// Gives a directory that was made for a lost one its attributes, once everything is in it.
    fn make_like(&self, lost: InodeId, made: &Arc<Inode>) -> Result<()> {
        let Some(like) = self.like(lost) else { return Ok(()) };
        self.volume.update(made, |record| {
            (record.mode, record.uid, record.gid) = (like.mode, like.uid, like.gid);
            (record.accessed, record.modified) = (like.accessed, like.modified);
            record.extension.xattrs = like.extension.xattrs;
            Ok(())
        })
    }

    /// A directory, and a name in it that is free.
    fn home(&self, home: &Home) -> Result<(Arc<Inode>, Vec<u8>)> {
        let (directory, name) = match home {
            Home::Back { directory, name } => (self.volume.inode(*directory)?, name),
            Home::Rebuilt { lost, name } => {
                (self.folder(&[nameless(*lost)], self.like(*lost).as_ref())?, name)
            }
            Home::Found { folders, name } => (self.folder(folders, None)?, name),
        };
        let name = self.free_name(&directory, name, None)?;
        Ok((directory, name))
    }

    /// A folder below lost+found, made as far as it is not there. `like`: what the last one is to look like.
    fn folder(&self, names: &[Vec<u8>], like: Option<&Record>) -> Result<Arc<Inode>> {
        let mut at = self.volume.root()?;
        let all = [LOST_FOUND.to_vec()].into_iter().chain(names.iter().cloned());
        let last = names.len();
        for (depth, name) in all.enumerate() {
            let like = like.filter(|_| depth == last && depth > 0);
            at = match self.volume.lookup(&at, &name)? {
                Some(folder) if folder.view(|record| record.kind) == Kind::Directory => folder,
                // A file of that name is in the way.
                Some(_) => {
                    let name = self.free_name(&at, &name, None)?;
                    self.make_folder(&at, &name, like)?
                }
                None => self.make_folder(&at, &name, like)?,
            };
        }
        Ok(at)
    }

    fn make_folder(&self, parent: &Arc<Inode>, name: &[u8], like: Option<&Record>) -> Result<Arc<Inode>> {
        let (uid, gid) = parent.view(|record| (record.uid, record.gid));
        let new = NewInode {
            kind: Kind::Directory,
            mode: like.map_or(0o700, |record| record.mode),
            uid: like.map_or(uid, |record| record.uid),
            gid: like.map_or(gid, |record| record.gid),
            device: 0,
            target: b"",
            xattrs: like.map_or_else(Vec::new, |record| record.extension.xattrs.clone()),
            now: self.now,
        };
        self.volume.create(parent, name, new)
    }

    /// A name that is not taken in a directory: this one, or with a number. `ending`: what it ends in.
    fn free_name(&self, directory: &Arc<Inode>, name: &[u8], ending: Option<&[u8]>) -> Result<Vec<u8>> {
        let ending = ending.unwrap_or_default();
        for number in 1u32.. {
            let counted = if number > 1 { format!(" ({number})") } else { String::new() };
            let room = NAME_MAX - counted.len() - ending.len();
            let stem = &name[..name.len().min(room)];
            let name = [stem, counted.as_bytes(), ending].concat();
            if self.volume.entry(directory, &name)?.is_none() {
                return Ok(name);
            }
        }
        Err(Error::NoSpace)
    }

    /// Puts the directory that was made from a lost one's children in its place; without any, its name goes.
    fn replace(&self, lost: InodeId, directory: InodeId, name: &[u8]) -> Result<()> {
        let directory = self.volume.inode(directory)?;
        let (made, hex) = (self.folder(&[], None)?, nameless(lost));
        self.remove_name(&directory, name)?;
        if self.volume.lookup(&made, &hex)?.is_none() {
            // Nothing names it as its folder.
            return Ok(());
        }
        self.volume.rename((&made, &hex), (&directory, name), Rename::NoReplace, None, self.now).map(drop)
    }

    /// Removes a name that leads to something that cannot be read, or whose entries cannot.
    fn remove_name(&self, directory: &Arc<Inode>, name: &[u8]) -> Result<()> {
        let entries = |inode: Arc<Inode>| match inode.view(|record| record.kind) {
            Kind::Directory => self.volume.read_directory(&inode, 0, &mut |_, _, _, _| false),
            _ => Ok(()),
        };
        match self.volume.lookup(directory, name).map(|inode| inode.map(entries).transpose()) {
            Err(Error::Damaged(..) | Error::NotArrived(_))
            | Ok(Err(Error::Damaged(..) | Error::NotArrived(_))) => {
                absent(self.volume.forget_entry(directory, name, self.now))
            }
            // It came back, or is gone already.
            looked => looked.map(drop),
        }
    }

    /// Names both of two entries of one name; whichever cannot be read keeps nothing of it.
    fn part_names(&self, directory: InodeId, name: &[u8], hidden: InodeId) -> Result<()> {
        let directory = self.volume.inode(directory)?;
        let shown = match self.volume.lookup(&directory, name) {
            Ok(Some(shown)) => shown,
            // Its name goes with all that bear it, and the other gets a place in lost+found.
            Ok(None) | Err(Error::Damaged(..) | Error::NotArrived(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let hidden = match self.volume.inode(hidden) {
            Err(Error::Damaged(..)) => shown.clone(),
            Err(Error::NotArrived(_)) => return Ok(()),
            hidden => hidden?,
        };
        self.volume.forget_entry(&directory, name, self.now)?;
        self.volume.adopt(&shown, &directory, name, None, self.now)?;
        if hidden.id() == shown.id() {
            return Ok(());
        }
        let other = self.free_name(&directory, name, None)?;
        self.volume.adopt(&hidden, &directory, &other, None, self.now)
    }

    /// Copies what is left of a file to a name beside it.
    fn copy_rest(
        &self,
        id: InodeId,
        directory: InodeId,
        name: &[u8],
        further: &[ChunkIndex],
    ) -> Result<(Vec<u8>, Vec<Range<u64>>)> {
        let directory = self.volume.inode(directory)?;
        let name = self.free_name(&directory, name, Some(PARTIAL))?;
        let node = self.reader.node(id);
        let record = node.as_ref().ok().map(|node| &node.record);
        let (uid, gid) = directory.view(|record| (record.uid, record.gid));
        let new = NewInode {
            kind: Kind::File,
            mode: record.map_or(0o600, |record| record.mode & 0o777),
            uid: record.map_or(uid, |record| record.uid),
            gid: record.map_or(gid, |record| record.gid),
            device: 0,
            target: b"",
            xattrs: Vec::new(),
            now: record.map_or(self.now, |record| record.modified),
        };
        // It has its name once it is whole: an interrupted repair leaves none that seems to have lost more.
        let copy = self.volume.create_nameless(&directory, new)?;
        let lost = match &node {
            Ok(node) => {
                self.volume.resize(&copy, node.record.size, self.now, 0)?;
                self.copy_node(&copy, &mut Content::new(self.reader, node))?
            }
            Err(_) => self.copy_chunks(&copy, id, further)?,
        };
        self.volume.link(&copy, &directory, &name, self.now)?;
        Ok((name, lost))
    }

    fn copy_node(&self, copy: &Arc<Inode>, content: &mut Content<'_>) -> Result<Vec<Range<u64>>> {
        let layout = content.layout();
        let (mut lost, mut buffer) = (layout.lost, vec![0; PIECE]);
        for range in layout.data {
            for offset in (range.start..range.end).step_by(PIECE) {
                let length = (range.end - offset).min(PIECE as u64) as usize;
                let known = lost.len();
                content.read_rest(offset, &mut buffer[..length.next_multiple_of(BLOCK)], &mut lost);
                let is_lost = |at: u64| {
                    lost[known.saturating_sub(1)..].iter().any(|Lost { range, .. }| range.contains(&at))
                };
                for (at, block) in (offset..).step_by(BLOCK).zip(buffer[..length].chunks(BLOCK)) {
                    if !is_lost(at) {
                        self.volume.write(copy, at, block, self.now, 0)?;
                    }
                }
            }
        }
        let mut lost: Vec<Range<u64>> = lost.into_iter().map(|lost| lost.range).collect();
        lost.sort_by_key(|range| range.start);
        Ok(lost)
    }

    /// Of a file whose first chunk is lost: what the others hold, each in its place.
    fn copy_chunks(&self, copy: &Arc<Inode>, id: InodeId, further: &[ChunkIndex]) -> Result<Vec<Range<u64>>> {
        let geometry = self.reader.geometry();
        let (mut lost, mut end) = (Vec::new(), 0);
        for index in further {
            let (whole, blocks) = (geometry.range(*index), geometry.blocks(*index));
            if whole.start > end {
                lost.push(end..whole.start);
            }
            end = whole.end;
            let Ok(chunk) = Chunk::open(self.reader.context(), ChunkId { inode: id, index: *index }, blocks)
            else {
                lost.push(whole);
                continue;
            };
            let (mut from, mut block) = (BlockNumber::FIRST, [0; BLOCK]);
            while from < blocks.end()
                && let Ok(Some(number)) = chunk.next_present(Section::Data, from)
            {
                let at = whole.start + number.start();
                match chunk.read(Section::Data, number, &mut block) {
                    Ok(()) => self.volume.write(copy, at, &block, self.now, 0)?,
                    Err(_) => lost.push(at..at + BLOCK as u64),
                }
                from = number.next();
            }
        }
        Ok(lost)
    }
}

/// What is to go is gone already.
fn absent(done: Result<()>) -> Result<()> {
    match done {
        Err(Error::NotFound) => Ok(()),
        done => done,
    }
}
