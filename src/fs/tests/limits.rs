//! A file with all the names that its record has room for.

use super::support::*;
use crate::fs::Error;
use crate::fs::ops::*;

#[test]
fn a_file_with_all_its_names_refuses_another_and_goes_on() {
    let backing = Backing::new();
    let fs = backing.mount(false);
    let other = make_directory(&fs, USER, NodeId::ROOT, "other", 0o755).unwrap();
    let file = make_file(&fs, USER, NodeId::ROOT, "f", 0o644).unwrap();
    let name = |number: u32| format!("{number:0>255}").into_bytes();
    let link = |number| fs.link(USER, file, NodeId::ROOT, &name(number)).map(drop);
    let (full, refused) = (1..10_000).find_map(|number| Some((number, link(number).err()?))).unwrap();
    assert_eq!((refused, refused.errno()), (Error::TooManyLinks, libc::EMLINK));
    assert_eq!(fs.link(USER, file, other, &name(full)).unwrap_err(), refused);
    assert!(fs.lookup(USER, NodeId::ROOT, &name(full)).unwrap().is_none());
    assert_eq!(fs.attributes(file).unwrap().links, full);

    fs.write(file, 0, b"still here", WriteHow::default()).unwrap();
    chmod(&fs, USER, file, 0o600).unwrap();
    fs.sync(file, false).unwrap();
    fs.rename(USER, (NodeId::ROOT, &name(1)), (other, b"moved"), RenameFlags::default()).unwrap();
    fs.unlink(USER, NodeId::ROOT, &name(2)).unwrap();
    link(full).unwrap();
    fs.shut_down().unwrap();
    drop(fs);

    let fs = backing.mount(false);
    let again = fs.lookup(USER, NodeId::ROOT, &name(full)).unwrap().unwrap();
    assert_eq!((again.attributes.links, again.attributes.mode), (full, 0o600));
    let mut content = [0; 20];
    assert_eq!(fs.read(again.node, 0, &mut content).unwrap(), 10);
    assert_eq!(&content[..10], b"still here");
}
