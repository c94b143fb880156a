//! What a service tells its manager (sd_notify(3)): that it is ready, what it does, that it ends.
//!
//! Above: `cli::serving`.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends lines such as `READY=1` to the manager; nothing where none listens.
///
/// # Errors
///
/// `InvalidInput` where NOTIFY_SOCKET is no address; sendto(2)'s: `NotFound` or `ConnectionRefused` where the manager
/// is gone.
pub fn tell(lines: &[&str]) -> io::Result<()> {
    env::var_os("NOTIFY_SOCKET").map_or(Ok(()), |name| tell_at(&name, lines))
}

/// A name that begins with @ is no path.
fn tell_at(name: &OsStr, lines: &[&str]) -> io::Result<()> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(lines.join("\n").as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_hears_at_a_path_and_at_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let abstract_name = format!("cryptfs-test-{}", std::process::id());
        let listeners = [
            (path.as_os_str().to_owned(), UnixDatagram::bind(&path).unwrap()),
            (
                format!("@{abstract_name}").into(),
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap()).unwrap(),
            ),
        ];
        for (name, listener) in &listeners {
            tell_at(name, &["READY=1", "STATUS=Mounted at /x"]).unwrap();
            let mut heard = [0; 64];
            let length = listener.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"READY=1\nSTATUS=Mounted at /x");
        }
        assert!(tell_at(OsStr::new("/nowhere/at/all"), &["READY=1"]).is_err());
    }
}
