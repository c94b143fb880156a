//! `cryptfs check`: what is wrong with a volume, and with `--repair` mending it.

use super::advice::{self, Failure};
use super::look::{Opened, put};
use super::look_args::Check;
use super::progress::{show, style};
use super::{assemble, report, secret_input, unlock};
use crate::check::{self, Checked, Class, Finding, Options, Progress, Trouble, What};
use crate::chunk::ChunkId;
use crate::keys::{Junk, Listing};
use crate::repair::{self, Apply, Choices, Plan, Step};
use crate::store::folder::Folder;
use crate::trust::{LastCheck, Trust};
use crate::volume::{self, Damage, Reader, Timestamp};
use hashbrown::HashSet;
use indicatif::ProgressBar;
use serde_json::json;
use std::cell::Cell;
use std::fs::metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// Findings of one kind, or steps, that are listed before the rest is counted.
const LISTED: usize = 1000;
/// Bytes that a repair copies into the state folder at most.
const KEPT: u64 = 1 << 30;
/// Rounds of check and repair: links are corrected in the one after names were given.
const ROUNDS: usize = 6;

/// Checks a volume, and repairs it where that was asked for.
///
/// # Errors
///
/// `Exit::Damaged` or `Exit::NotArrived` by what was found; `Exit::Repaired` where all of it was repaired;
/// `Exit::InUse` for a repair beside a mount; `Exit::BadVolume` where the folder fails; else as for
/// [`Opened::open_at`].
pub fn run(arguments: &Check) -> Result<(), Failure> {
    let backing = unlock::canonical(&arguments.backing).map_err(|_| advice::no_folder(&arguments.backing))?;
    let opened = Opened::open_at(&backing, Vec::new(), &arguments.unlock)?;
    if arguments.repair && opened.is_beside {
        return Err(advice::repair_beside_mount(&backing));
    }
    let session = Session { arguments, backing: &backing, opened, kept: Cell::new(0) };
    let checked = session.check(&session.opened.reader, &session.opened.journals)?;
    let settled = session.settled(&checked)?;
    let open = |checked: &Checked| -> Vec<Finding> {
        checked.findings.iter().filter(|finding| !settled.contains(&finding.key())).cloned().collect()
    };
    let findings = open(&checked);
    session.note(&findings);
    session.print(&checked, if arguments.all { &checked.findings } else { &findings })?;
    if arguments.repair {
        session.repair(checked, settled)
    } else {
        verdict(&findings, arguments.data, &backing)
    }
}

/// The exit code of a check.
fn verdict(findings: &[Finding], data: bool, backing: &Path) -> Result<(), Failure> {
    let count = |class| findings.iter().filter(|finding| finding.class() == class).count();
    match (count(Class::Damage), count(Class::Waiting)) {
        (0, 0) => Ok(()),
        (0, waiting) => Err(advice::found_waiting(waiting)),
        (damaged, _) => {
            let is_older = |finding: &Finding| {
                matches!(finding.what.trouble(), Some(Trouble::Damage(Damage::RolledBack { .. })))
            };
            Err(advice::found_damage(damaged, data, findings.iter().any(is_older), backing))
        }
    }
}

struct Session<'a> {
    arguments: &'a Check,
    backing: &'a Path,
    opened: Opened,
    /// Bytes copied into the state folder.
    kept: Cell<u64>,
}

