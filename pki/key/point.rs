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
    // Montgomery's form multiplies by 2^256, which is a square and changes nothing.
    if is_square(product, field.prime) { Ok(()) } else { Err(not_on_curve) }
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

    /// Brings a number below twice the prime (with its carry) below the prime.
    fn reduce(&self, number: [u64; N], carry: bool) -> [u64; N] {
        if carry || !less(&number, &self.prime) { minus(&number, &self.prime) } else { number }
    }
}

/// Whether a number other than zero has a square root modulo a prime, which is odd and above it.
///
/// The Jacobi symbol by subtracting and halving. Euler's criterion takes ten times as long, which was a fifth of judging a
/// chain of Ed25519 keys. It branches on the number, which is public.
fn is_square<const N: usize>(mut number: [u64; N], prime: [u64; N]) -> bool {
    let mut modulus = prime;
    let mut symbol = true;
    while let Some(word) = number.iter().position(|word| *word != 0) {
        let zeros = number[word].trailing_zeros();
        shift_right(&mut number, word, zeros);
        // (2/m) is -1 when m is 3 or 5 modulo 8. Whole words hold 64 twos, whose symbols cancel out.
        symbol ^= zeros & 1 == 1 && matches!(modulus[0] & 7, 3 | 5);
        // Both are odd now. Quadratic reciprocity: (n/m) is (m/n), with the other sign when both are 3 modulo 4.
        if less(&number, &modulus) {
            symbol ^= number[0] & modulus[0] & 3 == 3;
            std::mem::swap(&mut number, &mut modulus);
        }
        number = minus(&number, &modulus);
    }
    // What is left of the modulus is the greatest common divisor.
    symbol && modulus.iter().skip(1).all(|word| *word == 0) && modulus[0] == 1
}

/// Shifts by whole words and by fewer than 64 bits.
fn shift_right<const N: usize>(number: &mut [u64; N], words: usize, bits: u32) {
    let word = |number: &[u64; N], at: usize| number.get(at).copied().unwrap_or(0);
    for at in 0..N {
        let (low, high) = (word(number, at + words), word(number, at + words + 1));
        // In two steps, because a shift by 64 is none.
        number[at] = low >> bits | high << 1 << (63 - bits);
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
const ED25519_D: [u64; 4] = [0x75eb_4dca_1359_78a3, 0x0070_0a4d_4141_d8ab, 0x8cc7_4079_7779_e898, 0x5203_6cee_2b6f_fe73];

/// The y coordinates (big-endian) of the eight points whose order divides the cofactor: 1, -1, 0 and the two of order eight.
const SMALL_ORDER_Y: [[u8; 32]; 5] = [
    *b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    *b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01",
    *b"\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xec",
    *b"\x05\xfc\x53\x6d\x88\x02\x38\xb1\x39\x33\xc6\xd3\x05\xac\xdf\xd5\xf0\x98\xef\xf2\x89\xf4\xc3\x45\xb0\x27\xb2\xc2\x8f\x95\xe8\x26",
    *b"\x7a\x03\xac\x92\x77\xfd\xc7\x4e\xc6\xcc\x39\x2c\xfa\x53\x20\x2a\x0f\x67\x10\x0d\x76\x0b\x3c\xba\x4f\xd8\x4d\x3d\x70\x6a\x17\xc7",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// (prime - 1) / 2: a number to this power is one exactly when it is a square.
    const P25519_HALF: [u64; 4] = [0xffff_ffff_ffff_fff6, u64::MAX, u64::MAX, 0x3fff_ffff_ffff_ffff];

    /// Euler's criterion, by which the quicker way is judged.
    fn power(field: &Field<4>, base: &[u64; 4], exponent: &[u64; 4]) -> [u64; 4] {
        let mut result = field.one();
        for word in exponent.iter().rev() {
            for bit in (0..64).rev() {
                result = field.multiply(&result, &result);
                if word >> bit & 1 == 1 {
                    result = field.multiply(&result, base);
                }
            }
        }
        result
    }

    fn number() -> impl Strategy<Value = [u64; 4]> {
        let word = prop_oneof![any::<u64>(), Just(0), Just(1), Just(u64::MAX), Just(1 << 63)];
        prop::array::uniform4(word).prop_filter("below the prime and not zero", |words| less(words, &P25519.prime) && *words != [0; 4])
    }

    proptest! {
        #[test]
        fn squares_are_told_as_eulers_criterion_tells_them(number in number()) {
            let euler = power(&P25519, &P25519.enter(&number), &P25519_HALF) == P25519.one();
            prop_assert_eq!(is_square(number, P25519.prime), euler);
        }

        #[test]
        fn what_was_squared_is_a_square_and_twice_that_is_none(root in number()) {
            let square = P25519.multiply(&root, &root);
            prop_assert!(is_square(square, P25519.prime));
            // The prime is 5 modulo 8, so that 2 is no square.
            prop_assert!(!is_square(P25519.add(&square, &square), P25519.prime));
        }
    }

    #[test]
    fn zero_and_multiples_of_the_modulus_are_no_squares_of_units() {
        assert!(!is_square([0; 4], P25519.prime));
        assert!(is_square([1, 0, 0, 0], P25519.prime));
        assert!(is_square([4, 0, 0, 0], P25519.prime));
        assert!(!is_square([8, 0, 0, 0], P25519.prime));
        assert!(is_square([0, 1, 0, 0], P25519.prime), "2^64");
    }
}
