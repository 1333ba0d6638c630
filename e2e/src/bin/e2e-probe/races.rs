//! Races: what is judged is exchanged between the judgement and the kernel's own look.
//!
//! `race KIND TRIES` starts programs, or opens files, while something else exchanges what is named: now what no rule
//! speaks of, now what is forbidden. Whoever wins leaves the mark in the answer. Everything happens in the current folder.

use super::Attempt;
use std::ffi::{CString, c_char, c_void};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::ptr::null;

/// What only the forbidden program, or the forbidden file, says.
pub(crate) const MARK: &str = "WON";
/// So often one process tries before it is a failed try.
const AGAIN: usize = 8;
/// An open is much quicker than a start.
const OPENS: usize = 20;

pub(crate) fn attempt(name: &str, words: &[&str]) -> Option<Attempt> {
    if let ("storm", [count]) = (name, words) {
        return Some(storm(count.parse().ok()?));
    }
    let ("race", [kind, tries]) = (name, words) else { return None };
    let tries: usize = tries.parse().ok()?;
    Some(match *kind {
        "thread" => words_in(tries, &Words::Thread),
        "other-thread" => words_in(tries, &Words::OtherThread),
        "shared" => words_in(tries, &Words::Process),
        "vfork" => words_in(tries, &Words::Vfork),
        "written" => words_in(tries, &Words::Written),
        "path" => path_in_memory(tries),
        "descriptor" => descriptor(tries),
        "link" => {
            files(tries, "link", &|| point("link", "/usr/bin/true"), &|| point("link", "/usr/bin/printf"))
        }
        "folder" => folders(tries),
        "script" => {
            files(tries, "script", &|| script("#!/usr/bin/true\n"), &|| script("#!/usr/bin/printf WON\\n\n"))
        }
        "interpreter" => {
            let line = std::env::current_dir().map(|here| format!("#!{}/link WON\\n\n", here.display()));
            line.and_then(|line| script(&line)).ok()?;
            files(tries, "script", &|| point("link", "/usr/bin/true"), &|| point("link", "/usr/bin/printf"))
        }
        "format" => files(tries, FORMATTED, &|| script_at(FORMATTED, "#!/usr/bin/true\n"), &|| {
            script_at(FORMATTED, "PROV\n")
        }),
        "open-link" => opens(tries, "link", &|| point("link", "plain"), &|| point("link", ".env")),
        "open-folder" => opens(tries, "link/file", &|| point("link", "a"), &|| point("link", "b")),
        "open-memory" => open_memory(tries, |at| exchange(at, NAMES)),
        "open-written" => open_written(tries),
        "open-stopped" => open_memory(tries, |at| stopping(at, parent())),
        _ => return None,
    })
}

/// Makes a link anew, by a name that is there all the time.
fn point(link: &str, to: &str) -> io::Result<()> {
    let next = format!("{link}.next");
    drop(std::fs::remove_file(&next));
    std::os::unix::fs::symlink(to, &next)?;
    std::fs::rename(next, link)
}

fn script(text: &str) -> io::Result<()> {
    script_at("script", text)
}

fn script_at(name: &str, text: &str) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write("script.next", text)?;
    std::fs::set_permissions("script.next", std::fs::Permissions::from_mode(0o755))?;
    std::fs::rename("script.next", name)
}

/// What `printf` says the mark of, where a format of the machine's (binfmt_misc) hands it what begins so.
const FORMATTED: &str = r"WON\n";

/// A process of its own, that ends when `run` returns.
fn fork(run: impl FnOnce()) -> i32 {
    // SAFETY: this program has one thread here; the child goes on with a copy of all it had.
    let child = unsafe { libc::fork() };
    if child == 0 {
        run();
        // SAFETY: ends the child without tidying what is its parent's.
        unsafe { libc::_exit(3) }
    }
    child
}

fn wait(child: i32) {
    // SAFETY: waits for a child of ours and is told nothing of it.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
}

fn end(child: i32) {
    // SAFETY: the child is ours and was not waited for.
    unsafe { libc::kill(child, libc::SIGKILL) };
    wait(child);
}

