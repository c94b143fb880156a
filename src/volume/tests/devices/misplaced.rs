//! Large files of which a client puts the chunk files of one version beside those of another one.

use super::fleet::kill;
use super::large::{change, fleet, part, parts, rest_without_copies, shown};
use super::live::Live;
use super::*;
use crate::store::FileName;
use crate::store::image::Image;
use crate::store::memory::Memory;
use std::time::Duration;

/// The chunk files of the file.
pub(super) fn chunk_files(fleet: &mut FleetFixture) -> [FileName; 3] {
    fleet.at(1, |_, volume| {
        let inode = find(volume, "g").unwrap().id();
        [0, 1, 2].map(|index| volume.base.context.file_name(ChunkId { inode, index: ChunkIndex(index) }))
    })
}

pub(super) fn take(store: &Memory, name: FileName) -> Option<Image> {
    store.take(&Item::File(name))
}

pub(super) fn put(store: &Memory, name: FileName, image: Option<Image>) {
    store.put(&Item::File(name), image);
}

/// As a client puts it aside.
pub(super) fn put_copy(store: &Memory, of: FileName, image: Option<Image>, number: u8) -> CopyName {
    let name =
        format!("{}.sync-conflict-20261128-0001{number:02}-X", of.path().strip_prefix("chunks/").unwrap());
    let copy = CopyName::parse(name.as_bytes()).unwrap();
    store.put(&Item::Copy(copy.clone()), image);
    copy
}

pub(super) fn shown_there(volume: &Volume) -> Vec<String> {
    let names = names(volume, &volume.root().unwrap());
    names.iter().map(|name| parts(volume, name).unwrap()).collect()
}

/// The client takes its own side of one chunk file, and the other one's of another.
#[test]
fn a_chunk_of_the_version_in_place_that_is_only_a_copy_is_put_there() {
    let (mut fleet, [zero, _, two]) = fleet(&BOTH);
    let names = chunk_files(&mut fleet);
    for (at, text) in [(0, "by a"), (1, "by b")] {
        fleet.at(at, |_, volume| change(volume, "g", 1, text).unwrap());
    }
    fleet.sync_all(0);
    let Device { store, client, .. } = &mut fleet.devices[1];
    for (name, style) in [(names[0], Style::OursAside), (names[1], Style::TheirsAside)] {
        client.style = style;
        assert!(client.sync(&Item::File(name), store, &fleet.server));
    }
    assert_eq!(fleet.at(1, |_, volume| parts(volume, "g").unwrap()), [&*zero, &part("by a"), &two].concat());
    let mut contents: Vec<_> = shown(&mut fleet).into_iter().map(|(_, content)| content).collect();
    contents.sort();
    assert_eq!(contents, ["by a", "by b"].map(|text| [&*zero, &part(text), &two].concat()));
}

/// The chunk that is there may belong to a version whose chunk 0 is on its way.
#[test]
fn a_copy_takes_no_place_while_what_is_there_may_belong_to_what_comes() {
    let (mut fleet, [zero, one, two]) = fleet(&BOTH);
    let names = chunk_files(&mut fleet);
    let store = fleet.devices[1].store.clone();
    put_copy(&store, names[1], take(&store, names[1]), 1);
    fleet.at(0, |_, volume| change(volume, "g", 1, "by a").unwrap());
    put(&store, names[1], take(&fleet.devices[0].store, names[1]));
    let before = fleet.images(1);
    assert!(fleet.at(1, |_, volume| parts(volume, "g")).is_err());
    assert!(before == fleet.images(1), "something was written");
    // Nothing came.
    store.wait(Duration::from_secs(3600));
    assert_eq!(fleet.at(1, |_, volume| parts(volume, "g").unwrap()), [&*zero, &*one, &*two].concat());
    assert_eq!(rest_without_copies(&mut fleet), [[&*zero, &part("by a"), &two].concat()]);
}

/// A client that takes a file while it is being written may put that in the place of what became of it.
#[test]
fn an_older_version_of_this_device_does_not_keep_the_place_of_a_newer_one() {
    let (mut fleet, [zero, one, _]) = fleet(&BOTH);
    let names = chunk_files(&mut fleet);
    let live = Live::mount(fleet);
    change(live.at(0), "g", 2, "by a").unwrap();
    live.at(0).sync(&find(live.at(0), "g").unwrap(), false).unwrap();
    let store = live.fleet.devices[0].store.clone();
    let taken = take(&store, names[0]);
    let mut fleet = live.unmount();
    assert!(taken != take(&store, names[0]));
    put(&store, names[0], taken);
    let new = [&*zero, &*one, &part("by a")].concat();
    assert_eq!(fleet.at(0, |_, volume| parts(volume, "g").unwrap()), new);
    assert_eq!(shown(&mut fleet), [("g".to_owned(), new)]);
}

