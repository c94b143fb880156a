//! `cryptfs cat`.

use super::target::Opened;
use crate::cli::advice::{self, Failure};
use crate::cli::look_args::Cat;
use crate::volume::{Content, Kind};
use std::io::{self, Write};

/// Bytes read at a time: whole blocks.
const PIECE: u64 = 256 << 10;

/// Prints the content of a file.
///
/// # Errors
///
/// As for [`Opened::open`] and [`Opened::node`]; `Exit::Unreadable` where it ends before what cannot be read;
/// `Exit::Failed` for what is no file.
pub fn run(arguments: &Cat) -> Result<(), Failure> {
    let opened = Opened::open(&arguments.at)?;
    let node = opened.node()?;
    if node.record.kind != Kind::File {
        return Err(advice::not_a_file(&advice::escape(&opened.path)));
    }
    let (mut content, size) = (Content::new(&opened.reader, &node), node.record.size);
    let mut out = io::stdout().lock();
    let mut buffer = vec![0; PIECE as usize];
    for offset in (0..size).step_by(PIECE as usize) {
        content.read(offset, &mut buffer).map_err(|error| opened.failure(&error))?;
        let length = (size - offset).min(PIECE) as usize;
        match out.write_all(&buffer[..length]) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(|error| advice::system("stdout", &error))?,
        }
    }
    out.flush().map_err(|error| advice::system("stdout", &error))
}
