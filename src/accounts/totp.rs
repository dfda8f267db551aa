//! Codes from an authenticator: RFC 6238 over RFC 4226, as every authenticator application computes them.

use data_encoding::BASE32_NOPAD;
use gatehouse_types::{Random, Secret, UnixTime};
use qrcode::{EcLevel, QrCode, render::svg};
use ring::hmac;
use std::fmt::Write;

/// RFC 4226 §4 R6 recommends 160 bits.
const SECRET_BYTES: usize = 20;
const DIGITS: usize = 6;
const MODULUS: u32 = 1_000_000;
/// RFC 6238 §5.2.
const PERIOD_SECONDS: i64 = 30;
/// Steps on either side that are accepted: people are slow, and clocks differ.
const WINDOW: i64 = 1;

/// The counter that a code was computed from: how many periods have passed since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Step(i64);

impl Step {
    /// The step of a time.
    pub(crate) fn at(time: UnixTime) -> Self {
        Self(time.millis().div_euclid(1000 * PERIOD_SECONDS))
    }
}

/// A new secret.
pub(crate) fn generate(random: &dyn Random) -> Secret {
    let mut bytes = vec![0; SECRET_BYTES];
    random.fill(&mut bytes);
    Secret::new(bytes)
}

/// The step whose code this is, if it is one around now and behind the last that was used. The code of a step is
/// accepted once, so that who looks over a shoulder comes too late.
pub(crate) fn accepted(secret: &Secret, code: &str, now: UnixTime, last: Option<Step>) -> Option<Step> {
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    if code.len() != DIGITS || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let given = Secret::from(code);
    let Step(present) = Step::at(now);
    // All of them are computed, whichever fits: the time says nothing.
    let matching: Vec<Step> =
        (present - WINDOW..=present + WINDOW).map(Step).filter(|step| Secret::from(code_at(secret, *step)) == given).collect();
    matching.into_iter().rfind(|step| last.is_none_or(|last| *step > last))
}

pub(crate) fn code_at(secret: &Secret, Step(step): Step) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.expose());
    let digest = hmac::sign(&key, &step.to_be_bytes());
    format!("{:0DIGITS$}", truncated(digest.as_ref()) % MODULUS)
}

/// RFC 4226 §5.3: four bytes from where the last half-byte points, without their sign.
fn truncated(digest: &[u8]) -> u32 {
    let at = usize::from(digest.last().copied().unwrap_or_default() & 0xf);
    let word = digest.get(at..at + 4).and_then(|word| word.try_into().ok()).unwrap_or_default();
    u32::from_be_bytes(word) & 0x7fff_ffff
}

/// What an authenticator application is set up from.
pub(crate) fn otpauth_link(secret: &Secret, issuer: &str, account: &str) -> Secret {
    let (issuer, account) = (percent_encoded(issuer), percent_encoded(account));
    let secret = BASE32_NOPAD.encode(secret.expose());
    Secret::from(format!(
        "otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={PERIOD_SECONDS}"
    ))
}

/// The same as a picture to be photographed.
pub(crate) fn qr_code(link: &Secret) -> Option<Secret> {
    let code = QrCode::with_error_correction_level(link.expose(), EcLevel::M).ok()?;
    Some(Secret::from(code.render::<svg::Color<'_>>().min_dimensions(240, 240).build()))
}

/// The secret as people type it.
pub(crate) fn typed(secret: &Secret) -> Secret {
    Secret::from(BASE32_NOPAD.encode(secret.expose()))
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed() -> Secret {
        Secret::from("12345678901234567890".to_owned())
    }

    /// RFC 6238 appendix B, the rows of SHA-1, and their last six digits.
    #[test]
    fn the_codes_are_those_of_the_specification() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code_at(&seed(), Step::at(UnixTime::from_secs(seconds))), code, "at {seconds}");
            assert!(accepted(&seed(), code, UnixTime::from_secs(seconds), None).is_some(), "at {seconds}");
        }
    }

    /// RFC 4226 appendix D: the first ten counters.
    #[test]
    fn the_counters_of_the_older_specification_give_its_codes() {
        let codes = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
        for (counter, code) in (0..).zip(codes) {
            assert_eq!(code_at(&seed(), Step(counter)), code);
        }
    }

    #[test]
    fn one_step_on_either_side_is_accepted_and_no_more() {
        let at = UnixTime::from_secs(3000);
        for (step, accepts) in [(98, false), (99, true), (100, true), (101, true), (102, false)] {
            assert_eq!(accepted(&seed(), &code_at(&seed(), Step(step)), at, None), accepts.then_some(Step(step)), "{step}");
        }
    }

    #[test]
    fn a_step_is_accepted_once_and_an_earlier_one_never_after_it() {
        let at = UnixTime::from_secs(3000);
        assert_eq!(accepted(&seed(), &code_at(&seed(), Step(100)), at, Some(Step(100))), None);
        assert_eq!(accepted(&seed(), &code_at(&seed(), Step(99)), at, Some(Step(100))), None);
        assert_eq!(accepted(&seed(), &code_at(&seed(), Step(101)), at, Some(Step(100))), Some(Step(101)));
    }

    #[test]
    fn codes_may_have_spaces_and_nothing_else_but_six_digits() {
        let at = UnixTime::from_secs(59);
        assert!(accepted(&seed(), "287 082", at, None).is_some());
        for code in ["", "28708", "2870821", "28708a", "２８７０８２", "-87082", "+87082"] {
            assert_eq!(accepted(&seed(), code, at, None), None, "{code}");
        }
    }

    #[test]
    fn a_link_names_issuer_and_account_and_becomes_a_picture() {
        let link = otpauth_link(&seed(), "Acme & Co", "ann@example.com");
        let text = std::str::from_utf8(link.expose()).expect("text");
        assert_eq!(
            text,
            "otpauth://totp/Acme%20%26%20Co:ann%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Acme%20%26%20Co&algorithm=SHA1&digits=6&period=30"
        );
        let picture = qr_code(&link).expect("a picture");
        assert!(picture.expose().starts_with(b"<?xml"));
    }
}
