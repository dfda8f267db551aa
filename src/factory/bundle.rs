//! What leaves the line with a device: everything that is written into it.
//!
//! A bundle is a folder in a tar file, called like the device. A file holds one bundle or a part of a batch.
//!
//! | file | content |
//! |---|---|
//! | `chain.pem` | the device's certificate, then its issuers up to below the root |
//! | `key.pem` or `key.cms` | the device's key, if it was made here: plain, or sealed to the recipient |
//! | `service-anchors.pem` | whom the device trusts as provisioning service: the anchor in use, then the spare |
//! | `device.json` | the provisioning address, and the device's entry as manifests will have it |
//!
//! The device root is not in it: a device that trusted it would take another device for its provisioning service.

use crate::{
    files::{self, FileError},
    record::Sha256,
    serial::DeviceSerial,
    tar::{self, Files, TarError},
};
use gatehouse_pki::{Certificate, CertificateError, OrganisationName, Serial};
use gatehouse_types::{Secret, UnixTime};
use rustix::fs::{Advice, OFlags};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io,
    num::NonZeroU64,
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

const CHAIN: &str = "chain.pem";
const PLAIN_KEY: &str = "key.pem";
const SEALED_KEY: &str = "key.cms";
const ANCHORS: &str = "service-anchors.pem";
const ABOUT: &str = "device.json";

/// The version of the bundle's form.
const FORM: u32 = 1;

/// Why a file is not a bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The archive is damaged or of another kind.
    #[error("this is not a device bundle")]
    Archive(#[from] TarError),
    /// A file is missing, or one too many.
    #[error("the bundle's files are not chain.pem, service-anchors.pem, device.json and at most one key")]
    Files,
    /// `device.json` is not what it should be.
    #[error("the bundle's device.json cannot be read: {0}")]
    About(String),
    /// A certificate is not one.
    #[error("a certificate in the bundle is not good")]
    Certificate(#[from] CertificateError),
}

/// A device's entry, as the bundle and manifests have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The device's serial.
    pub device: DeviceSerial,
    /// Its certificate's serial number.
    pub certificate: Serial,
    /// SHA-256 over its public key.
    pub key: Sha256,
    /// SHA-256 over its certificate.
    pub fingerprint: Sha256,
}

impl Entry {
    /// The entry of a device that was given this certificate.
    pub fn new(device: DeviceSerial, certificate: &Certificate) -> Self {
        let key = certificate.public_key().fingerprint().into();
        Self { device, certificate: certificate.serial().clone(), key, fingerprint: certificate.fingerprint().into() }
    }
}

/// What a bundle says besides certificates.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    form: u32,
    /// Who made the device.
    pub manufacturer: OrganisationName,
    /// Where the device finds its provisioning service.
    pub provisioning: String,
    /// When it was made.
    pub made: UnixTime,
    /// The device's serial.
    pub device: DeviceSerial,
    /// Its certificate's serial number.
    pub certificate: Serial,
    /// SHA-256 over its public key.
    pub key: Sha256,
    /// SHA-256 over its certificate.
    pub fingerprint: Sha256,
}

/// The same for writing, many thousand times a second. The test that reads a bundle holds the two together.
#[derive(Serialize)]
struct AboutBorrowed<'a> {
    form: u32,
    manufacturer: &'a OrganisationName,
    provisioning: &'a str,
    made: UnixTime,
    device: &'a DeviceSerial,
    certificate: &'a Serial,
    key: &'a Sha256,
    fingerprint: &'a Sha256,
}

impl About {
    /// The device's entry as manifests have it.
    pub fn entry(&self) -> Entry {
        let Self { device, certificate, key, fingerprint, .. } = self.clone();
        Entry { device, certificate, key, fingerprint }
    }
}

/// The device's private key.
pub enum BundleKey {
    /// As it is, in PEM (PKCS#8).
    Plain(Secret),
    /// Sealed to the recipient: a CMS message.
    Sealed(Vec<u8>),
    /// The device made it and keeps it.
    InDevice,
}

