//! PEM as RFC 7468 describes it: what lies between the lines that begin and end a block.

use base64::{Engine, engine::general_purpose::STANDARD};

pub(crate) const CERTIFICATE: &str = "CERTIFICATE";
pub(crate) const CERTIFICATE_REQUEST: &str = "CERTIFICATE REQUEST";
pub(crate) const NEW_CERTIFICATE_REQUEST: &str = "NEW CERTIFICATE REQUEST";
pub(crate) const PUBLIC_KEY: &str = "PUBLIC KEY";
pub(crate) const REVOCATION_LIST: &str = "X509 CRL";

/// A text that holds no blocks, or not the right ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PemError {
    #[error("there is no such block between BEGIN and END lines in the text")]
    Missing,
    #[error("there is a block of another kind in the text")]
    Kind,
    #[error("a block has no end, or another end than beginning")]
    End,
    #[error("a block is not base64")]
    Base64,
    #[error("there are more blocks in the text than are read")]
    TooMany,
}

/// The content of every block, all of which must be of this kind.
pub(crate) fn blocks(text: &[u8], kind: &str, most: usize) -> Result<Vec<Vec<u8>>, PemError> {
    let mut found = Vec::new();
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    while let Some(line) = lines.next() {
        let Some(label) = between(line, b"-----BEGIN ") else { continue };
        if label != kind.as_bytes() {
            return Err(PemError::Kind);
        }
        if found.len() == most {
            return Err(PemError::TooMany);
        }
        let mut base64 = Vec::new();
        loop {
            let line = lines.next().ok_or(PemError::End)?;
            match between(line, b"-----END ") {
                Some(end) if end == label => break,
                Some(_) => return Err(PemError::End),
                None => base64.extend_from_slice(line),
            }
        }
        found.push(STANDARD.decode(base64).map_err(|_| PemError::Base64)?);
    }
    if found.is_empty() { Err(PemError::Missing) } else { Ok(found) }
}

/// One block with lines of 64 characters.
pub(crate) fn encode(kind: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = String::with_capacity(base64.len() + base64.len() / 64 + 2 * kind.len() + 40);
    text.extend(["-----BEGIN ", kind, "-----\n"]);
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.extend(["-----END ", kind, "-----\n"]);
    text
}

fn between<'a>(line: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(start)?.strip_suffix(b"-----")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_round_trip_with_text_around_them() {
        for len in [0, 1, 47, 48, 49, 200] {
            let der = vec![7; len];
            let text = format!("Issuer: x\r\n{}\nbetween\n{}", encode(CERTIFICATE, &der), encode(CERTIFICATE, b"x").replace('\n', "\r\n"));
            assert_eq!(blocks(text.as_bytes(), CERTIFICATE, 2), Ok(vec![der, b"x".to_vec()]));
            assert_eq!(blocks(text.as_bytes(), CERTIFICATE, 1), Err(PemError::TooMany));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let good = encode(CERTIFICATE, b"content");
        for (text, error) in [
            (String::new(), PemError::Missing),
            (encode("PRIVATE KEY", b"x"), PemError::Kind),
            (good.replace("-----END", "----END"), PemError::End),
            (good.replace("END CERTIFICATE", "END X509 CRL"), PemError::End),
            (good.replace("=", ""), PemError::Base64),
            (good.replace("Y29u", "Y2*u"), PemError::Base64),
        ] {
            assert_eq!(blocks(text.as_bytes(), CERTIFICATE, 9), Err(error), "{text}");
        }
    }
}
