//! What the journal remembers, one record a decision. These types are stored: old forms must still load.

use crate::{
    name::{CustomerName, LineName, OrderName, StationName},
    serial::{DeviceSerial, SerialRange},
};
use gatehouse_pki::{Fingerprint, OrganisationName, Serial};
use gatehouse_types::UnixTime;
use serde::{Deserialize, Serialize, Serializer};
use std::{fmt, path::PathBuf, str::FromStr};

/// The version of the records' form that is written.
pub(crate) const FORM: u32 = 1;

/// One thing that was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Record {
    /// The journal begins.
    Opened { form: u32, manufacturer: OrganisationName, station: Option<StationName>, at: UnixTime },
    /// An order exists, or its planned number changed.
    Order { order: OrderName, customer: CustomerName, planned: u64, at: UnixTime },
    /// Nothing more is made, shipped or scrapped for the order.
    Closed { order: OrderName, at: UnixTime },
    /// A batch began; a run that is cut short goes on with it.
    Batch { batch: u32, line: LineName, order: Option<OrderName>, out: PathBuf, plan: Plan, at: UnixTime },
    /// Devices were made. Their bundles become visible after this record is on the disk.
    Made { by: Maker, line: LineName, order: Option<OrderName>, devices: Vec<Made>, at: UnixTime },
    /// Every device of the batch was made.
    Finished { batch: u32, at: UnixTime },
    /// A certificate is no longer good.
    Revoked { certificate: Serial, reason: Reason, at: UnixTime },
    /// Devices left for a customer, named by this manifest.
    Shipped { order: OrderName, sequence: u64, manifest: Sha256, devices: Vec<DeviceSerial>, at: UnixTime },
    /// Devices were thrown away, and their certificates revoked.
    Scrapped { devices: Vec<DeviceSerial>, remark: String, at: UnixTime },
    /// A station may make these serials, and nobody else may.
    Allotted { station: StationName, sequence: u64, range: SerialRange, at: UnixTime },
    /// This station was given serials (in a station's own journal).
    Accepted { sequence: u64, ranges: Vec<SerialRange>, at: UnixTime },
    /// A station's journal was taken in up to this many lines, the last of which has this hash.
    Merged { station: StationName, lines: u64, head: String, at: UnixTime },
    /// A revocation list was signed.
    Listed { line: LineName, number: u64, at: UnixTime },
    /// A provisioning server's certificate was signed.
    Server { certificate: Serial, fingerprint: Sha256, hosts: Vec<String>, at: UnixTime },
}

/// What made devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Maker {
    /// A part of a batch; its bundles lie in one folder.
    Batch { batch: u32, part: u32 },
    /// One request that was signed by hand.
    Single,
    /// A station; its journal was merged.
    Station { station: StationName },
}

/// A device that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// What it is called.
    pub device: DeviceSerial,
    /// Its certificate's serial number.
    pub certificate: Serial,
    /// SHA-256 over its public key.
    pub key: Sha256,
    /// SHA-256 over its certificate.
    pub fingerprint: Sha256,
    /// The certificate that this one takes the place of, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Replaced>,
}

/// A certificate whose place was taken by another one for the same device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replaced {
    /// Its serial number.
    pub certificate: Serial,
    /// Why it is no longer good.
    pub reason: Reason,
}

/// Which devices a batch makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Plan {
    /// So many of the factory's own numbering, or of a station's allotments.
    Count { ranges: Vec<SerialRange> },
    /// Those of a list; the hash covers all serials in order.
    List { devices: u64, serials: Sha256 },
    /// Those that sent requests.
    Requests { devices: u64, serials: Sha256 },
}

/// SHA-256, written in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Sha256([u8; 32]);

/// A text that is not 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash is written as 64 hexadecimal digits in lower case")]
pub struct HashError;

impl Sha256 {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Fingerprint::of(bytes).into()
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<Fingerprint> for Sha256 {
    fn from(fingerprint: Fingerprint) -> Self {
        Self(*fingerprint.as_bytes())
    }
}

impl FromStr for Sha256 {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let digit = |b: u8| match b {
            b'0'..=b'9' => Ok(b - b'0'),
            b'a'..=b'f' => Ok(b - b'a' + 10),
            _ => Err(HashError),
        };
        let text: &[u8; 64] = text.as_bytes().try_into().map_err(|_| HashError)?;
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(hash))
    }
}

impl TryFrom<String> for Sha256 {
    type Error = HashError;

    fn try_from(text: String) -> Result<Self, HashError> {
        text.parse()
    }
}

/// As its text; the journal holds two for each device, so that none is allocated for it.
impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text(&mut [0; 64]))
    }
}