/// What a crash leaves does not say which chunks belong to it, so nothing can be merged with it.
#[test]
fn a_version_that_a_crash_left_is_merged_with_another_one() {
    let (mut fleet, [zero, one, two]) = fleet(&[BOTH[1]; 2]);
    fleet.at(1, |_, volume| change(volume, "g", 1, "by b").unwrap());
    fleet.sync_all(1);
    let volume = fleet.mount(0);
    change(&volume, "g", 2, "by a").unwrap();
    kill(volume);
    let mut contents: Vec<_> = shown(&mut fleet).into_iter().map(|(_, content)| content).collect();
    contents.sort();
    assert_eq!(contents, [[&*zero, &part("by b"), &two].concat(), [&*zero, &*one, &part("by a")].concat()]);
}

/// It is about to be made exact.
#[test]
fn what_a_crash_left_is_whole_where_a_client_replaces_a_chunk_before_chunk_0_names_it() {
    let (mut fleet, [zero, one, two]) = fleet(&BOTH);
    let names = chunk_files(&mut fleet);
    let [a, b] = [0, 1].map(|at| fleet.devices[at].store.clone());
    fleet.at(1, |_, volume| [1, 2].iter().for_each(|at| change(volume, "g", *at, "by b").unwrap()));
    let volume = fleet.mount(0);
    change(&volume, "g", 2, "by a").unwrap();
    kill(volume);
    let volume = fleet.mount(0);
    put(&a, names[2], take(&b, names[2]));
    volume.close().unwrap();
    let contents: Vec<_> = shown(&mut fleet).into_iter().map(|(_, content)| content).collect();
    assert!(contents.contains(&[&*zero, &*one, &part("by a")].concat()), "{contents:?}, {two}");
}

/// Of what another device was writing its chunk 0 alone is here, upon which nothing is changed but the mode.
#[test]
fn a_mode_that_is_set_before_all_has_arrived_makes_no_version() {
    let (mut fleet, [zero, one, two]) = fleet(&BOTH);
    let names = chunk_files(&mut fleet);
    let [a, b] = [0, 1].map(|at| fleet.devices[at].store.clone());
    let taken = fleet.at(0, |_, volume| {
        change(volume, "g", 1, "by a").unwrap();
        volume.sync(&find(volume, "g").unwrap(), true).unwrap();
        take(&a, names[0])
    });
    fleet.at(1, |_, volume| change(volume, "g", 1, "by b").unwrap());
    let own = take(&b, names[0]);
    put(&b, names[0], taken);
    put_copy(&b, names[0], own, 1);
    fleet.at(1, |_, volume| {
        let change = |record: &mut crate::volume::Record| std::mem::replace(&mut record.mode, 0o600) != 0o600;
        volume.set_attributes(&find(volume, "g").unwrap(), change).unwrap();
    });
    let mut contents = rest_without_copies(&mut fleet);
    contents.sort();
    assert_eq!(contents, ["by a", "by b"].map(|text| [&*zero, &part(text), &two].concat()), "{one}");
}

/// This device knows a newer chunk, of its own version, which is elsewhere.
#[test]
fn a_chunk_that_chunk_0_names_is_not_refused_for_one_of_another_version() {
    let (mut fleet, [zero, one, two]) = fleet(&BOTH);
    let names = chunk_files(&mut fleet);
    let base = take(&fleet.devices[1].store, names[2]);
    fleet.at(0, |_, volume| change(volume, "g", 1, "by a").unwrap());
    fleet.at(1, |_, volume| change(volume, "g", 2, "by b").unwrap());
    let [a, b] = [0, 1].map(|at| fleet.devices[at].store.clone());
    for name in names {
        put_copy(&b, name, take(&b, name), 1);
        put(&b, name, if name == names[2] { base.clone() } else { take(&a, name) });
    }
    let mut contents = fleet.at(1, |_, volume| shown_there(volume));
    contents.sort();
    assert_eq!(contents, [[&*zero, &part("by a"), &two].concat(), [&*zero, &*one, &part("by b")].concat()]);
}

