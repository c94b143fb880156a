//! Which requests the kernel sends, and how they are served beside each other.

use crate::live::*;
use crate::memory;
use cryptfs::mount::{IdleClass, Options, Transport};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

on_each_transport! {
    opens_are_asked_only_without_kernel_permissions
    names_are_not_remembered_where_the_filesystem_checks_permissions
    a_slow_request_holds_up_nobody
    many_threads_at_once
    who_starts_a_program_with_a_file_open_gets_its_reply
    a_handle_of_an_earlier_mount_is_stale
}

mod changing_places {
    use cryptfs::mount::Transport;
    use std::sync::Mutex;

    /// Either would keep the other from a quiet machine.
    static ALONE: Mutex<()> = Mutex::new(());

    #[test]
    fn over_dev_fuse() {
        let _alone = ALONE.lock();
        super::threads_of_both_classes_change_places(Transport::Device);
        super::who_asks_alone_is_served_by_the_idle_class(Transport::Device);
        super::who_asks_alone_where_all_cpus_are_in_use_is_followed_to_its_own();
    }

    #[test]
    fn over_io_uring() {
        let _alone = ALONE.lock();
        crate::child::over_io_uring(super::threads_of_both_classes_change_places);
        crate::child::over_io_uring(super::who_asks_alone_is_served_by_the_idle_class);
    }
}

fn opens_are_asked_only_without_kernel_permissions(transport: Transport) {
    for kernel_permissions in [true, false] {
        let options = Options { kernel_permissions, acls: false, transport, ..Options::default() };
        let live = Live::with(&options);
        for n in 0..10 {
            fs::write(live.path("file"), [n]).unwrap();
            assert_eq!(fs::read(live.path("file")).unwrap(), [n]);
        }
        // Who makes a file has it open by that.
        let expected = if kernel_permissions { 0 } else { 19 };
        assert_eq!(live.memory.opens.load(Ordering::Relaxed), expected);
        live.finish();
    }
}

/// A name that the kernel knows is one that nobody checks the way to.
fn names_are_not_remembered_where_the_filesystem_checks_permissions(transport: Transport) {
    for (kernel_permissions, asked) in [(true, 1), (false, 3)] {
        let live = Live::with(&Options { kernel_permissions, acls: false, transport, ..Options::default() });
        for _ in 0..3 {
            assert!(!live.path("missing").exists());
        }
        assert_eq!(live.memory.asked.load(Ordering::Relaxed), asked, "missing");
        fs::write(live.path("file"), b"x").unwrap();
        let before = live.memory.asked.load(Ordering::Relaxed);
        for _ in 0..3 {
            assert!(live.path("file").exists());
        }
        let asked = live.memory.asked.load(Ordering::Relaxed) - before;
        assert_eq!(asked, if kernel_permissions { 0 } else { 3 }, "there");
        live.finish();
    }
}

