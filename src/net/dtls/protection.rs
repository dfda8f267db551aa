//! The records of a connected peer, sealed and opened with the keys that its handshake agreed on (RFC 6347 §4.1).
//!
//! OpenSSL does the handshake and keeps forty kilobytes for the next one, which never comes: renegotiation is off. What a connection
//! needs afterwards is here: two keys, two counters, and which records came already. [`association`](super::association) makes it when the
//! keys are agreed upon, asks it about what comes under them, and frees OpenSSL's part when the handshake is finished.
//!
//! Suites are those that authenticate what they encrypt. ring does the mathematics, and OpenSSL where a suite is CCM.

use crate::openssl::{cipher, expand};
use gatehouse_types::Secret;
use openssl::{
    cipher::{Cipher, CipherRef},
    cipher_ctx::CipherCtx,
    error::ErrorStack,
};
use ring::{
    aead::{self, LessSafeKey, Nonce, UnboundKey},
    hmac,
};
use std::sync::OnceLock;

/// The head of a record: type, version, epoch, sequence number, length.
const HEAD: usize = 13;

/// DTLS 1.2.
const VERSION: [u8; 2] = [254, 253];

/// The epoch behind a connection's only handshake.
const EPOCH: [u8; 2] = [0, 1];

/// Sequence numbers have 48 bits.
const LAST: u64 = (1 << 48) - 1;

/// No record holds more (RFC 5246 §6.2.1).
const MAX_PLAINTEXT: usize = 16_384;

/// The bytes of a nonce that every record carries (RFC 5288 §3, RFC 6655 §3), where it does.
const EXPLICIT: usize = 8;

const NONCE: usize = 12;

/// Content types (RFC 5246 §6.2.1).
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// The only message of a handshake under its keys: twelve bytes behind a head of twelve (RFC 5246 §7.4.9).
const LONGEST_FINISHED: usize = super::OVERHEAD + 24;

const LONGEST_ALERT: usize = super::OVERHEAD + 2;

/// What a handshake leaves behind.
pub(super) struct Agreed<'a> {
    pub(super) suite: Suite,
    pub(super) master: &'a [u8],
    pub(super) client_random: &'a [u8],
    pub(super) server_random: &'a [u8],
}

/// A suite, as far as records are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Suite {
    cipher: Algorithm,
    key: usize,
    tag: usize,
    prf: Prf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Gcm,
    Ccm,
    ChaCha,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prf {
    Sha256,
    Sha384,
}

impl Prf {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
        }
    }
}

impl Suite {
    /// By OpenSSL's name. `None` for what is not offered to devices.
    pub(super) fn named(name: &str) -> Option<Self> {
        let (_, name) = name.strip_prefix("ECDHE-")?.split_once('-')?;
        let (cipher, key, tag, prf) = match name {
            "AES128-GCM-SHA256" => (Algorithm::Gcm, 16, 16, Prf::Sha256),
            "AES256-GCM-SHA384" => (Algorithm::Gcm, 32, 16, Prf::Sha384),
            "CHACHA20-POLY1305" => (Algorithm::ChaCha, 32, 16, Prf::Sha256),
            "AES128-CCM" => (Algorithm::Ccm, 16, 16, Prf::Sha256),
            "AES256-CCM" => (Algorithm::Ccm, 32, 16, Prf::Sha256),
            "AES128-CCM8" => (Algorithm::Ccm, 16, 8, Prf::Sha256),
            "AES256-CCM8" => (Algorithm::Ccm, 32, 8, Prf::Sha256),
            _ => return None,
        };
        Some(Self { cipher, key, tag, prf })
    }

    /// How much of a nonce is agreed upon.
    fn implicit(self) -> usize {
        NONCE - self.explicit()
    }

    fn explicit(self) -> usize {
        if self.cipher == Algorithm::ChaCha { 0 } else { EXPLICIT }
    }

    fn ring(self) -> &'static aead::Algorithm {
        match (self.cipher, self.key) {
            (Algorithm::ChaCha, _) => &aead::CHACHA20_POLY1305,
            (_, 16) => &aead::AES_128_GCM,
            _ => &aead::AES_256_GCM,
        }
    }

    /// Looked for once: OpenSSL's search costs more than a short record.
    fn ccm(self) -> Result<&'static CipherRef, ErrorStack> {
        static SHORT: OnceLock<Cipher> = OnceLock::new();
        static LONG: OnceLock<Cipher> = OnceLock::new();
        let (place, name) = if self.key == 16 { (&SHORT, "AES-128-CCM") } else { (&LONG, "AES-256-CCM") };
        if let Some(cipher) = place.get() {
            return Ok(cipher);
        }
        let found = cipher(name)?;
        Ok(place.get_or_init(|| found))
    }
}