/// A bundle that was read.
pub struct Bundle {
    /// What it says.
    pub about: About,
    /// The device's certificate, then its issuers.
    pub chain: Vec<Certificate>,
    /// The device's key.
    pub key: BundleKey,
    /// Whom the device trusts as provisioning service.
    pub service_anchors: Vec<Certificate>,
}

impl Bundle {
    /// Reads every bundle of a file. That their parts fit together is not checked here but by `verify`.
    ///
    /// # Errors
    /// It is not a file of bundles.
    pub fn read(bytes: &[u8]) -> Result<Vec<Self>, BundleError> {
        tar::read(bytes)?.into_iter().map(|(folder, files)| Self::new(&folder, files)).collect()
    }

    fn new(folder: &str, mut files: Files) -> Result<Self, BundleError> {
        let chain = files.remove(CHAIN).ok_or(BundleError::Files)?;
        let anchors = files.remove(ANCHORS).ok_or(BundleError::Files)?;
        let about = files.remove(ABOUT).ok_or(BundleError::Files)?;
        let key = match (files.remove(PLAIN_KEY), files.remove(SEALED_KEY)) {
            (Some(pem), None) => BundleKey::Plain(Secret::new(pem)),
            (None, Some(sealed)) => BundleKey::Sealed(sealed),
            (None, None) => BundleKey::InDevice,
            (Some(_), Some(_)) => return Err(BundleError::Files),
        };
        if !files.is_empty() {
            return Err(BundleError::Files);
        }
        let about: About = serde_json::from_slice(&about).map_err(|error| BundleError::About(error.to_string()))?;
        if about.form != FORM {
            return Err(BundleError::About(format!("form {} is not known to this program", about.form)));
        }
        if about.device.as_str() != folder {
            return Err(BundleError::About(format!("it is about {} and the folder is {folder}", about.device)));
        }
        let (chain, service_anchors) = (Certificate::chain_from_pem(&chain)?, Certificate::chain_from_pem(&anchors)?);
        Ok(Self { about, chain, key, service_anchors })
    }
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Bundle").field("about", &self.about).finish_non_exhaustive()
    }
}

/// What is equal in all bundles of a line, written once.
pub(crate) struct Packer {
    manufacturer: OrganisationName,
    provisioning: String,
    issuers: String,
    anchors: String,
}

impl Packer {
    /// Bundles below these issuers (the line first, without the root), with these service anchors.
    pub(crate) fn new(manufacturer: OrganisationName, provisioning: String, issuers: &[Certificate], anchors: &[Certificate]) -> Self {
        let pem = |all: &[Certificate]| all.iter().map(Certificate::pem).collect();
        Self { manufacturer, provisioning, issuers: pem(issuers), anchors: pem(anchors) }
    }

    /// Appends the bundle of one device to a buffer.
    pub(crate) fn pack(&self, out: &mut Vec<u8>, entry: &Entry, certificate: &Certificate, key: &BundleKey, made: UnixTime) {
        let Entry { device, certificate: number, key: key_hash, fingerprint } = entry;
        let about = AboutBorrowed {
            form: FORM,
            manufacturer: &self.manufacturer,
            provisioning: &self.provisioning,
            made,
            device,
            certificate: number,
            key: key_hash,
            fingerprint,
        };
        let about = serde_json::to_vec(&about).expect("names, hashes and numbers are JSON");
        let mut archive = tar::Writer::new(out, entry.device.as_str(), u64::try_from(made.secs()).unwrap_or(0));
        archive.file(CHAIN, &[certificate.pem().as_bytes(), self.issuers.as_bytes()]);
        match key {
            BundleKey::Plain(pem) => archive.file(PLAIN_KEY, &[pem.expose()]),
            BundleKey::Sealed(message) => archive.file(SEALED_KEY, &[message]),
            BundleKey::InDevice => {}
        }
        archive.file(ANCHORS, &[self.anchors.as_bytes()]);
        archive.file(ABOUT, &[&about]);
    }
}

