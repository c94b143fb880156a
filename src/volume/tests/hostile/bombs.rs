//! Row 28: planted files and lengths that cost no memory and no time.

use super::*;
use crate::store::faulty::Faulty;
use crate::store::{Area, Store};

/// A million scaled down: what counts is that no planted file is opened.
#[test]
fn row_28_thousands_of_planted_names() {
    let victim = HostileFixture::new();
    for _ in 0..20_000 {
        for area in [Area::Chunks, Area::Journals] {
            victim.store.create(FileName { area, bytes: crate::crypto::random() }).unwrap();
        }
    }
    let faulty = Arc::new(Faulty::new(Arc::new(victim.store.clone())));
    let volume = victim.fixture.open(faulty.clone());
    for (path, content) in &victim.files {
        assert!(read_path(&volume, path).unwrap() == *content, "{path}");
    }
    volume.close().unwrap();
    assert!(faulty.counts().opens < 40, "{} files were opened", faulty.counts().opens);
}

#[test]
fn row_28_huge_files() {
    let victim = HostileFixture::new();
    for (name, chunk) in victim.chunks() {
        let broken = victim.attack(&[chunk], "a huge length", || {
            victim.store.open(name).unwrap().set_length(1 << 36).unwrap();
        });
        assert_eq!(broken, [""; 0], "{chunk:?}");
    }
}
