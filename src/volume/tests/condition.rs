//! What a volume says of itself.

use super::*;
use crate::store::FileName;
use crate::store::faulty::{Call, Event as Asked, Fault, Faulty};
use crate::store::memory::Memory;
use crate::volume::{Error, Event, Finding, Report};
use hashbrown::HashSet;
use parking_lot::Mutex;

#[test]
fn what_waits_and_what_went_wrong_is_told() {
    let (ours, memory) = (Fixture::new(), Memory::new());
    let theirs = ours.another(*b"device 2");
    ours.format(Arc::new(memory.clone())).close().unwrap();
    let other = theirs.open(Arc::new(memory.clone()));
    other.create(&other.root().unwrap(), b"theirs", new(Kind::Directory)).unwrap();
    other.sync_directory(&other.root().unwrap()).unwrap();

    let volume = ours.open(Arc::new(memory.clone()));
    let before = volume.condition();
    assert_eq!((before.unstored, before.stopped, before.delayed, before.conflicts), (0, None, None, 0));
    let known = before.devices.unwrap();
    let devices: Vec<_> = known.iter().map(|known| (known.this_device, known.waiting.unwrap() > 0)).collect();
    assert_eq!(devices, [(false, true), (true, false)], "{known:?}");

    drop(file(&volume, "f", b"content"));
    assert_eq!(volume.condition().unstored, 2, "the file and its directory");
    volume.checkpoint().unwrap();
    assert_eq!(volume.condition().unstored, 0);

    volume.base.note_checkpoint(&Err::<(), _>(Error::NoSpace));
    assert!(volume.condition().delayed.unwrap().contains("no space left"));
    volume.base.note_checkpoint(&Ok(()));
    volume.base.stop(&Error::ReadOnly);
    volume.base.stop(&Error::NoSpace);
    let after = volume.condition();
    assert_eq!((after.delayed, after.stopped), (None, Some("the volume is read-only".to_owned())));
}

/// What was told.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Event>>>);

impl Report for Heard {
    fn tell(&self, _: &[Finding], _: &HashSet<FileName>) {}

    fn happened(&self, event: Event) {
        self.0.lock().push(event);
    }
}

#[test]
fn a_folder_that_is_away_hides_nothing_of_what_went_wrong() {
    let (fixture, store) = (Fixture::new(), Arc::new(Faulty::new(Arc::new(Memory::new()))));
    let volume = fixture.format(store.clone());
    volume.base.stop(&Error::NoSpace);
    assert!(volume.condition().devices.is_some());
    store.fail_when(|asked: &Asked| (asked.call == Call::List).then_some(Fault::Error(libc::EIO)));
    let condition = volume.condition();
    assert!(condition.devices.is_none() && condition.stopped.is_some(), "{condition:?}");
}

#[test]
fn what_a_person_should_know_of_is_told_once() {
    let (fixture, heard) = (Fixture::new(), Heard::default());
    let volume = fixture.format(Arc::new(Memory::new()));
    volume.report_to(Box::new(heard.clone()), std::iter::empty());
    let told = || {
        volume.report();
        std::mem::take(&mut *heard.0.lock())
    };
    let failed = || volume.base.note_checkpoint(&Err::<(), _>(Error::NoSpace));
    failed();
    failed();
    assert_eq!(told(), [Event::Delayed]);
    failed();
    assert_eq!(told(), []);
    volume.base.note_checkpoint(&Ok(()));
    failed();
    assert_eq!(told(), [Event::Delayed], "it was well in between");
    volume.base.happened(Event::Conflict);
    volume.base.happened(Event::Conflict);
    volume.base.note_checkpoint(&Ok(()));
    volume.base.stop(&Error::NoSpace);
    failed();
    assert_eq!(told(), [Event::Conflict, Event::Stopped]);
}
