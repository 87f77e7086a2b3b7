//! A layer between a program and its files, loaded with `LD_PRELOAD` into the real `pakit`.
//!
//! It stands where the C library's functions do, hands each call on to the kernel, and writes down, in the order in which they
//! happened, all that changed anything below one folder, all syncs, and all that the program said on its standard output. So
//! whoever reads the journal knows what was on the disk, and what was only on its way there, when something was
//! acknowledged. One call of a chosen class can be made to fail, to do half of its work, or to be the program's last.
//!
//! | variable | meaning |
//! |---|---|
//! | `PAKIT_FAULTS_FOLDER` | the folder that is watched, as an absolute path without symlinks; without it nothing is done |
//! | `PAKIT_FAULTS_JOURNAL` | the file to write the journal to, outside of that folder |
//! | `PAKIT_FAULTS_FAIL` | `CLASS:NUMBER:WHAT:TIMES`, see `Fault` |
//!
//! Every block of unsafe code here is one of three kinds: a system call with arguments that the caller vouches for, as it would
//! to the C library; memory of the caller's that such a call has just read or written as well; and `errno`.
//!
//! A write through a shared mapping, and a system call made without the C library, pass unseen. Whoever reads the journal
//! compares what it leads to with what is there, and notices.

#![cfg(target_os = "linux")]
#![allow(
    missing_docs,
    clippy::missing_safety_doc,
    reason = "each function has the contract of the C library's of that name"
)]

mod record;

use libc::{c_char, c_int, c_long, c_uint, c_void, iovec, mode_t, off_t, size_t, ssize_t};
use record::{HEAD_BYTES, Kind};
use std::{
    ffi::CStr,
    os::unix::ffi::OsStringExt,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

/// What is to go wrong: `CLASS:NUMBER:WHAT:TIMES`.
///
/// `CLASS` is `write` (also making longer and making anew), `sync`, `cut`, `name` (making, removing and renaming), `read`, or
/// `change` for all of these but reads. `NUMBER` counts the calls of the class within the folder from 1. `WHAT` is a number of
/// `errno.h`, `half` (a write writes half of its bytes, and the rest fails with ENOSPC; a read reads half), or `kill` (half of
/// a write, nothing of another call, then SIGKILL). `TIMES` is `once` or `on`: from then on.
struct Fault {
    class: String,
    number: u64,
    what: What,
    goes_on: bool,
    seen: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Error(c_int),
    Half,
    Kill,
}

impl Fault {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (class, number) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        let what = match parts.next()? {
            "half" => What::Half,
            "kill" => What::Kill,
            number => What::Error(number.parse().ok()?),
        };
        Some(Self { class, number, what, goes_on: parts.next()? == "on", seen: 0 })
    }

    /// Counts a call and says what is to become of it.
    fn meets(&mut self, class: &str) -> Option<What> {
        if self.class != class && !(self.class == "change" && class != "read") {
            return None;
        }
        self.seen += 1;
        (self.seen == self.number || (self.goes_on && self.seen > self.number)).then_some(self.what)
    }
}

struct Layer {
    folder: Vec<u8>,
    journal: c_int,
    fault: Option<Fault>,
}

/// Held over a call and its record, so that the journal's order is that of the calls.
static LAYER: OnceLock<Option<Mutex<Layer>>> = OnceLock::new();

fn variable(name: &str) -> Option<Vec<u8>> {
    std::env::var_os(name).map(OsStringExt::into_vec)
}

