//! A stream of bytes that only the right key opens, and only whole.
//!
//! Backups go through this. The stream is cut into chunks; each is sealed under a key of this stream with a nonce
//! that counts the chunks and marks the last one (the STREAM construction). So a chunk that was changed, moved,
//! repeated or dropped does not open, and an end that was cut off is noticed. The header is bound into the key.
//! Memory stays at one chunk whatever the length.

use crate::{
    codec::{self, Bytes},
    recipient::{Recipient, RecipientError, RecipientKey},
    seal::{Lock, LockError, StretchCost},
    unlock::Unlock,
};
use gatehouse_types::Random;
use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    io::{self, Read, Write},
};

/// Plain bytes in a chunk.
const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;
const MAGIC: &[u8; 18] = b"gatehouse-sealed-1";

/// A header is at most this long; ours has some two hundred bytes.
const HEADER_MAX: usize = 4096;

/// Who shall be able to open a stream.
#[derive(Clone, Debug)]
pub enum SealFor {
    /// Whoever has this key or knows this passphrase.
    Holder(Unlock),
    /// Whoever has the private half.
    Recipient(Recipient),
}

/// What opens a stream.
#[derive(Clone, Debug)]
pub enum OpenWith {
    /// A key or a passphrase.
    Holder(Unlock),
    /// A recipient's private half.
    Recipient(RecipientKey),
}

