//! Whatever is advised can be typed, and each errno comes with what helps.

use super::*;
use clap::Parser;
use std::path::PathBuf;

/// An errno alone does not say what to do, and its number nothing at all.
#[test]
fn what_the_system_refuses_is_told_with_what_helps() {
    let told = |errno| system("/v", &io::Error::from_raw_os_error(errno)).to_string();
    for errno in [libc::EROFS, libc::ENOSPC, libc::EDQUOT, libc::EACCES, libc::EPERM].into_iter().chain([
        libc::ENOTCONN,
        libc::ETIMEDOUT,
        libc::ESTALE,
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
        libc::EIO,
    ]) {
        let told = told(errno);
        assert!(told.contains(". ") && !told.contains("os error"), "{told}");
    }
    assert_eq!(told(libc::ELOOP), "/v: Too many levels of symbolic links.");
    assert_eq!(plain_text("a: No (os error 2), b (os error 17)"), "a: No, b");
}

#[test]
fn a_question_says_what_failed_and_of_which_volume() {
    let backing = Path::new("/home/anna/vault");
    assert_eq!(question(backing, None), "Encrypted volume /home/anna/vault. ");
    assert_eq!(
        question(backing, Some("The boot state has changed. Make the slot anew.")),
        "The boot state has changed. Encrypted volume /home/anna/vault. "
    );
    assert_eq!(question(backing, Some("No.")), "No. Encrypted volume /home/anna/vault. ");
}

/// What stands between backticks in a source, after `cryptfs `, the lines of a string joined.
fn commands(source: &str) -> Vec<String> {
    let mut joined = String::new();
    for line in source.lines().filter(|line| !line.trim_start().starts_with("//")) {
        let line = if joined.is_empty() || joined.ends_with('\n') { line } else { line.trim_start() };
        match line.strip_suffix('\\') {
            Some(begun) => joined += begun,
            None => joined = joined + line + "\n",
        }
    }
    let spans = joined.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    spans.filter_map(|span| span.strip_prefix("cryptfs ")).map(str::to_owned).collect()
}

/// The files of advice, without tests.
fn sources() -> impl Iterator<Item = (PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/advice");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| !path.ends_with("tests.rs")).map(|path| {
        let source = std::fs::read_to_string(&path).unwrap();
        (path, source.split("#[cfg(test)]").next().unwrap().to_owned())
    })
}

/// A path in a command is one word, whatever is in it: `{:#}` of `shown`. What is no path needs none of that.
#[test]
fn a_path_in_a_command_is_one_word() {
    const NO_PATHS: [&str; 7] = ["{id}", "{by}", "{user}", "{data}", "{name}", "{systemctl}", "{}"];
    let mut seen = 0;
    for (path, source) in sources() {
        assert!(!source.contains(".display()"), "{}: shown() is to be used", path.display());
        for command in commands(&source) {
            let mut rest = command.as_str();
            while let Some(at) = rest.find('{') {
                let end = rest[at..].find('}').unwrap() + at + 1;
                let value = &rest[at..end];
                seen += usize::from(value.ends_with(":#}"));
                let is_word = value.ends_with(":#}") || NO_PATHS.contains(&value);
                assert!(is_word, "{}: {command}", path.display());
                rest = &rest[end..];
            }
        }
    }
    assert!(seen > 40, "{seen}");
    let told = making_folder(Path::new("/a b"), &io::ErrorKind::PermissionDenied.into()).to_string();
    assert!(told.starts_with("/a b: "), "{told}");
    let told = not_mounted(Path::new("/a b\n")).to_string();
    assert!(told.starts_with("/a b\\n: "), "{told}");
    assert!(shut(Path::new("/a b")).to_string().contains("`ls -la '/a b'`"));
    let typed = ["cryptfs", "/a b"];
    let refused = crate::cli::args::Arguments::try_parse_from(typed).unwrap_err();
    let told = tip(&refused, &typed.map(Into::into)).unwrap();
    assert!(told.contains("`cryptfs mount '/a b' MOUNTPOINT`"), "{told}");
}