fn layer() -> Option<MutexGuard<'static, Layer>> {
    let layer = LAYER.get_or_init(|| {
        let folder = variable("PAKIT_FAULTS_FOLDER")?;
        let mut path = variable("PAKIT_FAULTS_JOURNAL")?;
        path.push(0);
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND | libc::O_CLOEXEC;
        // SAFETY: the path ends with a NUL and lives until the call returns.
        let journal = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o644) } as c_int;
        let parse = |text| String::from_utf8(text).ok().as_deref().and_then(Fault::parse).unwrap_or_else(|| die());
        let fault = variable("PAKIT_FAULTS_FAIL").map(parse);
        if journal < 0 {
            die();
        }
        Some(Mutex::new(Layer { folder, journal, fault }))
    });
    Some(layer.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A layer that cannot do what it was asked to must not look like one that did.
fn die() -> ! {
    std::process::abort()
}

fn errno() -> c_int {
    // SAFETY: the C library gives each thread a place of its own.
    unsafe { *libc::__errno_location() }
}

fn set_errno(value: c_int) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = value }
}

/// Ends this process as a power cut or the system's memory killer would.
fn kill() -> ! {
    // SAFETY: takes numbers only.
    unsafe { libc::syscall(libc::SYS_kill, libc::getpid(), libc::SIGKILL) };
    die()
}

/// A descriptor's file: inode, whether it is a folder, and its path as it was opened.
struct Target {
    inode: u64,
    is_folder: bool,
    path: Vec<u8>,
}

fn read_link(path: &CStr) -> Vec<u8> {
    let mut buffer = vec![0u8; libc::PATH_MAX as usize];
    // SAFETY: the kernel writes at most as many bytes as the buffer has.
    let length = unsafe {
        libc::syscall(libc::SYS_readlinkat, libc::AT_FDCWD, path.as_ptr(), buffer.as_mut_ptr(), buffer.len())
    };
    buffer.truncate(usize::try_from(length).unwrap_or(0));
    buffer
}

/// `/proc/self/fd/N`, without memory from the allocator's slow ways and without the C library's formatting.
fn path_of(fd: c_int) -> Vec<u8> {
    let text = format!("/proc/self/fd/{fd}\0");
    CStr::from_bytes_with_nul(text.as_bytes()).map(read_link).unwrap_or_default()
}

impl Layer {
    fn is_watched(&self, path: &[u8]) -> bool {
        path.strip_prefix(self.folder.as_slice()).is_some_and(|rest| rest.first() == Some(&b'/'))
    }

    /// The file behind a descriptor, if it is watched.
    fn target(&self, fd: c_int) -> Option<Target> {
        let path = path_of(fd);
        if !self.is_watched(&path) {
            return None;
        }
        // SAFETY: a stat of zeros is a value of that type, and the call fills it.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: the structure is ours.
        if unsafe { libc::fstat(fd, &raw mut stat) } != 0 {
            die();
        }
        Some(Target { inode: stat.st_ino, is_folder: stat.st_mode & libc::S_IFMT == libc::S_IFDIR, path })
    }

    /// The absolute path that a call names, if it is watched.
    ///
    /// # Safety
    ///
    /// `path` is a string of C or null.
    unsafe fn named(&self, folder: c_int, path: *const c_char) -> Option<Vec<u8>> {
        if path.is_null() {
            return None;
        }
        // SAFETY: the caller's promise, which is the same as to the C library.
        let path = unsafe { CStr::from_ptr(path) }.to_bytes();
        let full = match path.first() {
            Some(b'/') => path.to_vec(),
            _ => {
                let mut full = if folder == libc::AT_FDCWD { read_link(c"/proc/self/cwd") } else { path_of(folder) };
                full.push(b'/');
                full.extend_from_slice(path);
                full
            }
        };
        self.is_watched(&full).then_some(full)
    }

    fn record(&self, kind: Kind, inode: u64, offset: u64, path: &[u8], data: &[u8]) {
        let before = errno();
        let mut bytes = Vec::with_capacity(HEAD_BYTES + path.len() + data.len());
        bytes.push(kind as u8);
        bytes.extend_from_slice(&inode.to_le_bytes());
        bytes.extend_from_slice(&offset.to_le_bytes());
        bytes.extend_from_slice(&(path.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(data.len() as u32).to_le_bytes());
        bytes.extend_from_slice(path);
        bytes.extend_from_slice(data);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            // SAFETY: the slice is ours.
            let written = unsafe { libc::syscall(libc::SYS_write, self.journal, rest.as_ptr(), rest.len()) };
            match usize::try_from(written).ok().and_then(|written| rest.get(written..)) {
                Some(left) => rest = left,
                None => die(),
            }
        }
        set_errno(before);
    }