impl Session<'_> {
    /// What an earlier repair could do nothing about and is still so. What was put right is forgotten, so that the next
    /// damage to it is told of.
    fn settled(&self, checked: &Checked) -> Result<HashSet<String>, Failure> {
        let settled = self.opened.unlocked.trust.settled().map_err(|error| advice::state(&error))?;
        let found: HashSet<String> = checked.findings.iter().map(Finding::key).collect();
        let is_unseen = |key: &String| !self.arguments.data && key.starts_with("content ");
        let still: HashSet<String> =
            settled.iter().filter(|key| found.contains(*key) || is_unseen(key)).cloned().collect();
        if still.len() < settled.len() && !self.opened.is_beside {
            self.settle(&still)?;
        }
        Ok(still)
    }

    /// Notes when the volume was checked, and how that ended. A check without content cannot tell that what one with content
    /// found is gone, so its note does not take the place of that one's.
    fn note(&self, findings: &[Finding]) {
        let before = Trust::last_check(self.opened.unlocked.locked.uuid());
        let found_more = |last: LastCheck| last.data && last.damaged > 0;
        if !self.arguments.data && before.is_ok_and(|last| last.is_some_and(found_more)) {
            return;
        }
        let count = |class| findings.iter().filter(|finding| finding.class() == class).count();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (damaged, waiting) = (count(Class::Damage), count(Class::Waiting));
        let last = LastCheck { when: now, data: self.arguments.data, damaged, waiting };
        if let Err(error) = self.opened.unlocked.trust.note_check(last) {
            log::warn!("the check was not noted: {error}");
        }
        if self.arguments.data
            && !self.opened.is_beside
            && let Err(failure) = self.heal(findings)
        {
            log::warn!("{failure}");
        }
    }

    fn settle(&self, settled: &HashSet<String>) -> Result<(), Failure> {
        let mut lines: Vec<String> = settled.iter().cloned().collect();
        lines.sort_unstable();
        self.opened.unlocked.trust.settle(&lines).map_err(|error| advice::state(&error))
    }

    /// Takes off the list that mounts keep what is not so any more.
    fn heal(&self, findings: &[Finding]) -> Result<(), Failure> {
        let open: HashSet<&String> = findings.iter().filter_map(|finding| finding.file.as_ref()).collect();
        let trust = &self.opened.unlocked.trust;
        let changed = trust.change_findings(|found| !open.contains(&found.file), Vec::new());
        changed.map(drop).map_err(|error| advice::state(&error))
    }

    /// Checks; beside a mount twice, and what was found both times counts: the rest changed while it was read.
    fn check(&self, reader: &Reader, journals: &[volume::Error]) -> Result<Checked, Failure> {
        let mut checked = self.check_once(reader, journals)?;
        if self.opened.is_beside && checked.findings.iter().any(|finding| finding.class() != Class::Note) {
            let (reader, journals) = self.read_again()?;
            let again: HashSet<String> =
                self.check_once(&reader, &journals)?.findings.iter().map(Finding::key).collect();
            checked.findings.retain(|finding| again.contains(&finding.key()));
        }
        checked.findings.extend(strangers(self.backing, &self.opened.unlocked.locked.listing)?);
        Ok(checked)
    }

    fn check_once(&self, reader: &Reader, journals: &[volume::Error]) -> Result<Checked, Failure> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let options = Options { data: self.arguments.data, threads };
        let (progress, is_done) = (Progress::default(), AtomicBool::new(false));
        // Hidden by itself where stderr is no terminal.
        let bar = ProgressBar::new(0).with_style(style(self.arguments.data));
        thread::scope(|scope| {
            let shown = scope.spawn(|| show(&bar, &progress, &is_done));
            let checked = check::run(reader, journals, options, &progress);
            is_done.store(true, Ordering::Release);
            shown.thread().unpark();
            checked.map_err(|error| advice::volume(self.backing, &error))
        })
    }

    fn read_again(&self) -> Result<(Reader, Vec<volume::Error>), Failure> {
        let unlocked = &self.opened.unlocked;
        assemble::reader(self.backing, &unlocked.opened, &unlocked.trust, self.opened.recall.clone())
    }

    fn print(&self, checked: &Checked, findings: &[Finding]) -> Result<(), Failure> {
        let hidden = checked.findings.len() - findings.len();
        if self.arguments.json {
            for finding in findings {
                report::print(&format!("{}\n", as_json(finding)))?;
            }
            let summary = json!({
                "chunk_files": checked.chunk_files,
                "files_and_folders": checked.inodes,
                "bytes": checked.bytes,
                "findings": findings.len(),
                "settled": hidden,
            });
            return report::print(&format!("{}\n", json!({ "summary": summary })));
        }
        let mut text = String::new();
        for class in [Class::Damage, Class::Waiting, Class::Note] {
            let of: Vec<_> = findings.iter().filter(|finding| finding.class() == class).collect();
            for finding in of.iter().take(LISTED) {
                text += &format!("{}  {}\n", word(class), advice::check_finding(finding));
            }
            if of.len() > LISTED {
                text += &format!("{}  and {} more\n", word(class), of.len() - LISTED);
            }
        }
        let data =
            if self.arguments.data { format!(", {} bytes of content", checked.bytes) } else { String::new() };
        text += &format!(
            "Checked {} files and folders in {} chunk files{data}.\n",
            checked.inodes, checked.chunk_files
        );
        if hidden > 0 && !self.arguments.all {
            text += &advice::findings_not_listed(hidden);
        }
        report::print(&text)
    }

    /// Repairs in rounds until a check finds nothing that can be repaired.
    fn repair(&self, mut checked: Checked, mut settled: HashSet<String>) -> Result<(), Failure> {
        let choices = Choices {
            missing_is_lost: self.arguments.missing_is_lost,
            accepts_older: self.arguments.accept_older,
        };
        let mut fresh: Option<Reader> = None;
        let mut has_begun = false;
        for _ in 0..ROUNDS {
            let reader = fresh.as_ref().unwrap_or(&self.opened.reader);
            let findings: Vec<Finding> = checked
                .findings
                .iter()
                .filter(|finding| !settled.contains(&finding.key()))
                .cloned()
                .collect();
            let plan = Plan::of(reader, &findings, reader.context().own_journal(), choices);
            if plan.is_empty() {
                if has_begun {
                    self.note(&findings);
                    self.heal(&findings)?;
                }
                return match (verdict(&findings, self.arguments.data, self.backing), has_begun) {
                    (Ok(()), true) => Err(advice::repaired()),
                    (verdict, _) => verdict,
                };
            }
            self.confirm(reader, &plan, has_begun)?;
            has_begun = true;
            self.apply(reader, &checked, &plan, &mut settled)?;
            let (reader, journals) = self.read_again()?;
            checked = self.check(&reader, &journals)?;
            fresh = Some(reader);
        }
        verdict(&checked.findings, self.arguments.data, self.backing)
    }

    /// Shows what is to be done, and asks; not again for what only follows from what was done already.
    fn confirm(&self, reader: &Reader, plan: &Plan, has_begun: bool) -> Result<(), Failure> {
        let line = |step: &Step| advice::repair_step(step, step.path(reader).as_deref());
        let lines: Vec<String> = plan.steps.iter().filter_map(line).collect();
        let kept = plan.steps.iter().filter(|step| matches!(step, Step::Keep { .. })).count();
        let settled = plan.steps.iter().filter(|step| matches!(step, Step::Settle { .. })).count();
        if self.arguments.json {
            let (older, waiting) = (plan.older, plan.waiting);
            let shown =
                json!({"steps": lines, "kept": kept, "settled": settled, "older": older, "waiting": waiting});
            report::print(&format!("{}\n", json!({ "plan": shown })))?;
            return self.ask(plan, has_begun);
        }
        let mut text = if has_begun { "Then:\n" } else { "To repair this:\n" }.to_owned();
        lines.iter().take(LISTED).for_each(|line| text += &format!("  {line}\n"));
        if lines.len() > LISTED {
            text += &format!("  and {} more\n", lines.len() - LISTED);
        }
        if kept > 0 {
            text += &format!("  Copy {kept} files that belong to nothing into the state folder.\n");
        }
        if settled > 0 {
            text += &format!("  Leave {settled} as they are, and tell of them no more.\n");
        }
        if plan.older > 0 {
            text += &format!("{} are older than they were and are left alone.\n", plan.older);
        }
        if plan.waiting > 0 {
            text += &format!("{} wait for the sync client and are left alone.\n", plan.waiting);
        }
        report::print(&text)?;
        self.ask(plan, has_begun)
    }

    fn ask(&self, plan: &Plan, has_begun: bool) -> Result<(), Failure> {
        let is_asked = self.arguments.yes || has_begun && plan.steps.iter().all(Step::changes_no_name);
        match is_asked || secret_input::confirm("Do that? Type yes: ")? {
            true => Ok(()),
            false => Err(advice::repair_not_confirmed()),
        }
    }

    fn apply(
        &self,
        reader: &Reader,
        checked: &Checked,
        plan: &Plan,
        settled: &mut HashSet<String>,
    ) -> Result<(), Failure> {
        let failed = |error: volume::Error| advice::volume(self.backing, &error);
        let unlocked = &self.opened.unlocked;
        let context =
            assemble::to_repair(self.backing, &unlocked.opened, &unlocked.trust, self.opened.recall.clone())?;
        let owner = metadata(self.backing).map_err(|error| advice::system(self.backing.display(), &error))?;
        let keep = &mut |chunk: ChunkId| self.keep(&context, chunk);
        let owner = (owner.uid(), owner.gid());
        repair::open_again(&context, reader.geometry().chunk_size(), owner, &plan.steps, keep)
            .map_err(failed)?;
        let stateless = !unlocked.trust.has_state();
        let volume = assemble::open(self.backing, &unlocked.opened, context.clone(), false, stateless)?;
        let apply = Apply::new(&volume, reader, checked, Timestamp::now());
        let done = apply.run(&plan.steps).and_then(|done| volume.close().map(|()| done)).map_err(failed)?;
        for (name, lost) in &done.copied {
            if self.arguments.json {
                let ranges: Vec<_> = lost.iter().map(|range| [range.start, range.end]).collect();
                let mut object = json!({ "lost": ranges });
                put(&mut object, "copied", name);
                report::print(&format!("{object}\n"))?;
                continue;
            }
            let ranges: Vec<_> =
                lost.iter().map(|range| format!("{} to {}", range.start, range.end)).collect();
            report::print(&format!("{}: bytes {} are lost\n", advice::escape(name), ranges.join(", ")))?;
        }
        settled.extend(done.settled);
        self.settle(settled)
    }

    /// Copies a chunk file that is about to be replaced, or is garbage, into the state folder.
    fn keep(&self, context: &crate::chunk::Context, chunk: ChunkId) -> volume::Result<()> {
        let name = context.file_name(chunk);
        let file = match context.store.open(name) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            // A folder, a link, a device: it has no bytes of ours, and keeps nothing from being repaired.
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                log::warn!("{} is not copied into the state folder: it is no regular file", name.path());
                return Ok(());
            }
            file => file?,
        };
        let length = file.length()?;
        let kept = self.kept.get() + length;
        if kept > KEPT {
            log::warn!("{} is not copied into the state folder: that would be too much", name.path());
            return Ok(());
        }
        self.kept.set(kept);
        let mut bytes = vec![0; length as usize];
        let length = file.read_at(0, &mut bytes)?;
        let at = self.opened.unlocked.trust.keep_copy(&name.path().replace('/', "-"), &bytes[..length]);
        match at {
            Ok(Some(at)) => log::warn!("a copy of {} is in {}", name.path(), at.display()),
            Ok(None) => log::warn!("there is no state folder to keep a copy of {} in", name.path()),
            Err(error) => return Err(std::io::Error::other(error.to_string()).into()),
        }
        Ok(())
    }
}