/// Of two versions that need a copy one is not whole yet.
#[test]
fn a_copy_outlives_a_version_that_was_saved_from_it_where_another_one_needs_it() {
    let (mut fleet, [_, one, two]) = fleet(&BOTH);
    let names = chunk_files(&mut fleet);
    let [a, b] = [0, 1].map(|at| fleet.devices[at].store.clone());
    let base = take(&b, names[2]);
    fleet.at(0, |_, volume| change(volume, "g", 0, "first").unwrap());
    let first = take(&a, names[0]);
    fleet.at(0, |_, volume| change(volume, "g", 1, "second").unwrap());
    fleet.at(1, |_, volume| change(volume, "g", 2, "by b").unwrap());
    put_copy(&b, names[0], first, 1);
    put_copy(&b, names[0], take(&a, names[0]), 2);
    let copy = put_copy(&b, names[2], base, 3);
    assert_eq!(fleet.at(1, |_, volume| shown_there(volume)).len(), 2);
    assert!(b.copies().contains(&copy));
    put_copy(&b, names[1], take(&a, names[1]), 4);
    let contents = fleet.at(1, |_, volume| shown_there(volume));
    for text in [[part("first"), one, two.clone()], [part("first"), part("second"), two]] {
        assert!(contents.contains(&text.concat()), "{contents:?}");
    }
    assert!(b.copies().is_empty());
}

/// Of versions that their writer changed again chunks may be left of which nobody has the rest.
#[test]
fn copies_of_nothing_go_after_a_day() {
    let (mut fleet, [zero, _, two]) = fleet(&BOTH);
    let names = chunk_files(&mut fleet);
    let store = fleet.devices[0].store.clone();
    let [[first, _], [_, second], _] = ["first", "second", "third"].map(|text| {
        fleet.at(0, |_, volume| change(volume, "g", 1, text).unwrap());
        [0, 1].map(|at| take(&store, names[at]))
    });
    let copies = [put_copy(&store, names[0], first, 1), put_copy(&store, names[1], second, 2)];
    fleet.at(0, |_, _| ());
    assert!(copies.iter().all(|copy| store.copies().contains(copy)));
    store.wait(Duration::from_secs(25 * 3600));
    fleet.at(0, |_, _| ());
    assert!(store.copies().is_empty());
    assert_eq!(shown(&mut fleet), [("g".to_owned(), [&*zero, &part("third"), &two].concat())]);
}

/// Both overwrite in place and sync the data only, so that chunk 0 tells nothing but that further chunks may be newer.
#[test]
fn two_devices_that_write_upon_one_content_are_not_mixed() {
    let (fleet, [zero, one, two]) = fleet(&BOTH);
    let mut live = Live::mount(fleet);
    for (at, part_of, text) in [(0, 1, "by a"), (1, 2, "by b")] {
        change(live.at(at), "g", part_of, text).unwrap();
        live.at(at).sync(&find(live.at(at), "g").unwrap(), true).unwrap();
        live.fleet.sync_all(at);
    }
    let store = live.fleet.devices[1].store.clone();
    // The other device's chunk, as if the client had come no further.
    let all = [[&*zero, &part("by a"), &two].concat(), [&*zero, &*one, &part("by b")].concat()];
    let looker = live.fleet.devices[1].keys.another([0xd4; 8]);
    let shown = parts(&looker.open(Arc::new(store)), "g");
    assert!(shown.as_ref().map_or(true, |shown| all.contains(shown)), "{shown:?}");
    (0..2).for_each(|at| live.arrive(at));
    let mut fleet = live.unmount();
    let mut contents = rest_without_copies(&mut fleet);
    contents.sort();
    assert_eq!(contents, all);
}

/// One device saves its version beside the other one's, while the client brings the other device that version.
#[test]
fn a_version_that_was_saved_and_gets_its_place_back_is_whole() {
    let (mut fleet, [zero, one, two]) = fleet(&BOTH);
    let names = chunk_files(&mut fleet);
    let [a, b] = [0, 1].map(|at| fleet.devices[at].store.clone());
    for (at, part_of, text) in [(0, 2, "by a"), (1, 1, "by b")] {
        fleet.at(at, |_, volume| change(volume, "g", part_of, text).unwrap());
    }
    let own = names.map(|name| take(&b, name));
    names.iter().for_each(|name| put(&b, *name, take(&a, *name)));
    assert_eq!(fleet.at(1, |_, volume| shown_there(volume)).len(), 2);
    (0..2).for_each(|at| put(&a, names[at], own[at].clone()));
    fleet.at(0, |_, _| ());
    put(&b, names[0], take(&a, names[0]));
    put(&b, names[1], own[1].clone());
    let shown = fleet.at(1, |_, volume| parts(volume, "g").unwrap());
    assert_eq!(shown, [&*zero, &part("by b"), &two].concat(), "{one}");
}

