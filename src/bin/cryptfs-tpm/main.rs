//! cryptfs-tpm: the only program that links the TSS. One request on standard input, one response on standard output.
//!
//! Started by `cryptfs::keys::tpm::Client`; what a frame holds is defined in `cryptfs::keys::tpm::protocol`.
//! Always holds: no environment but the one set here, no core dump, memory not readable by others, nothing is ever
//! written to standard error by the TSS (its tracing prints secrets), and the process ends after one request.
//!
//! `tpm` opens the TPM and finds the storage root key, `session` makes salted sessions, `seal`, `unseal` and `probe`
//! do the work, `template` says what keys look like, `fault` what response codes mean.

mod fault;
mod probe;
mod seal;
mod session;
mod template;
mod tpm;
mod unseal;

use cryptfs::keys::tpm::protocol::{Request, Response, read_frame, write_frame};
use cryptfs::sys::process;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;

fn main() -> ExitCode {
    match process::replace_environment(c"TSS2_LOG", c"all+NONE")
        .and_then(|()| process::forbid_memory_dumps())
        .and_then(|()| serve())
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cryptfs-tpm: {error}; this program is started by cryptfs");
            ExitCode::FAILURE
        }
    }
}

/// Answers one request. The files are unbuffered: `io::stdin()` and `io::stdout()` would keep copies of the secret.
fn serve() -> io::Result<()> {
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let request = Request::decode(&read_frame(&mut input)?)?;
    let response = answer(request).unwrap_or_else(Response::Failed);
    write_frame(&mut output, &response.encode())
}

fn answer(request: Request) -> Result<Response, cryptfs::keys::tpm::TpmError> {
    match request {
        Request::Probe { tcti } => tpm::with(&tcti, probe::probe).map(Response::Present),
        Request::Seal { tcti, secret, bank, pcrs, auth } => {
            let wish = seal::Wish { secret, bank, pcrs, auth };
            tpm::with(&tcti, |tpm| seal::seal(tpm, &wish)).map(Response::Sealed)
        }
        Request::Unseal { tcti, fields, auth } => {
            tpm::with(&tcti, |tpm| unseal::unseal(tpm, &fields, auth.as_ref())).map(Response::Unsealed)
        }
    }
}
