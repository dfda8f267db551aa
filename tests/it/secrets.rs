//! Canaries: secrets that a test plants, and a search that knows the dresses in which they could come out.
//!
//! A scenario calls [`Secrets::plant`] once for each secret that it makes or gets, and at its end [`Secrets::found_in`] for every
//! place where none may be.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use std::{collections::BTreeSet, fs, path::Path};

/// Secrets by their names.
#[derive(Default)]
pub(crate) struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    /// From here on this must be nowhere. Shorter ones than six bytes would be found by chance.
    pub(crate) fn plant(&mut self, name: &str, secret: impl AsRef<[u8]>) {
        let secret = secret.as_ref();
        assert!(secret.len() >= 6, "{name} is too short to be looked for");
        self.0.push((name.to_owned(), secret.to_vec()));
    }

    /// Every secret that is in these bytes, and in which dress.
    pub(crate) fn found_in(&self, place: &str, bytes: &[u8]) -> Vec<String> {
        let mut found = self.found_as_it_is(place, bytes);
        // RFC 2045 §6.7: what is longer than a line of a letter goes on behind a soft break.
        for soft in [&b"=\r\n"[..], b"=\n"] {
            if bytes.windows(soft.len()).any(|part| part == soft) {
                let joined = String::from_utf8_lossy(bytes).replace(&*String::from_utf8_lossy(soft), "");
                found.extend(self.found_as_it_is(place, joined.as_bytes()));
            }
        }
        found
    }

    fn found_as_it_is(&self, place: &str, bytes: &[u8]) -> Vec<String> {
        let mut by_start: Vec<Vec<(&str, &str, Vec<u8>)>> = vec![Vec::new(); 1 << 16];
        for (name, secret) in &self.0 {
            for (dress, needle) in dresses(secret) {
                by_start[start(&needle)].push((name, dress, needle));
            }
        }
        // Store files are large and mostly empty: two bytes say where it is worth to look.
        let mut found = BTreeSet::new();
        for at in 0..bytes.len().saturating_sub(1) {
            for (name, dress, needle) in &by_start[start(&bytes[at..])] {
                if bytes[at..].starts_with(needle) {
                    found.insert(format!("the {name} is in {place}, {dress}"));
                }
            }
        }
        found.into_iter().collect()
    }

    /// The same in every file below a folder.
    pub(crate) fn found_below(&self, folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                found.extend(self.found_below(&path));
            } else if path.is_file() {
                found.extend(self.found_in(&path.display().to_string(), &fs::read(&path).expect("readable")));
            }
        }
        found
    }
}

fn start(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// What a secret looks like in plain and encoded.
fn dresses(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let percent = |keeps: fn(u8) -> bool| -> String {
        secret.iter().map(|byte| if keeps(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") }).collect()
    };
    let mut all = vec![
        ("as it is", secret.to_vec()),
        ("in hexadecimal", hex.clone().into_bytes()),
        ("in upper hexadecimal", hex.to_uppercase().into_bytes()),
        ("as a list of numbers", format!("{secret:?}").trim_matches(['[', ']']).as_bytes().to_vec()),
        ("percent-encoded", percent(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)).into_bytes()),
        ("as a field of a form", percent(|byte| byte.is_ascii_alphanumeric() || b"*-._".contains(&byte)).replace("%20", "+").into_bytes()),
        ("percent-encoded throughout", percent(|_| false).into_bytes()),
    ];
    // Base 64 of something that holds the secret depends on where it begins there: three ways, without the ends that
    // neighbours have a part in.
    for offset in 0..3 {
        let shifted = [vec![0; offset], secret.to_vec()].concat();
        let text = STANDARD_NO_PAD.encode(&shifted[..shifted.len() - shifted.len() % 3]);
        let inner = text[(offset * 8).div_ceil(6)..].to_owned();
        all.push(("in base 64 for addresses", inner.replace('+', "-").replace('/', "_").into_bytes()));
        all.push(("in base 64", inner.into_bytes()));
    }
    all
}

#[test]
fn a_secret_is_found_in_every_dress_and_another_is_not() {
    let mut secrets = Secrets::default();
    secrets.plant("password", "tall ships/sail?>");
    secrets.plant("key", [0xfb, 0xef, 0xbe, 0x3f, 0xff, 0xfe, 0x01, 0x02]);
    let form = "password=tall+ships%2Fsail%3F%3E&x";
    let base64 = |text: &[u8]| base64::engine::general_purpose::STANDARD.encode(text);
    let for_addresses = |text: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let key = [0xfb, 0xef, 0xbe, 0x3f, 0xff, 0xfe, 0x01, 0x02];
    for leak in [
        "level=TRACE body=tall ships/sail?> end".to_owned(),
        format!("x{}y", "tall ships/sail?>".bytes().map(|byte| format!("{byte:02x}")).collect::<String>()),
        "FBEFBE3FFFFE0102".to_owned(),
        "Secret([251, 239, 190, 63, 255, 254, 1, 2])".to_owned(),
        form.to_owned(),
        "tall%20ships%2Fsail%3F%3E".to_owned(),
        "Your password is tall sh=\r\nips/sail?>".to_owned(),
        base64(b"ann:tall ships/sail?>"),
        base64(b"an:tall ships/sail?>"),
        base64(b"a:tall ships/sail?> and more"),
        base64(&key),
        for_addresses(&[&[7][..], &key].concat()),
        for_addresses(&[&[7, 7][..], &key].concat()),
    ] {
        assert!(!secrets.found_in("a log", leak.as_bytes()).is_empty(), "{leak}");
    }
    assert_eq!(secrets.found_in("a log", b"tall ships moor; dGFsbCBzaGlwcyBtb29y"), Vec::<String>::new());
}
