//! Whether a public key is a point of its curve.
//!
//! `ring` checks this too, but only while it verifies a signature, and then says no more than "bad signature". Here the
//! check comes when a key is read, so that a refusal has a name and a bad key is never stored. Public values only:
//! nothing here needs to take constant time, and nothing here signs.

use super::{KeyAlgorithm, spki::KeyError};

/// Checks the coordinates of an uncompressed point (after the leading 0x04) of P-256 or P-384.
pub(super) fn check_nist(algorithm: KeyAlgorithm, coordinates: &[u8]) -> Result<(), KeyError> {
    let on_curve = match algorithm {
        KeyAlgorithm::P256 => weierstrass(&P256, &P256_B, coordinates),
        KeyAlgorithm::P384 => weierstrass(&P384, &P384_B, coordinates),
        KeyAlgorithm::Ed25519 | KeyAlgorithm::Rsa { .. } => None,
    };
    match on_curve {
        None => Err(KeyError::KeyLength(algorithm)),
        Some(false) => Err(KeyError::NotOnCurve(algorithm)),
        Some(true) => Ok(()),
    }
}

/// Checks the 32 bytes of an Ed25519 key (RFC 8032 §5.1.3): canonical, on the curve, not of small order.
pub(super) fn check_ed25519(key: &[u8]) -> Result<(), KeyError> {
    let mut bytes: [u8; 32] = key.try_into().map_err(|_| KeyError::KeyLength(KeyAlgorithm::Ed25519))?;
    // The highest bit is the sign of x; either is a point, because x is zero for small orders only.
    bytes[31] &= 0x7f;
    bytes.reverse();
    let field = &P25519;
    let not_on_curve = KeyError::NotOnCurve(KeyAlgorithm::Ed25519);
    let y = field.element(&bytes).ok_or(not_on_curve.clone())?;
    if SMALL_ORDER_Y.contains(&bytes) {
        return Err(KeyError::SmallOrder);
    }
    // x² = (y² - 1) / (d y² + 1) has a root exactly when numerator × denominator is a square.
    let one = field.one();
    let y2 = field.multiply(&y, &y);
    let numerator = field.subtract(&y2, &one);
    let denominator = field.add(&field.multiply(&field.enter(&ED25519_D), &y2), &one);
    let product = field.multiply(&numerator, &denominator);
    if field.power(&product, &P25519_HALF) == one { Ok(()) } else { Err(not_on_curve) }
}

/// y² = x³ - 3x + b. `None` when the coordinates have the wrong length.
fn weierstrass<const N: usize>(field: &Field<N>, b: &[u64; N], coordinates: &[u8]) -> Option<bool> {
    if coordinates.len() != 16 * N {
        return None;
    }
    let (x, y) = coordinates.split_at(8 * N);
    // A coordinate that is not reduced would be a second encoding of a point.
    let (Some(x), Some(y)) = (field.element(x), field.element(y)) else {
        return Some(false);
    };
    let x3 = field.multiply(&field.multiply(&x, &x), &x);
    let three_x = field.add(&field.add(&x, &x), &x);
    let right = field.add(&field.subtract(&x3, &three_x), &field.enter(b));
    Some(field.multiply(&y, &y) == right)
}

/// Numbers modulo a prime, as N words with the least significant first, in Montgomery's form.
struct Field<const N: usize> {
    prime: [u64; N],
    /// 2^(128 N) modulo the prime.
    square: [u64; N],
    /// -1 / prime modulo 2^64.
    inverse: u64,
}

impl<const N: usize> Field<N> {
    /// Reads a big-endian number of 8 N bytes; `None` when it is not below the prime.
    fn element(&self, bytes: &[u8]) -> Option<[u64; N]> {
        let mut words = [0; N];
        for (word, chunk) in words.iter_mut().zip(bytes.rchunks_exact(8)) {
            *word = u64::from_be_bytes(chunk.try_into().ok()?);
        }
        less(&words, &self.prime).then(|| self.enter(&words))
    }

    fn enter(&self, words: &[u64; N]) -> [u64; N] {
        self.multiply(words, &self.square)
    }

    fn one(&self) -> [u64; N] {
        let mut one = [0; N];
        one[0] = 1;
        self.enter(&one)
    }

    fn add(&self, a: &[u64; N], b: &[u64; N]) -> [u64; N] {
        let mut sum = [0; N];
        let mut carry = 0;
        for i in 0..N {
            let wide = u128::from(a[i]) + u128::from(b[i]) + carry;
            sum[i] = wide as u64;
            carry = wide >> 64;
        }
        self.reduce(sum, carry != 0)
    }

    fn subtract(&self, a: &[u64; N], b: &[u64; N]) -> [u64; N] {
        self.add(a, &minus(&self.prime, b))
    }

