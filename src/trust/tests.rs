use super::*;
use crate::keys::List;
use crate::keys::test_support::KeysFixture;
use std::os::unix::fs::PermissionsExt;

const VOLUME: VolumeId = VolumeId([5; 16]);

pub fn pinned(fixture: &KeysFixture) -> (tempfile::TempDir, Trust) {
    let state = tempfile::tempdir().unwrap();
    let trust = Trust::open_in(state.path(), VOLUME).unwrap();
    assert_eq!(trust.expected().unwrap().pinned, None);
    let list = List { generation: 1, epochs: [fixture.keyring.newest()].into(), ..List::default() };
    trust.pin(fixture.keyring.owner(), &list).unwrap();
    let reopened = Trust::open_in(state.path(), VOLUME).unwrap();
    (state, reopened)
}

#[test]
fn a_device_keeps_its_name_and_its_files_to_itself() {
    let state = tempfile::tempdir().unwrap();
    let [first, second] = [(); 2].map(|()| Trust::open_in(state.path(), VOLUME).unwrap().device());
    assert_eq!(first, second);
    assert_ne!(first, Trust::open_in(state.path(), VolumeId([6; 16])).unwrap().device());
    let folder = state.path().join("cryptfs").join(VOLUME.to_string());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("device"))), (0o700, 0o600));
    let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["device"], "nothing temporary stays");
}

#[test]
fn damage_is_said_and_not_taken_for_a_first_time() {
    let (state, trust) = pinned(&KeysFixture::new());
    let folder = state.path().join("cryptfs").join(VOLUME.to_string());
    for file in ["pin", "list"] {
        let good = fs::read(folder.join(file)).unwrap();
        for bad in [&b""[..], b"nonsense\n", b"\xff\n"] {
            fs::write(folder.join(file), bad).unwrap();
            let expected = trust.expected();
            assert!(matches!(expected, Err(TrustUnavailable::Damaged(_))), "{expected:?}");
        }
        fs::write(folder.join(file), good).unwrap();
    }
    trust.expected().unwrap();
    fs::write(folder.join("device"), "12\n").unwrap();
    assert!(matches!(Trust::open_in(state.path(), VOLUME), Err(TrustUnavailable::Damaged(_))));
    fs::write(state.path().join("file"), "").unwrap();
    assert!(matches!(Trust::open_in(&state.path().join("file"), VOLUME), Err(TrustUnavailable::Io(..))));
}

#[test]
fn the_state_folder_is_found_as_others_find_it() {
    let with = |variables: &[(&str, &str)], root| {
        let find =
            |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| PathBuf::from(value));
        state_folder(find, root)
    };
    let home = ("HOME", "/home/a");
    assert_eq!(with(&[home, ("XDG_STATE_HOME", "/s")], false), Some("/s".into()));
    assert_eq!(with(&[home, ("XDG_STATE_HOME", "/s")], true), Some("/s".into()));
    assert_eq!(with(&[home, ("XDG_STATE_HOME", "s")], false), Some("/home/a/.local/state".into()));
    assert_eq!(with(&[home], true), Some("/var/lib".into()));
    assert_eq!(with(&[], false), None);
}

fn finding(number: usize, length: usize) -> Found {
    let file = format!("chunks/{number}");
    Found { when: 7, kind: "corrupt".into(), file, what: "p".repeat(length) }
}

#[test]
fn the_list_of_findings_stays_as_short_as_it_can_be_read() {
    let (state, trust) = pinned(&KeysFixture::new());
    let path = state.path().join("cryptfs").join(VOLUME.to_string()).join("findings");
    let (paths, file) = (500, || fs::metadata(&path).unwrap().len());
    let more = trust.change_findings(|_| false, (0..paths).map(|n| finding(n, 4096)).collect()).unwrap();
    let list = trust.findings();
    assert!(list.damage.is_none(), "{:?}", list.damage);
    assert!(file() < MAX_LENGTH && more > 0 && list.list.len() == paths - more, "{more} too many");
    let short: Vec<Found> = (paths..paths + 2).map(|n| finding(n, 10)).collect();
    assert_eq!(trust.change_findings(|_| false, short.clone()).unwrap(), 0, "what is short still has room");
    assert!(trust.findings().list.ends_with(&short));
    let many = (0..2000).map(|n| finding(n, 1)).collect();
    assert_eq!(trust.change_findings(|_| true, many).unwrap(), 1000);
    assert_eq!(trust.findings().list.len(), 1000);
}

#[test]
fn a_damaged_list_of_findings_is_read_as_far_as_it_makes_sense() {
    let (state, trust) = pinned(&KeysFixture::new());
    let path = state.path().join("cryptfs").join(VOLUME.to_string()).join("findings");
    let line = |n, length| format!("{}\n", finding(n, length)).into_bytes();
    let long = (0..300).flat_map(|n| line(n, 4096)).collect::<Vec<u8>>();
    for (bad, read) in [
        (Vec::new(), 0),
        (b"nonsense\n".to_vec(), 0),
        ([b"\xff 1 2 3\n".to_vec(), line(1, 1)].concat(), 1),
        ([line(1, 1), b"7 corrupt chunks/2 a\x1b[2J\n".to_vec()].concat(), 1),
        ([line(1, 1), b"7 corrupt chunks/2 cut of".to_vec()].concat(), 1),
        (long, MAX_LENGTH as usize / line(100, 4096).len()),
    ] {
        fs::write(&path, bad).unwrap();
        let found = trust.findings();
        assert!(matches!(found.damage, Some(TrustUnavailable::Damaged(_))), "{:?}", found.damage);
        assert_eq!(found.list.len(), read);
        trust.change_findings(|_| false, Vec::new()).unwrap();
        assert!(trust.findings().damage.is_none(), "written anew");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(trust.findings().damage, Some(TrustUnavailable::Io(..))));
}