/// A server's end of a connection.
pub(super) struct Protection {
    suite: Suite,
    /// The client's key, ours, and the agreed parts of both nonces, in this order (RFC 5246 §6.3).
    keys: Secret,
    /// Those of the next record that is sent.
    sequence: u64,
    nonce: u64,
    window: Window,
}

/// Where one side's records stand: the number and the explicit nonce of the last one, if there was any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress(Option<(u64, u64)>);

impl Progress {
    /// Looks at a datagram that is sent.
    pub(super) fn note(&mut self, datagram: &[u8]) {
        for record in records(datagram) {
            if let Some(head) = Head::of(record) {
                let nonce = record.get(HEAD..HEAD + EXPLICIT).and_then(|nonce| Some(u64::from_be_bytes(nonce.try_into().ok()?)));
                let last = self.0.map_or(0, |(sequence, _)| sequence);
                if head.sequence >= last {
                    self.0 = Some((head.sequence, nonce.unwrap_or(0)));
                }
            }
        }
    }
}

impl Protection {
    /// What both ends have agreed on. It opens records and seals none before it [goes on](Self::go_on). `None` where OpenSSL does not
    /// give its cipher away.
    pub(super) fn new(agreed: &Agreed<'_>) -> Option<Self> {
        let suite = agreed.suite;
        if suite.cipher == Algorithm::Ccm {
            suite.ccm().ok()?;
        }
        let mut keys = vec![0; 2 * (suite.key + suite.implicit())];
        let seed = [b"key expansion", agreed.server_random, agreed.client_random].concat();
        expand(suite.prf.hmac(), agreed.master, &seed, &mut keys);
        Some(Self { suite, keys: Secret::new(keys), sequence: LAST + 1, nonce: 0, window: Window::default() })
    }

    /// Goes on behind the last record that was sent. `None` where none was, without which no handshake ends.
    pub(super) fn go_on(self, sent: Progress) -> Option<Self> {
        let (sequence, nonce) = sent.0?;
        // OpenSSL begins to count GCM's nonces at a random number; none must be used twice.
        Some(Self { sequence: sequence + 1, nonce: nonce.wrapping_add(1), ..self })
    }

    /// Makes a record. `None` when all numbers are used up, or what is to be said is too long.
    pub(super) fn seal(&mut self, kind: u8, content: &[u8]) -> Option<Vec<u8>> {
        if self.sequence > LAST || content.len() > MAX_PLAINTEXT {
            return None;
        }
        let number = numbered(self.sequence);
        let length = u16::try_from(self.suite.explicit() + content.len() + self.suite.tag).ok()?;
        let mut record = Vec::with_capacity(HEAD + usize::from(length));
        record.push(kind);
        record.extend(VERSION);
        record.extend(number);
        record.extend(length.to_be_bytes());
        let explicit = self.nonce.to_be_bytes();
        record.extend(explicit.get(..self.suite.explicit())?);
        let keys = self.keys.expose();
        let key = keys.get(self.suite.key..2 * self.suite.key)?;
        let nonce = nonce(self.suite, keys.get(2 * self.suite.key + self.suite.implicit()..)?, &number, &explicit)?;
        let associated = associated(&number, kind, content.len())?;
        match self.suite.cipher {
            Algorithm::Ccm => {
                let sealed = seal_ccm(self.suite, key, &nonce, &associated, content);
                crate::openssl::forget_errors();
                record.extend(sealed.ok()?);
            }
            Algorithm::Gcm | Algorithm::ChaCha => {
                let start = record.len();
                record.extend(content);
                let key = LessSafeKey::new(UnboundKey::new(self.suite.ring(), key).ok()?);
                let (nonce, associated) = (Nonce::assume_unique_for_key(nonce), aead::Aad::from(associated));
                let tag = key.seal_in_place_separate_tag(nonce, associated, record.get_mut(start..)?).ok()?;
                record.extend(tag.as_ref());
            }
        }
        self.sequence += 1;
        self.nonce = self.nonce.wrapping_add(1);
        Some(record)
    }

