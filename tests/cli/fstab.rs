//! mount(8), fstab(5) and umount(8), which find the program in /sbin as scripts/install puts it there.

use crate::sandbox::{PROGRAM, Sandbox, is_root};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

const SCRIPT: &str = r#"
sbin=$(realpath /sbin)
mount -t tmpfs none /run
mount -t overlay -o "lowerdir=$helpers:$sbin" overlay "$sbin"
is_shown() { grep -qF " $plain fuse.cryptfs $1," /proc/mounts; }
is_safe() { grep -qF " $plain fuse.cryptfs rw,nosuid,nodev," /proc/mounts; }
is_open() { grep -F " $plain fuse.cryptfs rw," /proc/mounts | grep -qv -e nosuid -e nodev; }
is_gone() { ! grep -qF " $plain " /proc/mounts; }
holds_the_file_and_takes_no_other() {
  is_shown ro
  grep -qx kept "$plain/file"
  if touch "$plain/new"; then exit 1; fi
}

mount -t fuse.cryptfs "$backing" "$plain" -o "passphrase-file=$passphrase"
is_shown rw
until grep -qF "TARGET=$plain " /run/mount/utab; do :; done
seq 300 | xargs -I{} sh -c "echo {} >\"\$plain/{}\""
echo kept >"$plain/file"
umount "$plain"
is_gone
# umount(8) has a helper too, which returns when the daemon has written everything.
flock --nonblock --shared "$backing/cryptfs.json" true
if grep -qF "TARGET=$plain " /run/mount/utab; then exit 1; fi
# The type has a helper by either name.
mount -t cryptfs "$backing" "$plain" -o "ro,passphrase-file=$recovery"
holds_the_file_and_takes_no_other
if mount -o remount,rw "$plain" 2>"$plain.told"; then exit 1; fi
grep -q 'a remount cannot make it writable' "$plain.told"
is_shown ro
umount "$plain"
mount -r -t fuse.cryptfs "$backing" "$plain" -o "passphrase-file=$recovery"
holds_the_file_and_takes_no_other
umount "$plain"
is_gone

# What file managers read of it.
"$helpers/cryptfs" mount "$backing" "$plain" --passphrase-file "$passphrase" -o 'x-gvfs-show,x-gvfs-name=My%20Vault'
until grep -F "TARGET=$plain " /run/mount/utab | grep -q uhelper=cryptfs; do :; done
grep -F "TARGET=$plain " /run/mount/utab | grep -qF ,x-gvfs-show,x-gvfs-name=My%20Vault
umount "$plain"
mount -t fuse.cryptfs -o "passphrase-file=$passphrase,x-gvfs-name=Other" "$backing" "$plain"
until grep -F "TARGET=$plain " /run/mount/utab | grep -q uhelper=cryptfs; do :; done
grep -F "TARGET=$plain " /run/mount/utab | grep -qF ,x-gvfs-name=Other
umount "$plain"

mount -t fuse.cryptfs -o "suid,dev,passphrase-file=$passphrase" "$backing" "$plain"
is_open
umount "$plain"
mount -t fuse.cryptfs -o "suid,dev,nosuid,nodev,passphrase-file=$passphrase" "$backing" "$plain"
is_safe
umount "$plain"
sed 's/defaults/suid,dev/' "$fstab" >"$fstab.open"
mount -T "$fstab.open" "$plain"
is_open
umount "$plain"

mount -T "$fstab" "$plain"
is_safe
echo more >>"$plain/file"
echo kept >"$plain/file"
umount "$plain"
mount -T "$fstab" -o ro "$plain"
holds_the_file_and_takes_no_other
umount "$plain"
mount -T "$fstab" -a
is_shown rw
mount -o remount,ro "$plain"
holds_the_file_and_takes_no_other
# mount(8) of util-linux 2.38 does not hand on that suid and dev were asked for.
mount -o remount,rw "$plain"
is_safe
mount -o remount,rw,suid,dev "$plain"
is_open
mount -o remount,ro "$plain"
# What was written before is stored, and the daemon goes on.
"$helpers/cryptfs" status "$plain"
mount -o remount,rw "$plain"
is_shown rw
touch "$plain/new"
rm "$plain/new"
# What is mounted already stays.
mount -T "$fstab" -a
test "$(grep -cF " $plain " /proc/mounts)" = 1
"$helpers/cryptfs" umount "$plain"
is_gone
"#;

#[test]
fn mount_8_and_fstab_mount_and_umount_8_unmounts() {
    if !is_root() {
        eprintln!("left out: only root may lay helpers over /sbin");
        return;
    }
    let sandbox = Sandbox::empty();
    let recovery = sandbox.path("recovery");
    sandbox.succeeds(sandbox.init().arg("--recovery-file").arg(&recovery));
    let helpers = sandbox.path("helpers");
    fs::create_dir(&helpers).unwrap();
    for name in ["mount.cryptfs", "mount.fuse.cryptfs", "umount.cryptfs", "umount.fuse.cryptfs", "cryptfs"] {
        symlink(PROGRAM, helpers.join(name)).unwrap();
    }
    let (backing, plain, passphrase) = (sandbox.backing(), sandbox.plain(), sandbox.path("passphrase"));
    let fstab = sandbox.path("fstab");
    let (source, target, secret) = (backing.display(), plain.display(), passphrase.display());
    let line = format!(
        "{source} {target} fuse.cryptfs defaults,nofail,x-y=z,noatime,passphrase-file={secret} 0 0\n"
    );
    fs::write(&fstab, line).unwrap();
    // Namespaces of its own: no helper is seen elsewhere, and no mount or process outlives the script.
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-exc", SCRIPT]);
    let paths = [
        ("helpers", &helpers),
        ("backing", &backing),
        ("plain", &plain),
        ("passphrase", &passphrase),
        ("recovery", &recovery),
        ("fstab", &fstab),
    ];
    sandbox.succeeds(sandbox.prepared(command, &[]).envs(paths));
}

#[test]
fn root_is_told_why_it_cannot_remount_what_somebody_else_mounted() {
    let Some(sandbox) = Sandbox::mounted_by_nobody() else { return };
    let helper = sandbox.path("mount.fuse.cryptfs");
    symlink(PROGRAM, &helper).unwrap();
    let (backing, plain) = (sandbox.backing(), sandbox.plain());
    let mut remount = sandbox.prepared(Command::new(helper), &[backing.as_ref(), plain.as_ref()]);
    let told = sandbox.fails(remount.args(["-o", "remount,ro"]), 24);
    sandbox.succeeds(&mut sandbox.as_nobody(&sandbox.umount()));
    assert!(told.contains("answers user 65534 only") && !told.contains("sudo"), "{told}");
}
