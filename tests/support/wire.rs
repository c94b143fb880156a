//! The wire between the helper and its TPM, for tests that listen on it or tamper with it.
//!
//! It takes the TSS's connections on a pair of ports of its own and passes everything on. Its threads end with their
//! connections, the two that accept with the test program.

use crate::swtpm::free_pair;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub const CREATE_PRIMARY: u32 = 0x131;
pub const UNSEAL: u32 = 0x15e;
const PCR_EXTEND: u32 = 0x182;

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

/// The other end, to which a tap can send commands of its own.
pub struct Tpm(TcpStream);

impl Tpm {
    fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(command)?;
        read_message(&mut self.0)
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
        ]
        .concat();
        let with_sessions = [0x80, 2];
        let length = (10 + body.len()) as u32;
        let command = [&with_sessions[..], &length.to_be_bytes(), &PCR_EXTEND.to_be_bytes(), &body].concat();
        let response = self.exchange(&command).unwrap();
        assert_eq!(response[6..10], [0; 4], "PCR_Extend");
    }
}

/// A wire that somebody has a hand on.
pub struct Wire {
    port: u16,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Wire {
    pub fn new(tpm_port: u16, tap: impl Tap) -> Self {
        let (data, control) = free_pair();
        let wire = Self { port: data.local_addr().unwrap().port(), seen: Arc::default() };
        let (seen, tap) = (wire.seen.clone(), Arc::new(Mutex::new(tap)));
        accept(data, tpm_port, move |mut tss, tpm| serve(&mut tss, Tpm(tpm), &mut *tap.lock().unwrap(), &seen));
        accept(control, tpm_port + 1, |mut tss, mut tpm| {
            let (mut tss_reader, mut tpm_writer) = (tss.try_clone()?, tpm.try_clone()?);
            std::thread::spawn(move || io::copy(&mut tss_reader, &mut tpm_writer));
            io::copy(&mut tpm, &mut tss).map(|_| ())
        });
        wire
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether these bytes went past, in either direction.
    pub fn saw(&self, bytes: &[u8]) -> bool {
        self.seen.lock().unwrap().windows(bytes.len()).any(|window| window == bytes)
    }

    /// How many bytes went past: a listener that heard nothing proves nothing.
    pub fn heard(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
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

fn serve(tss: &mut TcpStream, mut tpm: Tpm, tap: &mut impl Tap, seen: &Mutex<Vec<u8>>) -> io::Result<()> {
    loop {
        let mut command = read_message(tss)?;
        let code = u32::from_be_bytes(command[6..10].try_into().unwrap());
        seen.lock().unwrap().extend(&command);
        if tap.command(code, &mut command, &mut tpm) == Verdict::HangUp {
            return Ok(());
        }
        let mut response = tpm.exchange(&command)?;
        seen.lock().unwrap().extend(&response);
        tap.response(code, &mut response);
        tss.write_all(&response)?;
    }
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
