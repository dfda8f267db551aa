//! What a payload is: the numbers of media types (RFC 7252 §12.3).

use std::{fmt, str::FromStr};

/// The number of a media type with its parameters and coding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentFormat(pub u16);

/// A content format that is neither a number nor a name of the registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no content format has this name")]
pub struct UnknownContentFormat;

impl ContentFormat {
    /// UTF-8 text.
    pub const TEXT: Self = Self(0);
    /// CoRE link format (RFC 6690).
    pub const LINK_FORMAT: Self = Self(40);
    /// XML.
    pub const XML: Self = Self(41);
    /// Any bytes.
    pub const OCTET_STREAM: Self = Self(42);
    /// JSON.
    pub const JSON: Self = Self(50);
    /// JSON Patch (RFC 6902).
    pub const JSON_PATCH: Self = Self(51);
    /// JSON Merge Patch (RFC 7396).
    pub const MERGE_PATCH: Self = Self(52);
    /// CBOR (RFC 8949).
    pub const CBOR: Self = Self(60);
    /// A sequence of CBOR items (RFC 8742).
    pub const CBOR_SEQUENCE: Self = Self(63);
    /// Measurements in JSON (RFC 8428).
    pub const SENML_JSON: Self = Self(110);
    /// Measurements in CBOR (RFC 8428).
    pub const SENML_CBOR: Self = Self(112);
    /// Problem details in CBOR (RFC 9290).
    pub const PROBLEM_DETAILS: Self = Self(257);
    /// OCF's CBOR.
    pub const OCF_CBOR: Self = Self(10_000);

    /// The media type, if the number is known here.
    pub fn name(self) -> Option<&'static str> {
        REGISTRY.binary_search_by_key(&self.0, |entry| entry.0).ok().and_then(|at| REGISTRY.get(at)).map(|entry| entry.1)
    }

    /// Whether the payload is one CBOR item.
    pub fn is_cbor(self) -> bool {
        self.name().is_some_and(|name| {
            let essence = name.split(';').next().unwrap_or(name);
            !name.contains(CODING) && (essence == "application/cbor" || essence.ends_with("+cbor"))
        })
    }

    /// Whether the payload is JSON.
    pub fn is_json(self) -> bool {
        self.name().is_some_and(|name| !name.contains(CODING) && (name == "application/json" || name.ends_with("+json")))
    }
}

impl FromStr for ContentFormat {
    type Err = UnknownContentFormat;

    /// Reads a number, a media type, or the short word that follows the slash (`cbor`, `json`, `link-format`, `text`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(number) = text.parse() {
            return Ok(Self(number));
        }
        let wanted: String = text.chars().filter(|character| *character != ' ').collect::<String>().to_ascii_lowercase();
        let short = |name: &str| name.split_once('/').is_some_and(|(_, subtype)| subtype == wanted);
        let is = |name: &str| name.replace(' ', "") == wanted;
        let found = REGISTRY.iter().find(|entry| is(entry.1)).or_else(|| REGISTRY.iter().find(|entry| short(entry.1)));
        match (found, wanted.as_str()) {
            (Some(entry), _) => Ok(Self(entry.0)),
            (None, "text" | "plain" | "text/plain") => Ok(Self::TEXT),
            (None, "binary") => Ok(Self::OCTET_STREAM),
            (None, _) => Err(UnknownContentFormat),
        }
    }
}

impl fmt::Display for ContentFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for ContentFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentFormat({self})")
    }
}

/// How a coded representation stands in [`REGISTRY`].
const CODING: &str = " in ";

