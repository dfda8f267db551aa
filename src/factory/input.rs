//! What a batch is asked to make, read and checked before anything is signed.
//!
//! A list is a CSV file with the one column `serial`; requests are a folder of files called `<serial>.csr`. Every
//! mistake in them is reported at once, with its place.

use crate::{
    error::FactoryError,
    files::{self, FileError},
    serial::DeviceSerial,
};
use gatehouse_pki::{Csr, Fingerprint, SignedCsr};
use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    error::Error,
    fmt, fs,
    path::Path,
};

/// The most devices of one batch.
pub const MAX_DEVICES: u64 = 1_000_000;

/// The most requests of one batch: their keys are held in memory.
const MAX_REQUESTS: usize = 100_000;

/// The largest list: a million serials of the greatest length.
const MAX_CSV: u64 = 80 * 1024 * 1024;

/// The largest request file.
const MAX_REQUEST: u64 = 16 * 1024;

/// How many mistakes are told; the rest is counted.
const MAX_TOLD: usize = 100;

/// Something that is wrong with the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where: a file, and a line if it has lines.
    pub place: String,
    /// What.
    pub problem: String,
}

/// Everything that is wrong with the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes {
    /// The first of them, in the order of the input.
    pub told: Vec<Mistake>,
    /// How many there are.
    pub count: usize,
}

impl Mistakes {
    pub(crate) fn none() -> Self {
        Self { told: Vec::new(), count: 0 }
    }

    pub(crate) fn add(&mut self, place: impl fmt::Display, problem: impl fmt::Display) {
        self.count += 1;
        if self.told.len() < MAX_TOLD {
            self.told.push(Mistake { place: place.to_string(), problem: problem.to_string() });
        }
    }

    pub(crate) fn check(self) -> Result<(), Self> {
        if self.count == 0 { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Mistake { place, problem }) in self.told.iter().enumerate() {
            let break_before = if at == 0 { "" } else { "\n" };
            write!(out, "{break_before}{place}: {problem}")?;
        }
        match self.count - self.told.len() {
            0 => Ok(()),
            more => write!(out, "\nand {more} more"),
        }
    }
}

impl Error for Mistakes {}

/// Why the input cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It has mistakes.
    #[error("{0}")]
    Mistakes(Mistakes),
}

/// Reads a list of serials. `free` says of a serial whether it may be made.
pub(crate) fn csv(path: &Path, free: impl Fn(&DeviceSerial) -> Result<(), String>) -> Result<Vec<DeviceSerial>, InputError> {
    let bytes = files::read(path, MAX_CSV)?;
    let name = path.display();
    let mut mistakes = Mistakes::none();
    let mut seen: HashMap<DeviceSerial, usize> = HashMap::new();
    let mut serials = Vec::new();
    let lines = (1..).zip(bytes.split(|b| *b == b'\n')).filter(|(_, line)| !line.trim_ascii().is_empty());
    for (at, (line, text)) in lines.enumerate() {
        let place = format!("{name}:{line}");
        let value = std::str::from_utf8(text).map_err(|_| "this is not UTF-8".to_owned()).and_then(only_value);
        match value {
            Err(problem) => mistakes.add(&place, problem),
            Ok("serial") if at == 0 => {}
            Ok(_) if at == 0 => mistakes.add(&place, "the first line names the one column: serial"),
            Ok(value) => match value.parse::<DeviceSerial>() {
                Err(error) => mistakes.add(&place, error),
                Ok(serial) => match seen.entry(serial.clone()) {
                    Entry::Occupied(first) => mistakes.add(&place, format_args!("serial {serial} stands in line {} already", first.get())),
                    Entry::Vacant(entry) => {
                        entry.insert(line);
                        match free(&serial) {
                            Ok(()) => serials.push(serial),
                            Err(problem) => mistakes.add(&place, problem),
                        }
                    }
                },
            },
        }
        if seen.len() as u64 > MAX_DEVICES {
            mistakes.add(&place, format_args!("a batch has at most {MAX_DEVICES} devices"));
            break;
        }
    }
    if mistakes.count == 0 && serials.is_empty() {
        mistakes.add(name, "no serial is in it");
    }
    mistakes.check().map_err(InputError::Mistakes)?;
    Ok(serials)
}

/// The value of a line with one column, quoted or not (RFC 4180 §2).
fn only_value(line: &str) -> Result<&str, String> {
    let line = line.trim();
    let value = line.strip_prefix('"').and_then(|line| line.strip_suffix('"')).unwrap_or(line);
    match value.split(',').count() {
        1 => Ok(value.trim()),
        count => Err(format!("one value is expected and {count} are there")),
    }
}

