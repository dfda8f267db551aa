//! The functions of the C library that this object replaces.
//!
//! The variadic ones (`open`) are defined with all their arguments: on the ABIs of Linux the optional argument
//! arrives in the register that a fixed one would use. SAFETY, for every `unsafe` below that has no note of its
//! own: the arguments are the caller's, handed on to the system call of the same name that the caller meant.

#![allow(clippy::missing_safety_doc, reason = "the contract of each function is its manual page in section 2")]

use crate::{
    log::Record,
    path,
    watch::{Target, Watch, watch},
};
use libc::{c_char, c_int, c_long, c_uint, c_void, iovec, mode_t, off_t, size_t, ssize_t};

fn fail(code: c_int) -> c_long {
    // SAFETY: the location of this thread's errno is always valid.
    unsafe { *libc::__errno_location() = code };
    -1
}

// ---- opening ----

unsafe fn open_in(directory: c_int, name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    let call = || unsafe { libc::syscall(libc::SYS_openat, directory, name, flags | libc::O_LARGEFILE, mode) as c_int };
    let Some(mut watch) = watch() else { return call() };
    let Some(absolute) = path::absolute(directory, name) else { return call() };
    let inside = watch.inside(&absolute).is_some();
    if inside && flags & libc::O_TMPFILE == libc::O_TMPFILE {
        watch.record(&Record::Unsupported { call: b"open with O_TMPFILE" });
    }
    let creates = inside && flags & libc::O_CREAT != 0 && !exists(directory, name);
    if creates && watch.is_full() {
        watch.record(&Record::Injected { call: b"open: ENOSPC" });
        return fail(libc::ENOSPC) as c_int;
    }
    let descriptor = call();
    if descriptor >= 0 {
        watch.opened(descriptor, &absolute, creates);
        if inside
            && flags & libc::O_TRUNC != 0
            && !creates
            && let Target::File(file) = watch.target(descriptor)
        {
            watch.record(&Record::Truncate { file, length: 0 });
        }
    }
    descriptor
}

