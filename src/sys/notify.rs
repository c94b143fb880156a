//! inotify(7), and a wait that another thread can end.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::{Errno, retry_on_intr, write};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Watches folders.
pub struct Notify {
    events: OwnedFd,
    waker: Waker,
}

/// Ends a wait, now or the next one.
#[derive(Clone)]
pub struct Waker(Arc<OwnedFd>);

/// Which watch an event is of.
pub type Place = i32;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A file was written and closed.
    Written,
    /// A file came or went by another way.
    Moved,
    /// A folder came.
    Folder,
    /// The watched folder itself is gone.
    Gone,
    /// Events were lost.
    Overflow,
}

impl Notify {
    /// # Errors
    ///
    /// EMFILE where this user has too many of them.
    pub fn new() -> io::Result<Notify> {
        let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let waker = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Notify { events, waker: Waker(Arc::new(waker)) })
    }

    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Watches an open folder. `folders`: new folders in it are of interest too.
    ///
    /// # Errors
    ///
    /// ENOSPC where this user watches too many.
    pub fn add(&self, folder: &File, folders: bool) -> io::Result<Place> {
        let files =
            WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE;
        let flags =
            files | WatchFlags::ONLYDIR | if folders { WatchFlags::CREATE } else { WatchFlags::empty() };
        // By the descriptor, so that no link is followed and no other folder takes its place meanwhile.
        let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
        Ok(retry_on_intr(|| inotify::add_watch(&self.events, path.as_str(), flags))?)
    }

    /// Waits until something happened, at most so long, or until it is woken.
    ///
    /// # Errors
    ///
    /// poll(2)'s, but not EINTR, which ends the wait.
    pub fn wait(&self, at_most: Option<Duration>) -> io::Result<()> {
        let limit = at_most.map(|limit| Timespec {
            tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        });
        let mut sources = [&self.events, &*self.waker.0].map(|fd| PollFd::new(fd, PollFlags::IN));
        match poll(&mut sources, limit.as_ref()) {
            Err(Errno::INTR) => Ok(()),
            polled => Ok(polled.map(drop)?),
        }
    }

    /// Tells of everything that happened, with the names of what it happened to.
    ///
    /// # Errors
    ///
    /// read(2)'s. What was told before it stays told.
    pub fn take(&self, tell: &mut dyn FnMut(Place, What, &[u8])) -> io::Result<()> {
        let mut room = [MaybeUninit::uninit(); 16 << 10];
        let mut reader = Reader::new(&self.events, &mut room);
        loop {
            let event = match reader.next() {
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                event => event?,
            };
            let (happened, name) =
                (event.events(), event.file_name().map_or(&b""[..], |name| name.to_bytes()));
            let comes = happened.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
            let what = match () {
                () if happened.contains(ReadFlags::QUEUE_OVERFLOW) => What::Overflow,
                () if happened.contains(ReadFlags::IGNORED) => What::Gone,
                () if happened.contains(ReadFlags::ISDIR) && comes => What::Folder,
                () if happened.contains(ReadFlags::ISDIR) => continue,
                () if happened.contains(ReadFlags::CLOSE_WRITE) => What::Written,
                () if happened.contains(ReadFlags::CREATE) => continue,
                () => What::Moved,
            };
            tell(event.wd(), what, name);
        }
    }
}

impl Waker {
    pub fn wake(&self) {
        // Any number but zero counts; full means that it was woken already.
        let _ = write(&*self.0, &[1; 8]);
    }
}
