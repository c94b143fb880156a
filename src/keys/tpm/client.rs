//! cryptfs's end of the pipe: starts the helper for one request, and never waits for it longer than it has to.
//!
//! The helper is found by where this program lies, never through PATH, and gets an empty environment. It lives for
//! one request: whatever the TSS leaves in memory dies with it. Not to be called on a FUSE thread: a TPM takes its time.

use super::protocol::{self, Request, Response};
use super::{AuthValue, PcrBank, PcrMask, SealedSecret, Tcti, TctiError, TpmError, TpmInfo, TpmSlotFields};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// What the loader of shared libraries exits with when it misses one.
const EXIT_LOADER: i32 = 127;

/// A way to this machine's TPM.
#[derive(Clone, Debug)]
pub struct Client {
    helper: PathBuf,
    tcti: Tcti,
    timeout: Duration,
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The TPM's own answer.
    #[error("{0}")]
    Tpm(#[source] TpmError),
    /// No `cryptfs-tpm` beside this program or in its libexec folder.
    #[error("the TPM helper cryptfs-tpm is not installed")]
    HelperNotInstalled,
    /// The helper does not start: the TSS libraries are missing.
    #[error("the TPM helper cryptfs-tpm cannot load the TSS libraries")]
    LibrariesMissing,
    #[error("{0}")]
    BadTcti(#[source] TctiError),
    /// An authorization value longer than [`AuthValue::MAX_LENGTH`], or none where the slot has a PIN.
    #[error("no usable authorization value for this TPM slot")]
    BadAuth,
    /// A real TPM answers within seconds; this one did not.
    #[error("the TPM did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The helper ended without an answer.
    #[error("the TPM helper cryptfs-tpm failed ({0})")]
    Helper(ExitStatus),
    #[error("the TPM helper cryptfs-tpm: {0}")]
    Io(#[source] io::Error),
}

/// What the TPM gave, or why it gave nothing.
pub type Answer<T> = Result<T, ClientError>;

impl Client {
    /// Long enough for a slow TPM's thirty tries, short enough for a person.
    const TIMEOUT: Duration = Duration::from_secs(60);

    /// A client of the installed helper. `tcti` is the user's option; without it the environment and the default count.
    ///
    /// # Errors
    ///
    /// [`ClientError::HelperNotInstalled`]; [`ClientError::BadTcti`]; [`ClientError::Io`] where this program does not
    /// know its own path.
    pub fn new(tcti: Option<&str>) -> Result<Self, ClientError> {
        let program = std::env::current_exe().map_err(ClientError::Io)?;
        let helper = find_helper(&program).ok_or(ClientError::HelperNotInstalled)?;
        let tcti = Tcti::choose(tcti).map_err(ClientError::BadTcti)?;
        Ok(Self::with_helper(helper, tcti, Self::TIMEOUT))
    }

    /// A client of this very helper.
    pub fn with_helper(helper: PathBuf, tcti: Tcti, timeout: Duration) -> Self {
        Self { helper, tcti, timeout }
    }

    /// Where the TPM is reached.
    pub fn tcti(&self) -> &Tcti {
        &self.tcti
    }

    /// Whether a TPM answers, and how many tries it would give.
    ///
    /// # Errors
    ///
    /// [`ClientError::Tpm`] is the TPM's; [`ClientError::HelperNotInstalled`], [`ClientError::LibrariesMissing`],
    /// [`ClientError::Timeout`], [`ClientError::Helper`] and [`ClientError::Io`] are the helper's.
    pub fn probe(&self) -> Result<TpmInfo, ClientError> {
        match self.exchange(&Request::Probe { tcti: self.tcti.clone() })? {
            Response::Present(info) => Ok(info),
            other => Err(unexpected(other)),
        }
    }

    /// Seals `secret` to this TPM, to the present values of `pcrs`, and to `auth` (`k2` of a stretched PIN).
    ///
    /// # Errors
    ///
    /// [`ClientError::BadAuth`] for an `auth` that is too long; else as for [`Client::probe`].
    pub fn seal(&self, secret: SealedSecret, pcrs: PcrMask, auth: Option<&[u8]>) -> Answer<TpmSlotFields> {
        let (tcti, bank, auth) = (self.tcti.clone(), PcrBank::Sha256, auth_value(auth)?);
        match self.exchange(&Request::Seal { tcti, secret, bank, pcrs, auth })? {
            Response::Sealed(fields) => Ok(fields),
            other => Err(unexpected(other)),
        }
    }

    /// Gives back what [`Client::seal`] sealed.
    ///
    /// # Errors
    ///
    /// [`ClientError::BadAuth`] for an `auth` that is too long, missing, or one too many; [`TpmError::Damaged`] for
    /// fields that are too long; else as for [`Client::probe`].
    pub fn unseal(&self, fields: &TpmSlotFields, auth: Option<&[u8]>) -> Answer<SealedSecret> {
        let auth = auth_value(auth)?;
        if fields.pin != auth.is_some() {
            return Err(ClientError::BadAuth);
        }
        let (tcti, fields) = (self.tcti.clone(), fields.clone());
        if fields.public.len() > TpmSlotFields::MAX_PUBLIC_LENGTH
            || fields.private.len() > TpmSlotFields::MAX_PRIVATE_LENGTH
        {
            return Err(ClientError::Tpm(TpmError::Damaged));
        }
        match self.exchange(&Request::Unseal { tcti, fields, auth })? {
            Response::Unsealed(secret) => Ok(secret),
            other => Err(unexpected(other)),
        }
    }

    fn exchange(&self, request: &Request) -> Result<Response, ClientError> {
        let mut helper = RunningHelper::start(&self.helper)?;
        let body = request.encode();
        let answer = helper.ask(&body, self.timeout)?;
        match answer {
            Ok(body) => Response::decode(&body).map_err(|malformed| ClientError::Io(malformed.into())),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(ClientError::Io(error)),
            Err(_) => Err(match helper.0.wait() {
                Ok(status) if status.code() == Some(EXIT_LOADER) => ClientError::LibrariesMissing,
                Ok(status) => ClientError::Helper(status),
                Err(error) => ClientError::Io(error),
            }),
        }
    }
}

/// A helper that is killed, if need be, and waited for when dropped.
struct RunningHelper(Child);

impl RunningHelper {
    fn start(path: &Path) -> Result<Self, ClientError> {
        Command::new(path)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map(Self)
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => ClientError::HelperNotInstalled,
                _ => ClientError::Io(error),
            })
    }

    /// The helper's answer or why there is none. A frame is far smaller than a pipe, so that writing never blocks;
    /// reading does, on a thread of its own, until the answer or the killed helper's end of file.
    fn ask(
        &mut self,
        body: &[u8],
        timeout: Duration,
    ) -> Result<io::Result<zeroize::Zeroizing<Vec<u8>>>, ClientError> {
        let (stdin, stdout) = (self.0.stdin.take(), self.0.stdout.take());
        let (Some(mut stdin), Some(mut stdout)) = (stdin, stdout) else {
            return Err(ClientError::Io(io::ErrorKind::BrokenPipe.into()));
        };
        let mut frame = zeroize::Zeroizing::new(Vec::with_capacity(protocol::MAX_BODY + 4));
        protocol::write_frame(&mut *frame, body).map_err(ClientError::Io)?;
        match stdin.write_all(&frame) {
            // A helper that ended without reading: what it wrote, or its status, says why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written.map_err(ClientError::Io)?,
        }
        drop(stdin);
        let (answers, answer) = mpsc::sync_channel(1);
        std::thread::spawn(move || answers.send(protocol::read_frame(&mut stdout)));
        answer.recv_timeout(timeout).map_err(|_| ClientError::Timeout(timeout))
    }
}

impl Drop for RunningHelper {
    fn drop(&mut self) {
        // Both fail only if the helper has been waited for already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Beside `program`, or in the libexec folder of the same prefix.
fn find_helper(program: &Path) -> Option<PathBuf> {
    let folder = program.parent()?;
    [folder.join("cryptfs-tpm"), folder.join("../libexec/cryptfs/cryptfs-tpm")]
        .into_iter()
        .find(|candidate| candidate.is_file())
}

fn auth_value(auth: Option<&[u8]>) -> Result<Option<AuthValue>, ClientError> {
    auth.map(|bytes| AuthValue::new(bytes).ok_or(ClientError::BadAuth)).transpose()
}

fn unexpected(response: Response) -> ClientError {
    match response {
        Response::Failed(error) => ClientError::Tpm(error),
        _ => ClientError::Io(protocol::Malformed.into()),
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
