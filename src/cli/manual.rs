//! The manual pages, made from the definitions in `args.rs` and the prose below.
//!
//! `man` is this output, committed; a test in `tests/cli` holds the two together.

use super::advice::{self, Failure};
use super::args::Arguments;
use super::exit::Exit;
use super::mount_options::DESCRIPTIONS;
use clap::CommandFactory;
use clap_mangen::Man;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

const DESCRIPTION: &str = "\
cryptfs keeps the files of a folder encrypted in another folder, the backing folder, which may be copied by a service \
or a machine that is not trusted. The copy tells its holder how many chunk files there are, how large each is in steps \
of 4 KiB, and which of them change when; nothing else. Whatever is done to it, a mount gives the right bytes or an error.
.PP
The volume's keys are random. Each key slot holds them wrapped under a secret of its own: a passphrase, a recovery key, \
one that this machine's TPM 2.0 seals, or an age or SSH key. Slots that open without a question are tried first. This device \
pins the volume's owner key when it first sees it, and refuses another before it tries a secret. It remembers the \
newest version of each chunk file that was durable here: an older one, or none, is an error of that file or folder, and \
a volume that is older as a whole is not mounted until \\fBcryptfs trust accept\\fR takes it.";

const SECRETS: &str = "\
A passphrase is read from the file that \\fB\\-\\-passphrase\\-file\\fR or \\fB\\-o passphrase\\-file=\\fR names, else \
from \\fI$CREDENTIALS_DIRECTORY/cryptfs.passphrase\\fR (see LoadCredential= in systemd.exec(5)), else it is asked for \
on the terminal. Where there is no terminal, the program that CRYPTFS_ASKPASS names asks, as ssh\\-askpass does for ssh(1); \
else, for root on a machine that systemd runs, systemd\\-ask\\-password(1), whose question Plymouth, the consoles or a \
desktop answer; else, in a graphical session, zenity or kdialog. The question says what was tried in vain before. With \
\\fB\\-o keyring=\\fITIME\\fR the kernel keeps what was typed for so long, in the keyring of this user, and the next mount \
does not ask. A byte\\-order mark in front of it and one newline behind it are not part of it, and it does not matter \
whether accents are characters of their own, as macOS writes them. It is never taken from an argument or from the environment.
.PP
A key of age may be kept by a plugin, as by age\\-plugin\\-yubikey in a YubiKey: the plugin's program, \
age\\-plugin\\-\\fINAME\\fR, is looked for in PATH. What it, or an SSH key that is under a passphrase, wants to know is \
asked for on the terminal.";

const OWNERS: &str = "\
Whoever opens the volume with an owner's slot holds its owner key, which signs every slot and the list of those that \
were revoked. The slots that \\fBcryptfs init\\fR makes are owner's; later ones with \\fB\\-\\-owner\\fR. The key's \
fingerprint is the volume's; \\fBcryptfs info\\fR shows it. It stays when the keys are rotated, and changes with \
\\fBcryptfs key rotate \\-\\-owner\\fR; other devices then ask for \\fBcryptfs trust accept\\fR.
.PP
Who opens it with another slot is a member. A member reads and writes all files, can have the keys sealed for this \
machine's TPM (\\fBcryptfs key add \\-\\-tpm2\\fR; that slot stays in this device's state folder, until the keys are \
rotated), and can make a slot that an owner adds: \\fBcryptfs key request\\fR, \\fBcryptfs key sign\\fR. A member changes \
nothing else of the slots.
.PP
On a device that has not seen the volume a passphrase or a recovery key is enough. For a slot of a TPM or a public key, \
which anybody can make, the fingerprint has to be given with \\fB\\-\\-fingerprint\\fR, in fstab with \
\\fBfingerprint=\\fR, or confirmed on the terminal.";