impl Sha256 {
    fn text<'a>(&self, text: &'a mut [u8; 64]) -> &'a str {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        std::str::from_utf8(text).expect("digits are ASCII")
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.text(&mut [0; 64]))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Sha256({self})")
    }
}

/// Why a certificate is revoked (the reasons of RFC 5280 §5.3.1 that fit a device).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Nobody says.
    Unspecified,
    /// Somebody else has the private key, or may have.
    KeyCompromise,
    /// The device has a newer certificate.
    Superseded,
    /// The device is not in use any more.
    CessationOfOperation,
    /// The device may not do what it could.
    PrivilegeWithdrawn,
}

impl Reason {
    /// Every reason, with the word for it.
    pub const ALL: [(&'static str, Self); 5] = [
        ("unspecified", Self::Unspecified),
        ("key-compromise", Self::KeyCompromise),
        ("superseded", Self::Superseded),
        ("cessation-of-operation", Self::CessationOfOperation),
        ("privilege-withdrawn", Self::PrivilegeWithdrawn),
    ];
}

/// A word that is no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a reason is unspecified, key-compromise, superseded, cessation-of-operation or privilege-withdrawn")]
pub struct ReasonError;

impl FromStr for Reason {
    type Err = ReasonError;

    fn from_str(text: &str) -> Result<Self, ReasonError> {
        Self::ALL.iter().find(|(word, _)| *word == text).map(|(_, reason)| *reason).ok_or(ReasonError)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::ALL.iter().find(|(_, reason)| reason == self).map_or("", |(word, _)| *word);
        out.pad(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_has_one_text() {
        let hash = Sha256::of(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.parse(), Ok(hash));
        for wrong in [&text.to_uppercase(), &text[1..], &format!("{text}0"), &text.replace('b', "g")] {
            assert_eq!(wrong.parse::<Sha256>(), Err(HashError));
        }
    }

    #[test]
    fn reasons_have_one_word_each() {
        for (word, reason) in Reason::ALL {
            assert_eq!(word.parse(), Ok(reason));
            assert_eq!(serde_json::to_string(&reason).expect("json"), format!("\"{word}\""));
            assert_eq!(reason.to_string(), word);
        }
        assert_eq!("removeFromCRL".parse::<Reason>(), Err(ReasonError));
    }

    /// This is how the first release wrote its records. They must load for ever.
    #[test]
    fn records_of_the_first_form_still_load() {
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let lines = [
            r#"{"opened":{"form":1,"manufacturer":"Example","station":null,"at":1}}"#.to_owned(),
            r#"{"order":{"order":"O-1","customer":"ACME","planned":5,"at":1}}"#.to_owned(),
            r#"{"batch":{"batch":1,"line":"line-1","order":"O-1","out":"/out","plan":{"count":{"ranges":[{"first":"G-1","last":"G-5"}]}},"at":1}}"#.to_owned(),
            format!(
                r#"{{"made":{{"by":{{"batch":{{"batch":1,"part":1}}}},"line":"line-1","order":"O-1","devices":[{{"device":"G-1","certificate":"4a01","key":"{hash}","fingerprint":"{hash}"}}],"at":1}}}}"#
            ),
            r#"{"finished":{"batch":1,"at":1}}"#.to_owned(),
            r#"{"revoked":{"certificate":"4a01","reason":"key-compromise","at":1}}"#.to_owned(),
            format!(r#"{{"shipped":{{"order":"O-1","sequence":1,"manifest":"{hash}","devices":["G-1"],"at":1}}}}"#),
            r#"{"scrapped":{"devices":["G-1"],"remark":"fell","at":1}}"#.to_owned(),
            r#"{"allotted":{"station":"s","sequence":1,"range":{"first":"G-6","last":"G-9"},"at":1}}"#.to_owned(),
            r#"{"accepted":{"sequence":1,"ranges":[{"first":"G-6","last":"G-9"}],"at":1}}"#.to_owned(),
            r#"{"merged":{"station":"s","lines":4,"head":"00","at":1}}"#.to_owned(),
            r#"{"listed":{"line":"line-1","number":1,"at":1}}"#.to_owned(),
            format!(r#"{{"server":{{"certificate":"4a01","fingerprint":"{hash}","hosts":["dps.example.com"],"at":1}}}}"#),
            r#"{"closed":{"order":"O-1","at":1}}"#.to_owned(),
        ];
        for line in lines {
            let record: Record = serde_json::from_str(&line).expect(&line);
            assert_eq!(serde_json::to_string(&record).expect("json"), line);
        }
    }
}