    /// What a record of the peer says, and of which type it is. There is no answer to any other (RFC 6347 §4.1.2.7).
    pub(super) fn open(&mut self, record: &[u8]) -> Result<(u8, Vec<u8>), Unheard> {
        let head = Head::of(record).filter(|head| self.expects(head, record)).ok_or(Unheard::NotForUs)?;
        let content = self.unseal(&head, record).ok_or(Unheard::Forged)?;
        // Only what the peer has made moves the window.
        self.window.close(head.sequence);
        Ok((head.kind, content))
    }

    /// Whether a record may be one of the peer's that did not come yet, as far as that is seen without a key.
    fn expects(&self, head: &Head, record: &[u8]) -> bool {
        // Nothing to say is of no use to anybody.
        let content = record.len().checked_sub(HEAD + self.suite.explicit() + self.suite.tag);
        self.window.admits(head.sequence) && content.is_some_and(|length| (1..=MAX_PLAINTEXT).contains(&length))
    }

    fn unseal(&self, head: &Head, record: &[u8]) -> Option<Vec<u8>> {
        let (explicit, sealed) = record.get(HEAD..)?.split_at_checked(self.suite.explicit())?;
        let length = sealed.len().checked_sub(self.suite.tag)?;
        let number = numbered(head.sequence);
        let keys = self.keys.expose();
        let key = keys.get(..self.suite.key)?;
        let nonce = nonce(self.suite, keys.get(2 * self.suite.key..)?, &number, explicit)?;
        let associated = associated(&number, head.kind, length)?;
        match self.suite.cipher {
            Algorithm::Ccm => {
                let (sealed, tag) = sealed.split_at_checked(length)?;
                let opened = open_ccm(self.suite, key, &nonce, &associated, sealed, tag);
                crate::openssl::forget_errors();
                opened.ok()
            }
            Algorithm::Gcm | Algorithm::ChaCha => {
                let mut content = sealed.to_vec();
                let key = LessSafeKey::new(UnboundKey::new(self.suite.ring(), key).ok()?);
                let (nonce, associated) = (Nonce::assume_unique_for_key(nonce), aead::Aad::from(associated));
                key.open_in_place(nonce, associated, &mut content).ok()?;
                content.truncate(length);
                Some(content)
            }
        }
    }

    /// The other end: the same with both directions exchanged.
    #[cfg(any(test, fuzzing))]
    pub(super) fn turned(mut self) -> Self {
        let (keys, nonces) = self.keys.expose().split_at(2 * self.suite.key);
        let ((client, server), (client_nonce, server_nonce)) = (keys.split_at(self.suite.key), nonces.split_at(self.suite.implicit()));
        self.keys = Secret::new([server, client, server_nonce, client_nonce].concat());
        self
    }
}

/// Why a record says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unheard {
    /// It is of another epoch, of no sensible length, or one that came already.
    NotForUs,
    /// The peer did not make it. No peer has such a record in one datagram with its own.
    Forged,
}

/// The head of a whole record behind the handshake's change of keys.
struct Head {
    kind: u8,
    sequence: u64,
}

impl Head {
    fn of(record: &[u8]) -> Option<Self> {
        let [kind, 254, 253, 0, 1, a, b, c, d, e, f, high, low] = *record.first_chunk::<HEAD>()? else { return None };
        let is_whole = record.len() == HEAD + usize::from(u16::from_be_bytes([high, low]));
        is_whole.then(|| Self { kind, sequence: u64::from_be_bytes([0, 0, a, b, c, d, e, f]) })
    }
}

/// Whether a record that comes before there are keys may be of use once there are. OpenSSL keeps no other kind either.
pub(super) fn may_be_early(record: &[u8]) -> bool {
    Head::of(record).is_some_and(|head| match head.kind {
        HANDSHAKE => record.len() <= LONGEST_FINISHED,
        ALERT => record.len() <= LONGEST_ALERT,
        _ => false,
    })
}

/// The records of a datagram. What is behind the last whole one is nothing.
pub(super) fn records(datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let [.., high, low] = rest.first_chunk::<HEAD>()?;
        let (record, behind) = rest.split_at_checked(HEAD + usize::from(u16::from_be_bytes([*high, *low])))?;
        rest = behind;
        Some(record)
    })
}