/// Files in the backing folder itself, and beside the key slots, that are none of cryptfs's, and slots that open nothing.
fn strangers(backing: &Path, listing: &Listing) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    let mut find =
        |what, file: String| findings.push(Finding { what, chunk: None, file: Some(file), path: None });
    let tell = &mut |name: &[u8]| {
        if name != b"cryptfs.json" {
            find(What::Foreign, String::from_utf8_lossy(name).into_owned());
        }
    };
    let told = Folder::open(backing).and_then(|folder| folder.each_name(".", tell));
    told.map_err(|error| advice::system(backing.display(), &error))?;
    for (name, junk) in &listing.junk {
        let what = match junk {
            Junk::NotOurs => What::Foreign,
            junk => What::DeadSlot(junk.to_string()),
        };
        find(what, format!("keys/{name}"));
    }
    Ok(findings)
}

fn as_json(finding: &Finding) -> serde_json::Value {
    let mut object = json!({
        "class": word(finding.class()).trim_end(),
        "what": finding.what.word(),
        "path": null,
        "file": finding.file,
        "text": advice::check_finding(finding),
    });
    if let Some(path) = &finding.path {
        put(&mut object, "path", path);
    }
    object
}

fn word(class: Class) -> &'static str {
    match class {
        Class::Damage => "damage ",
        Class::Waiting => "waiting",
        Class::Note => "note   ",
    }
}