/// Another device stored its own version beside what this one overwrites meanwhile: of that a chunk is nowhere any more.
#[test]
fn what_this_device_overwrote_keeps_no_place_of_what_it_wrote() {
    let (mut fleet, [zero, _, _]) = fleet(&BOTH);
    let names = chunk_files(&mut fleet);
    let [a, b] = [0, 1].map(|at| fleet.devices[at].store.clone());
    fleet.at(0, |_, volume| change(volume, "g", 1, "by a").unwrap());
    fleet.at(1, |_, volume| change(volume, "g", 2, "by b").unwrap());
    names.iter().for_each(|name| put(&a, *name, take(&b, *name)));
    assert_eq!(fleet.at(0, |_, volume| shown_there(volume)).len(), 2);
    fleet.at(1, |_, volume| change(volume, "g", 1, "later").unwrap());
    put_copy(&b, names[0], take(&b, names[0]), 1);
    put(&b, names[0], take(&a, names[0]));
    for _ in 0..2 {
        let shown = fleet.at(1, |_, volume| parts(volume, "g").unwrap());
        assert_eq!(shown, [&*zero, &part("later"), &part("by b")].concat());
    }
    let all: Vec<_> = super::large::shown(&mut fleet).into_iter().map(|(_, content)| content).collect();
    assert!(all.contains(&[&*zero, &part("later"), &part("by b")].concat()), "{all:?}");
    assert!(all.iter().any(|content| content.contains("by a")), "{all:?}");
}

/// A client may have taken a file while it was being written, and put that in the place of another device's version later.
#[test]
fn what_its_writer_overwrote_does_not_keep_the_place_of_a_whole_version() {
    let (mut fleet, [zero, one, two]) = fleet(&BOTH);
    let names = chunk_files(&mut fleet);
    let [a, b] = [0, 1].map(|at| fleet.devices[at].store.clone());
    fleet.at(1, |_, volume| change(volume, "g", 2, "first").unwrap());
    let taken = fleet.at(1, |_, volume| {
        change(volume, "g", 1, "first").unwrap();
        volume.sync(&find(volume, "g").unwrap(), true).unwrap();
        let taken = take(&b, names[0]);
        [(1, &*one), (2, "by b")].iter().for_each(|(at, text)| change(volume, "g", *at, text).unwrap());
        taken
    });
    fleet.at(0, |_, volume| change(volume, "g", 1, "by a").unwrap());
    put(&a, names[0], taken);
    let before = fleet.images(0);
    assert!(fleet.at(0, |_, volume| parts(volume, "g")).is_err());
    assert!(before == fleet.images(0), "something was written");
    a.wait(Duration::from_secs(3600));
    let by_a = [&*zero, &part("by a"), &two].concat();
    assert_eq!(fleet.at(0, |_, volume| shown_there(volume)), [&*by_a]);
    let mut contents: Vec<_> = shown(&mut fleet).into_iter().map(|(_, content)| content).collect();
    contents.sort();
    assert_eq!(contents, [&*by_a, &[&*zero, &*one, &part("by b")].concat()]);
}

/// The rest of it comes late, or never: the machine of its writer had no power.
#[test]
fn a_version_that_loses_its_place_before_it_is_whole_is_saved_by_its_writer() {
    let (mut fleet, [zero, _, two]) = fleet(&BOTH);
    let names = chunk_files(&mut fleet);
    let [a, b] = [0, 1].map(|at| fleet.devices[at].store.clone());
    fleet.at(1, |_, volume| change(volume, "g", 2, "by b").unwrap());
    let volume = fleet.mount(1);
    for (part_of, but_times) in [(1, true), (0, false)] {
        change(&volume, "g", part_of, "by b").unwrap();
        volume.sync(&find(&volume, "g").unwrap(), but_times).unwrap();
    }
    kill(volume);
    fleet.at(0, |_, volume| change(volume, "g", 1, "by a").unwrap());
    put(&a, names[0], take(&b, names[0]));
    fleet.at(0, |_, volume| drop(parts(volume, "g").unwrap_err()));
    a.wait(Duration::from_secs(3600));
    let by_a = [&*zero, &part("by a"), &two].concat();
    assert_eq!(fleet.at(0, |_, volume| shown_there(volume)), [&*by_a]);
    names.iter().for_each(|name| put(&b, *name, take(&a, *name)));
    let contents = fleet.at(1, |_, volume| shown_there(volume));
    assert!(contents.len() == 2 && contents.contains(&by_a), "{contents:?}");
    assert!(contents.contains(&part("by b").repeat(3)), "{contents:?}");
}