/// Over io_uring, all who run on one CPU share a queue.
fn a_slow_request_holds_up_nobody(transport: Transport) {
    let live = Live::new(transport);
    fs::write(live.path("file"), b"x").unwrap();
    let on_one_cpu = |program: &str| {
        let mut command = Command::new("taskset");
        command.args(["-c", "0", program]);
        command
    };
    // The first tells that syncs are slow; during the second somebody asks for something else.
    for number in 1..=2 {
        let gate = live.memory.gate.lock();
        let mut slow = on_one_cpu("sync").arg(live.path("file")).spawn().unwrap();
        wait_until("the sync came", || live.memory.syncs.load(Ordering::Relaxed) == number);
        thread::sleep(Duration::from_millis(20));
        let mut quick = on_one_cpu("stat");
        let mut quick = quick.arg("-f").arg(live.directory.path()).stdout(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut answered = number == 1;
        while !answered && Instant::now() < deadline {
            answered = quick.try_wait().unwrap().is_some();
            thread::sleep(Duration::from_millis(2));
        }
        // Nobody may be left waiting when this fails.
        drop(gate);
        assert!(slow.wait().unwrap().success() && quick.wait().unwrap().success());
        assert!(answered, "what is quick waited for what is slow");
    }
    live.finish();
}

fn many_threads_at_once(transport: Transport) {
    let live = Live::with(&Options { threads: 4, transport, ..Options::default() });
    four_at_work(&live, 200);
    live.finish();
}

fn four_at_work(live: &Live, files: usize) {
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let home = live.path(&format!("worker-{worker}"));
            thread::spawn(move || {
                fs::create_dir(&home).unwrap();
                for n in 0..files {
                    let (path, moved) = (home.join(format!("{n}")), home.join(format!("moved-{n}")));
                    let data = vec![n as u8; 1 + n * 701];
                    fs::write(&path, &data).unwrap();
                    fs::rename(&path, &moved).unwrap();
                    assert!(fs::read(&moved).unwrap() == data);
                    if n % 3 == 0 {
                        fs::remove_file(&moved).unwrap();
                    }
                }
                assert_eq!(fs::read_dir(&home).unwrap().count(), files - files.div_ceil(3));
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}

/// execve(2) closes what is not to be kept, which a mount with writeback is asked about; until it has an answer, nobody can
/// look at that process (`exec_update_lock`).
fn who_starts_a_program_with_a_file_open_gets_its_reply(transport: Transport) {
    let options =
        Options { transport, idle_class: IdleClass::InTurns, writeback: true, ..Options::default() };
    let live = Live::with(&options);
    let path = live.path("file");
    let starts = thread::spawn(move || {
        for _ in 0..100 {
            let _open = fs::File::create(&path).unwrap();
            assert!(Command::new("true").status().unwrap().success());
        }
    });
    wait_until("all programs have run", || starts.is_finished());
    starts.join().unwrap();
    live.finish();
}

/// How many requests came.
fn all(live: &Live) -> u64 {
    live.requests.snapshot().iter().sum()
}

/// Each request is one for the other class, so each is handed over. On a busy machine the idle class waits for each of them.
fn threads_of_both_classes_change_places(transport: Transport) {
    let live = Live::with(&Options { transport, idle_class: IdleClass::InTurns, ..Options::default() });
    fs::write(live.path("first"), b"x").unwrap();
    let first = fs::File::open(live.path("first")).unwrap();
    // Where everybody is busy its thread is late.
    wait_until("the idle class serves", || {
        first.sync_all().unwrap();
        live.requests.of_idle_class() > 0
    });
    drop(first);
    let before = (live.requests.of_idle_class(), all(&live));
    four_at_work(&live, 30);
    let (idle, all) = (live.requests.of_idle_class() - before.0, all(&live) - before.1);
    assert!(all / 5 < idle && idle < all - all / 5, "{idle} of {all}");
    live.finish();
}

/// What the class is for: one who asks, on a machine that is not busy, is served by it. Other tests may keep this one busy.
fn who_asks_alone_is_served_by_the_idle_class(transport: Transport) {
    const ENOUGH: u64 = 100;
    let served = |idle_class| {
        let live = Live::with(&Options { transport, idle_class, ..Options::default() });
        fs::write(live.path("file"), b"x").unwrap();
        let file = fs::File::open(live.path("file")).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut quiet = 0;
        let goes_on = |quiet| match idle_class {
            IdleClass::Never => all(&live) < 2_000,
            _ => live.requests.of_idle_class() < ENOUGH && quiet < 300 && Instant::now() < deadline,
        };
        while goes_on(quiet) {
            (0..100).for_each(|_| file.sync_all().unwrap());
            quiet += u32::from(is_quiet());
        }
        drop(file);
        let served = live.requests.of_idle_class();
        live.finish();
        (served, quiet)
    };
    assert_eq!(served(IdleClass::Never).0, 0);
    let (served, quiet) = served(IdleClass::Auto);
    assert!(served >= ENOUGH || quiet < 300, "{served}, and the machine was quiet {quiet} times");
}

fn who_asks_alone_where_all_cpus_are_in_use_is_followed_to_its_own() {
    let live = Live::new(Transport::Device);
    fs::write(live.path("file"), b"x").unwrap();
    let file = fs::File::open(live.path("file")).unwrap();
    let is_over = AtomicBool::new(false);
    let was_followed = thread::scope(|scope| {
        for _ in 0..2 * thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::spin_loop()
                }
            });
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut was_followed = false;
        while !was_followed && Instant::now() < deadline {
            (0..200).for_each(|_| file.sync_all().unwrap());
            was_followed = servers_on_one_cpu() > 0;
        }
        is_over.store(true, Ordering::Relaxed);
        was_followed
    });
    assert!(was_followed);
    drop(file);
    live.finish();
}

/// How many threads of this process may run on one CPU only, without those that always do.
fn servers_on_one_cpu() -> usize {
    let is_one = |task: &std::path::Path| {
        let read = |name: &str| fs::read_to_string(task.join(name)).unwrap_or_default();
        let (name, status) = (read("comm"), read("status"));
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let always = name.starts_with("fuse-cpu") || name.starts_with("fuse-idle");
        !always && list.is_some_and(|list| list.trim().parse::<u32>().is_ok())
    };
    fs::read_dir("/proc/self/task").unwrap().filter(|task| is_one(&task.as_ref().unwrap().path())).count()
}

/// Whether nobody but this thread runs.
fn is_quiet() -> bool {
    fs::read_to_string("/proc/loadavg").unwrap().split(' ').nth(3).unwrap().starts_with("1/")
}

/// A file server's clients keep handles over a remount; node numbers begin anew there.
fn a_handle_of_an_earlier_mount_is_stale(transport: Transport) {
    if !is_root() {
        return;
    }
    const SCRIPT: &str = include_str!("../support/handles.py");
    let kept = tempfile::NamedTempFile::new().unwrap();
    let handles = |live: &Live, name: &str| {
        let mut script = Command::new("python3");
        script.args(["-c", SCRIPT]).arg(live.directory.path()).arg(kept.path()).arg(name);
        String::from_utf8(run(&mut script).stdout).unwrap()
    };
    let first = Live::new(transport);
    fs::write(first.path("mine"), "mine").unwrap();
    handles(&first, "mine");
    assert_eq!(handles(&first, ""), "mine\n");
    first.finish();
    let second = Live::new(transport);
    fs::write(second.path("another"), "another").unwrap();
    assert_eq!(handles(&second, ""), format!("{}\n", libc::ESTALE));
    second.finish();
}

#[test]
fn our_own_transport_tells_nodes_from_inode_numbers() {
    let live = Live::new(Transport::Device);
    fs::write(live.path("file"), b"x").unwrap();
    let listed = || fs::read_dir(live.directory.path()).unwrap().next().unwrap().unwrap();
    let number = fs::metadata(live.path("file")).unwrap().ino();
    assert!(number > memory::NUMBER_OFFSET);
    assert_eq!(std::os::unix::fs::DirEntryExt::ino(&listed()), number);
    let script = "import os,sys; os.utime(sys.argv[1], (5,5))";
    run(Command::new("python3").args(["-c", script]).arg(live.path("file")));
    let born = run(Command::new("stat").args(["-c", "%W"]).arg(live.path("file"))).stdout;
    assert!(String::from_utf8_lossy(&born).trim().parse::<u64>().unwrap() > 1_000_000_000);
    live.finish();
}