fn exists(directory: c_int, name: *const c_char) -> bool {
    // SAFETY: `name` is the caller's C string; F_OK only looks.
    unsafe { libc::syscall(libc::SYS_faccessat, directory, name, libc::F_OK) == 0 }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open(name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    unsafe { open_in(libc::AT_FDCWD, name, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open64(name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    unsafe { open_in(libc::AT_FDCWD, name, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn openat(directory: c_int, name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    unsafe { open_in(directory, name, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn openat64(directory: c_int, name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    unsafe { open_in(directory, name, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn creat(name: *const c_char, mode: mode_t) -> c_int {
    unsafe { open_in(libc::AT_FDCWD, name, libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn creat64(name: *const c_char, mode: mode_t) -> c_int {
    unsafe { open_in(libc::AT_FDCWD, name, libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, mode) }
}

// ---- writing ----

/// Writes `data` at `offset`, or where the descriptor stands.
unsafe fn write_at(descriptor: c_int, data: *const c_void, length: size_t, offset: Option<off_t>) -> c_long {
    let call = |length: size_t| unsafe {
        match offset {
            Some(offset) => libc::syscall(libc::SYS_pwrite64, descriptor, data, length, offset),
            None => libc::syscall(libc::SYS_write, descriptor, data, length),
        }
    };
    let Some(mut watch) = watch() else { return call(length) };
    match watch.target(descriptor) {
        Target::Elsewhere => {
            // A pipe or socket may block; others must not wait for it.
            drop(watch);
            call(length)
        }
        Target::Marks => {
            let written = call(length);
            if written > 0 {
                // SAFETY: the kernel has just read these bytes.
                let data = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), written as usize) };
                watch.record(&Record::Mark { data });
            }
            written
        }
        Target::File(file) => {
            let Some(granted) = watch.take_space(length) else {
                watch.record(&Record::Injected { call: b"write: ENOSPC" });
                return fail(libc::ENOSPC);
            };
            let start = match append_position(descriptor) {
                Some(end) => end,
                None => offset.unwrap_or_else(|| unsafe { libc::syscall(libc::SYS_lseek, descriptor, 0, libc::SEEK_CUR) }),
            };
            let written = call(granted);
            if written > 0 {
                // SAFETY: the kernel has just read these bytes.
                let data = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), written as usize) };
                watch.record(&Record::Write { file, offset: start as u64, data });
            }
            written
        }
    }
}

/// The end of the file when the descriptor appends: there the kernel writes, whatever offset is given.
fn append_position(descriptor: c_int) -> Option<off_t> {
    // SAFETY: both calls only ask; `status` is filled when `fstat` returns 0.
    unsafe {
        if libc::syscall(libc::SYS_fcntl, descriptor, libc::F_GETFL) as c_int & libc::O_APPEND == 0 {
            return None;
        }
        let mut status = std::mem::zeroed::<libc::stat>();
        (libc::syscall(libc::SYS_fstat, descriptor, &raw mut status) == 0).then_some(status.st_size)
    }
}

/// Several buffers are one write for the kernel; here they are gathered first, so that they are one record.
unsafe fn write_vector(descriptor: c_int, parts: *const iovec, count: c_int, offset: Option<off_t>) -> c_long {
    if watch().is_none_or(|watch| watch.target(descriptor) == Target::Elsewhere) {
        return unsafe {
            match offset {
                Some(offset) => libc::syscall(libc::SYS_pwritev, descriptor, parts, count, offset, 0),
                None => libc::syscall(libc::SYS_writev, descriptor, parts, count),
            }
        };
    }
    let Ok(count) = usize::try_from(count) else { return fail(libc::EINVAL) };
    let mut gathered = Vec::new();
    // SAFETY: the caller promises `count` descriptions of readable memory.
    for part in unsafe { std::slice::from_raw_parts(parts, count) } {
        if part.iov_len > 0 {
            gathered.extend_from_slice(unsafe { std::slice::from_raw_parts(part.iov_base.cast::<u8>(), part.iov_len) });
        }
    }
    unsafe { write_at(descriptor, gathered.as_ptr().cast(), gathered.len(), offset) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(descriptor: c_int, data: *const c_void, length: size_t) -> ssize_t {
    unsafe { write_at(descriptor, data, length, None) as ssize_t }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite(descriptor: c_int, data: *const c_void, length: size_t, offset: off_t) -> ssize_t {
    unsafe { write_at(descriptor, data, length, Some(offset)) as ssize_t }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(descriptor: c_int, data: *const c_void, length: size_t, offset: off_t) -> ssize_t {
    unsafe { write_at(descriptor, data, length, Some(offset)) as ssize_t }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn writev(descriptor: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    unsafe { write_vector(descriptor, parts, count, None) as ssize_t }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwritev(descriptor: c_int, parts: *const iovec, count: c_int, offset: off_t) -> ssize_t {
    unsafe { write_vector(descriptor, parts, count, Some(offset)) as ssize_t }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwritev64(descriptor: c_int, parts: *const iovec, count: c_int, offset: off_t) -> ssize_t {
    unsafe { write_vector(descriptor, parts, count, Some(offset)) as ssize_t }
}

// ---- length ----

unsafe fn set_length(descriptor: c_int, length: off_t) -> c_int {
    let call = || unsafe { libc::syscall(libc::SYS_ftruncate, descriptor, length) as c_int };
    let Some(mut watch) = watch() else { return call() };
    let result = call();
    if result == 0
        && let Target::File(file) = watch.target(descriptor)
    {
        watch.record(&Record::Truncate { file, length: length as u64 });
    }
    result
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate(descriptor: c_int, length: off_t) -> c_int {
    unsafe { set_length(descriptor, length) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate64(descriptor: c_int, length: off_t) -> c_int {
    unsafe { set_length(descriptor, length) }
}

unsafe fn allocate(descriptor: c_int, mode: c_int, offset: off_t, length: off_t) -> c_int {
    let call = || unsafe { libc::syscall(libc::SYS_fallocate, descriptor, mode, offset, length) as c_int };
    let Some(mut watch) = watch() else { return call() };
    let Target::File(file) = watch.target(descriptor) else { return call() };
    if mode & !libc::FALLOC_FL_KEEP_SIZE != 0 {
        watch.record(&Record::Unsupported { call: b"fallocate that changes content" });
        return call();
    }
    if watch.is_full() {
        watch.record(&Record::Injected { call: b"fallocate: ENOSPC" });
        return fail(libc::ENOSPC) as c_int;
    }
    let result = call();
    if result == 0 && mode == 0 {
        let mut status = unsafe { std::mem::zeroed::<libc::stat>() };
        // SAFETY: `status` is a `stat` buffer.
        if unsafe { libc::syscall(libc::SYS_fstat, descriptor, &raw mut status) } == 0 {
            watch.record(&Record::Truncate { file, length: status.st_size as u64 });
        }
    }
    result
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fallocate(descriptor: c_int, mode: c_int, offset: off_t, length: off_t) -> c_int {
    unsafe { allocate(descriptor, mode, offset, length) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fallocate64(descriptor: c_int, mode: c_int, offset: off_t, length: off_t) -> c_int {
    unsafe { allocate(descriptor, mode, offset, length) }
}

/// Unlike its siblings it returns the error's number.
unsafe fn posix_allocate(descriptor: c_int, offset: off_t, length: off_t) -> c_int {
    if unsafe { allocate(descriptor, 0, offset, length) } == 0 { 0 } else { unsafe { *libc::__errno_location() } }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_fallocate(descriptor: c_int, offset: off_t, length: off_t) -> c_int {
    unsafe { posix_allocate(descriptor, offset, length) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_fallocate64(descriptor: c_int, offset: off_t, length: off_t) -> c_int {
    unsafe { posix_allocate(descriptor, offset, length) }
}

// ---- synchronising ----

unsafe fn synchronise(descriptor: c_int, number: c_long) -> c_int {
    let call = || unsafe { libc::syscall(number, descriptor) as c_int };
    let Some(mut locked) = watch() else { return call() };
    let Target::File(file) = locked.target(descriptor) else {
        drop(locked);
        return call();
    };
    let (sync, fails) = locked.begin_sync(file);
    if fails {
        locked.record(&Record::Injected { call: b"fsync: EIO" });
        locked.record(&Record::SyncEnd { call: sync, succeeded: false });
        return fail(libc::EIO) as c_int;
    }
    drop(locked);
    let result = call();
    // SAFETY: the location of this thread's errno is always valid; the record below may change it.
    let error = unsafe { *libc::__errno_location() };
    if let Some(mut watch) = watch() {
        watch.record(&Record::SyncEnd { call: sync, succeeded: result == 0 });
    }
    if result != 0 {
        fail(error);
    }
    result
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fsync(descriptor: c_int) -> c_int {
    unsafe { synchronise(descriptor, libc::SYS_fsync) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    unsafe { synchronise(descriptor, libc::SYS_fdatasync) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sync_file_range(descriptor: c_int, offset: off_t, length: off_t, flags: c_uint) -> c_int {
    if let Some(mut watch) = watch()
        && let Target::File(file) = watch.target(descriptor)
    {
        watch.record(&Record::WeakSync { file });
    }
    unsafe { libc::syscall(libc::SYS_sync_file_range, descriptor, offset, length, flags) as c_int }
}

// ---- names ----

/// Runs a call on one or two paths under the lock and records it when it succeeded on a watched path.
unsafe fn name_call(
    call: impl FnOnce() -> c_long,
    paths: [Option<Vec<u8>>; 2],
    record: impl FnOnce(&mut Watch, [Option<Vec<u8>>; 2]),
) -> c_int {
    let Some(mut watch) = watch() else { return call() as c_int };
    let result = call();
    if result == 0 {
        let inside = paths.map(|path| path.and_then(|path| watch.inside(&path)));
        record(&mut watch, inside);
    }
    result as c_int
}

unsafe fn rename_in(from_directory: c_int, from: *const c_char, to_directory: c_int, to: *const c_char, flags: c_uint) -> c_int {
    let call = || unsafe { libc::syscall(libc::SYS_renameat2, from_directory, from, to_directory, to, flags) };
    let paths = [path::absolute(from_directory, from), path::absolute(to_directory, to)];
    let record = |watch: &mut Watch, paths: [Option<Vec<u8>>; 2]| match paths {
        [Some(from), Some(to)] if flags & !libc::RENAME_NOREPLACE == 0 => watch.record(&Record::Rename { from: &from, to: &to }),
        [None, None] => {}
        _ => watch.record(&Record::Unsupported { call: b"rename across the watched directory's edge, or exchange" }),
    };
    unsafe { name_call(call, paths, record) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    unsafe { rename_in(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn renameat(from_directory: c_int, from: *const c_char, to_directory: c_int, to: *const c_char) -> c_int {
    unsafe { rename_in(from_directory, from, to_directory, to, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn renameat2(from_directory: c_int, from: *const c_char, to_directory: c_int, to: *const c_char, flags: c_uint) -> c_int {
    unsafe { rename_in(from_directory, from, to_directory, to, flags) }
}

unsafe fn unlink_in(directory: c_int, name: *const c_char, flags: c_int) -> c_int {
    let call = || unsafe { libc::syscall(libc::SYS_unlinkat, directory, name, flags) };
    let record = |watch: &mut Watch, paths: [Option<Vec<u8>>; 2]| {
        if let [Some(path), _] = paths {
            if flags & libc::AT_REMOVEDIR == 0 {
                watch.record(&Record::Unlink { path: &path });
            } else {
                watch.record(&Record::RemoveDirectory { path: &path });
            }
        }
    };
    unsafe { name_call(call, [path::absolute(directory, name), None], record) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(name: *const c_char) -> c_int {
    unsafe { unlink_in(libc::AT_FDCWD, name, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlinkat(directory: c_int, name: *const c_char, flags: c_int) -> c_int {
    unsafe { unlink_in(directory, name, flags) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rmdir(name: *const c_char) -> c_int {
    unsafe { unlink_in(libc::AT_FDCWD, name, libc::AT_REMOVEDIR) }
}

unsafe fn make_directory_in(directory: c_int, name: *const c_char, mode: mode_t) -> c_int {
    let call = || unsafe { libc::syscall(libc::SYS_mkdirat, directory, name, mode) };
    let record = |watch: &mut Watch, paths: [Option<Vec<u8>>; 2]| {
        if let [Some(path), _] = paths {
            watch.forget(directory, name);
            watch.record(&Record::MakeDirectory { path: &path });
        }
    };
    unsafe { name_call(call, [path::absolute(directory, name), None], record) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdir(name: *const c_char, mode: mode_t) -> c_int {
    unsafe { make_directory_in(libc::AT_FDCWD, name, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdirat(directory: c_int, name: *const c_char, mode: mode_t) -> c_int {
    unsafe { make_directory_in(directory, name, mode) }
}

unsafe fn link_in(from_directory: c_int, from: *const c_char, to_directory: c_int, to: *const c_char, flags: c_int) -> c_int {
    let call = || unsafe { libc::syscall(libc::SYS_linkat, from_directory, from, to_directory, to, flags) };
    let record = |watch: &mut Watch, paths: [Option<Vec<u8>>; 2]| match paths {
        [Some(from), Some(to)] => watch.record(&Record::Link { from: &from, to: &to }),
        [None, None] => {}
        _ => watch.record(&Record::Unsupported { call: b"link across the watched directory's edge" }),
    };
    unsafe { name_call(call, [path::absolute(from_directory, from), path::absolute(to_directory, to)], record) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn link(from: *const c_char, to: *const c_char) -> c_int {
    unsafe { link_in(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn linkat(from_directory: c_int, from: *const c_char, to_directory: c_int, to: *const c_char, flags: c_int) -> c_int {
    unsafe { link_in(from_directory, from, to_directory, to, flags) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn symlinkat(target: *const c_char, directory: c_int, name: *const c_char) -> c_int {
    let call = || unsafe { libc::syscall(libc::SYS_symlinkat, target, directory, name) };
    let record = |watch: &mut Watch, paths: [Option<Vec<u8>>; 2]| {
        if paths[0].is_some() {
            watch.record(&Record::Unsupported { call: b"symlink" });
        }
    };
    unsafe { name_call(call, [path::absolute(directory, name), None], record) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn symlink(target: *const c_char, name: *const c_char) -> c_int {
    unsafe { symlinkat(target, libc::AT_FDCWD, name) }
}

// ---- what cannot be followed ----

fn unsupported(descriptor: c_int, call: &[u8]) {
    if let Some(mut watch) = watch()
        && watch.target(descriptor) != Target::Elsewhere
    {
        watch.record(&Record::Unsupported { call });
    }
}

unsafe fn map(address: *mut c_void, length: size_t, protection: c_int, flags: c_int, descriptor: c_int, offset: off_t) -> *mut c_void {
    // Every thread that starts maps its stack: look only at what could write to a file.
    let shared = matches!(flags & libc::MAP_TYPE, libc::MAP_SHARED | libc::MAP_SHARED_VALIDATE);
    if shared && protection & libc::PROT_WRITE != 0 && descriptor >= 0 {
        unsupported(descriptor, b"shared writable mapping");
    }
    unsafe { libc::syscall(libc::SYS_mmap, address, length, protection, flags, descriptor, offset) as *mut c_void }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mmap(
    address: *mut c_void,
    length: size_t,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: off_t,
) -> *mut c_void {
    unsafe { map(address, length, protection, flags, descriptor, offset) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mmap64(
    address: *mut c_void,
    length: size_t,
    protection: c_int,
    flags: c_int,
    descriptor: c_int,
    offset: off_t,
) -> *mut c_void {
    unsafe { map(address, length, protection, flags, descriptor, offset) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn copy_file_range(
    from: c_int,
    from_offset: *mut off_t,
    to: c_int,
    to_offset: *mut off_t,
    length: size_t,
    flags: c_uint,
) -> ssize_t {
    unsupported(to, b"copy_file_range");
    unsafe { libc::syscall(libc::SYS_copy_file_range, from, from_offset, to, to_offset, length, flags) as ssize_t }
}

unsafe fn send(to: c_int, from: c_int, offset: *mut off_t, length: size_t) -> ssize_t {
    unsupported(to, b"sendfile");
    unsafe { libc::syscall(libc::SYS_sendfile, to, from, offset, length) as ssize_t }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendfile(to: c_int, from: c_int, offset: *mut off_t, length: size_t) -> ssize_t {
    unsafe { send(to, from, offset, length) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendfile64(to: c_int, from: c_int, offset: *mut off_t, length: size_t) -> ssize_t {
    unsafe { send(to, from, offset, length) }
}