/// The registry as far as anybody has met it, by number. A coding follows after `in`.
const REGISTRY: &[(u16, &str)] = &[
    (0, "text/plain; charset=utf-8"),
    (16, "application/cose; cose-type=\"cose-encrypt0\""),
    (17, "application/cose; cose-type=\"cose-mac0\""),
    (18, "application/cose; cose-type=\"cose-sign1\""),
    (19, "application/ace+cbor"),
    (21, "image/gif"),
    (22, "image/jpeg"),
    (23, "image/png"),
    (40, "application/link-format"),
    (41, "application/xml"),
    (42, "application/octet-stream"),
    (47, "application/exi"),
    (50, "application/json"),
    (51, "application/json-patch+json"),
    (52, "application/merge-patch+json"),
    (60, "application/cbor"),
    (61, "application/cwt"),
    (62, "application/multipart-core"),
    (63, "application/cbor-seq"),
    (64, "application/edhoc+cbor-seq"),
    (65, "application/cid-edhoc+cbor-seq"),
    (96, "application/cose; cose-type=\"cose-encrypt\""),
    (97, "application/cose; cose-type=\"cose-mac\""),
    (98, "application/cose; cose-type=\"cose-sign\""),
    (101, "application/cose-key"),
    (102, "application/cose-key-set"),
    (110, "application/senml+json"),
    (111, "application/sensml+json"),
    (112, "application/senml+cbor"),
    (113, "application/sensml+cbor"),
    (114, "application/senml-exi"),
    (115, "application/sensml-exi"),
    (140, "application/yang-data+cbor; id=sid"),
    (256, "application/coap-group+json"),
    (257, "application/concise-problem-details+cbor"),
    (258, "application/swid+cbor"),
    (271, "application/dots+cbor"),
    (272, "application/missing-blocks+cbor-seq"),
    (280, "application/pkcs7-mime; smime-type=server-generated-key"),
    (281, "application/pkcs7-mime; smime-type=certs-only"),
    (284, "application/pkcs8"),
    (285, "application/csrattrs"),
    (286, "application/pkcs10"),
    (287, "application/pkix-cert"),
    (290, "application/aif+cbor"),
    (291, "application/aif+json"),
    (310, "application/senml+xml"),
    (311, "application/sensml+xml"),
    (320, "application/senml-etch+json"),
    (322, "application/senml-etch+cbor"),
    (340, "application/yang-data+cbor"),
    (341, "application/yang-data+cbor; id=name"),
    (432, "application/td+json"),
    (10_000, "application/vnd.ocf+cbor"),
    (10_001, "application/oscore"),
    (10_002, "application/javascript"),
    (11_050, "application/json in deflate"),
    (11_060, "application/cbor in deflate"),
    (11_542, "application/vnd.oma.lwm2m+tlv"),
    (11_543, "application/vnd.oma.lwm2m+json"),
    (11_544, "application/vnd.oma.lwm2m+cbor"),
    (20_000, "text/css"),
    (30_000, "image/svg+xml"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_number() {
        assert!(REGISTRY.is_sorted_by(|one, next| one.0 < next.0));
        for &(number, name) in REGISTRY {
            assert_eq!(name.parse(), Ok(ContentFormat(number)));
            assert_eq!(ContentFormat(number).to_string(), name);
        }
    }

    #[test]
    fn a_format_is_found_by_number_and_by_short_word() {
        for (text, format) in [
            ("60", ContentFormat::CBOR),
            ("cbor", ContentFormat::CBOR),
            ("JSON", ContentFormat::JSON),
            ("text", ContentFormat::TEXT),
            ("text/plain", ContentFormat::TEXT),
            ("text/plain;charset=utf-8", ContentFormat::TEXT),
            ("vnd.ocf+cbor", ContentFormat::OCF_CBOR),
            ("31337", ContentFormat(31_337)),
        ] {
            assert_eq!(text.parse(), Ok(format), "{text}");
        }
        assert_eq!("jsonn".parse::<ContentFormat>(), Err(UnknownContentFormat));
        assert_eq!("65536".parse::<ContentFormat>(), Err(UnknownContentFormat));
        assert_eq!(ContentFormat(31_337).to_string(), "31337");
    }

    #[test]
    fn what_is_cbor_or_json_is_known_by_its_suffix() {
        assert!([ContentFormat::CBOR, ContentFormat::OCF_CBOR, ContentFormat(341)].iter().all(|format| format.is_cbor()));
        assert!([ContentFormat::JSON, ContentFormat::MERGE_PATCH].iter().all(|format| format.is_json()));
        assert!([ContentFormat::TEXT, ContentFormat(11_060), ContentFormat::CBOR_SEQUENCE].iter().all(|format| !format.is_cbor()));
        assert!(!ContentFormat(11_050).is_json());
    }
}
