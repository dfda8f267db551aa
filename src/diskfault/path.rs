//! Turns what a caller names (a descriptor of a directory and a path) into a path below the watched directory.

use std::ffi::{CStr, c_char};

/// The absolute path with `.` and `..` taken out. Symbolic links are not followed: the watched directory is
/// given in its real form and holds none.
pub(crate) fn absolute(directory: i32, path: *const c_char) -> Option<Vec<u8>> {
    if path.is_null() {
        return None;
    }
    // SAFETY: the caller passed a C string to a function that demands one.
    let path = unsafe { CStr::from_ptr(path) }.to_bytes();
    let mut whole = if path.starts_with(b"/") {
        Vec::new()
    } else if directory == libc::AT_FDCWD {
        link_target("/proc/self/cwd\0")?
    } else {
        link_target(&format!("/proc/self/fd/{directory}\0"))?
    };
    whole.push(b'/');
    whole.extend_from_slice(path);
    Some(normal(&whole))
}

/// `path` relative to `prefix`, or nothing when it lies elsewhere. The prefix itself is the empty path.
pub(crate) fn below<'p>(prefix: &[u8], path: &'p [u8]) -> Option<&'p [u8]> {
    match path.strip_prefix(prefix)? {
        [] => Some(&[]),
        [b'/', rest @ ..] => Some(rest),
        _ => None,
    }
}

pub(crate) fn normal(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    let mut whole = Vec::with_capacity(path.len());
    for part in parts {
        whole.push(b'/');
        whole.extend_from_slice(part);
    }
    whole
}

fn link_target(link: &str) -> Option<Vec<u8>> {
    let mut target = vec![0u8; libc::PATH_MAX as usize];
    // SAFETY: `link` ends with a zero byte; the buffer is as long as the length says.
    let length = unsafe { libc::syscall(libc::SYS_readlinkat, libc::AT_FDCWD, link.as_ptr(), target.as_mut_ptr(), target.len()) };
    target.truncate(usize::try_from(length).ok()?);
    Some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_below_the_prefix_only_at_a_component_boundary() {
        assert_eq!(below(b"/a/b", b"/a/b/c"), Some(&b"c"[..]));
        assert_eq!(below(b"/a/b", b"/a/b"), Some(&b""[..]));
        assert_eq!(below(b"/a/b", b"/a/bc"), None);
        assert_eq!(below(b"/a/b", b"/a"), None);
    }

    #[test]
    fn dots_leave_the_path() {
        assert_eq!(normal(b"//a/./b/../c/"), b"/a/c");
    }
}
