//! How a mount is printed, for people and as JSON.

use super::Mount;
use super::look::{Check, Seen};
use crate::cli::visible::{self, shown};
use crate::cli::{advice, report};
use crate::fs::ops::KnownDevice;
use crate::mount::Status;
use serde_json::{Value, json};

const NOT_KNOWN: &str = "not known";

pub fn as_json(mount: &Mount) -> Value {
    let seen = mount.seen.clone().unwrap_or_default();
    let told = mount.troubles.iter().map(|trouble| {
        json!({
            "what": trouble.word(),
            "needs_a_person": trouble.needs_a_person(),
            "text": advice::trouble(trouble, &mount.entry),
        })
    });
    let troubles: Vec<Value> = told.collect();
    json!({
        "mountpoint": mount.entry.path.to_string_lossy(),
        "backing": mount.entry.source.to_string_lossy(),
        "user": mount.entry.user,
        "read_only": mount.entry.read_only,
        "uuid": seen.uuid,
        "daemon": seen.status(),
        "findings": seen.findings,
        "not_arrived": seen.not_arrived,
        "placeholders": seen.placeholders,
        "not_arrived_since": seen.not_arrived_since,
        "checked": seen.checked.done(),
        "slots": seen.slots,
        "troubles": troubles,
    })
}

pub fn as_text(mount: &Mount) -> String {
    let Mount { entry, seen, troubles } = mount;
    let mut text = format!("{}\n", shown(&entry.path));
    let mut line = |name: &str, value: String| text += &format!("  {name:<16}{}\n", visible::line(&value));
    let volume = seen.as_ref().and_then(|seen| seen.uuid.as_deref()).unwrap_or(NOT_KNOWN);
    line("Volume", volume.to_owned());
    line("Backing folder", shown(&entry.source).to_string());
    if let Some(status) = seen.as_ref().and_then(Seen::status) {
        line("Mounted", mounted(status, entry.read_only));
        line("Not stored yet", not_stored(status));
        line("Free space", free_space(status));
        line("Conflicts", status.condition.conflicts.to_string());
        match &status.condition.devices {
            Some(devices) => devices.iter().for_each(|found| line("Device", device(found))),
            None => line("Devices", NOT_KNOWN.to_owned()),
        }
    }
    if let Some(seen) = seen {
        line("Findings", seen.findings.map_or_else(|| NOT_KNOWN.to_owned(), |count| count.to_string()));
        line("Not arrived", not_arrived(seen));
        line("Checked", checked(seen.checked));
        line("Key slots", slots(seen.slots.as_deref()));
    }
    for trouble in troubles {
        let name = if trouble.needs_a_person() { "Needs you" } else { "Waits" };
        line(name, advice::trouble(trouble, entry));
    }
    text
}

fn mounted(status: &Status, read_only: bool) -> String {
    let since = report::time(status.condition.since);
    let how = if read_only { ", read-only" } else { "" };
    format!("since {since}{how} (transport {}, process {})", status.transport, status.process)
}

fn not_stored(status: &Status) -> String {
    match status.condition.unstored {
        0 => "nothing".to_owned(),
        1 => "1 file or folder".to_owned(),
        count => format!("{count} files and folders"),
    }
}

fn free_space(status: &Status) -> String {
    match (status.available, status.capacity) {
        (Some(available), Some(capacity)) => format!("{} of {}", size(available), size(capacity)),
        _ => NOT_KNOWN.to_owned(),
    }
}

fn not_arrived(seen: &Seen) -> String {
    match (seen.not_arrived, seen.not_arrived_since) {
        (Some(count), Some(since)) => format!("{count}, the first since {}", report::time(since)),
        (Some(count), None) => count.to_string(),
        (None, _) => NOT_KNOWN.to_owned(),
    }
}

fn device(device: &KnownDevice) -> String {
    let name = if device.label.is_empty() { &device.id } else { &device.label };
    let this = if device.this_device { " (this device)" } else { "" };
    let last = match device.last_wrote {
        0 => "it is not known when it last wrote".to_owned(),
        last => format!("last wrote {}", report::time(last)),
    };
    let waiting = match device.waiting {
        Some(0) => String::new(),
        Some(1) => "; 1 batch of changes in its journal".to_owned(),
        Some(count) => format!("; {count} batches of changes in its journal"),
        None => "; its journal cannot be read".to_owned(),
    };
    format!("{name}{this}: {last}{waiting}")
}

fn checked(checked: Check) -> String {
    let checked = match checked {
        Check::NotKnown => return NOT_KNOWN.to_owned(),
        Check::Never => return "not yet on this device".to_owned(),
        Check::Done(checked) => checked,
    };
    let what = if checked.data { "all content, too" } else { "without content" };
    let found = match (checked.damaged, checked.waiting) {
        (0, 0) => "nothing found".to_owned(),
        (damaged, waiting) => format!("{damaged} damaged, {waiting} not arrived"),
    };
    format!("{} ({what}): {found}", report::time(checked.when))
}

fn slots(slots: Option<&[Value]>) -> String {
    let Some(slots) = slots else { return "cannot be read".to_owned() };
    let shown = slots.iter().map(|slot| {
        let [kind, label] = ["type", "label"].map(|name| slot[name].as_str().unwrap_or_default());
        if label.is_empty() { kind.to_owned() } else { format!("{kind} ({label})") }
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Bytes, to three digits or so.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = "bytes";
    for larger in UNITS {
        if value < 1000.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    if value < 10.0 && unit != "bytes" { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(999), "999 bytes");
        assert_eq!(size(1000), "1.0 KiB");
        assert_eq!(size(20 << 20), "20 MiB");
        assert_eq!(size((3 << 30) + (512 << 20)), "3.5 GiB");
    }
}