/// Whoever types what is advised is understood: all of these commands are there, and lack nothing. One that is named
/// without anything behind it is only spoken of.
#[test]
fn what_is_advised_can_be_typed() {
    use crate::cli::args::Arguments;
    use clap::CommandFactory;
    let mut seen = 0;
    for (path, source) in sources() {
        for command in commands(&source) {
            seen += 1;
            let value = |word: &str| match word.trim_end_matches(['}', '`']) {
                "{id" | "ID" => "00112233445566778899aabbccddeeff".to_owned(),
                // The id of a device.
                "{" => "0011223344556677".to_owned(),
                word if word.starts_with('{') => "/folder".to_owned(),
                _ => word.to_owned(),
            };
            let words: Vec<String> = command.split(' ').map(value).collect();
            let is_spoken_of = words.iter().all(|word| word.chars().all(|c| c.is_ascii_lowercase()));
            let found = words
                .iter()
                .try_fold(Arguments::command(), |command, word| command.find_subcommand(word).cloned());
            if is_spoken_of && found.is_some() {
                continue;
            }
            let parsed = Arguments::try_parse_from(std::iter::once("cryptfs".to_owned()).chain(words));
            assert!(parsed.is_ok(), "{}: {command}: {}", path.display(), parsed.unwrap_err());
        }
    }
    assert!(seen > 40, "{seen}");
}

/// What stands between backticks in a document, and the lines of its blocks.
fn spans(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("    ")).map(str::to_owned);
    let paragraphs = text.split("\n\n").flat_map(|paragraph| paragraph.split("\n|"));
    let joined = paragraphs.map(|paragraph| paragraph.replace('\n', " ")).collect::<Vec<_>>();
    let spans =
        joined.iter().flat_map(|paragraph| paragraph.split('`').skip(1).step_by(2)).map(str::to_owned);
    lines.chain(spans).collect()
}

/// Whoever types what the documents say is understood; what of it is only spoken of may lack an argument, or a value.
#[test]
fn what_documents_say_can_be_typed() {
    use crate::cli::args::Arguments;
    use crate::cli::mount_options::MountOptions;
    use clap::{CommandFactory, error::ErrorKind};
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names: Vec<_> = Arguments::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
    let mut seen = [0; 3];
    let documents = std::fs::read_dir(folder.join("docs")).unwrap().map(|file| file.unwrap().path());
    for path in documents.chain([folder.join("README.md")]) {
        let text = std::fs::read_to_string(&path).unwrap();
        let compares = path.ends_with("MIGRATING.md");
        // What is typed elsewhere is on the left.
        let ours = |line: &str| line.split(" | ").nth(1).unwrap_or(line).to_owned();
        let text = if compares { text.lines().map(ours).collect::<Vec<_>>().join("\n|") } else { text };
        for span in spans(&text) {
            let first = span.split(' ').next().unwrap_or_default();
            let is_ours = compares && names.iter().any(|name| name == first);
            let command = match span.strip_prefix("cryptfs ") {
                Some(command) => command.to_owned(),
                None if is_ours => span.clone(),
                None if compares && span.starts_with("-o ") => format!("mount /vault /plain {span}"),
                None => continue,
            };
            let command = command.split(['|', '#', '\\']).next().unwrap_or_default();
            let words: Vec<_> = std::iter::once("cryptfs").chain(command.split_whitespace()).collect();
            seen[usize::from(compares) + usize::from(span.starts_with('-'))] += 1;
            if let Err(error) = Arguments::try_parse_from(&words) {
                let lacks = [ErrorKind::MissingRequiredArgument, ErrorKind::InvalidValue];
                let is_spoken_of = lacks.contains(&error.kind())
                    || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
                assert!(is_spoken_of, "{}: {span}: {error}", path.display());
            }
            for options in words.iter().skip_while(|word| **word != "-o").skip(1).take(1) {
                let number = |word: &str| word.replace(['U', 'G'], "1");
                let parsed = MountOptions::parse([&*number(options)], false);
                assert!(parsed.is_ok(), "{}: {span}: {parsed:?}", path.display());
            }
        }
    }
    assert!(seen.iter().zip([40, 40, 5]).all(|(seen, least)| *seen >= least), "{seen:?}");
}
