//! Which TPM: the TCTI (transmission interface) in the TSS's notation, `kind[:configuration]`.
//!
//! Order: option, `TPM2TOOLS_TCTI`, `TCTI`, the kernel's resource manager. The environment is ignored when it belongs
//! to somebody with fewer rights than this process. Only the kinds that need no program are taken: `cmd:` runs one.

use crate::sys::process;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

/// A checked TCTI: of a known kind, short, with nothing in it that would be silently ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcti(String);

/// Why a TCTI is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{given}\" is not a TPM interface that cryptfs uses (device, tabrmd, swtpm, mssim)")]
pub struct TctiError {
    pub given: String,
}

impl Tcti {
    const DEFAULT: &str = "device:/dev/tpmrm0";
    const MAX_LENGTH: usize = 256;

    /// The TCTI to use: `option` if given, else the environment's if it may be followed, else the default.
    ///
    /// # Errors
    ///
    /// As for [`Tcti::parse`].
    pub fn choose(option: Option<&str>) -> Result<Self, TctiError> {
        let privileged = process::is_privileged_for_another_user();
        Self::choose_from(option, |name| if privileged { None } else { std::env::var(name).ok() })
    }

    fn choose_from(
        option: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, TctiError> {
        let from_environment = || {
            ["TPM2TOOLS_TCTI", "TCTI"].into_iter().find_map(|name| variable(name).filter(|v| !v.is_empty()))
        };
        match option.map(str::to_owned).or_else(from_environment) {
            Some(given) => Self::parse(&given),
            None => Self::parse(Self::DEFAULT),
        }
    }

    /// Checks a TCTI.
    ///
    /// # Errors
    ///
    /// [`TctiError`] for a kind that is not taken, a configuration that would be ignored, more than 256 bytes, and
    /// what is not all printable ASCII.
    pub fn parse(given: &str) -> Result<Self, TctiError> {
        let (kind, configuration) = given.split_once(':').unwrap_or((given, ""));
        let known = match kind {
            "device" => configuration.is_empty() || configuration.starts_with('/'),
            "swtpm" | "mssim" => is_address(configuration),
            "tabrmd" => true,
            _ => false,
        };
        let printable = given.chars().all(|c| c.is_ascii_graphic());
        if known && printable && given.len() <= Self::MAX_LENGTH {
            Ok(Self(given.to_owned()))
        } else {
            Err(TctiError { given: given.escape_debug().take(Self::MAX_LENGTH).collect() })
        }
    }

    /// The device node, where the TPM is one. "device" alone is /dev/tpm0, as everywhere in the TSS.
    pub fn device(&self) -> Option<&Path> {
        let configuration = self.0.strip_prefix("device")?.strip_prefix(':').unwrap_or("");
        Some(Path::new(if configuration.is_empty() { "/dev/tpm0" } else { configuration }))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `host=` (an address or "localhost") and `port=`, each at most once, in either order. Anything else, such as a Unix
/// socket's `path=`, the TSS wrapper would ignore and connect to its default port instead.
fn is_address(configuration: &str) -> bool {
    if configuration.is_empty() {
        return true;
    }
    let pairs: Vec<_> = configuration.split(',').map(|pair| pair.split_once('=')).collect();
    let count = |key| pairs.iter().flatten().filter(|pair| pair.0 == key).count();
    count("host") <= 1
        && count("port") <= 1
        && pairs.iter().all(|pair| match pair {
            Some(("host", host)) => *host == "localhost" || host.parse::<IpAddr>().is_ok(),
            Some(("port", port)) => port.parse::<u16>().is_ok(),
            _ => false,
        })
}

impl fmt::Display for Tcti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.device() {
            Some(path) => write!(f, "{}", path.display()),
            None => f.write_str(&self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(name: &str) -> Option<String> {
        match name {
            "TPM2TOOLS_TCTI" => Some("swtpm:port=1".into()),
            "TCTI" => Some("swtpm:port=2".into()),
            _ => None,
        }
    }

    #[test]
    fn option_then_variables_then_default() {
        let chosen = |option, variable: &dyn Fn(&str) -> Option<String>| {
            Tcti::choose_from(option, variable).unwrap().as_str().to_owned()
        };
        assert_eq!(chosen(Some("device"), &variables), "device");
        assert_eq!(chosen(None, &variables), "swtpm:port=1");
        assert_eq!(chosen(None, &|name| variables(name).filter(|_| name == "TCTI")), "swtpm:port=2");
        assert_eq!(chosen(None, &|_| Some(String::new())), "device:/dev/tpmrm0");
        assert_eq!(chosen(None, &|_| None), "device:/dev/tpmrm0");
    }

    #[test]
    fn device_alone_is_the_exclusive_one() {
        assert_eq!(Tcti::parse("device").unwrap().device(), Some(Path::new("/dev/tpm0")));
        assert_eq!(Tcti::parse("device:/dev/tpmrm0").unwrap().to_string(), "/dev/tpmrm0");
        assert_eq!(Tcti::parse("swtpm").unwrap().device(), None);
    }

    #[test]
    fn refused() {
        for wrong in [
            "cmd:sh -c evil",
            "cmd:true",
            "",
            "libtss2-tcti-cmd.so.0:true",
            "/tmp/evil.so",
            "device:../x",
            "swtpm:path=/run/x",
            "swtpm:port=1,port=2",
            "mssim:host=example.org",
            "swtpm:port=70000",
            "device:/dev/tpm\n0",
        ] {
            assert!(Tcti::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Tcti::parse(&format!("device:/{}", "a".repeat(256))).is_err());
        assert!(Tcti::parse("mssim:port=2321,host=127.0.0.1").is_ok());
    }
}
