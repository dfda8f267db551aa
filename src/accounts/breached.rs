//! Passwords that were found in the loot of others, looked up in a file on disk.
//!
//! The file has a line for each password: the SHA-1 of it in hexadecimal, perhaps a colon and how often it was found, sorted by the
//! digest. That is how such lists are published. Nothing of it is loaded: a look-up is a binary search of some forty reads.

use gatehouse_types::Secret;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use std::{
    cmp::Ordering,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

const DIGITS: usize = 40;
/// No line is longer: the digest, a colon, a count, an end.
const MOST_LINE: u64 = 128;

/// Whether the file lists the password.
pub(crate) fn lists(file: &Path, password: &Secret) -> io::Result<bool> {
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, password.expose());
    let wanted: String = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    let mut file = File::open(file)?;
    // The line that is looked for begins at or after `low` and before `high`, if there is one.
    let (mut low, mut high) = (0, file.metadata()?.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let Some((begins, line)) = line_at(&mut file, middle, high)? else {
            high = middle;
            continue;
        };
        match line.to_ascii_uppercase().cmp(&wanted) {
            Ordering::Equal => return Ok(true),
            Ordering::Less => low = begins + line.len() as u64 + 1,
            Ordering::Greater => high = middle,
        }
    }
    Ok(false)
}

/// The digest of the first line that begins at or after this place and before the end, and where it begins.
fn line_at(file: &mut File, place: u64, end: u64) -> io::Result<Option<(u64, String)>> {
    // One byte earlier: the line that begins right here is found by the end of the one before.
    let from = place.saturating_sub(1);
    let mut buffer = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(MOST_LINE + DIGITS as u64).read_to_end(&mut buffer)?;
    let skipped = match place {
        0 => 0,
        _ => match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => at + 1,
            None => return Ok(None),
        },
    };
    let begins = from + skipped as u64;
    let Some(line) = buffer.get(skipped..skipped + DIGITS).filter(|_| begins < end) else { return Ok(None) };
    let line = std::str::from_utf8(line).ok().filter(|line| line.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let line = line.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a line does not begin with 40 hexadecimal digits"))?;
    Ok(Some((begins, line.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn sha1(text: &str) -> String {
        digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
    }

    fn list(passwords: &[String], end: &str) -> tempfile::NamedTempFile {
        let mut lines: Vec<_> =
            passwords.iter().enumerate().map(|(at, text)| format!("{}:{}", sha1(text), 10_u64.pow(at as u32 % 9))).collect();
        lines.sort();
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), lines.iter().map(|line| format!("{line}{end}")).collect::<String>()).expect("written");
        file
    }

    #[test]
    fn every_password_of_the_list_is_found_and_no_other() {
        let passwords: Vec<_> = (0..500).map(|number| format!("password {number}")).collect();
        for (count, end) in [(0, "\n"), (1, "\n"), (2, "\r\n"), (499, "\n"), (500, "\r\n")] {
            let file = list(&passwords[..count], end);
            for (at, password) in passwords.iter().enumerate() {
                let found = lists(file.path(), &Secret::from(password.clone())).expect("read");
                assert_eq!(found, at < count, "{password} of {count}");
            }
        }
    }

    #[test]
    fn digests_alone_and_in_lower_case_will_do() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut lines = [sha1("one"), sha1("two"), sha1("three")].map(|line| line.to_lowercase());
        lines.sort();
        fs::write(file.path(), lines.join("\n")).expect("written");
        for password in ["one", "two", "three"] {
            assert!(lists(file.path(), &Secret::from(password.to_owned())).expect("read"), "{password}");
        }
    }

    #[test]
    fn a_file_that_is_no_such_list_is_an_error_and_no_answer() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "these are just words that somebody has written into a file, and no digests\n".repeat(9)).expect("written");
        assert!(lists(file.path(), &Secret::from("one".to_owned())).is_err());
        assert!(lists(Path::new("/nowhere"), &Secret::from("one".to_owned())).is_err());
    }
}