const FSTAB: &str = "\
With the helpers that the package or scripts/install puts into /sbin, mount(8) and fstab(5) know the type fuse.cryptfs:
.PP
.nf
/srv/vault        /srv/plain        fuse.cryptfs  nofail,allow_other,x\\-systemd.mount\\-timeout=10min  0 0
/home/anna/vault  /home/anna/plain  fuse.cryptfs  noauto,user,passphrase\\-file=/home/anna/.vault  0 0
.fi
.PP
The first line is mounted at boot, by a slot of the TPM if there is one, else with a passphrase, for which systemd asks and \
waits ten minutes here, where it usually gives up after 90 seconds; with x\\-systemd.automount,x\\-systemd.idle\\-timeout=15min it is mounted when somebody first looks, \
and unmounted when nobody did for so long. The second line is for anna, who types \\fBmount ~/plain\\fR.
.PP
Through its own helper there umount(8) returns, as \\fBcryptfs umount\\fR does, once everything is written to the backing \
folder. Without that helper it returns earlier; the next mount then waits, for ten seconds at most. A mount that lives on, in a bind mount or \
in the mount namespace of a container, is said after a second, with whoever has it.";

const SYSTEMD: &str = "\
\\fBcryptfs unit\\fR writes units for one volume. A service of Type=notify mounts it at boot, or at login with \
\\fB\\-\\-user\\fR; with \\fB\\-\\-automount\\fR a mount unit and an automount unit do when somebody first looks. A unit waits \
for the disk that the backing folder lies on, and is stopped before that disk goes; name a sync client or a network with \
\\fB\\-\\-after\\fR to be stopped before it, too. \\fB\\-\\-lock\\-on\\-sleep\\fR unmounts before the machine sleeps; \
what users mounted, \\fBsystemctl enable cryptfs\\-lock@\\fIUSER\\fR does. \
At a stop everything is stored first, what programs still hold open too, for five minutes at most; then they have fifteen \
seconds to close it. Where the disk is full the mount stays for five minutes, in which room can be made; \
\\fBsystemctl kill\\fR gives up what is not stored. \
cryptfs@.service, for the machine and for a user, does the same by a file: see its first lines.
.PP
The machine's service is confined: few capabilities and system calls, no network, no other devices. It has the machine's \
own view of the tree, since a mount made in another one would be seen by nobody else. A user's service is not confined: \
fusermount3 is set\\-user\\-ID root, and would not be under anything that a user's systemd can confine.
.PP
A mount in the foreground tells NOTIFY_SOCKET when it answers, what it does, and that it ends (sd_notify(3)).";

const DURABILITY: &str = "\
What fsync(2) or fdatasync(2) of a file or a folder returned for survives a power cut, names included, and so does \
everything once \\fBcryptfs sync\\fR or \\fBcryptfs umount\\fR returned. sync(1) and syncfs(2) make nothing durable: the \
kernel writes to cryptfs what it holds and does not tell it that anybody waits.
.PP
Access times never move, since each would make a chunk file that has to be copied; mount(8) shows noatime. A file can be \
as long as 2097152 chunks and 256 KiB: 8 TiB at 4 MiB a chunk. fallocate(2) sets nothing aside, as nothing is \
overwritten in place, and says so; posix_fallocate(3) then writes zeros.
.PP
What was not synced is stored five seconds after the change at the latest; names, and new and changed files of up to \
1 MiB, within a second; later where the disk is slow. A power cut before that takes it along, and so does the death of the \
daemon. Where root mounts, the kernel spares the daemon when \
memory runs out.
.PP
SIGTERM, SIGINT and SIGHUP have everything stored, what programs still hold open and mapped too, before the mount goes. \
What is written after that is stored as above, until the last file is closed.
.PP
What is accepted can be stored: space for it is held on the backing filesystem, in a file without a name, before a write \
or another change succeeds, so that a full disk or a quota is told to whoever writes. Where that cannot be, as on btrfs, \
FAT, NFS and sshfs, a change is stored before it succeeds as soon as less than 64 MiB, or an eighth of the filesystem, are left, \
or once a quota was met that the filesystem does not tell, as that of btrfs; what was accepted until then is stored first, and \
may lack space where another program fills the disk at that moment. There 1 MiB is kept back, where it can be, so that \
deleting makes room also on a disk that is full to the last block.
.PP
While the backing folder fails or is away (a network, sshfs, a disk that hangs), changes fail with EIO or wait, and nothing \
that was accepted is dropped: it is tried again until the folder answers, also where that was mounted again at its path. A server \
may do late what it was sent by a connection that was lost: for a second after that nothing is asked of it. A folder \
that was unmounted lazily (\\fBumount \\-l\\fR) answers as before, and is used on until cryptfs is unmounted; what is mounted at \
its path then is not locked. What is not synced yet is kept in memory for that on a network's or a FUSE filesystem, up to about \
64 MiB; elsewhere it is read back and authenticated, and what is lost is told with its path.
.PP
Where not everything can be stored for want of space all the same, \\fBcryptfs umount\\fR and the first signal leave the mount as it is, so \
that room can be made; after an umount(8) the daemon stays, and tries until there is room or a signal gives it up. With \
\\fB\\-o writeback\\fR the kernel accepts writes without asking: errors come at fsync(2), at close(2), and at a later write(2) to the same file.";