/// Each makes a file of it, which is one file, and of the chunk files of both a client takes any.
#[test]
fn a_version_that_two_devices_save_is_whole_whatever_of_theirs_is_in_place() {
    let (mut fleet, [zero, _, two]) = fleet(&BOTH);
    let chunks = chunk_files(&mut fleet);
    let [a, b] = [0, 1].map(|at| fleet.devices[at].store.clone());
    for (at, text) in [(0, "by a"), (1, "by b")] {
        fleet.at(at, |_, volume| {
            [1, 2].iter().for_each(|part_of| change(volume, "g", *part_of, text).unwrap())
        });
    }
    let theirs = chunks.map(|name| take(&b, name));
    for (number, name) in (1..).zip(chunks) {
        put_copy(&b, name, take(&a, name), number);
        put(&a, name, theirs[usize::from(number) - 1].clone());
    }
    let by_a = [&*zero, &part("by a"), &part("by a")].concat();
    let saved = [0, 1].map(|at| {
        fleet.at(at, |_, volume| {
            let all = names(volume, &volume.root().unwrap());
            let name =
                all.into_iter().find(|name| parts(volume, name).unwrap() == by_a).expect("it is saved");
            let inode = find(volume, &name).unwrap().id();
            let file = |index| volume.base.context.file_name(ChunkId { inode, index: ChunkIndex(index) });
            (name, [0, 1, 2].map(file))
        })
    });
    assert_eq!(saved[0], saved[1], "{two}");
    let (name, files) = &saved[1];
    let (own, other) = (files.map(|file| take(&b, file)), files.map(|file| take(&a, file)));
    for which in 0..8 {
        for (at, file) in files.iter().enumerate() {
            put(&b, *file, if which >> at & 1 == 1 { &other } else { &own }[at].clone());
        }
        let shown = fleet.at(1, |_, volume| parts(volume, name));
        assert_eq!(shown.unwrap(), by_a, "{which}");
    }
}

#[test]
fn each_rule_about_places_is_needed() {
    let cases: [(Mutant, fn()); 15] = [
        (Mutant::AbsentNamed, a_mode_that_is_set_before_all_has_arrived_makes_no_version),
        (
            Mutant::PinnedUnnamed,
            what_a_crash_left_is_whole_where_a_client_replaces_a_chunk_before_chunk_0_names_it,
        ),
        (Mutant::TornKept, what_its_writer_overwrote_does_not_keep_the_place_of_a_whole_version),
        (Mutant::TornIncluded, a_version_that_loses_its_place_before_it_is_whole_is_saved_by_its_writer),
        (Mutant::SavedAnew, a_version_that_two_devices_save_is_whole_whatever_of_theirs_is_in_place),
        (Mutant::OverwrittenKept, what_this_device_overwrote_keeps_no_place_of_what_it_wrote),
        (Mutant::SavedUnpinned, a_version_that_was_saved_and_gets_its_place_back_is_whole),
        (Mutant::AnnouncedUnstamped, two_devices_that_write_upon_one_content_are_not_mixed),
        (Mutant::NotExchanged, a_chunk_of_the_version_in_place_that_is_only_a_copy_is_put_there),
        (Mutant::ExchangedEarly, a_copy_takes_no_place_while_what_is_there_may_belong_to_what_comes),
        (Mutant::OlderLeft, an_older_version_of_this_device_does_not_keep_the_place_of_a_newer_one),
        (Mutant::LeftInexact, a_version_that_a_crash_left_is_merged_with_another_one),
        (Mutant::KnownNotIncluded, a_chunk_that_chunk_0_names_is_not_refused_for_one_of_another_version),
        (Mutant::NeededRemoved, a_copy_outlives_a_version_that_was_saved_from_it_where_another_one_needs_it),
        (Mutant::StraysLeft, copies_of_nothing_go_after_a_day),
    ];
    each_is_noticed(&cases);
}