/// A file that bundles are written into, which may hold plain keys: what was in memory is wiped.
///
/// Where the file system allows, the disk takes the bytes from the buffer itself. Copying them into pages of the kernel first
/// costs a tenth of making a device, and leaves keys there.
pub(crate) struct BundleFile {
    file: File,
    path: PathBuf,
    /// From `lead` on what is not written yet.
    buffer: Zeroizing<Vec<u8>>,
    /// Where the first block begins in the buffer.
    lead: usize,
    written: u64,
    direct: bool,
    /// How much of it the disk was told to begin with.
    begun: u64,
}

/// What a disk takes by itself begins and ends, in memory and in the file, where a block of this size does.
const BLOCK: usize = 4096;

/// How much is collected before it is written.
const COLLECT: usize = 256 * 1024;

/// How much the disk begins with at once when the kernel copies: speaking to it costs the processor more than copying what it
/// is told about.
const BEGIN: u64 = 1024 * 1024;

/// More than any bundle takes, so that the buffer never grows and leaves copies behind.
const ROOM: usize = 64 * 1024;

impl BundleFile {
    /// A new file that only its owner reads. It must not exist.
    pub(crate) fn create(path: &Path) -> Result<Self, FileError> {
        let file = files::create_new(path)?;
        let direct = rustix::fs::fcntl_setfl(&file, OFlags::DIRECT).is_ok();
        let mut buffer = Zeroizing::new(Vec::<u8>::with_capacity(BLOCK + COLLECT + ROOM));
        let lead = buffer.as_ptr().align_offset(BLOCK);
        buffer.resize(lead, 0);
        Ok(Self { file, path: path.to_owned(), buffer, lead, written: 0, direct, begun: 0 })
    }

    /// Adds what `write` appends: one bundle.
    pub(crate) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), FileError> {
        write(&mut self.buffer);
        if self.buffer.len() - self.lead >= COLLECT { self.flush() } else { Ok(()) }
    }

    /// Ends the file with zeros to the end of a block, which archives may have. It is not durable yet.
    pub(crate) fn finish(mut self) -> Result<File, FileError> {
        self.buffer.extend_from_slice(&tar::END);
        let end = self.lead + (self.buffer.len() - self.lead).next_multiple_of(BLOCK);
        self.buffer.resize(end, 0);
        self.flush()?;
        self.begin();
        Ok(self.file)
    }

    /// Writes the whole blocks. What begins the next one stays.
    fn flush(&mut self) -> Result<(), FileError> {
        let rest = self.buffer.len() - (self.buffer.len() - self.lead) % BLOCK;
        self.write(self.lead..rest).map_err(FileError::at(&self.path))?;
        self.written += (rest - self.lead) as u64;
        if self.written - self.begun >= BEGIN {
            self.begin();
        }
        self.buffer.copy_within(rest.., self.lead);
        let kept = self.lead + self.buffer.len() - rest;
        // Byte by byte, as `zeroize` goes about it, wiping costs more than making what is wiped.
        self.buffer[kept..].fill(0);
        zeroize::optimization_barrier(self.buffer.as_slice());
        self.buffer.truncate(kept);
        Ok(())
    }

    fn write(&mut self, blocks: Range<usize>) -> io::Result<()> {
        match self.file.write_all_at(&self.buffer[blocks.clone()], self.written) {
            // A disk with larger blocks, or a file system that says so only now.
            Err(error) if self.direct && error.kind() == io::ErrorKind::InvalidInput => {
                rustix::fs::fcntl_setfl(&self.file, OFlags::empty())?;
                self.direct = false;
                self.file.write_all_at(&self.buffer[blocks], self.written)
            }
            written => written,
        }
    }

    /// The disk begins with what the kernel copied, while the next bundles are made, so that there is little left to wait for in
    /// the end. It is advice only: whether the bytes are on the disk is what `sync_data` says.
    fn begin(&mut self) {
        if !self.direct {
            let _ = rustix::fs::fadvise(&self.file, self.begun, NonZeroU64::new(self.written - self.begun), Advice::DontNeed);
        }
        self.begun = self.written;
    }
}

