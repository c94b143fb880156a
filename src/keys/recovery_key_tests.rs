use super::*;

fn error(text: &str) -> RecoveryKeyError {
    RecoveryKey::parse(text).err().expect("refused")
}

#[test]
fn what_people_make_of_it_is_understood() {
    let key = RecoveryKey::generate();
    let text = key.to_text();
    assert_eq!(text.split('-').map(str::len).collect::<Vec<_>>(), [4; 14]);
    for typed in [
        text.to_lowercase(),
        text.replace('-', ""),
        text.replace('-', " \n "),
        text.replace('0', "O").replace('1', "l"),
        text.replace('0', "o").replace('1', "I"),
    ] {
        let parsed = RecoveryKey::parse(&typed).expect("understood");
        assert!(crypto::same(parsed.0.bytes(), key.0.bytes()));
    }
}

#[test]
fn a_wrong_digit_is_found_in_its_group() {
    let text = RecoveryKey::generate().to_text();
    let mut named = 0;
    for position in (0..text.len()).filter(|position| position % 5 != 4) {
        let mut typed = text.as_bytes().to_vec();
        typed[position] = if typed[position] == b'7' { b'8' } else { b'7' };
        match error(std::str::from_utf8(&typed).unwrap()) {
            RecoveryKeyError::Group(group) => {
                assert_eq!(group, position / 5 + 1);
                named += 1;
            }
            // Another group may explain it too, by an accident of one in some hundreds.
            other => assert_eq!(other, RecoveryKeyError::Checksum),
        }
    }
    assert!(named > 45, "{named}");
}

#[test]
fn other_mistakes_are_named() {
    let text = RecoveryKey::generate().to_text();
    assert_eq!(error(&text[..text.len() - 1]), RecoveryKeyError::Length(55));
    assert_eq!(error(&format!("{}0", *text)), RecoveryKeyError::Length(57));
    assert_eq!(error(""), RecoveryKeyError::Length(0));
    let with_u = format!("{}U{}", &text[..10], &text[11..]);
    assert_eq!(error(&with_u), RecoveryKeyError::Character { group: 3 });
    assert_eq!(error(&text.replace('-', "ß")), RecoveryKeyError::Character { group: 2 });
    let other = RecoveryKey::generate().to_text();
    assert_eq!(error(&format!("{}{}", &text[..30], &other[30..])), RecoveryKeyError::Checksum);
}

#[test]
fn digits_beyond_the_key_are_refused_even_with_a_fitting_checksum() {
    let mut digits = digits_of(&Secret::random());
    digits[KEY_DIGITS - 1] |= 1;
    assert!(checked(&digits).is_none());
}
