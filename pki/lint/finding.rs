//! The rules of the lint, and how a broken one is told.

use std::fmt;

crate::rule::rules! {
    /// A rule that to-be-signed bytes are held to. Its sentence says what is so when it is kept.
    LintRule ""

    Encoding "encoding" "RFC 5280 §4.1, X.690" "the bytes are the one DER encoding of a TBSCertificate"
    Version "version" "RFC 5280 §4.1.2.1" "the version is 3"
    Serial "serial" "RFC 5280 §4.1.2.2" "the serial number is positive, fits into 20 octets and is the one that was drawn"
    SignatureAlgorithm "signature-algorithm" "RFC 5280 §4.1.2.3" "the signature algorithm is the signing key's"
    Issuer "issuer" "RFC 5280 §4.1.2.4" "the issuer is the signing CA's subject, byte by byte"
    Validity "validity" "RFC 5280 §4.1.2.5" "the dates are in their one form, in order, and those that were approved"
    WithinIssuer "within-issuer" "RFC 5280 §6.1.3" "every CA above is valid for as long as the certificate"
    BackDated "back-dated" "device clocks" "it is valid at least 65 minutes before it is made, or as long as its issuer"
    Subject "subject" "RFC 5280 §4.1.2.6, appendix A" "the subject has attributes of at most 64 characters, each once and alone in its set, in their types"
    SubjectContent "subject-content" "profile" "the subject says what was approved and nothing else"
    DeviceName "device-name" "OCF Security" "nothing that reads like a device's name stands anywhere but in the common name of an OCF identity"
    Key "key" "RFC 5280 §4.1.2.7" "the key is the one that was approved, of a kind that is issued in this role"
    UniqueId "unique-id" "RFC 5280 §4.1.2.8" "there are no unique identifiers"
    DuplicateExtension "duplicate-extension" "RFC 5280 §4.2" "no extension is there twice"
    UnknownExtension "unknown-extension" "RFC 5280 §4.2" "only extensions that are known here are written"
    Criticality "criticality" "RFC 5280 §4.2.1" "key usage and basic constraints are critical, and nothing else is"
    AuthorityKeyId "authority-key-id" "RFC 5280 §4.2.1.1" "the authority key identifier is the signing CA's subject key identifier; a root has none"
    SubjectKeyId "subject-key-id" "RFC 5280 §4.2.1.2, RFC 7093 §2" "the subject key identifier is made of the key"
    KeyUsage "key-usage" "RFC 5280 §4.2.1.3" "a CA signs certificates and revocation lists; a leaf does neither and has the uses that were approved"
    BasicConstraints "basic-constraints" "RFC 5280 §4.2.1.9" "a CA says so with the approved path length; a leaf says that it is none"
    PathLength "path-length" "RFC 5280 §4.2.1.9" "the path lengths above allow one more CA"
    ExtendedKeyUsage "extended-key-usage" "RFC 5280 §4.2.1.12" "a leaf has the purposes that were approved, each once; a CA has none"
    AlternativeName "alternative-name" "RFC 5280 §4.2.1.6" "the alternative names are the approved hosts"
    DistributionPoint "distribution-point" "RFC 5280 §4.2.1.13" "the distribution point is the approved address"
    DeviceSerialNumber "device-serial-number" "IEEE 802.1AR §8" "a device's subject has exactly one serialNumber"
    DevicePurpose "device-purpose" "IEEE 802.1AR §8.10" "a device's certificate authenticates a TLS client and is no CA"
    OcfName "ocf-name" "OCF Security" "an OCF identity's subject is a single common name, uuid: and the id in lower case"
    OcfKeyUsage "ocf-key-usage" "OCF Security" "an OCF identity signs and agrees on keys, nothing else"
    OcfPurpose "ocf-purpose" "OCF Security" "an OCF identity is client, server and 1.3.6.1.4.1.44924.1.6, and carries no role"
    OcfKey "ocf-key" "OCF Security" "an OCF identity's key and signature are ECDSA on P-256 or P-384"
    ServerName "server-name" "RFC 9525 §6" "a server is named by its alternative names, and the common name is one of them"
    ServerPurpose "server-purpose" "RFC 5280 §4.2.1.12" "a server's certificate authenticates a TLS server and signs handshakes"
    NotAccepted "not-accepted" "RFC 5280" "the judging half of this crate reads it"
}

/// A rule that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    rule: LintRule,
    detail: String,
}

impl Finding {
    /// The rule.
    pub fn rule(&self) -> LintRule {
        self.rule
    }

    /// What was found instead.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({}), and here {}", self.rule.sentence(), self.rule.section(), self.detail)
    }
}

/// What was found so far.
#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, rule: LintRule, detail: impl Into<String>) {
        self.0.push(Finding { rule, detail: detail.into() });
    }

    /// Adds a finding unless the rule is kept.
    pub(super) fn demand(&mut self, kept: bool, rule: LintRule, detail: impl FnOnce() -> String) {
        if !kept {
            self.add(rule, detail());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_vec(self) -> Vec<Finding> {
        self.0
    }
}
