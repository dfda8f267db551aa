//! The rules that a certificate, a revocation list or a chain can break, and where each is written.

use std::fmt;

/// Makes an enum of a table of rules: variant, code, where it is written, and a sentence.
macro_rules! rules {
    ($(#[$about:meta])* $name:ident $before:literal $($variant:ident $code:literal $section:literal $sentence:literal)*) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $(#[doc = concat!($before, $sentence, " (", $section, ").")] $variant,)*
        }

        impl $name {
            /// Every rule.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// A stable word for programs and tables.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// Where the rule is written.
            pub const fn section(self) -> &'static str {
                match self { $(Self::$variant => $section),* }
            }

            /// Its sentence, as the table has it.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence),* }
            }
        }
    };
}
pub(crate) use rules;

rules! {
    /// A rule of chain verification. Every refusal names exactly one. Its sentence says how it was broken.
    Rule "Broken when "

    NoCertificate "no-certificate" "RFC 8446 §4.4.2.4" "no certificate was presented"
    TooMany "too-many" "Gatehouse limit" "more certificates were presented than are read"
    TooLarge "too-large" "Gatehouse limit" "more bytes were presented than are read"
    Encoding "encoding" "RFC 5280 §4.1, X.690" "the bytes are not the one DER encoding of their type"
    Version "version" "RFC 5280 §4.1.2.1" "the version is not 3"
    Serial "serial" "RFC 5280 §4.1.2.2" "the serial number is not a positive integer of at most 20 octets"
    SignatureAlgorithm "signature-algorithm" "RFC 5280 §4.1.1.2, RFC 9155" "the signature algorithm is not accepted"
    AlgorithmsDiffer "algorithms-differ" "RFC 5280 §4.1.1.2" "the signature algorithm inside differs from the one outside"
    Issuer "issuer" "RFC 5280 §4.1.2.4" "the issuer's name is empty or malformed"
    Validity "validity" "RFC 5280 §4.1.2.5" "the validity period is malformed or ends before it begins"
    Subject "subject" "RFC 5280 §4.1.2.6" "the subject's name is malformed, or empty without a critical alternative name"
    Key "key" "RFC 5280 §4.1.2.7, RFC 5480" "the public key is not accepted"
    UniqueId "unique-id" "RFC 5280 §4.1.2.8" "it has a unique identifier"
    DuplicateExtension "duplicate-extension" "RFC 5280 §4.2" "an extension is there twice"
    UnknownCritical "unknown-critical" "RFC 5280 §4.2" "a critical extension is not known"
    Extension "extension" "RFC 5280 §4.2.1" "an extension is malformed"
    Criticality "criticality" "RFC 5280 §4.2.1" "an extension is critical that must not be, or is not and must be"
    AlternativeName "alternative-name" "RFC 5280 §4.2.1.6" "an alternative name is malformed, or there is an empty list of them"
    NameConstraintForm "name-constraint-form" "RFC 5280 §4.2.1.10" "name constraints are malformed or in a certificate that is no CA's"
    NameConstraintUnsupported "name-constraint-unsupported" "RFC 5280 §4.2.1.10" "a name constraint is of a form that is not judged"
    BasicConstraints "basic-constraints" "RFC 5280 §4.2.1.9" "basic constraints and key usage contradict each other"
    MissingKeyId "missing-key-id" "RFC 5280 §4.2.1.1, §4.2.1.2" "a key identifier that its issuer must write is missing"
    KeyIdMismatch "key-id-mismatch" "RFC 5280 §4.2.1.1" "the authority key identifier points at another key than the issuer's"
    UnknownIssuer "unknown-issuer" "RFC 5280 §6.1" "no chain leads to an anchor"
    Signature "signature" "RFC 5280 §6.1.3 (a)(1)" "the signature is not the issuer's"
    NotYetValid "not-yet-valid" "RFC 5280 §6.1.3 (a)(2)" "its validity has not begun"
    Expired "expired" "RFC 5280 §6.1.3 (a)(2)" "it has expired"
    LeafIsCa "leaf-is-ca" "RFC 5280 §4.2.1.9, IEEE 802.1AR §8.10" "a CA's certificate is presented as a peer's own"
    NotCa "not-ca" "RFC 5280 §6.1.4 (k)" "an issuer is not a CA by critical basic constraints"
    NotCertSigner "not-cert-signer" "RFC 5280 §6.1.4 (n)" "an issuer's key usage does not include signing certificates"
    PathLength "path-length" "RFC 5280 §6.1.4 (l), (m)" "there are more CAs below an issuer than it allows"
    NameConstraints "name-constraints" "RFC 5280 §6.1.3 (b), (c)" "a name lies outside of what an issuer may name"
    KeyUsage "key-usage" "RFC 5280 §4.2.1.3, RFC 5246 §7.4.6" "the key usage does not include digital signatures"
    ExtendedKeyUsage "extended-key-usage" "RFC 5280 §4.2.1.12" "the extended key usages do not include the purpose"
    PolicyMapping "policy-mapping" "RFC 5280 §6.1.4 (a)" "a policy mapping maps to or from any-policy"
    Policy "policy" "RFC 5280 §6.1.3 (f), §6.1.5 (g)" "an issuer demands a certificate policy and none is valid"
    NoRevocationList "no-revocation-list" "RFC 5280 §6.3.3" "there is no revocation list that covers it"
    RevocationListIssuer "revocation-list-issuer" "RFC 5280 §6.3.3 (f)" "the issuer's key usage does not include signing revocation lists"
    RevocationListSignature "revocation-list-signature" "RFC 5280 §6.3.3 (g)" "the revocation list's signature is not the issuer's"
    RevocationListStale "revocation-list-stale" "RFC 5280 §6.3.3 (a)" "the revocation list is past its next update"
    RevocationListEarly "revocation-list-early" "RFC 5280 §5.1.2.4" "the revocation list is from the future"
    RevocationListForm "revocation-list-form" "RFC 5280 §5" "the revocation list is malformed"
    RevocationListScope "revocation-list-scope" "RFC 5280 §5.2.4, §5.2.5, §5.3" "the revocation list is a delta, indirect, partial, or has a critical extension that is not known"
    Revoked "revoked" "RFC 5280 §6.3.3" "it is revoked"
    BlockedKey "blocked-key" "Gatehouse blocked keys" "its key is blocked"
    NotThroughLead "not-through-lead" "Gatehouse lead certificate" "no chain passes through the lead certificate"
    WorkExceeded "work-exceeded" "Gatehouse limit" "judging it takes more work than is spent on a peer"
}

impl Rule {
    /// The rule with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.code() == code)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", self.sentence(), self.section())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_a_code_of_its_own() {
        for rule in Rule::ALL {
            assert_eq!(Rule::from_code(rule.code()), Some(*rule));
        }
        assert_eq!(Rule::from_code("no-such-rule"), None);
    }
}
