//! The client against helpers that misbehave: it gives up in time, says why, and leaves no process behind.

use super::*;
use tempfile::TempDir;

fn client_of(script: &str, timeout: Duration) -> (TempDir, Client) {
    let folder = tempfile::tempdir().unwrap();
    let (text, helper) = (folder.path().join("text"), folder.path().join("cryptfs-tpm"));
    std::fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
    // Installed by another process: a file that this one had open for writing may be "busy", through a copy of its
    // descriptor in a child that another test is just starting.
    let installed = Command::new("install").args(["-m", "755"]).args([&text, &helper]).status().unwrap();
    assert!(installed.success());
    let client = Client::with_helper(helper, Tcti::parse("device").unwrap(), timeout);
    (folder, client)
}

const PLENTY: Duration = Duration::from_secs(20);

#[test]
fn a_silent_helper_is_killed() {
    let (folder, client) = client_of("echo $$ > \"$0.pid\"; exec sleep 1000", Duration::from_secs(1));
    assert!(matches!(client.probe(), Err(ClientError::Timeout(_))));
    let pid = std::fs::read_to_string(folder.path().join("cryptfs-tpm.pid")).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists());
}

#[test]
fn missing_libraries_have_their_own_error() {
    let (_folder, client) = client_of("exit 127", PLENTY);
    assert!(matches!(client.probe(), Err(ClientError::LibrariesMissing)));
}

#[test]
fn a_helper_that_dies_is_named_with_its_status() {
    let (_folder, client) = client_of("kill -SEGV $$", PLENTY);
    assert!(matches!(client.probe(), Err(ClientError::Helper(status)) if status.code().is_none()));
}

#[test]
fn garbage_is_refused() {
    for script in ["printf '\\003\\000\\000\\000abc'", "printf '\\377\\377\\377\\377'"] {
        let (_folder, client) = client_of(script, PLENTY);
        let result = client.probe();
        assert!(
            matches!(&result, Err(ClientError::Io(e)) if e.kind() == io::ErrorKind::InvalidData),
            "{result:?}"
        );
    }
}

#[test]
fn the_helper_gets_no_environment() {
    let (folder, client) = client_of("cat /proc/self/environ > \"$0.env\"", PLENTY);
    assert!(client.probe().is_err());
    let environment = std::fs::read_to_string(folder.path().join("cryptfs-tpm.env")).unwrap();
    let names: Vec<_> = environment.split('\0').filter_map(|pair| Some(pair.split_once('=')?.0)).collect();
    // A shell adds these by itself.
    assert!(names.iter().all(|name| ["PWD", "SHLVL", "_", "OLDPWD"].contains(name)), "{names:?}");
}

#[test]
fn helpers_are_found_by_place_only() {
    let prefix = tempfile::tempdir().unwrap();
    let program = prefix.path().join("bin/cryptfs");
    let libexec = prefix.path().join("libexec/cryptfs");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    std::fs::create_dir_all(&libexec).unwrap();
    assert_eq!(find_helper(&program), None);
    std::fs::write(libexec.join("cryptfs-tpm"), "").unwrap();
    let found = find_helper(&program).unwrap();
    assert_eq!(found.canonicalize().unwrap(), libexec.join("cryptfs-tpm").canonicalize().unwrap());
    std::fs::write(prefix.path().join("bin/cryptfs-tpm"), "").unwrap();
    assert_eq!(find_helper(&program), Some(prefix.path().join("bin/cryptfs-tpm")));
}

#[test]
fn a_missing_helper_is_not_installed() {
    let helper = PathBuf::from("/nonexistent/cryptfs-tpm");
    let client = Client::with_helper(helper, Tcti::parse("device").unwrap(), PLENTY);
    assert!(matches!(client.probe(), Err(ClientError::HelperNotInstalled)));
}
