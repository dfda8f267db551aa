//! Shows an item to people (RFC 8949 §8).

use super::{CborError, Event, Reader};
use std::fmt::Write;

/// An item in diagnostic notation: `{"power": 42, "id": h'01ff'}`. Containers and strings whose length was not told are
/// marked with an underscore. Characters that move the cursor are escaped.
pub fn to_diagnostic(bytes: &[u8]) -> Result<String, CborError> {
    let (mut reader, mut text, mut open) = (Reader::new(bytes), String::new(), Vec::<Open>::new());
    while let Some(event) = reader.read()? {
        if event == Event::End {
            end(&mut text, open.pop());
            continue;
        }
        separate(&mut text, open.last_mut());
        match event {
            Event::Array(length) => open.push(begin(&mut text, "[", "]", length.is_none())),
            Event::Map(length) => open.push(Open { map: true, ..begin(&mut text, "{", "}", length.is_none()) }),
            Event::BytesChunks => open.push(begin(&mut text, "(", ")", true)),
            Event::TextChunks => open.push(Open { text: true, ..begin(&mut text, "(", ")", true) }),
            Event::Tag(number) => {
                let _ = write!(text, "{number}");
                open.push(begin(&mut text, "(", ")", false));
            }
            other => scalar(&mut text, other),
        }
    }
    Ok(text)
}

/// A container that has not ended.
#[derive(Clone, Copy, Default)]
struct Open {
    close: &'static str,
    items: usize,
    map: bool,
    /// Of a string in chunks, where the notation of an empty one differs.
    chunked: bool,
    text: bool,
}

fn begin(text: &mut String, open: &str, close: &'static str, unknown_length: bool) -> Open {
    text.push_str(open);
    if unknown_length {
        text.push_str("_ ");
    }
    Open { close, chunked: open == "(" && unknown_length, ..Open::default() }
}

fn end(text: &mut String, open: Option<Open>) {
    let Some(open) = open else { return };
    if open.chunked && open.items == 0 {
        // RFC 8949 §8.1: a string of no chunks.
        text.truncate(text.len().saturating_sub("(_ ".len()));
        text.push_str(if open.text { "\"\"_" } else { "''_" });
    } else {
        text.push_str(open.close);
    }
}

fn separate(text: &mut String, open: Option<&mut Open>) {
    let Some(open) = open else { return };
    text.push_str(match (open.items, open.map) {
        (0, _) => "",
        (items, true) if items % 2 == 1 => ": ",
        _ => ", ",
    });
    open.items += 1;
}

fn scalar(text: &mut String, event: Event<'_>) {
    // Writing to a string does not fail.
    let _ = match event {
        Event::Unsigned(number) => write!(text, "{number}"),
        Event::Negative(number) => write!(text, "{}", -1 - i128::from(number)),
        Event::Bytes(bytes) => {
            text.push_str("h'");
            bytes.iter().for_each(|byte| {
                let _ = write!(text, "{byte:02x}");
            });
            text.write_char('\'')
        }
        Event::Text(value) => quote(text, value),
        Event::Float(number) if number.is_nan() => text.write_str("NaN"),
        Event::Float(number) if number.is_infinite() => text.write_str(if number > 0.0 { "Infinity" } else { "-Infinity" }),
        Event::Float(number) => write!(text, "{number:?}"),
        Event::Bool(value) => write!(text, "{value}"),
        Event::Null => text.write_str("null"),
        Event::Undefined => text.write_str("undefined"),
        Event::Simple(value) => write!(text, "simple({value})"),
        _ => Ok(()),
    };
}

/// Writes a text as JSON does (RFC 8259 §7), and escapes every control character.
pub(super) fn quote(into: &mut String, text: &str) -> std::fmt::Result {
    into.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                into.push('\\');
                into.push(character);
            }
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            '\t' => into.push_str("\\t"),
            _ if character.is_control() => write!(into, "\\u{:04x}", u32::from(character))?,
            _ => into.push(character),
        }
    }
    into.push('"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(hex: &str) -> String {
        to_diagnostic(&bytes(hex)).unwrap_or_else(|error| panic!("{hex}: {error}"))
    }

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_examples_of_appendix_a_are_shown_as_they_stand_there() {
        for (hex, text) in [
            ("00", "0"),
            ("1864", "100"),
            ("1bffffffffffffffff", "18446744073709551615"),
            ("3bffffffffffffffff", "-18446744073709551616"),
            ("3903e7", "-1000"),
            ("f90000", "0.0"),
            ("f98000", "-0.0"),
            ("fb3ff199999999999a", "1.1"),
            ("f97bff", "65504.0"),
            ("fa7f7fffff", "3.4028234663852886e38"),
            ("fb7e37e43c8800759c", "1e300"),
            ("f90001", "5.960464477539063e-8"),
            ("f9c400", "-4.0"),
            ("f97c00", "Infinity"),
            ("f97e00", "NaN"),
            ("fbfff0000000000000", "-Infinity"),
            ("f4", "false"),
            ("f6", "null"),
            ("f7", "undefined"),
            ("f0", "simple(16)"),
            ("f8ff", "simple(255)"),
            ("c11a514b67b0", "1(1363896240)"),
            ("d818456449455446", "24(h'6449455446')"),
            ("40", "h''"),
            ("62225c", "\"\\\"\\\\\""),
            ("62c3bc", "\"ü\""),
            ("8301820203820405", "[1, [2, 3], [4, 5]]"),
            ("a201020304", "{1: 2, 3: 4}"),
            ("a26161016162820203", "{\"a\": 1, \"b\": [2, 3]}"),
            ("5f42010243030405ff", "(_ h'0102', h'030405')"),
            ("7f657374726561646d696e67ff", "(_ \"strea\", \"ming\")"),
            ("9fff", "[_ ]"),
            ("9f018202039f0405ffff", "[_ 1, [2, 3], [_ 4, 5]]"),
            ("bf61610161629f0203ffff", "{_ \"a\": 1, \"b\": [_ 2, 3]}"),
            ("5fff", "''_"),
            ("7fff", "\"\"_"),
        ] {
            assert_eq!(shown(hex), text, "{hex}");
        }
    }

    #[test]
    fn a_text_cannot_move_the_cursor() {
        assert_eq!(shown("671b5b324a0a0d07"), r#""\u001b[2J\n\r\u0007""#);
        assert_eq!(shown("62c29b"), r#""\u009b""#);
    }
}