/// Memory that a fork shares.
fn shared() -> *mut u8 {
    let (read_write, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping of one page, where the kernel likes.
    unsafe { libc::mmap(std::ptr::null_mut(), 4096, read_write, kind, -1, 0).cast() }
}

/// Writes a text with its end.
fn put(at: *mut u8, text: &[u8]) {
    // SAFETY: `at` is a page of our own and the text is shorter. That others read it meanwhile is the point.
    unsafe {
        for (index, byte) in text.iter().chain(&[0]).enumerate() {
            at.add(index).write_volatile(*byte);
        }
    }
}

fn exchange(at: *mut u8, texts: [&[u8]; 2]) {
    loop {
        for text in texts {
            put(at, text);
            for _ in 0..200 {
                std::hint::spin_loop();
            }
        }
    }
}

fn exec(path: *const c_char, words: [*const c_char; 3]) {
    let words = [words[0], words[1], words[2], null()];
    let none: [*const c_char; 1] = [null()];
    // SAFETY: both lists end with a null, and what they point to is there for as long as this process.
    unsafe { libc::execve(path, words.as_ptr(), none.as_ptr()) };
}

enum Words {
    Thread,
    OtherThread,
    Process,
    Vfork,
    Written,
}

struct Page(*mut u8);
// SAFETY: the page is there for as long as the process, and racing on it is what it is for.
unsafe impl Send for Page {}

const OK: [&[u8]; 2] = [b"ok.", b"WON"];

/// `echo ok.` or `echo WON`: the word is exchanged by a thread, another process, the parent of a vfork, or a write from
/// outside.
fn words_in(tries: usize, by: &Words) -> Attempt {
    let at = shared();
    put(at, b"ok.");
    let flipper = matches!(by, Words::Process).then(|| fork(|| exchange(at, OK)));
    for _ in 0..tries {
        let child = fork(|| {
            let page = Page(at);
            let start = move || {
                let page = page;
                for _ in 0..AGAIN {
                    exec(c"/usr/bin/echo".as_ptr(), [c"echo".as_ptr(), page.0.cast(), null()]);
                }
            };
            match by {
                Words::Thread => {
                    let page = Page(at);
                    std::thread::spawn(move || exchange({ page }.0, OK));
                    start();
                }
                Words::OtherThread => {
                    let other = std::thread::spawn(start);
                    while !other.is_finished() {
                        put(at, b"ok.");
                        put(at, b"WON");
                    }
                }
                Words::Process => start(),
                Words::Vfork => vfork(at),
                Words::Written => written(at),
            }
        });
        wait(child);
    }
    if let Some(flipper) = flipper {
        end(flipper);
    }
    Ok(0)
}

/// The child of a vfork shares the memory of its parent, whose other thread goes on.
fn vfork(at: *mut u8) {
    let page = Page(at);
    std::thread::spawn(move || exchange({ page }.0, OK));
    let words = [c"echo".as_ptr(), at.cast::<c_char>().cast_const(), null()];
    let none: [*const c_char; 1] = [null()];
    let mut stack = vec![0_u128; 4096];
    let mut call = (words, none);
    extern "C" fn child(call: *mut c_void) -> i32 {
        // SAFETY: `call` is what the parent passes, which waits until this ends.
        let (words, none) = unsafe { &*call.cast::<([*const c_char; 3], [*const c_char; 1])>() };
        for _ in 0..AGAIN {
            // SAFETY: as for every exec here.
            unsafe { libc::execve(c"/usr/bin/echo".as_ptr(), words.as_ptr(), none.as_ptr()) };
        }
        3
    }
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack is large enough and outlives the child, for which this thread waits.
    let made =
        unsafe { libc::clone(child, stack.as_mut_ptr().add(4096).cast(), flags, (&raw mut call).cast()) };
    wait(made);
}

/// A process writes into the memory of the one that starts a program.
fn written(at: *mut u8) {
    let victim = std::process::id() as i32;
    let mut own = Box::new(*b"ok.\0");
    let there = own.as_mut_ptr();
    put(at, b"ok.");
    let writer = fork(|| {
        loop {
            for text in [*b"ok.\0", *b"WON\0"] {
                let here = libc::iovec { iov_base: text.as_ptr().cast_mut().cast(), iov_len: 4 };
                let to = libc::iovec { iov_base: there.cast(), iov_len: 4 };
                // SAFETY: reads our own bytes; what it writes is another process's.
                if unsafe { libc::process_vm_writev(victim, &raw const here, 1, &raw const to, 1, 0) } < 0 {
                    return;
                }
            }
        }
    });
    for _ in 0..AGAIN {
        exec(c"/usr/bin/echo".as_ptr(), [c"echo".as_ptr(), there.cast::<c_char>().cast_const(), null()]);
    }
    end(writer);
}

const PROGRAMS: [&[u8]; 2] = [b"/usr/bin/true", b"/usr/bin/printf"];

fn path_in_memory(tries: usize) -> Attempt {
    let at = shared();
    let flipper = fork(|| exchange(at, PROGRAMS));
    for _ in 0..tries {
        wait(fork(|| {
            for _ in 0..AGAIN {
                exec(at.cast::<c_char>().cast_const(), [c"x".as_ptr(), c"WON\n".as_ptr(), null()]);
            }
        }));
    }
    end(flipper);
    Ok(0)
}

/// The descriptor of the program is exchanged by another thread.
fn descriptor(tries: usize) -> Attempt {
    let open = |path: &str| std::fs::File::open(path);
    let (good, bad) = (open("/usr/bin/true")?, open("/usr/bin/printf")?);
    for _ in 0..tries {
        wait(fork(|| {
            let numbers = [good.as_raw_fd(), bad.as_raw_fd()];
            std::thread::spawn(move || {
                loop {
                    for number in numbers {
                        // SAFETY: the number 99 is nobody's.
                        unsafe { libc::dup3(number, 99, libc::O_CLOEXEC) };
                    }
                }
            });
            let words = [c"x".as_ptr(), c"WON\n".as_ptr(), null()];
            let none: [*const c_char; 1] = [null()];
            for _ in 0..AGAIN {
                // SAFETY: the lists end with a null and outlive the call.
                unsafe {
                    let (empty, flags) = (c"".as_ptr(), libc::AT_EMPTY_PATH);
                    libc::syscall(libc::SYS_execveat, 99, empty, words.as_ptr(), none.as_ptr(), flags)
                };
            }
        }));
    }
    Ok(0)
}

type Step<'a> = &'a dyn Fn() -> io::Result<()>;

/// Starts what lies at `path` while the file system is changed under it.
fn files(tries: usize, path: &str, good: Step<'_>, bad: Step<'_>) -> Attempt {
    good()?;
    let flipper = fork(|| while good().and_then(|()| bad()).is_ok() {});
    let path = CString::new(path)?;
    for _ in 0..tries {
        wait(fork(|| {
            for _ in 0..AGAIN {
                exec(path.as_ptr(), [c"x".as_ptr(), c"WON\n".as_ptr(), null()]);
            }
        }));
    }
    end(flipper);
    Ok(0)
}

/// Two folders change places.
fn folders(tries: usize) -> Attempt {
    // An attempt before was ended wherever its exchange was.
    for folder in ["a", "b", "c"] {
        drop(std::fs::remove_dir_all(folder));
    }
    for (folder, program) in [("a", "/usr/bin/true"), ("b", "/usr/bin/printf")] {
        std::fs::create_dir(folder)?;
        std::os::unix::fs::symlink(program, Path::new(folder).join("x"))?;
    }
    let swap = || {
        std::fs::rename("a", "c")?;
        std::fs::rename("b", "a")?;
        std::fs::rename("c", "b")
    };
    files(tries, "a/x", &|| Ok(()), &swap)
}

/// Opens what lies at `path` while the file system is changed under it, and says what it read.
fn opens(tries: usize, path: &str, good: Step<'_>, bad: Step<'_>) -> Attempt {
    good()?;
    let flipper = fork(|| while good().and_then(|()| bad()).is_ok() {});
    for _ in 0..tries * OPENS {
        if std::fs::read_to_string(path).is_ok_and(|text| text.contains(MARK)) {
            println!("{MARK}");
        }
    }
    end(flipper);
    Ok(0)
}

/// Of a file that may be opened, and of one that may not.
const NAMES: [&[u8]; 2] = [b"plain", b".env\0"];

/// Opens what a page names, which another process exchanges.
fn open_memory(tries: usize, exchange: impl FnOnce(*mut u8)) -> Attempt {
    let at = shared();
    put(at, NAMES[0]);
    let flipper = fork(|| exchange(at));
    open_named(at, tries);
    end(flipper);
    Ok(0)
}

/// The name lies in memory that is shared with nobody: another process writes it there.
fn open_written(tries: usize) -> Attempt {
    let mut own = Box::new(*b"plain\0");
    let there = own.as_mut_ptr();
    let victim = std::process::id() as i32;
    let flipper = fork(|| while NAMES.iter().all(|name| write_into(victim, there, name)) {});
    open_named(there, tries);
    end(flipper);
    Ok(0)
}

/// Writes a name, with its end, into the memory of another process.
fn write_into(victim: i32, there: *mut u8, name: &[u8]) -> bool {
    let mut text = [0_u8; 6];
    text[..name.len()].copy_from_slice(name);
    let here = libc::iovec { iov_base: text.as_mut_ptr().cast(), iov_len: text.len() };
    let to = libc::iovec { iov_base: there.cast(), iov_len: text.len() };
    // SAFETY: reads our own bytes; what it writes is another process's.
    unsafe { libc::process_vm_writev(victim, &raw const here, 1, &raw const to, 1, 0) >= 0 }
}

fn parent() -> i32 {
    // SAFETY: asks for a number.
    unsafe { libc::getppid() }
}

/// Exchanges names and stops whoever opens them meanwhile: a call that waits is interrupted, and begins again.
fn stopping(at: *mut u8, victim: i32) {
    loop {
        for round in 0..8 {
            NAMES.iter().for_each(|name| {
                put(at, name);
                (0..200).for_each(|_| std::hint::spin_loop());
            });
            for signal in [libc::SIGSTOP, libc::SIGCONT] {
                // SAFETY: the parent waits for this one, and is there until then.
                unsafe { libc::kill(victim, signal) };
                if round % 2 == 0 {
                    put(at, NAMES[1]);
                }
            }
        }
        // Whoever is stopped all the time gets nowhere, beneath whatever supervisor.
        std::thread::sleep(std::time::Duration::from_micros(300));
    }
}

/// Opens the name that lies there, and says what it read.
fn open_named(at: *mut u8, tries: usize) {
    for _ in 0..tries * OPENS {
        // SAFETY: the text always ends within its memory.
        let file = unsafe { libc::open(at.cast::<c_char>().cast_const(), libc::O_RDONLY) };
        if file < 0 {
            continue;
        }
        let mut text = [0_u8; 8];
        // SAFETY: reads into memory of the size it is told, and closes what was opened.
        let read = unsafe { libc::read(file, text.as_mut_ptr().cast(), text.len()) };
        // SAFETY: the descriptor is ours.
        unsafe { libc::close(file) };
        if read > 0 && text.starts_with(MARK.as_bytes()) {
            println!("{MARK}");
        }
    }
}

/// Starts programs from several threads at once, in every ordinary way, and fails at the first that does not come to what
/// it comes to where nobody watches.
fn storm(count: usize) -> Attempt {
    use std::process::{Command, Stdio};
    script("#!/usr/bin/true\n").and_then(|()| std::fs::rename("script", "fine"))?;
    script("exit 7\n").and_then(|()| std::fs::rename("script", "headless"))?;
    let one = |number: usize| -> io::Result<bool> {
        let mut shell = Command::new("/bin/sh");
        let mut command = match number % 4 {
            0 => Command::new("/usr/bin/true"),
            1 => Command::new("./fine"),
            2 => std::mem::replace(&mut shell, Command::new("")),
            _ => Command::new("./missing"),
        };
        match number % 4 {
            2 => command.args(["-c", "./headless"]),
            _ => command.arg(format!("storm-{number}")),
        };
        let status = command.stdin(Stdio::null()).status();
        Ok(match number % 4 {
            3 => status.is_err_and(|error| error.kind() == io::ErrorKind::NotFound),
            2 => status?.code() == Some(7),
            _ => status?.success(),
        })
    };
    let went_wrong = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for first in 0..4 {
            let (one, went_wrong) = (&one, &went_wrong);
            scope.spawn(move || {
                for round in 0..count / 4 {
                    // Each thread goes through all ways.
                    let number = round * 4 + (first + round) % 4;
                    if !one(number).unwrap_or(false) {
                        println!("went wrong: {number}");
                        went_wrong.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                }
            });
        }
    });
    match went_wrong.into_inner() {
        0 => Ok(0),
        _ => Err(io::Error::from_raw_os_error(libc::EINVAL)),
    }
}