const EXAMPLES: &str = "\
.nf
cryptfs init ~/Dropbox/vault
cryptfs mount ~/Dropbox/vault ~/plain
cryptfs umount ~/plain
.fi";

const ENVIRONMENT: &str = "\
.TP
CRYPTFS_LOG
What is logged: off, error, warn (the default), info, debug or trace, or filters by module as of env_logger, as in \
cryptfs::mount=debug,info. At debug and trace the log can contain names of files.
.TP
RUST_LOG
The same; used where CRYPTFS_LOG is not set.
.TP
CRYPTFS_ASKPASS, DISPLAY, WAYLAND_DISPLAY, CREDENTIALS_DIRECTORY
See SECRETS.
.TP
NOTIFY_SOCKET
See SYSTEMD.";

const FILES: &str = "\
.TP
\\fIBACKING\\fR/cryptfs.json
The volume's header; written once.
.TP
\\fIBACKING\\fR/keys/, chunks/, journals/
Key slots and chunk files; docs/FORMAT.md describes every byte.
.TP
$XDG_STATE_HOME/cryptfs/, ~/.local/state/cryptfs/; /var/lib/cryptfs/ for root
What this device knows of each volume, the paths of what it found damaged among it.";

const BUGS: &str = "\
Linux counts the links of a FUSE file in its own cache. While one process removes one of a file's hard links and another \
asks for the file's attributes, it can count the removal twice; then link(2) says ENOENT for a file that is there, until \
somebody asks for its attributes again, as stat(2) and ls(1) do. The request never comes to cryptfs.
.PP
With transport=fuser, st_ino is a number of the mount: it changes at a remount, or when the kernel has \
forgotten the file meanwhile, and the d_ino that readdir(3) shows may differ from it. Programs that recognise files by \
their inode number from one run to the next take all of them for new files. Over the other transports both are one \
number that a file keeps for life. Nor is there O_TMPFILE with it: open(2) says EOPNOTSUPP.
.PP
A file handle, as name_to_handle_at(2) and file servers take, leads to its file as long as that is there, also after a \
remount, and never to another one. It is found by what this device remembers of the volume: where the state folder is \
lost, or there is none, handles become stale (ESTALE) once the kernel has forgotten their files. With transport=fuser \
they do so in any case.";

/// Writes the pages into a folder: an overview, one of each command, and one of mount options and fstab.
///
/// # Errors
///
/// `Exit::Failed` where a file cannot be written.
pub fn write(folder: &Path) -> Result<(), Failure> {
    for (name, page) in pages().map_err(|error| advice::system("The manual", &error))? {
        let file = folder.join(name);
        fs::write(&file, page).map_err(|error| advice::system(file.display(), &error))?;
    }
    Ok(())
}

/// File names and pages.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let command = Arguments::command();
    let mut leaves = Vec::new();
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        find_leaves(subcommand, "cryptfs", &mut leaves);
    }
    let mut pages = vec![
        ("cryptfs.1".to_owned(), overview(&command, &leaves)?),
        ("cryptfs.5".to_owned(), options_page()?),
    ];
    for (name, command) in &leaves {
        pages.push((format!("{}.1", name.replace(' ', "-")), command_page(name, command)?));
    }
    Ok(pages)
}

