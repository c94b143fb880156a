use super::*;
use crate::keys::Keyring;
use crate::keys::golden_tests::volume;
use crate::test_rng::{TestRng, seed};

fn owners<const N: usize>() -> [Keyring; N] {
    [(); N].map(|()| Keyring::generate())
}

fn succession(former: &Keyring, next: &Keyring) -> Succession {
    Succession::new(&volume(), former.seed().unwrap(), next.owner())
}

fn random_list(dice: &mut impl FnMut(u64) -> u64, keyrings: &[Keyring]) -> List {
    let mut list = List { generation: dice(9) + 1, floor: dice(3), ..List::default() };
    for keyring in keyrings {
        if dice(2) == 0 {
            list.epochs.extend(keyring.epochs());
        }
        if dice(2) == 0 {
            list.successions.insert(succession(keyring, &keyrings[dice(keyrings.len() as u64) as usize]));
        }
    }
    for _ in 0..dice(4) {
        list.revoked.insert(SlotId([dice(5) as u8; 16]), dice(4));
    }
    list
}

#[test]
fn lists_merge_to_the_same_in_any_order() {
    let keyrings = owners::<3>().map(|keyring| keyring.with_new_epoch().unwrap());
    let mut rng = TestRng(seed());
    let mut dice = |below: u64| rng.below(below as usize) as u64;
    for _ in 0..300 {
        let [a, b, c] = [(); 3].map(|()| random_list(&mut dice, &keyrings));
        let merged = |lists: [&List; 4]| {
            let mut all = List::default();
            lists.iter().for_each(|list| all.merge(list));
            all
        };
        let all = merged([&a, &b, &c, &a]);
        assert_eq!(all, merged([&c, &b, &a, &b]));
        assert_eq!(all, merged([&merged([&b, &a, &a, &b]), &c, &c, &c]));
        assert!(all.epochs.iter().all(|epoch| epoch.number >= all.floor));
    }
}

#[test]
fn successions_lead_to_the_last_owner() {
    let [a, b, c, d] = owners();
    let mut list = List { successions: [succession(&a, &b), succession(&b, &c)].into(), ..List::default() };
    assert_eq!(list.owners_after(a.owner()), [c.owner()].into());
    assert_eq!(list.owners_after(d.owner()), [d.owner()].into());
    assert_eq!(list.owners_from(b.owner()), [b.owner(), c.owner()].into());
    list.successions.insert(succession(&a, &d));
    assert_eq!(list.owners_after(a.owner()), [c.owner(), d.owner()].into());
    assert_eq!(list.owners_after(b.owner()), [c.owner()].into());
    list.successions.insert(succession(&c, &a));
    assert_eq!(list.owners_after(b.owner()), [d.owner()].into(), "a circle has no end of its own");
}

#[test]
fn a_succession_is_the_former_owners_word_for_one_volume() {
    let [a, b, c] = owners();
    let word = succession(&a, &b);
    assert!(word.holds(&volume()) && !word.holds(&HeaderDigest([0; 32])));
    assert!(!Succession { next: c.owner(), ..word }.holds(&volume()));
    assert!(!Succession { former: c.owner(), ..word }.holds(&volume()));
    assert_eq!(Succession::from_bytes(&word.bytes().try_into().unwrap()), word);
}

#[test]
fn a_list_is_its_owners_for_one_volume() {
    let [owner, other] = owners();
    let list = List { generation: 1, epochs: owner.epochs().into_iter().collect(), ..List::default() };
    let json = list.to_json(SlotId([1; 16]), &volume(), owner.seed().unwrap());
    let read = SignedList::parse(&json).unwrap();
    assert_eq!(read.list, list);
    assert!(read.is_by(owner.owner(), &volume()));
    assert!(!read.is_by(other.owner(), &volume()) && !read.is_by(owner.owner(), &HeaderDigest([0; 32])));
}