/// Epoch and sequence number, as they stand in the head.
fn numbered(sequence: u64) -> [u8; 8] {
    let [high, low] = EPOCH;
    let [_, _, a, b, c, d, e, f] = sequence.to_be_bytes();
    [high, low, a, b, c, d, e, f]
}

/// What is authenticated beside the content (RFC 5246 §6.2.3.3).
fn associated(number: &[u8; 8], kind: u8, length: usize) -> Option<[u8; HEAD]> {
    let mut bytes = [0; HEAD];
    let (first, rest) = bytes.split_first_chunk_mut::<8>()?;
    *first = *number;
    let [high, low] = u16::try_from(length).ok()?.to_be_bytes();
    rest.copy_from_slice(&[kind, VERSION[0], VERSION[1], high, low]);
    Some(bytes)
}

fn nonce(suite: Suite, implicit: &[u8], number: &[u8; 8], explicit: &[u8]) -> Option<[u8; NONCE]> {
    let implicit = implicit.get(..suite.implicit())?;
    if suite.cipher != Algorithm::ChaCha {
        return [implicit, explicit.get(..EXPLICIT)?].concat().try_into().ok();
    }
    // RFC 7905 §2.
    let mut nonce: [u8; NONCE] = implicit.try_into().ok()?;
    nonce.iter_mut().skip(NONCE - number.len()).zip(number).for_each(|(byte, other)| *byte ^= other);
    Some(nonce)
}

/// OpenSSL wants to know the lengths of nonce and tag before it gets the key, and that of the content before all else.
fn seal_ccm(suite: Suite, key: &[u8], nonce: &[u8; NONCE], associated: &[u8], content: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let mut context = CipherCtx::new()?;
    context.encrypt_init(Some(suite.ccm()?), None, None)?;
    context.set_iv_length(NONCE)?;
    context.set_tag_length(suite.tag)?;
    context.encrypt_init(None, Some(key), Some(nonce))?;
    context.set_data_len(content.len())?;
    context.cipher_update(associated, None)?;
    let mut sealed = vec![0; content.len()];
    context.cipher_update(content, Some(&mut sealed))?;
    let mut tag = vec![0; suite.tag];
    context.tag(&mut tag)?;
    sealed.append(&mut tag);
    Ok(sealed)
}

/// The content is there only if the tag is right.
fn open_ccm(suite: Suite, key: &[u8], nonce: &[u8; NONCE], associated: &[u8], sealed: &[u8], tag: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let mut context = CipherCtx::new()?;
    context.decrypt_init(Some(suite.ccm()?), None, None)?;
    context.set_iv_length(NONCE)?;
    context.set_tag(tag)?;
    context.decrypt_init(None, Some(key), Some(nonce))?;
    context.set_data_len(sealed.len())?;
    context.cipher_update(associated, None)?;
    let mut content = vec![0; sealed.len()];
    context.cipher_update(sealed, Some(&mut content))?;
    Ok(content)
}

/// Which records came already (RFC 6347 §4.1.2.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Window {
    /// One above the highest number that came.
    next: u64,
    /// The lowest bit is that of the highest number.
    came: u64,
}

impl Window {
    fn admits(self, number: u64) -> bool {
        match self.next.checked_sub(number) {
            None | Some(0) => true,
            Some(behind @ 1..=64) => self.came >> (behind - 1) & 1 == 0,
            Some(_) => false,
        }
    }

    fn close(&mut self, number: u64) {
        if number >= self.next {
            let step = number - self.next + 1;
            self.came = if step < 64 { self.came << step } else { 0 };
            self.next = number + 1;
        }
        self.came |= 1_u64.checked_shl(u32::try_from(self.next - number - 1).unwrap_or(64)).unwrap_or(0);
    }
}

/// Those that devices are offered.
#[cfg(any(test, fuzzing))]
pub(super) const SUITES: [&str; 7] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-CCM",
    "ECDHE-ECDSA-AES256-CCM",
    "ECDHE-ECDSA-AES128-CCM8",
    "ECDHE-ECDSA-AES256-CCM8",
];