    fn meets(&mut self, class: &str) -> Option<What> {
        self.fault.as_mut()?.meets(class)
    }

    /// What becomes of a call that changes no bytes: `Some` with its result where it fails.
    fn fails(&mut self, class: &str) -> Option<c_int> {
        match self.meets(class)? {
            What::Kill => kill(),
            What::Half => None,
            What::Error(error) => {
                set_errno(error);
                Some(-1)
            }
        }
    }

    /// Writes by `call`, which is given how many bytes to write and returns how many were.
    fn write(&mut self, target: &Target, offset: u64, data: &[u8], call: impl Fn(usize) -> c_long) -> c_long {
        let (count, ending) = match self.meets("write") {
            None => (data.len(), None),
            Some(What::Error(error)) => {
                set_errno(error);
                return -1;
            }
            Some(what) => (data.len() / 2, Some(what)),
        };
        let written = if count == 0 && ending.is_some() { 0 } else { call(count) };
        if let Ok(count) = usize::try_from(written) {
            self.record(Kind::Write, target.inode, offset, &[], data.get(..count).unwrap_or_else(|| die()));
        }
        match ending {
            Some(What::Kill) => kill(),
            // Nothing written and no error would have the caller try for ever.
            Some(_) if written == 0 => {
                set_errno(libc::ENOSPC);
                -1
            }
            _ => written,
        }
    }
}

fn plain(number: c_long, arguments: [c_long; 5]) -> c_long {
    let [a, b, c, d, e] = arguments;
    // SAFETY: the caller's call, with the caller's arguments, as the C library would make it.
    unsafe { libc::syscall(number, a, b, c, d, e) }
}

/// The bytes that a call was given to write.
///
/// # Safety
///
/// As to `write`: `count` bytes can be read at `buffer`.
unsafe fn given<'a>(buffer: *const c_void, count: size_t) -> &'a [u8] {
    if count == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(buffer.cast(), count) }
}

fn seek(fd: c_int, offset: off_t, whence: c_int) -> u64 {
    let at = plain(libc::SYS_lseek, [fd.into(), offset, whence.into(), 0, 0]);
    u64::try_from(at).unwrap_or_else(|_| die())
}