/// A private key in PEM (RFC 7468 §10).
pub(crate) fn key_pem(pkcs8: &Secret) -> Secret {
    use base64::{Engine, engine::general_purpose::STANDARD};
    // Sized beforehand: a buffer that grows leaves copies behind.
    let mut encoded = vec![0; pkcs8.len().div_ceil(3) * 4];
    let written = STANDARD.encode_slice(pkcs8.expose(), &mut encoded).expect("the buffer has the encoded length");
    let encoded = Secret::new(encoded);
    let mut pem = Vec::with_capacity(written + written / 64 + 64);
    pem.extend_from_slice(b"-----BEGIN PRIVATE KEY-----\n");
    for line in encoded.expose()[..written].chunks(64) {
        pem.extend_from_slice(line);
        pem.push(b'\n');
    }
    pem.extend_from_slice(b"-----END PRIVATE KEY-----\n");
    Secret::new(pem)
}

/// The PKCS#8 in a PEM that [`key_pem`] made.
pub(crate) fn key_from_pem(pem: &Secret) -> Option<Secret> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let text = std::str::from_utf8(pem.expose()).ok()?;
    let body = text.strip_prefix("-----BEGIN PRIVATE KEY-----\n")?.strip_suffix("-----END PRIVATE KEY-----\n")?;
    let mut encoded = Vec::with_capacity(body.len());
    encoded.extend(body.bytes().filter(|b| *b != b'\n'));
    let encoded = Secret::new(encoded);
    STANDARD.decode(encoded.expose()).ok().map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes pieces of this length and gives back what is in the file.
    fn written(lengths: &[usize], prepare: impl FnOnce(&mut BundleFile)) -> (Vec<u8>, Vec<u8>) {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("part");
        let mut file = BundleFile::create(&path).expect("file");
        prepare(&mut file);
        let mut all = Vec::new();
        for (number, length) in lengths.iter().enumerate() {
            let piece: Vec<u8> = (0..*length).map(|at| (at * 7 + number + 1) as u8).collect();
            all.extend_from_slice(&piece);
            file.add(|out| out.extend_from_slice(&piece)).expect("added");
        }
        file.finish().expect("finished").sync_all().expect("flushed");
        (std::fs::read(&path).expect("file"), all)
    }

    #[test]
    fn what_is_added_is_in_the_file_and_after_it_zeros_to_the_end_of_a_block() {
        let through_the_kernel = |file: &mut BundleFile| {
            rustix::fs::fcntl_setfl(&file.file, OFlags::empty()).expect("flags");
            file.direct = false;
        };
        // No disk takes bytes by itself from an odd address.
        let refused = |file: &mut BundleFile| {
            file.lead += 1;
            file.buffer.push(0);
        };
        for lengths in [&[][..], &[1], &[BLOCK - tar::END.len()], &[COLLECT - 1, 1, 3], &[COLLECT + 5], &[6400; 300]] {
            for prepare in [&(|_: &mut BundleFile| {}) as &dyn Fn(&mut BundleFile), &through_the_kernel, &refused] {
                let (there, all) = written(lengths, prepare);
                assert_eq!(there.len(), (all.len() + tar::END.len()).next_multiple_of(BLOCK), "{lengths:?}");
                assert_eq!(there[..all.len()], all, "{lengths:?}");
                assert!(there[all.len()..].iter().all(|byte| *byte == 0), "{lengths:?}");
            }
        }
    }

    #[test]
    fn the_buffer_stays_where_it_was_made() {
        let dir = tempfile::tempdir().expect("dir");
        let mut file = BundleFile::create(&dir.path().join("part")).expect("file");
        let before = file.buffer.as_ptr();
        for _ in 0..20 {
            file.add(|out| out.extend_from_slice(&[1; ROOM])).expect("added");
        }
        assert_eq!(file.buffer.as_ptr(), before);
        assert_eq!(before.align_offset(BLOCK), file.lead);
    }
}
