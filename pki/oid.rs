//! Object identifiers that the judging half knows, as the content bytes of their DER.

/// id-ce, 2.5.29: the extensions of RFC 5280 §4.2.1 and §5.2.
pub(crate) mod extension {
    pub(crate) const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 14];
    pub(crate) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
    pub(crate) const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 17];
    pub(crate) const ISSUER_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 18];
    pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
    pub(crate) const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 20];
    pub(crate) const REASON_CODE: &[u8] = &[0x55, 0x1d, 21];
    pub(crate) const INVALIDITY_DATE: &[u8] = &[0x55, 0x1d, 24];
    pub(crate) const DELTA_CRL_INDICATOR: &[u8] = &[0x55, 0x1d, 27];
    pub(crate) const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 28];
    pub(crate) const CERTIFICATE_ISSUER: &[u8] = &[0x55, 0x1d, 29];
    pub(crate) const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 30];
    pub(crate) const CRL_DISTRIBUTION_POINTS: &[u8] = &[0x55, 0x1d, 31];
    pub(crate) const CERTIFICATE_POLICIES: &[u8] = &[0x55, 0x1d, 32];
    pub(crate) const POLICY_MAPPINGS: &[u8] = &[0x55, 0x1d, 33];
    pub(crate) const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
    pub(crate) const POLICY_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 36];
    pub(crate) const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
    pub(crate) const FRESHEST_LIST: &[u8] = &[0x55, 0x1d, 46];
    pub(crate) const INHIBIT_ANY_POLICY: &[u8] = &[0x55, 0x1d, 54];
    pub(crate) const AUTHORITY_INFORMATION: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];
    pub(crate) const SUBJECT_INFORMATION: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 11];
}

/// Extended key usages (RFC 5280 §4.2.1.12) and the OCF identity usage.
pub(crate) mod usage {
    pub(crate) const ANY: &[u8] = &[0x55, 0x1d, 37, 0];
    pub(crate) const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
    pub(crate) const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
    pub(crate) const EMAIL_PROTECTION: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 4];
    /// 1.3.6.1.4.1.44924.1.6
    pub(crate) const OCF_IDENTITY: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0xde, 0x7c, 1, 6];
}

/// Attributes of distinguished names (X.520).
pub(crate) mod attribute {
    pub(crate) const COMMON_NAME: &[u8] = &[0x55, 4, 3];
    pub(crate) const SERIAL_NUMBER: &[u8] = &[0x55, 4, 5];
    pub(crate) const ORGANISATION: &[u8] = &[0x55, 4, 10];
    pub(crate) const EMAIL_ADDRESS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
    /// What people call the others, for display (RFC 4514 §3).
    pub(crate) const NAMES: [(&[u8], &str); 12] = [
        (COMMON_NAME, "CN"),
        (&[0x55, 4, 4], "SN"),
        (SERIAL_NUMBER, "serialNumber"),
        (&[0x55, 4, 6], "C"),
        (&[0x55, 4, 7], "L"),
        (&[0x55, 4, 8], "ST"),
        (&[0x55, 4, 9], "STREET"),
        (ORGANISATION, "O"),
        (&[0x55, 4, 11], "OU"),
        (EMAIL_ADDRESS, "emailAddress"),
        (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
        (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    ];
}

/// anyPolicy (RFC 5280 §4.2.1.4).
pub(crate) const ANY_POLICY: &[u8] = &[0x55, 0x1d, 32, 0];

/// The qualifiers of policies: where their statement is, and a notice to show (RFC 5280 §4.2.1.4).
pub(crate) const POLICY_STATEMENT: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 2, 1];
pub(crate) const POLICY_NOTICE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 2, 2];

/// The identifier as people write it. Arcs beyond 64 bits, which nobody has, are shown by their low bits.
pub(crate) fn dotted(content: &[u8]) -> String {
    let mut text = String::new();
    let mut arc = 0_u64;
    for byte in content {
        arc = arc << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if text.is_empty() {
            // X.690 §8.19.4: the first two arcs share a number.
            let first = (arc / 40).min(2);
            text = format!("{first}.{}", arc - first * 40);
        } else {
            text.push_str(&format!(".{arc}"));
        }
        arc = 0;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_written_with_dots() {
        assert_eq!(dotted(usage::OCF_IDENTITY), "1.3.6.1.4.1.44924.1.6");
        assert_eq!(dotted(attribute::EMAIL_ADDRESS), "1.2.840.113549.1.9.1");
        assert_eq!(dotted(ANY_POLICY), "2.5.29.32.0");
    }
}