fn is_appending(fd: c_int) -> bool {
    plain(libc::SYS_fcntl, [fd.into(), libc::F_GETFL.into(), 0, 0, 0]) & c_long::from(libc::O_APPEND) != 0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, buffer: *const c_void, count: size_t) -> ssize_t {
    let call = |count: usize| plain(libc::SYS_write, [fd.into(), buffer as c_long, count as c_long, 0, 0]);
    let Some(mut layer) = layer() else { return call(count) as ssize_t };
    // SAFETY: the caller's promise.
    let data = unsafe { given(buffer, count) };
    if fd == libc::STDOUT_FILENO {
        let said = call(count);
        if let Some(said) = usize::try_from(said).ok().and_then(|said| data.get(..said)) {
            layer.record(Kind::Said, 0, 0, &[], said);
        }
        return said as ssize_t;
    }
    match layer.target(fd) {
        None => call(count) as ssize_t,
        Some(target) => {
            let whence = if is_appending(fd) { libc::SEEK_END } else { libc::SEEK_CUR };
            let offset = seek(fd, 0, whence);
            layer.write(&target, offset, data, call) as ssize_t
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(fd: c_int, buffer: *const c_void, count: size_t, offset: off_t) -> ssize_t {
    let call = |count: usize| plain(libc::SYS_pwrite64, [fd.into(), buffer as c_long, count as c_long, offset, 0]);
    let Some(mut layer) = layer() else { return call(count) as ssize_t };
    match layer.target(fd) {
        None => call(count) as ssize_t,
        // SAFETY: the caller's promise.
        Some(target) => layer.write(&target, offset as u64, unsafe { given(buffer, count) }, call) as ssize_t,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(fd: c_int, buffer: *const c_void, count: size_t, offset: off_t) -> ssize_t {
    // SAFETY: the same call.
    unsafe { pwrite64(fd, buffer, count, offset) }
}

/// Only the first part is written where the file is watched, as the kernel may do as well.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    let is_ours = fd == libc::STDOUT_FILENO || layer().is_some_and(|layer| layer.target(fd).is_some());
    if !is_ours {
        return plain(libc::SYS_writev, [fd.into(), parts as c_long, count.into(), 0, 0]) as ssize_t;
    }
    let count = usize::try_from(count).unwrap_or(0);
    for at in 0..count {
        // SAFETY: the caller's promise: there are `count` parts.
        let part = unsafe { &*parts.add(at) };
        if part.iov_len > 0 {
            // SAFETY: the caller's promise for each part.
            return unsafe { write(fd, part.iov_base, part.iov_len) };
        }
    }
    0
}

/// Calls that copy within the kernel, which the journal could not follow: callers fall back to reading and writing.
macro_rules! refused {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $result:ty: $number:expr, $fd:ident, $error:expr;)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $kind),*) -> $result {
            if layer().is_some_and(|layer| layer.target($fd).is_some()) {
                set_errno($error);
                return -1;
            }
            // SAFETY: the caller's call, with the caller's arguments.
            unsafe { libc::syscall($number, $($argument),*) as $result }
        }
    )*};
}

refused! {
    copy_file_range(a: c_int, b: *mut off_t, to: c_int, d: *mut off_t, e: size_t, f: c_uint) -> ssize_t:
        libc::SYS_copy_file_range, to, libc::ENOSYS;
    sendfile(to: c_int, b: c_int, c: *mut off_t, d: size_t) -> ssize_t: libc::SYS_sendfile, to, libc::EINVAL;
    sendfile64(to: c_int, b: c_int, c: *mut off_t, d: size_t) -> ssize_t: libc::SYS_sendfile, to, libc::EINVAL;
    splice(a: c_int, b: *mut off_t, to: c_int, d: *mut off_t, e: size_t, f: c_uint) -> ssize_t:
        libc::SYS_splice, to, libc::EINVAL;
    pwritev(to: c_int, b: *const iovec, c: c_int, d: off_t) -> ssize_t: libc::SYS_pwritev, to, libc::ENOSYS;
    pwritev64(to: c_int, b: *const iovec, c: c_int, d: off_t) -> ssize_t: libc::SYS_pwritev, to, libc::ENOSYS;
}

/// Room is made by the kernel without a write; whoever asks for it can do without.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fallocate(fd: c_int, mode: c_int, offset: off_t, length: off_t) -> c_int {
    if layer().is_some_and(|layer| layer.target(fd).is_some()) {
        set_errno(libc::EOPNOTSUPP);
        return -1;
    }
    plain(libc::SYS_fallocate, [fd.into(), mode.into(), offset, length, 0]) as c_int
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fallocate64(fd: c_int, mode: c_int, offset: off_t, length: off_t) -> c_int {
    // SAFETY: the same call.
    unsafe { fallocate(fd, mode, offset, length) }
}

