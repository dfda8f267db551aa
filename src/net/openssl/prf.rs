//! The pseudorandom function of TLS 1.2 (RFC 5246 §5): how a handshake's secrets become keys.
//!
//! OpenSSL's handshakes call it through [`ffi`](super::ffi), and DTLS for the records behind a handshake. What is made is the caller's to
//! wipe. The links and blocks on the way are values of ring's, which wipes none and lets nobody else: they stay on the stack until it is
//! written over.

use ring::hmac;

/// Fills `out` from the secret. The seed begins with the label.
pub(crate) fn expand(algorithm: hmac::Algorithm, secret: &[u8], seed: &[u8], out: &mut [u8]) {
    let key = hmac::Key::new(algorithm, secret);
    let mut link = hmac::sign(&key, seed);
    let mut parts = out.chunks_mut(algorithm.digest_algorithm().output_len()).peekable();
    while let Some(part) = parts.next() {
        let mut block = hmac::Context::with_key(&key);
        block.update(link.as_ref());
        block.update(seed);
        part.copy_from_slice(&block.sign().as_ref()[..part.len()]);
        if parts.peek().is_some() {
            link = hmac::sign(&key, link.as_ref());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expansion_of_keys_is_that_of_the_standard() {
        // The vectors that the TLS working group's list has had since TLS 1.2 began.
        let secret = b"\x9b\xbe\x43\x6b\xa9\x40\xf0\x17\xb1\x76\x52\x84\x9a\x71\xdb\x35";
        let seed = b"test label\xa0\xba\x9f\x93\x6c\xda\x31\x18\x27\xa6\xf7\x96\xff\xd5\x19\x8c";
        let expected = b"\xe3\xf2\x29\xba\x72\x7b\xe1\x7b\x8d\x12\x26\x20\x55\x7c\xd4\x53\xc2\xaa\xb2\x1d\x07\xc3\xd4\x95\
            \x32\x9b\x52\xd4\xe6\x1e\xdb\x5a";
        let mut out = [0; 100];
        expand(hmac::HMAC_SHA256, secret, seed, &mut out);
        assert_eq!(out[..32], *expected);
        let mut short = [0; 16];
        expand(hmac::HMAC_SHA256, secret, seed, &mut short);
        assert_eq!(short, out[..16], "what is shorter is its beginning");
    }
}
