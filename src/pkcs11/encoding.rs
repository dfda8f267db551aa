//! Between the token's forms of keys and signatures and those of certificates.

use gatehouse_pki::{KeyAlgorithm, der::write};

/// The DER `SubjectPublicKeyInfo` for CKA_EC_PARAMS and CKA_EC_POINT; none for other curves. Whether the point is one of the curve is for
/// [`PublicKey`](gatehouse_pki::PublicKey) to say.
pub(crate) fn spki(parameters: &[u8], point: &[u8]) -> Option<Vec<u8>> {
    let curve = CURVES.iter().find(|curve| curve.parameters == parameters)?;
    // PKCS#11 §2.3.3 wants the point wrapped in an OCTET STRING; some tokens leave the wrapping out.
    let point = match point {
        [0x04, len, wrapped @ ..] if usize::from(*len) == wrapped.len() && wrapped.len() == curve.point_len => wrapped,
        bare if bare.len() == curve.point_len => bare,
        _ => return None,
    };
    Some([curve.spki_prefix, point].concat())
}

/// The DER object identifier of the curve, as CKA_EC_PARAMS takes it.
pub(crate) fn curve_parameters(algorithm: KeyAlgorithm) -> Option<&'static [u8]> {
    CURVES.iter().find(|curve| curve.algorithm == algorithm).map(|curve| curve.parameters)
}

/// The DER `Ecdsa-Sig-Value` (RFC 3279 §2.2.3) of a token's r and s, which stand beside each other in equal lengths.
pub(crate) fn signature(raw: &[u8]) -> Vec<u8> {
    let (r, s) = raw.split_at(raw.len() / 2);
    write::sequence(&[&write::unsigned(r), &write::unsigned(s)])
}

struct Curve {
    algorithm: KeyAlgorithm,
    parameters: &'static [u8],
    point_len: usize,
    /// `SubjectPublicKeyInfo` up to the point.
    spki_prefix: &'static [u8],
}

const CURVES: [Curve; 2] = [
    Curve {
        algorithm: KeyAlgorithm::P256,
        parameters: b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
        point_len: 65,
        spki_prefix: b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00",
    },
    Curve {
        algorithm: KeyAlgorithm::P384,
        parameters: b"\x06\x05\x2b\x81\x04\x00\x22",
        point_len: 97,
        spki_prefix: b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_pki::{PublicKey, Signer, SoftwareKey};

    #[test]
    fn points_are_taken_wrapped_and_bare() {
        for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::P384] {
            let key = SoftwareKey::generate(algorithm).expect("issued with");
            let parameters = curve_parameters(algorithm).expect("a curve");
            let len = if algorithm == KeyAlgorithm::P256 { 65 } else { 97 };
            let der = key.public_key().spki_der();
            let point = &der[der.len() - len..];
            let wrapped = [&[0x04, len as u8], point].concat();
            for form in [point, &wrapped] {
                let spki = spki(parameters, form).expect("a key");
                assert_eq!(PublicKey::from_spki_der(&spki).as_ref(), Ok(key.public_key()));
            }
            assert_eq!(spki(parameters, &point[1..]), None);
            assert_eq!(spki(b"\x06\x05\x2b\x81\x04\x00\x0a", point), None);
        }
    }

    #[test]
    fn signatures_have_their_numbers_in_the_shortest_form() {
        assert_eq!(signature(&[0x00, 0x01, 0x80, 0x00]), b"\x30\x08\x02\x01\x01\x02\x03\x00\x80\x00");
        assert_eq!(signature(&[0x00, 0x00, 0x7f, 0xff]), b"\x30\x07\x02\x01\x00\x02\x02\x7f\xff");
        assert_eq!(signature(&[0xff; 96]).len(), 2 + 2 * (2 + 49));
    }
}