/// Returns the error instead of setting it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_fallocate(fd: c_int, offset: off_t, length: off_t) -> c_int {
    // SAFETY: the same call.
    match unsafe { fallocate(fd, 0, offset, length) } {
        0 => 0,
        _ => errno(),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_fallocate64(fd: c_int, offset: off_t, length: off_t) -> c_int {
    // SAFETY: the same call.
    unsafe { posix_fallocate(fd, offset, length) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate64(fd: c_int, length: off_t) -> c_int {
    let call = || plain(libc::SYS_ftruncate, [fd.into(), length, 0, 0, 0]) as c_int;
    let Some(mut layer) = layer() else { return call() };
    let Some(target) = layer.target(fd) else { return call() };
    if let Some(failed) = layer.fails("cut") {
        return failed;
    }
    let result = call();
    if result == 0 {
        layer.record(Kind::SetLength, target.inode, length as u64, &[], &[]);
    }
    result
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate(fd: c_int, length: off_t) -> c_int {
    // SAFETY: the same call.
    unsafe { ftruncate64(fd, length) }
}

fn sync(fd: c_int, number: c_long) -> c_int {
    let call = || plain(number, [fd.into(), 0, 0, 0, 0]) as c_int;
    let Some(mut layer) = layer() else { return call() };
    let folder = layer.folder.clone();
    let target = layer.target(fd).or_else(|| {
        // The watched folder itself, for the names in it.
        (path_of(fd) == folder).then_some(Target { inode: 0, is_folder: true, path: folder })
    });
    let Some(target) = target else { return call() };
    if let Some(failed) = layer.fails("sync") {
        if !target.is_folder {
            layer.record(Kind::SyncFailed, target.inode, 0, &[], &[]);
        }
        return failed;
    }
    let result = call();
    match (result, target.is_folder) {
        (0, true) => layer.record(Kind::SyncFolder, 0, 0, &target.path, &[]),
        (0, false) => layer.record(Kind::Sync, target.inode, 0, &[], &[]),
        _ => layer.record(Kind::SyncFailed, target.inode, 0, &[], &[]),
    }
    result
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(fd: c_int) -> c_int {
    sync(fd, libc::SYS_fsync)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync(fd, libc::SYS_fdatasync)
}

/// # Safety
///
/// As to `openat`.
unsafe fn opens(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    let call = || plain(libc::SYS_openat, [folder.into(), path as c_long, flags.into(), mode.into(), 0]) as c_int;
    if flags & (libc::O_CREAT | libc::O_TRUNC) == 0 {
        return call();
    }
    let Some(mut layer) = layer() else { return call() };
    // SAFETY: the caller's promise.
    let Some(named) = (unsafe { layer.named(folder, path) }) else { return call() };
    let is_there = plain(libc::SYS_faccessat, [folder.into(), path as c_long, libc::F_OK.into(), 0, 0]) == 0;
    if !is_there && let Some(failed) = layer.fails("name") {
        return failed;
    }
    let fd = call();
    if fd >= 0 {
        let target = layer.target(fd).unwrap_or_else(|| die());
        if !is_there {
            layer.record(Kind::Create, target.inode, 0, &named, &[]);
        } else if flags & libc::O_TRUNC != 0 {
            layer.record(Kind::SetLength, target.inode, 0, &[], &[]);
        }
    }
    fd
}

// In C the mode is a variable argument. Both systems' conventions that this runs on pass it in the register that a fixed third
// or fourth argument has; where the caller gave none it is whatever was there, and the kernel ignores it.

#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the same call.
    unsafe { opens(libc::AT_FDCWD, path, flags, mode) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the same call.
    unsafe { opens(libc::AT_FDCWD, path, flags, mode) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the same call.
    unsafe { opens(folder, path, flags, mode) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat64(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the same call.
    unsafe { opens(folder, path, flags, mode) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlinkat(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    let call = || plain(libc::SYS_unlinkat, [folder.into(), path as c_long, flags.into(), 0, 0]) as c_int;
    let Some(mut layer) = layer() else { return call() };
    // SAFETY: the caller's promise.
    let Some(named) = (unsafe { layer.named(folder, path) }) else { return call() };
    if let Some(failed) = layer.fails("name") {
        return failed;
    }
    let result = call();
    if result == 0 {
        let kind = if flags & libc::AT_REMOVEDIR == 0 { Kind::Remove } else { Kind::RemoveFolder };
        layer.record(kind, 0, 0, &named, &[]);
    }
    result
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the same call.
    unsafe { unlinkat(libc::AT_FDCWD, path, 0) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmdir(path: *const c_char) -> c_int {
    // SAFETY: the same call.
    unsafe { unlinkat(libc::AT_FDCWD, path, libc::AT_REMOVEDIR) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdirat(folder: c_int, path: *const c_char, mode: mode_t) -> c_int {
    let call = || plain(libc::SYS_mkdirat, [folder.into(), path as c_long, mode.into(), 0, 0]) as c_int;
    let Some(mut layer) = layer() else { return call() };
    // SAFETY: the caller's promise.
    let Some(named) = (unsafe { layer.named(folder, path) }) else { return call() };
    if let Some(failed) = layer.fails("name") {
        return failed;
    }
    let result = call();
    if result == 0 {
        layer.record(Kind::CreateFolder, 0, 0, &named, &[]);
    }
    result
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the same call.
    unsafe { mkdirat(libc::AT_FDCWD, path, mode) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn renameat2(
    from_folder: c_int,
    from: *const c_char,
    to_folder: c_int,
    to: *const c_char,
    flags: c_uint,
) -> c_int {
    let arguments = [from_folder.into(), from as c_long, to_folder.into(), to as c_long, flags.into()];
    let call = || plain(libc::SYS_renameat2, arguments) as c_int;
    let Some(mut layer) = layer() else { return call() };
    // SAFETY: the caller's promise.
    let named = unsafe { (layer.named(from_folder, from), layer.named(to_folder, to)) };
    if named.0.is_none() && named.1.is_none() {
        return call();
    }
    if let Some(failed) = layer.fails("name") {
        return failed;
    }
    let result = call();
    if result == 0 {
        match named {
            (Some(from), Some(to)) if flags & !libc::RENAME_NOREPLACE == 0 => {
                layer.record(Kind::Rename, 0, 0, &from, &to);
            }
            (from, to) => layer.record(Kind::Unknown, 0, 0, &from.or(to).unwrap_or_default(), &[]),
        }
    }
    result
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn renameat(
    from_folder: c_int,
    from: *const c_char,
    to_folder: c_int,
    to: *const c_char,
) -> c_int {
    // SAFETY: the same call.
    unsafe { renameat2(from_folder, from, to_folder, to, 0) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the same call.
    unsafe { renameat2(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) }
}

fn reads(fd: c_int, count: size_t, call: impl Fn(usize) -> c_long) -> ssize_t {
    let Some(mut layer) = layer() else { return call(count) as ssize_t };
    let Some(target) = layer.target(fd) else { return call(count) as ssize_t };
    let count = match layer.meets("read") {
        None => count,
        Some(What::Kill) => kill(),
        Some(What::Half) => count / 2,
        Some(What::Error(error)) => {
            set_errno(error);
            return -1;
        }
    };
    let result = call(count) as ssize_t;
    layer.record(Kind::Read, target.inode, 0, &[], &[]);
    result
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn read(fd: c_int, buffer: *mut c_void, count: size_t) -> ssize_t {
    reads(fd, count, |count| plain(libc::SYS_read, [fd.into(), buffer as c_long, count as c_long, 0, 0]))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pread64(fd: c_int, buffer: *mut c_void, count: size_t, offset: off_t) -> ssize_t {
    reads(fd, count, |count| plain(libc::SYS_pread64, [fd.into(), buffer as c_long, count as c_long, offset, 0]))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pread(fd: c_int, buffer: *mut c_void, count: size_t, offset: off_t) -> ssize_t {
    // SAFETY: the same call.
    unsafe { pread64(fd, buffer, count, offset) }
}