/// Reads a folder of requests and checks that each was signed by its key. `free` says of a serial and a key whether
/// they may be used.
pub(crate) fn requests(
    folder: &Path,
    free: impl Fn(&DeviceSerial, &SignedCsr) -> Result<(), String>,
) -> Result<Vec<(DeviceSerial, SignedCsr)>, InputError> {
    let mut names = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(FileError::at(folder))? {
        let entry = entry.map_err(FileError::at(folder))?;
        names.insert(entry.file_name(), entry.path());
        if names.len() > MAX_REQUESTS {
            let mut mistakes = Mistakes::none();
            mistakes.add(folder.display(), format_args!("a batch has at most {MAX_REQUESTS} requests"));
            return Err(InputError::Mistakes(mistakes));
        }
    }
    let mut mistakes = Mistakes::none();
    let mut keys: HashMap<Fingerprint, DeviceSerial> = HashMap::new();
    let mut requests = Vec::with_capacity(names.len());
    for (name, path) in &names {
        let read = name.to_str().and_then(|name| name.strip_suffix(".csr")).ok_or_else(|| "a request is called <serial>.csr".to_owned());
        let read = read.and_then(|stem| stem.parse::<DeviceSerial>().map_err(|error| error.to_string()));
        let read = read.and_then(|serial| {
            let request = request(path).map_err(|error| chain(&error))?;
            free(&serial, &request)?;
            match keys.entry(request.key().fingerprint()) {
                Entry::Occupied(other) => Err(format!("its key is the key of {}.csr", other.get())),
                Entry::Vacant(entry) => {
                    entry.insert(serial.clone());
                    Ok((serial, request))
                }
            }
        });
        match read {
            Ok(request) => requests.push(request),
            Err(problem) => mistakes.add(path.display(), problem),
        }
    }
    if mistakes.count == 0 && requests.is_empty() {
        mistakes.add(folder.display(), "no request is in it");
    }
    mistakes.check().map_err(InputError::Mistakes)?;
    Ok(requests)
}

/// Reads one request, in PEM or DER, and checks that it was signed by its key.
pub(crate) fn request(path: &Path) -> Result<SignedCsr, FactoryError> {
    let bytes = files::read(path, MAX_REQUEST)?;
    let parsed = if bytes.first() == Some(&0x30) { Csr::from_der(&bytes) } else { Csr::from_pem(&bytes) };
    Ok(parsed.and_then(Csr::verify)?)
}

/// An error with its causes, on one line.
fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, Vec<String>> {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("s.csv");
        fs::write(&path, text).expect("write");
        let free = |serial: &DeviceSerial| if serial.as_str() == "USED" { Err("it is used".to_owned()) } else { Ok(()) };
        match csv(&path, free) {
            Ok(serials) => Ok(serials.into_iter().map(String::from).collect()),
            Err(InputError::Mistakes(mistakes)) => {
                let short = |m: &Mistake| format!("{}: {}", m.place.rsplit_once(':').map_or("", |(_, line)| line), m.problem);
                Err(mistakes.told.iter().map(short).collect())
            }
            Err(InputError::File(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn a_list_of_serials_is_read_in_order() {
        assert_eq!(read("serial\nB-2\r\n \"A-1\" \n"), Ok(vec!["B-2".into(), "A-1".into()]));
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let told = read("serial\nA\n../B\nA,1\n\nA\nUSED\n").expect_err("mistakes");
        let expected = [
            "3: a serial is made of letters A to Z and a to z, digits, '-' and '.', and begins with a letter or digit",
            "4: one value is expected and 2 are there",
            "6: serial A stands in line 2 already",
            "7: it is used",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_list_without_its_heading_or_without_serials_is_refused() {
        assert_eq!(read("A\nB\n").expect_err("mistakes"), ["1: the first line names the one column: serial"]);
        assert_eq!(read("serial\n").expect_err("mistakes").len(), 1);
        assert_eq!(read("").expect_err("mistakes").len(), 1);
    }

    #[test]
    fn thousands_of_mistakes_are_counted_and_a_hundred_are_told() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("s.csv");
        fs::write(&path, format!("serial\n{}", "!\n".repeat(5000))).expect("write");
        let Err(InputError::Mistakes(mistakes)) = csv(&path, |_| Ok(())) else { panic!("mistakes are refused") };
        assert_eq!((mistakes.told.len(), mistakes.count), (MAX_TOLD, 5000));
        assert!(mistakes.to_string().ends_with("and 4900 more"));
    }
}