/// A sealed stream cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// It does not begin like one.
    #[error("this is not a sealed Gatehouse file, or one of another version")]
    NotSealed,
    /// The key or passphrase is another one.
    #[error("the key or passphrase does not open this file")]
    WrongKey,
    /// Opened by something of another sort.
    #[error("this file is opened by {0}")]
    WrongSort(&'static str),
    /// Bytes were changed, moved, repeated or left out.
    #[error("the file is damaged at chunk {chunk}: bytes were changed, moved or left out")]
    Damaged {
        /// Counted from zero.
        chunk: u64,
    },
    /// The end is missing.
    #[error("the file ends early, after chunk {chunk}: a part of it is missing")]
    Truncated {
        /// How many whole chunks there are.
        chunk: u64,
    },
    /// The passphrase cannot be stretched.
    #[error("the passphrase could not be used")]
    Lock(#[source] LockError),
    /// Nothing can be sealed to this recipient.
    #[error(transparent)]
    Recipient(#[from] RecipientError),
    /// Reading or writing failed.
    #[error("the file could not be read or written")]
    Io(#[from] io::Error),
}

#[derive(Serialize, Deserialize)]
enum Access {
    Lock(Lock),
    Recipient { sent: Bytes },
}

#[derive(Serialize, Deserialize)]
struct Header {
    access: Access,
    /// Makes the key of every stream another one, so that the counted nonces never repeat under one key.
    salt: Bytes,
}

/// Writes a sealed stream. [`Self::finish`] writes the end; without it the stream counts as cut off.
pub struct SealedWriter<W> {
    inner: W,
    chunks: Chunks,
    buffer: Vec<u8>,
}

/// Reads a sealed stream.
pub struct SealedReader<R> {
    inner: R,
    chunks: Chunks,
    /// The sealed chunk that comes next; empty behind the end.
    next: Vec<u8>,
    finished: bool,
}

/// The cipher and the count of chunks, the same on both sides.
struct Chunks {
    cipher: LessSafeKey,
    count: u64,
}

impl Chunks {
    fn nonce(&self, last: bool) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[3..11].copy_from_slice(&self.count.to_be_bytes());
        nonce[11] = u8::from(last);
        Nonce::assume_unique_for_key(nonce)
    }
}

impl<W: Write> SealedWriter<W> {
    /// Begins a stream.
    ///
    /// # Errors
    /// When the passphrase cannot be stretched, the recipient is unusable or writing fails.
    pub fn new(mut inner: W, seal_for: &SealFor, cost: StretchCost, random: &dyn Random) -> Result<Self, StreamError> {
        let salt = codec::random(32, random);
        let (access, secret) = match seal_for {
            SealFor::Holder(unlock) => {
                let (lock, wrapping) = Lock::new(unlock, cost, random).map_err(StreamError::Lock)?;
                (Access::Lock(lock), wrapping)
            }
            SealFor::Recipient(recipient) => {
                let (sent, key) = recipient.encapsulate()?;
                (Access::Recipient { sent: sent.to_vec().into() }, key.into())
            }
        };
        let header = codec::encode(&Header { access, salt });
        let length = u16::try_from(header.len()).expect("a header has some hundred bytes");
        inner.write_all(MAGIC)?;
        inner.write_all(&length.to_be_bytes())?;
        inner.write_all(&header)?;
        let chunks = Chunks { cipher: secret.cipher(CIPHER, &header), count: 0 };
        Ok(Self { inner, chunks, buffer: Vec::with_capacity(CHUNK + TAG) })
    }

    /// Writes the end and gives the inner writer back. The caller makes it durable.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.write_chunk(true)?;
        self.inner.flush()?;
        Ok(self.inner)
    }

    fn write_chunk(&mut self, last: bool) -> io::Result<()> {
        self.chunks
            .cipher
            .seal_in_place_append_tag(self.chunks.nonce(last), Aad::empty(), &mut self.buffer)
            .map_err(|_| io::Error::other("a chunk could not be sealed"))?;
        self.inner.write_all(&self.buffer)?;
        self.buffer.clear();
        self.chunks.count += 1;
        Ok(())
    }
}

impl<W: Write> Write for SealedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits for the next byte: only then it is known not to be the last.
        if self.buffer.len() == CHUNK && !bytes.is_empty() {
            self.write_chunk(false)?;
        }
        let taken = bytes.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> SealedReader<R> {
    /// Reads the header and checks the key.
    ///
    /// # Errors
    /// When this is no sealed stream or the key is another one.
    pub fn new(mut inner: R, open_with: &OpenWith) -> Result<Self, StreamError> {
        let mut magic = [0; MAGIC.len() + 2];
        read_or(&mut inner, &mut magic)?;
        let length = usize::from(u16::from_be_bytes([magic[MAGIC.len()], magic[MAGIC.len() + 1]]));
        if &magic[..MAGIC.len()] != MAGIC || length > HEADER_MAX {
            return Err(StreamError::NotSealed);
        }
        let mut bytes = vec![0; length];
        read_or(&mut inner, &mut bytes)?;
        let header: Header = codec::decode(&bytes).map_err(|_| StreamError::NotSealed)?;
        let secret = match (&header.access, open_with) {
            (Access::Lock(lock), OpenWith::Holder(unlock)) => lock.open(unlock).map_err(|error| match error {
                LockError::WrongKey => StreamError::WrongKey,
                LockError::WantsKey => StreamError::WrongSort("a key, not a passphrase"),
                LockError::WantsPassphrase => StreamError::WrongSort("a passphrase, not a key"),
                other => StreamError::Lock(other),
            })?,
            (Access::Recipient { sent }, OpenWith::Recipient(key)) => key.decapsulate(sent).ok_or(StreamError::WrongKey)?.into(),
            (Access::Lock(lock), OpenWith::Recipient(_)) if lock.wants_passphrase() => {
                return Err(StreamError::WrongSort("a passphrase"));
            }
            (Access::Lock(_), OpenWith::Recipient(_)) => return Err(StreamError::WrongSort("a key")),
            (Access::Recipient { .. }, OpenWith::Holder(_)) => return Err(StreamError::WrongSort("a recipient key")),
        };
        let chunks = Chunks { cipher: secret.cipher(CIPHER, &bytes), count: 0 };
        let mut reader = Self { inner, chunks, next: Vec::new(), finished: false };
        reader.next = reader.fetch()?;
        Ok(reader)
    }

    /// The next part of the stream; none at its end, which was then really its end.
    ///
    /// # Errors
    /// When the stream was tampered with or cannot be read. What was returned before is genuine, but a stream is
    /// only whole once this has returned none.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, StreamError> {
        if self.finished {
            return Ok(None);
        }
        let mut chunk = std::mem::take(&mut self.next);
        if chunk.len() < TAG {
            return Err(StreamError::Truncated { chunk: self.chunks.count });
        }
        self.next = self.fetch()?;
        let last = self.next.is_empty();
        let sealed = last.then(|| chunk.clone());
        let length = match self.chunks.cipher.open_in_place(self.chunks.nonce(last), Aad::empty(), &mut chunk) {
            Ok(plain) => plain.len(),
            Err(_) => return Err(self.reason(sealed)),
        };
        chunk.truncate(length);
        self.chunks.count += 1;
        self.finished = last;
        Ok(Some(chunk))
    }

    /// Tells a missing end from changed bytes: the last chunk there is opens as one that is not the last.
    fn reason(&self, sealed: Option<Vec<u8>>) -> StreamError {
        let cut =
            sealed.is_some_and(|mut chunk| self.chunks.cipher.open_in_place(self.chunks.nonce(false), Aad::empty(), &mut chunk).is_ok());
        let chunk = self.chunks.count;
        if cut { StreamError::Truncated { chunk: chunk + 1 } } else { StreamError::Damaged { chunk } }
    }

    fn fetch(&mut self) -> io::Result<Vec<u8>> {
        let mut chunk = Vec::with_capacity(CHUNK + TAG);
        (&mut self.inner).take((CHUNK + TAG) as u64).read_to_end(&mut chunk)?;
        Ok(chunk)
    }
}

const CIPHER: &str = "gatehouse sealed stream 1";

fn read_or(inner: &mut impl Read, buffer: &mut [u8]) -> Result<(), StreamError> {
    inner.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => StreamError::NotSealed,
        _ => StreamError::Io(error),
    })
}

impl<W> fmt::Debug for SealedWriter<W> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SealedWriter(chunk {})", self.chunks.count)
    }
}

