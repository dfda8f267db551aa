//! The request: path and query of the URL, content formats, and options by number or name.

use super::{target::Target, trust::hexadecimal};
use crate::cli::{Exit, Failure};
use clap::Args;
use gatehouse_client::Request;
use gatehouse_wire::coap::{Code, ContentFormat, Format, OptionNumber, OptionsBuilder};
use std::str::FromStr;

#[derive(Debug, Args)]
pub(super) struct RequestOptions {
    /// The content format that the answer is to have, by number or name: 60, cbor, application/cbor
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    accept: Option<ContentFormat>,
    /// One more option, by number or name: 2049=2048, ETag=0x01ff, If-None-Match, Proxy-Uri=coap://far/. A number, 0x and
    /// hexadecimal digits, or text; may be given several times
    #[arg(long = "option", value_name = "OPTION[=VALUE]")]
    extra: Vec<Extra>,
    /// Over UDP, send without asking for an acknowledgement
    #[arg(long)]
    non_confirmable: bool,
}

/// An option as the command line writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Extra {
    number: OptionNumber,
    value: Vec<u8>,
}

impl RequestOptions {
    /// Critical options that were asked for may come back.
    pub(super) fn known(&self) -> Vec<OptionNumber> {
        self.extra.iter().map(|extra| extra.number).collect()
    }

    /// Whether a content format was asked for.
    pub(super) fn accepts(&self) -> bool {
        self.accept.is_some()
    }

    /// A request for the target with these options beside its own.
    pub(super) fn request(&self, code: Code, target: &Target, options: OptionsBuilder) -> Result<Request, Failure> {
        let mut options = match self.accept {
            Some(accept) => options.accept(accept),
            None => options,
        };
        for Extra { number, value } in &self.extra {
            options = options.push_raw(*number, value).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        }
        let request = Request::new(code).options(options.build()).timeout(target.timeout());
        Ok(if self.non_confirmable { request.non_confirmable() } else { request })
    }
}

/// A content format by number or name.
pub(super) fn format(text: &str) -> Result<ContentFormat, String> {
    let advice = "a content format is a number or a name such as json, cbor, text, link-format or application/senml+json";
    text.parse().map_err(|_| advice.to_owned())
}

impl FromStr for Extra {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let number = match name.parse() {
            Ok(number) => OptionNumber(number),
            Err(_) => named(name).ok_or_else(|| format!("there is no option `{name}`: options have numbers, or names such as ETag"))?,
        };
        if OURS.contains(&number) {
            return Err(format!("{number} is set by the client itself"));
        }
        Ok(Self { number, value: encode(number, value.unwrap_or_default())? })
    }
}

fn named(name: &str) -> Option<OptionNumber> {
    (0..=u16::MAX).map(OptionNumber).find(|number| number.name().is_some_and(|found| found.eq_ignore_ascii_case(name)))
}

/// The bytes of a value. What is written as a number is one, unless the option is known to be something else.
fn encode(number: OptionNumber, value: &str) -> Result<Vec<u8>, String> {
    if let Some(digits) = value.strip_prefix("0x") {
        return hexadecimal(digits).ok_or_else(|| format!("the value of {number} is not hexadecimal"));
    }
    match (number.format(), value.parse::<u32>()) {
        (Some(Format::Uint) | None, Ok(uint)) => {
            let bytes = uint.to_be_bytes();
            Ok(bytes.get(uint.leading_zeros() as usize / 8..).unwrap_or_default().to_vec())
        }
        (Some(Format::Uint), Err(_)) if !value.is_empty() => Err(format!("the value of {number} is a number")),
        (Some(Format::Empty), _) if !value.is_empty() => Err(format!("{number} has no value")),
        _ => Ok(value.as_bytes().to_vec()),
    }
}

/// What the client adds itself; a second one would confuse both ends. `observe` and `--block-size` are the ways to them.
const OURS: [OptionNumber; 3] = [OptionNumber::OBSERVE, OptionNumber::BLOCK1, OptionNumber::BLOCK2];

#[cfg(test)]
mod tests {
    use super::*;

    fn extra(text: &str) -> Result<(u16, Vec<u8>), String> {
        text.parse().map(|Extra { number, value }| (number.0, value))
    }

    #[test]
    fn an_option_is_a_number_or_a_name_with_a_value_of_its_kind() {
        assert_eq!(extra("2049=2048"), Ok((2049, vec![8, 0])));
        assert_eq!(extra("etag=0x01ff"), Ok((4, vec![1, 0xff])));
        assert_eq!(extra("ETag=17"), Ok((4, b"17".to_vec())));
        assert_eq!(extra("If-None-Match"), Ok((5, vec![])));
        assert_eq!(extra("65000=7"), Ok((65_000, vec![7])));
        assert_eq!(extra("65000=seven"), Ok((65_000, b"seven".to_vec())));
        assert_eq!(extra("Uri-Query=a=b"), Ok((15, b"a=b".to_vec())));
    }

    #[test]
    fn an_option_that_cannot_be_is_refused_with_its_reason() {
        for (text, reason) in [
            ("Etagg=1", "there is no option"),
            ("70000=1", "there is no option"),
            ("Max-Age=soon", "is a number"),
            ("If-None-Match=1", "has no value"),
            ("ETag=0x0", "hexadecimal"),
            ("Observe=0", "by the client itself"),
        ] {
            assert!(extra(text).is_err_and(|error| error.contains(reason)), "{text}");
        }
    }
}
