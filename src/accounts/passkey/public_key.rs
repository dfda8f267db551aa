//! The public half of a passkey: kept, and signatures verified with it.

use gatehouse_store::codec::Bytes;
use gatehouse_wire::webauthn::CoseKey;
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

/// What browsers are told that we take, by COSE's numbers, the one that we like best first.
pub(super) const ALGORITHMS: [i32; 3] = [-7, -8, -257];

/// A public key. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PublicKey {
    /// A point on P-256, uncompressed.
    Es256(Bytes),
    /// On Ed25519.
    EdDsa(Bytes),
    Rs256 {
        n: Bytes,
        e: Bytes,
    },
}

impl PublicKey {
    /// Whether this key signed a message (§6.5.5).
    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Es256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &**point).verify(message, signature).is_ok(),
            Self::EdDsa(key) => UnparsedPublicKey::new(&ED25519, &**key).verify(message, signature).is_ok(),
            Self::Rs256 { n, e } => {
                RsaPublicKeyComponents { n: &**n, e: &**e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
        }
    }
}

impl From<CoseKey> for PublicKey {
    fn from(key: CoseKey) -> Self {
        match key {
            CoseKey::Es256 { x, y } => Self::Es256([&[4], x.as_slice(), y.as_slice()].concat().into()),
            CoseKey::EdDsa(key) => Self::EdDsa(key.to_vec().into()),
            CoseKey::Rs256 { n, e } => Self::Rs256 { n: n.into(), e: e.into() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    /// Made by OpenSSL over the text below.
    const MODULUS: &[u8] =
        b"ae8c61df87f92b8144529fc280f4783a2697dc76f3715f47ade0bf078a6cee562037bd80fff32433992ccade9147e83c8525c6113876df49c4c012e5\
        b99866febec4cc6ef001e482ce6b3ad0f9590efd6c7412f149e2586ef69c7c41dae7fb551b7d663afa1a9603f4dc50881ebc64d581a02ca0696ec773\
        935ab7a0907e712cda2895307e8734806cb8d74aa81dabcfef762d6450e2cba36972754304df9daf2c2abfd0ab7e0df2866c91d5cf963921618a0649\
        527f0f89aef13b69d693ac8a25f8d694de4edf514f935a6013e196418013bfc7608851b85a014236f6b380920e5b9fb62a58f76d58fe09e473cf6ecb\
        f695931d5a16a867e9c2f1635f0f7a79";
    const SIGNATURE: &[u8] =
        b"3b7d7025894830a84d7329193dd81212e4edf2bf697bbc1f4cb3781afbde28e68c27c5b5783ea1bebb3c112d2e9cd00fac01ca7b73f1c3fdb65d1a50\
        191f1ee5577c8b932383fd2aee0a7c52ba697ee0ab70027f8aaed61862cbc8f8e594295295d03e4dcc4df9543fd15b15bd8996bb9b8ed788561c453c\
        a46b4682fb4c4bb9b085d3c029c76f01b63b56bd9ebc97e6428f6ec260a19e750b1cdce2afa35a879b5e645bea7f78330ca18f487a0e1d215f999d54\
        5779a0f9eeeb746d8f3a45efd3622868832ba52490a10c80af3940c70078c0b0453c50e1f57412d6499e9eaddda3091a6c5ab17f027905321a3a7504\
        145b4df361c4c173b55e6915bc4c1e8c";

    #[test]
    fn an_rsa_key_verifies_what_openssl_signed_and_nothing_else() {
        let bytes = |hex: &[u8]| HEXLOWER.decode(hex).expect("hexadecimal");
        let key = PublicKey::from(CoseKey::Rs256 { n: bytes(MODULUS), e: vec![1, 0, 1] });
        assert!(key.signed(b"a message", &bytes(SIGNATURE)));
        assert!(!key.signed(b"another message", &bytes(SIGNATURE)));
        assert!(!key.signed(b"a message", &bytes(SIGNATURE)[1..]));
    }
}