impl<R> fmt::Debug for SealedReader<R> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SealedReader(chunk {})", self.chunks.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unlock::Key;
    use gatehouse_base::SystemRandom;
    use gatehouse_types::Secret;

    const COST: StretchCost = StretchCost { memory_kib: 19 * 1024, passes: 2, lanes: 1 };

    fn seal(plain: &[u8], seal_for: &SealFor) -> Vec<u8> {
        let mut writer = SealedWriter::new(Vec::new(), seal_for, COST, &SystemRandom).expect("begins");
        for part in plain.chunks(10_007) {
            writer.write_all(part).expect("writes");
        }
        writer.finish().expect("finishes")
    }

    fn open(sealed: &[u8], open_with: &OpenWith) -> Result<Vec<u8>, StreamError> {
        let mut reader = SealedReader::new(sealed, open_with)?;
        let mut plain = Vec::new();
        while let Some(chunk) = reader.next_chunk()? {
            plain.extend(chunk);
        }
        Ok(plain)
    }

    fn key() -> (SealFor, OpenWith) {
        let key = Unlock::Key(Key::generate(&SystemRandom));
        (SealFor::Holder(key.clone()), OpenWith::Holder(key))
    }

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|index| (index % 251) as u8).collect()
    }

    #[test]
    fn streams_of_every_length_around_a_chunk_round_trip() {
        let (seal_for, open_with) = key();
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5] {
            let plain = bytes(length);
            assert_eq!(open(&seal(&plain, &seal_for), &open_with).expect("opens"), plain, "{length}");
        }
    }

    #[test]
    fn a_passphrase_and_a_recipient_open_their_own_streams_only() {
        let phrase = |text: &str| Unlock::Passphrase(Secret::from(text.to_owned()));
        let own = RecipientKey::generate(&SystemRandom);
        let by_phrase = seal(b"plain", &SealFor::Holder(phrase("correct horse battery")));
        let by_recipient = seal(b"plain", &SealFor::Recipient(own.recipient().clone()));
        assert_eq!(open(&by_phrase, &OpenWith::Holder(phrase("correct horse battery"))).expect("opens"), b"plain");
        assert!(matches!(open(&by_phrase, &OpenWith::Holder(phrase("correct horse"))), Err(StreamError::WrongKey)));
        assert!(matches!(open(&by_phrase, &OpenWith::Recipient(own.clone())), Err(StreamError::WrongSort("a passphrase"))));
        assert_eq!(open(&by_recipient, &OpenWith::Recipient(own)).expect("opens"), b"plain");
        let other = OpenWith::Recipient(RecipientKey::generate(&SystemRandom));
        assert!(matches!(open(&by_recipient, &other), Err(StreamError::Damaged { chunk: 0 })));
        assert!(matches!(open(&by_recipient, &key().1), Err(StreamError::WrongSort("a recipient key"))));
    }

    #[test]
    fn a_stream_cut_anywhere_is_refused() {
        let (seal_for, open_with) = key();
        let sealed = seal(&bytes(2 * CHUNK + 100), &seal_for);
        let body = sealed.len() - (2 * CHUNK + 100 + 3 * TAG);
        for end in (0..sealed.len()).step_by(997).chain([body, body + CHUNK + TAG, body + 2 * (CHUNK + TAG), sealed.len() - 1]) {
            assert!(open(&sealed[..end], &open_with).is_err(), "{end}");
        }
        assert!(matches!(open(&sealed[..body + CHUNK + TAG], &open_with), Err(StreamError::Truncated { chunk: 1 })));
    }

    #[test]
    fn chunks_that_are_swapped_repeated_dropped_or_appended_are_refused() {
        let (seal_for, open_with) = key();
        let sealed = seal(&bytes(3 * CHUNK + 100), &seal_for);
        let sized = CHUNK + TAG;
        let (head, body) = sealed.split_at(sealed.len() - 3 * sized - 100 - TAG);
        let chunks: Vec<&[u8]> = body.chunks(sized).collect();
        for order in [&[1, 0, 2, 3][..], &[0, 0, 1, 2, 3], &[0, 2, 3], &[0, 1, 2], &[0, 1, 2, 3, 3], &[3]] {
            let forged: Vec<u8> = order.iter().fold(head.to_vec(), |mut bytes, index| {
                bytes.extend_from_slice(chunks[*index]);
                bytes
            });
            assert!(open(&forged, &open_with).is_err(), "{order:?}");
        }
        let other = seal(&bytes(3 * CHUNK + 100), &seal_for);
        let (other_head, other_body) = other.split_at(head.len());
        assert!(open(&[head, other_body].concat(), &open_with).is_err(), "a body under another header");
        assert!(open(&[other_head, other_body].concat(), &open_with).is_ok());
    }

    #[test]
    fn every_flipped_bit_of_header_and_tags_is_noticed() {
        let (seal_for, open_with) = key();
        let sealed = seal(b"some words", &seal_for);
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&forged, &open_with).is_err(), "bit {bit}");
        }
    }
}