/// The commands that have no commands of their own, and how each is called.
fn find_leaves<'a>(command: &'a clap::Command, parent: &str, leaves: &mut Vec<(String, &'a clap::Command)>) {
    let name = format!("{parent} {}", command.get_name());
    let mut subcommands = command.get_subcommands().filter(|found| found.get_name() != "help").peekable();
    match subcommands.peek() {
        Some(_) => subcommands.for_each(|subcommand| find_leaves(subcommand, &name, leaves)),
        None => leaves.push((name, command)),
    }
}

fn page(command: clap::Command) -> Man {
    Man::new(command).source(concat!("cryptfs ", env!("CARGO_PKG_VERSION"))).date("")
}

fn overview(command: &clap::Command, leaves: &[(String, &clap::Command)]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let page = page(command.clone());
    page.render_title(&mut out)?;
    page.render_name_section(&mut out)?;
    page.render_synopsis_section(&mut out)?;
    section(&mut out, "DESCRIPTION", DESCRIPTION)?;
    let commands = leaves.iter().map(|(name, command)| {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        format!(".TP\n\\fB{}\\fR(1)\n{about}", name.replace(' ', "\\-"))
    });
    section(&mut out, "COMMANDS", &commands.collect::<Vec<_>>().join("\n"))?;
    section(&mut out, "SECRETS", SECRETS)?;
    section(&mut out, "OWNERS AND MEMBERS", OWNERS)?;
    section(&mut out, "DURABILITY AND LIMITS", DURABILITY)?;
    section(&mut out, "SYSTEMD", SYSTEMD)?;
    let codes = Exit::ALL.iter().map(|&(exit, meaning)| ((exit as u8).to_string(), meaning));
    section(&mut out, "EXIT STATUS", &list(codes))?;
    section(&mut out, "ENVIRONMENT", ENVIRONMENT)?;
    section(&mut out, "FILES", FILES)?;
    section(&mut out, "EXAMPLES", EXAMPLES)?;
    section(&mut out, "BUGS", BUGS)?;
    section(
        &mut out,
        "SEE ALSO",
        "cryptfs(5), fusermount3(1), mount(8), fstab(5), systemd\\-ask\\-password(1), systemd.automount(5)",
    )?;
    Ok(out)
}

fn command_page(name: &str, command: &clap::Command) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let file = name.replace(' ', "-");
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let page = page(command.clone().bin_name(name)).title(&file);
    page.render_title(&mut out)?;
    section(&mut out, "NAME", &format!("{} \\- {about}", file.replace('-', "\\-")))?;
    page.render_synopsis_section(&mut out)?;
    page.render_description_section(&mut out)?;
    page.render_options_section(&mut out)?;
    section(&mut out, "EXIT STATUS", "See cryptfs(1).")?;
    section(&mut out, "SEE ALSO", "cryptfs(1), cryptfs(5)")?;
    Ok(out)
}

/// Section 5: what is written into fstab.
fn options_page() -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let about = "mount options of cryptfs, and volumes in fstab";
    let page = page(clap::Command::new("cryptfs").about(about)).section("5");
    page.render_title(&mut out)?;
    page.render_name_section(&mut out)?;
    section(&mut out, "DESCRIPTION", FSTAB)?;
    section(
        &mut out,
        "MOUNT OPTIONS",
        &list(DESCRIPTIONS.iter().map(|&(name, text)| (name.to_owned(), text))),
    )?;
    section(&mut out, "SEE ALSO", "cryptfs(1), cryptfs\\-mount(1), fstab(5), mount(8), systemd.mount(5)")?;
    Ok(out)
}

fn section(out: &mut impl Write, title: &str, text: &str) -> io::Result<()> {
    writeln!(out, ".SH \"{title}\"\n{text}")
}

fn list<'a>(items: impl Iterator<Item = (String, &'a str)>) -> String {
    let items: Vec<_> = items.map(|(name, text)| format!(".TP\n\\fB{name}\\fR\n{text}")).collect();
    items.join("\n")
}