/// A server's end, and what the client's would be: the same with both directions exchanged.
#[cfg(any(test, fuzzing))]
pub(super) fn ends(suite: &str) -> (Protection, Protection) {
    let suite = Suite::named(suite).expect("known");
    let agreed = Agreed { suite, master: &[1; 48], client_random: &[2; 32], server_random: &[3; 32] };
    let end = || Protection::new(&agreed)?.go_on(Progress(Some((0, 7))));
    let end = || end().expect("there was one record");
    (end(), end().turned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const APPLICATION_DATA: u8 = 23;

    #[test]
    fn what_one_end_seals_the_other_opens_once() {
        for suite in SUITES {
            let (mut server, mut client) = ends(suite);
            for length in [1, 16, 1163, MAX_PLAINTEXT] {
                let content = vec![5; length];
                let record = client.seal(23, &content).expect("sealed");
                assert_eq!(server.open(&record), Ok((23, content)), "{suite}");
                assert_eq!(server.open(&record), Err(Unheard::NotForUs), "{suite}, again");
            }
            assert_eq!(client.seal(23, &vec![5; MAX_PLAINTEXT + 1]), None);
        }
    }

    #[test]
    fn no_bit_of_a_record_can_be_changed_and_what_was_tried_takes_no_place() {
        for suite in SUITES {
            let (mut server, mut client) = ends(suite);
            let record = client.seal(23, b"message").expect("sealed");
            for bit in 0..record.len() * 8 {
                let mut wrong = record.clone();
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert!(server.open(&wrong).is_err(), "{suite}, bit {bit}");
            }
            for cut in 0..record.len() {
                assert_eq!(server.open(&record[..cut]), Err(Unheard::NotForUs));
            }
            let last = record.len() - 1;
            let forged = [&record[..last], &[!record[last]]].concat();
            assert_eq!(server.open(&forged), Err(Unheard::Forged), "{suite}");
            assert_eq!(server.open(&record), Ok((23, b"message".to_vec())), "{suite}");
        }
    }

    #[test]
    fn no_number_and_no_nonce_is_used_twice() {
        for suite in SUITES {
            let (mut server, _) = ends(suite);
            let records: Vec<Vec<u8>> = (0..3).map(|_| server.seal(23, b"x").expect("sealed")).collect();
            let numbers: Vec<u8> = records.iter().map(|record| record[10]).collect();
            assert_eq!(numbers, [1, 2, 3], "behind the one of the handshake");
            if server.suite.explicit() > 0 {
                assert_eq!(records.iter().map(|record| record[20]).collect::<Vec<_>>(), [8, 9, 10]);
            }
            server.sequence = LAST;
            assert!(server.seal(23, b"x").is_some());
            assert_eq!(server.seal(23, b"x"), None);
        }
    }

    #[test]
    fn what_cannot_be_the_end_of_a_handshake_is_not_early() {
        for suite in SUITES {
            let (_, mut client) = ends(suite);
            for (kind, length, is_early) in [
                (HANDSHAKE, 24, true),
                (HANDSHAKE, 49, false),
                (ALERT, 2, true),
                (ALERT, 27, false),
                (APPLICATION_DATA, 1, false),
                (20, 1, false),
            ] {
                let record = client.seal(kind, &vec![5; length]).expect("sealed");
                assert_eq!(may_be_early(&record), is_early, "{suite}: {length} of {kind}");
                let plain = [&record[..4], &[0], &record[5..]].concat();
                assert!(!may_be_early(&plain) && !may_be_early(&record[1..]));
            }
        }
    }

    #[test]
    fn a_window_admits_each_number_once_and_none_that_is_long_ago() {
        let mut window = Window::default();
        for (number, admitted) in [
            (0, true),
            (0, false),
            (5, true),
            (3, true),
            (3, false),
            (5, false),
            (68, true),
            (5, false),
            (6, true),
            (4, false),
            (1 << 47, true),
            (68, false),
        ] {
            assert_eq!(window.admits(number), admitted, "{number}: {window:?}");
            if admitted {
                window.close(number);
            }
        }
        assert!(window.admits((1 << 47) - 63) && !window.admits((1 << 47) - 64));
    }

    #[test]
    fn progress_is_that_of_the_last_record_under_keys() {
        let mut progress = Progress::default();
        progress.note(&[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 7]);
        assert_eq!(progress, Progress(None), "it has none");
        let record = |number, nonce| [&[22, 254, 253, 0, 1, 0, 0, 0, 0, 0, number, 0, 9][..], &[0, 0, 0, 0, 0, 0, 0, nonce], &[1]].concat();
        progress.note(&[record(0, 40), record(1, 41)].concat());
        progress.note(&record(0, 40));
        assert_eq!(progress, Progress(Some((1, 41))));
    }
}