    /// Montgomery's product, word by word.
    fn multiply(&self, a: &[u64; N], b: &[u64; N]) -> [u64; N] {
        let mut product = [0; N];
        // What is carried out of the product's highest word; never more than one bit between rounds.
        let mut top = 0_u64;
        for word in b {
            let mut carry = 0;
            for i in 0..N {
                let wide = u128::from(product[i]) + u128::from(a[i]) * u128::from(*word) + carry;
                product[i] = wide as u64;
                carry = wide >> 64;
            }
            let high = u128::from(top) + carry;
            let factor = u128::from(product[0].wrapping_mul(self.inverse));
            let mut carry = (u128::from(product[0]) + factor * u128::from(self.prime[0])) >> 64;
            for i in 1..N {
                let wide = u128::from(product[i]) + factor * u128::from(self.prime[i]) + carry;
                product[i - 1] = wide as u64;
                carry = wide >> 64;
            }
            let wide = high + carry;
            product[N - 1] = wide as u64;
            top = (wide >> 64) as u64;
        }
        self.reduce(product, top != 0)
    }

    fn power(&self, base: &[u64; N], exponent: &[u64; N]) -> [u64; N] {
        let mut result = self.one();
        for word in exponent.iter().rev() {
            for bit in (0..64).rev() {
                result = self.multiply(&result, &result);
                if word >> bit & 1 == 1 {
                    result = self.multiply(&result, base);
                }
            }
        }
        result
    }

    /// Brings a number below twice the prime (with its carry) below the prime.
    fn reduce(&self, number: [u64; N], carry: bool) -> [u64; N] {
        if carry || !less(&number, &self.prime) { minus(&number, &self.prime) } else { number }
    }
}

/// a - b modulo 2^(64 N).
fn minus<const N: usize>(a: &[u64; N], b: &[u64; N]) -> [u64; N] {
    let mut difference = [0; N];
    let mut borrow = false;
    for i in 0..N {
        let (partial, first) = a[i].overflowing_sub(b[i]);
        let (word, second) = partial.overflowing_sub(u64::from(borrow));
        difference[i] = word;
        borrow = first || second;
    }
    difference
}

fn less<const N: usize>(a: &[u64; N], b: &[u64; N]) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

/// 2^256 - 2^224 + 2^192 + 2^96 - 1 (SP 800-186 §3.2.1.3).
const P256: Field<4> = Field {
    prime: [0xffff_ffff_ffff_ffff, 0x0000_0000_ffff_ffff, 0, 0xffff_ffff_0000_0001],
    square: [3, 0xffff_fffb_ffff_ffff, 0xffff_ffff_ffff_fffe, 0x0000_0004_ffff_fffd],
    inverse: 1,
};
const P256_B: [u64; 4] = [0x3bce_3c3e_27d2_604b, 0x651d_06b0_cc53_b0f6, 0xb3eb_bd55_7698_86bc, 0x5ac6_35d8_aa3a_93e7];

/// 2^384 - 2^128 - 2^96 + 2^32 - 1 (SP 800-186 §3.2.1.4).
const P384: Field<6> = Field {
    prime: [0x0000_0000_ffff_ffff, 0xffff_ffff_0000_0000, 0xffff_ffff_ffff_fffe, u64::MAX, u64::MAX, u64::MAX],
    square: [0xffff_fffe_0000_0001, 0x0000_0002_0000_0000, 0xffff_fffe_0000_0000, 0x0000_0002_0000_0000, 1, 0],
    inverse: 0x0000_0001_0000_0001,
};
const P384_B: [u64; 6] = [
    0x2a85_c8ed_d3ec_2aef,
    0xc656_398d_8a2e_d19d,
    0x0314_088f_5013_875a,
    0x181d_9c6e_fe81_4112,
    0x988e_056b_e3f8_2d19,
    0xb331_2fa7_e23e_e7e4,
];

/// 2^255 - 19 (RFC 8032 §5.1).
const P25519: Field<4> = Field {
    prime: [0xffff_ffff_ffff_ffed, u64::MAX, u64::MAX, 0x7fff_ffff_ffff_ffff],
    square: [0x5a4, 0, 0, 0],
    inverse: 0x86bc_a1af_286b_ca1b,
};
/// (prime - 1) / 2: a number to this power is one exactly when it is a square.
const P25519_HALF: [u64; 4] = [0xffff_ffff_ffff_fff6, u64::MAX, u64::MAX, 0x3fff_ffff_ffff_ffff];
const ED25519_D: [u64; 4] = [0x75eb_4dca_1359_78a3, 0x0070_0a4d_4141_d8ab, 0x8cc7_4079_7779_e898, 0x5203_6cee_2b6f_fe73];

/// The y coordinates (big-endian) of the eight points whose order divides the cofactor: 1, -1, 0 and the two of order eight.
const SMALL_ORDER_Y: [[u8; 32]; 5] = [
    *b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    *b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01",
    *b"\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xec",
    *b"\x05\xfc\x53\x6d\x88\x02\x38\xb1\x39\x33\xc6\xd3\x05\xac\xdf\xd5\xf0\x98\xef\xf2\x89\xf4\xc3\x45\xb0\x27\xb2\xc2\x8f\x95\xe8\x26",
    *b"\x7a\x03\xac\x92\x77\xfd\xc7\x4e\xc6\xcc\x39\x2c\xfa\x53\x20\x2a\x0f\x67\x10\x0d\x76\x0b\x3c\xba\x4f\xd8\x4d\x3d\x70\x6a\x17\xc7",
];
