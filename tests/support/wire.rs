//! The wire between the helper and its TPM, for tests that listen on it or tamper with it.
//!
//! It takes the TSS's connections on a pair of ports of its own and passes everything on. Its threads end with their
//! connections, the two that accept with the test program.

use crate::swtpm::free_pair;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub const CREATE_PRIMARY: u32 = 0x131;
pub const UNSEAL: u32 = 0x15e;
pub const READ_PUBLIC: u32 = 0x173;
const PCR_EXTEND: u32 = 0x182;
const START_AUTH_SESSION: u32 = 0x176;

/// Tags of a command without and with sessions.
const PLAIN: u16 = 0x8001;
const WITH_SESSIONS: u16 = 0x8002;

/// What is done with a command.
#[derive(PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// Close the connection instead.
    HangUp,
}

/// Somebody on the bus. By default it only looks.
pub trait Tap: Send + 'static {
    fn command(&mut self, _code: u32, _command: &mut Vec<u8>, _tpm: &mut Tpm) -> Verdict {
        Verdict::Pass
    }

    fn response(&mut self, _code: u32, _response: &mut Vec<u8>) {}
}

/// Only looks.
pub struct Listener;

impl Tap for Listener {}

/// The TPM, for commands that no tool sends.
pub struct Tpm(TcpStream);

impl Tpm {
    pub fn connect(port: u16) -> Self {
        Self(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap())
    }

    fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(command)?;
        read_message(&mut self.0)
    }

    /// Sends a command and returns the response code.
    fn send(&mut self, tag: u16, code: u32, body: &[u8]) -> u32 {
        let length = (10 + body.len()) as u32;
        let command = [&tag.to_be_bytes()[..], &length.to_be_bytes(), &code.to_be_bytes(), body].concat();
        message_code(&self.exchange(&command).unwrap())
    }

    /// Extends PCR `number` by a digest of zeros.
    pub fn extend_pcr(&mut self, number: u32) {
        let password_session = [0x40, 0, 0, 9, 0, 0, 0, 0, 0];
        let one_sha256_digest = [0, 0, 0, 1, 0, 0xb];
        let body = [
            &number.to_be_bytes()[..],
            &(password_session.len() as u32).to_be_bytes(),
            &password_session,
            &one_sha256_digest,
            &[0; 32],
        ];
        assert_eq!(self.send(WITH_SESSIONS, PCR_EXTEND, &body.concat()), 0);
    }

    /// Begins sessions, and leaves them loaded, until there is no place for another. (tpm2-tools save theirs.)
    pub fn fill_session_slots(&mut self) {
        let no_key_no_object = [0x40, 0, 0, 7, 0x40, 0, 0, 7];
        let nonce = [&[0, 16][..], &[1; 16]].concat();
        let no_salt_hmac_null_sha256 = [0, 0, 0, 0, 0x10, 0, 0xb];
        let body = [&no_key_no_object[..], &nonce, &no_salt_hmac_null_sha256].concat();
        let refused = (0..100).find_map(|_| match self.send(PLAIN, START_AUTH_SESSION, &body) {
            0 => None,
            code => Some(code),
        });
        assert_eq!(refused, Some(0x903));
    }
}

/// A wire that somebody has a hand on.
pub struct Wire {
    port: u16,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Wire {
    pub fn new(tpm_port: u16, tap: impl Tap) -> Self {
        let (data, control) = free_pair();
        let wire = Self { port: data.local_addr().unwrap().port(), seen: Arc::default() };
        let (seen, mut tap) = (wire.seen.clone(), tap);
        accept(data, tpm_port, move |mut tss, tpm| serve(&mut tss, Tpm(tpm), &mut tap, &seen));
        accept(control, tpm_port + 1, pass_on);
        wire
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether these bytes went past, in either direction.
    pub fn saw(&self, bytes: &[u8]) -> bool {
        let contains = |message: &Vec<u8>| message.windows(bytes.len()).any(|window| window == bytes);
        self.seen.lock().unwrap().iter().any(contains)
    }

    /// How many bytes the TPM answered, without tags and lengths.
    pub fn answered(&self) -> usize {
        self.seen.lock().unwrap().iter().skip(1).step_by(2).map(|response| response.len() - 6).sum()
    }

    /// How each session was begun: salted to a key or not, and with which symmetric algorithm.
    pub fn sessions(&self) -> Vec<SessionStart> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|message| message_code(message) == START_AUTH_SESSION)
            .map(|m| SessionStart::parse(m))
            .collect()
    }
}

/// What a listener can tell of a session from its StartAuthSession.
#[derive(Debug, PartialEq, Eq)]
pub struct SessionStart {
    pub salted: bool,
    pub aes_128_cfb: bool,
}

impl SessionStart {
    /// Header; key; object it is bound to; nonce and salt, each with its length; kind; symmetric algorithm.
    fn parse(command: &[u8]) -> Self {
        let (key, rest) = (&command[10..14], &command[18..]);
        let (_, rest) = split_sized(rest);
        let (salt, rest) = split_sized(rest);
        let null_key = [0x40, 0, 0, 7];
        Self {
            salted: key != null_key && !salt.is_empty(),
            aes_128_cfb: rest.get(1..7) == Some(&[0, 6, 0, 128, 0, 0x43]),
        }
    }
}

fn split_sized(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes[2..].split_at(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
}

/// Serves each connection with one of its own to the TPM. A TPM that does not answer is passed on as a hang-up.
fn accept(
    listener: TcpListener,
    tpm_port: u16,
    mut serve: impl FnMut(TcpStream, TcpStream) -> io::Result<()> + Send + 'static,
) {
    std::thread::spawn(move || {
        for tss in listener.incoming().flatten() {
            if let Ok(tpm) = TcpStream::connect((Ipv4Addr::LOCALHOST, tpm_port)) {
                // The connection's end is the end of a test or of one operation, never a failure.
                let _ = serve(tss, tpm);
            }
        }
    });
}

/// Copies both ways until the TSS closes its end.
fn pass_on(mut tss: TcpStream, mut tpm: TcpStream) -> io::Result<()> {
    let (mut tss_writer, mut tpm_reader) = (tss.try_clone()?, tpm.try_clone()?);
    std::thread::spawn(move || io::copy(&mut tpm_reader, &mut tss_writer));
    io::copy(&mut tss, &mut tpm)?;
    tpm.shutdown(Shutdown::Both)
}

fn serve(
    tss: &mut TcpStream,
    mut tpm: Tpm,
    tap: &mut impl Tap,
    seen: &Mutex<Vec<Vec<u8>>>,
) -> io::Result<()> {
    loop {
        let mut command = read_message(tss)?;
        let code = message_code(&command);
        seen.lock().unwrap().push(command.clone());
        if tap.command(code, &mut command, &mut tpm) == Verdict::HangUp {
            return Ok(());
        }
        let mut response = tpm.exchange(&command)?;
        seen.lock().unwrap().push(response.clone());
        tap.response(code, &mut response);
        tss.write_all(&response)?;
    }
}

fn message_code(message: &[u8]) -> u32 {
    u32::from_be_bytes(message[6..10].try_into().unwrap())
}

/// A command or a response: tag, length of the whole (big-endian, at byte 2), code, the rest.
fn read_message(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; 10];
    from.read_exact(&mut message)?;
    let length = u32::from_be_bytes(message[2..6].try_into().unwrap()) as usize;
    message.resize(length, 0);
    from.read_exact(&mut message[10..])?;
    Ok(message)
}
