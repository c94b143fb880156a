//! Doing what a plan says, by the volume's own operations.

use super::LOST_FOUND;
use super::places::{Home, nameless, true_links};
use super::plan::Step;
use crate::check::Checked;
use crate::chunk::{ChunkId, Context, InodeId};
use crate::volume::limits::NAME_MAX;
use crate::volume::{Error, Inode, Kind, Link, NewInode, Reader, Record, Rename, Result, Timestamp, Volume};
use hashbrown::{HashMap, HashSet};
use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

/// What was done.
#[derive(Debug, Default)]
pub struct Done {
    pub steps: usize,
    /// Files of which the rest was copied: the copy's path, and which bytes of it are lost.
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
        if let Err(error) = Volume::format(context, chunk_size, uid, gid) {
            // Half of one would be taken for one that is on its way.
            let _ = context.store.remove(context.file_name(root));
            return Err(error);
        }
    }
    steps.iter().try_for_each(|step| match step {
        Step::Keep { chunk } => keep(*chunk),
        _ => Ok(()),
    })
}

/// A plan being carried out.
pub struct Apply<'a> {
    pub(super) volume: &'a Arc<Volume>,
    /// The volume as the check saw it.
    pub(super) reader: &'a Reader,
    checked: &'a Checked,
    pub(super) now: Timestamp,
    /// lost+found, once something was put there.
    found: OnceCell<Arc<Inode>>,
}

impl<'a> Apply<'a> {
    pub fn new(
        volume: &'a Arc<Volume>,
        reader: &'a Reader,
        checked: &'a Checked,
        now: Timestamp,
    ) -> Apply<'a> {
        Apply { volume, reader, checked, now, found: OnceCell::new() }
    }

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
        let (mut rebuilt, mut copied) = (HashMap::new(), Vec::new());
        for step in steps {
            match step {
                // Before the volume was opened.
                Step::Accept { .. } | Step::NewJournal | Step::NewRoot | Step::Keep { .. } => {}
                Step::Adopt { inode, home } => self.adopt(*inode, None, home, &mut rebuilt)?,
                Step::AddName { inode, link, home } => self.adopt(*inode, Some(link), home, &mut rebuilt)?,
                Step::Replace { lost, directory, name } => self.replace(*lost, *directory, name)?,
                Step::Nest { lost, into, name } => self.nest(*lost, *into, name, &mut rebuilt)?,
                Step::CopyRest { inode, directory, name, further } => {
                    copied.push((*directory, self.copy_rest(*inode, *directory, name, further)?));
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
        // Once every folder is in its place.
        let told = |(directory, (name, lost))| (self.path(directory, name), lost);
        done.copied = copied.into_iter().map(told).collect();
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

    fn forget_names<'b>(&self, mut names: impl Iterator<Item = &'b Link>) -> Result<()> {
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
        if !self.is_made(&made, &hex)? {
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
        let mut at = match self.found.get() {
            Some(found) => found.clone(),
            None => {
                let found = self.folder_in(&self.volume.root()?, LOST_FOUND, None)?;
                self.found.get_or_init(|| found).clone()
            }
        };
        for (depth, name) in names.iter().enumerate() {
            at = self.folder_in(&at, name, like.filter(|_| depth + 1 == names.len()))?;
        }
        Ok(at)
    }

    /// A folder in a folder, made if there is none; its name gets a number where a file or what cannot be read has it.
    fn folder_in(&self, parent: &Arc<Inode>, name: &[u8], like: Option<&Record>) -> Result<Arc<Inode>> {
        for number in 1u32.. {
            let name = numbered(name, number, b"");
            match self.listed(parent, &name) {
                Ok(Some(folder)) if folder.view(|record| record.kind) == Kind::Directory => {
                    return Ok(folder);
                }
                Ok(Some(_)) | Err(Error::Damaged(..) | Error::NotArrived(_)) => {}
                Ok(None) => return self.make_folder(parent, &name, like),
                Err(error) => return Err(error),
            }
        }
        Err(Error::NoSpace)
    }

    /// What a name stands for; of a directory that can be read its entries can be, too.
    fn listed(&self, directory: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        let found = self.volume.lookup(directory, name)?;
        if let Some(inode) =
            found.as_ref().filter(|inode| inode.view(|record| record.kind) == Kind::Directory)
        {
            self.volume.read_directory(inode, 0, &mut |_, _, _, _| false)?;
        }
        Ok(found)
    }

    /// Whether a folder was made for a lost one.
    fn is_made(&self, found: &Arc<Inode>, hex: &[u8]) -> Result<bool> {
        match self.volume.lookup(found, hex) {
            Err(Error::Damaged(..) | Error::NotArrived(_)) => Ok(false),
            made => Ok(made?.is_some()),
        }
    }

    /// Where a name is now, as far up as its folders tell.
    fn path(&self, directory: InodeId, name: Vec<u8>) -> Vec<u8> {
        let (mut names, mut at, mut passed) = (vec![name.into()], directory, HashSet::new());
        while at != InodeId::ROOT
            && passed.insert(at)
            && let Ok(folder) = self.volume.inode(at)
            && let Some(link) = folder.view(|record| record.extension.links.first().cloned())
        {
            names.push(link.name);
            at = link.parent;
        }
        names.reverse();
        names.join(&b'/')
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
    pub(super) fn free_name(
        &self,
        directory: &Arc<Inode>,
        name: &[u8],
        ending: Option<&[u8]>,
    ) -> Result<Vec<u8>> {
        let ending = ending.unwrap_or_default();
        for number in 1u32.. {
            let name = numbered(name, number, ending);
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
        if !self.is_made(&made, &hex)? {
            // Nothing names it as its folder.
            return Ok(());
        }
        self.volume.rename((&made, &hex), (&directory, name), Rename::NoReplace, None, self.now).map(drop)
    }

    /// Removes a name that leads to something that cannot be read, or whose entries cannot.
    fn remove_name(&self, directory: &Arc<Inode>, name: &[u8]) -> Result<()> {
        match self.listed(directory, name) {
            Err(Error::Damaged(..) | Error::NotArrived(_)) => {
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
            // Its name goes, and the other one has that then.
            Ok(None) | Err(Error::Damaged(..) | Error::NotArrived(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let hidden = match self.volume.inode(hidden) {
            Err(Error::Damaged(..)) => shown.clone(),
            Err(Error::NotArrived(_)) => return Ok(()),
            hidden => hidden?,
        };
        // One after the other has it.
        while self.volume.entry(&directory, name)?.is_some() {
            self.volume.forget_entry(&directory, name, self.now)?;
        }
        self.volume.adopt(&shown, &directory, name, None, self.now)?;
        if hidden.id() == shown.id() {
            return Ok(());
        }
        let other = self.free_name(&directory, name, None)?;
        self.volume.adopt(&hidden, &directory, &other, None, self.now)
    }
}

/// A name with a number from the second one on, and an ending, cut so that it is not too long.
fn numbered(name: &[u8], number: u32, ending: &[u8]) -> Vec<u8> {
    let counted = if number > 1 { format!(" ({number})") } else { String::new() };
    let room = NAME_MAX - counted.len() - ending.len();
    [&name[..name.len().min(room)], counted.as_bytes(), ending].concat()
}

/// What is to go is gone already.
fn absent(done: Result<()>) -> Result<()> {
    match done {
        Err(Error::NotFound) => Ok(()),
        done => done,
    }
}
