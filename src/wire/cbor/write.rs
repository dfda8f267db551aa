//! Writes single items in the shortest form (RFC 8949 §4.1).

/// An initial byte with its argument.
pub(super) fn head(into: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    match argument {
        0..=23 => into.push(major | argument as u8),
        24..=0xff => into.extend([major | 24, argument as u8]),
        0x100..=0xffff => {
            into.push(major | 25);
            into.extend((argument as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            into.push(major | 26);
            into.extend((argument as u32).to_be_bytes());
        }
        _ => {
            into.push(major | 27);
            into.extend(argument.to_be_bytes());
        }
    }
}

/// A number with a fraction, in two, four or eight bytes, whichever holds it.
pub(super) fn float(into: &mut Vec<u8>, number: f64) {
    let single = number as f32;
    if let Some(half) = half(number) {
        into.push(7 << 5 | 25);
        into.extend(half.to_be_bytes());
    } else if f64::from(single) == number {
        into.push(7 << 5 | 26);
        into.extend(single.to_be_bytes());
    } else {
        into.push(7 << 5 | 27);
        into.extend(number.to_be_bytes());
    }
}

/// The half-precision number of this value, if there is one.
fn half(number: f64) -> Option<u16> {
    let sign = if number.is_sign_negative() { 0x8000 } else { 0 };
    let (bits, exponent) = (number.to_bits(), (number.to_bits() >> 52 & 0x7ff) as i32 - 1023);
    if number.is_nan() {
        Some(0x7e00)
    } else if number.is_infinite() {
        Some(sign | 0x7c00)
    } else if (-14..=15).contains(&exponent) {
        let fraction = bits & ((1 << 52) - 1);
        (fraction.trailing_zeros() >= 42).then_some(sign | ((exponent + 15) as u16) << 10 | (fraction >> 42) as u16)
    } else {
        let steps = number.abs() * 2f64.powi(24);
        (steps < 1024.0 && steps.fract() == 0.0).then_some(sign | steps as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cbor::{Event, Reader};

    #[test]
    fn every_half_is_written_in_two_bytes_and_read_as_it_was() {
        for bits in 0..=u16::MAX {
            let mut bytes = vec![0xf9];
            bytes.extend(bits.to_be_bytes());
            let Ok(Some(Event::Float(number))) = Reader::new(&bytes).read() else { panic!("{bits:04x}") };
            let mut written = Vec::new();
            float(&mut written, number);
            assert_eq!(written, if number.is_nan() { vec![0xf9, 0x7e, 0] } else { bytes });
        }
    }

    #[test]
    fn a_number_that_no_half_holds_takes_more() {
        for (number, length) in
            [(65_504.0, 3), (65_505.0, 5), (65_536.0, 5), (1.1, 9), (2f64.powi(-25), 5), (2f64.powi(-24), 3), (1e300, 9)]
        {
            let mut bytes = Vec::new();
            float(&mut bytes, number);
            assert_eq!((bytes.len(), Reader::new(&bytes).read()), (length, Ok(Some(Event::Float(number)))));
        }
    }

    #[test]
    fn an_argument_takes_as_few_bytes_as_hold_it() {
        for (argument, length) in [(23, 1), (24, 2), (255, 2), (256, 3), (65_535, 3), (65_536, 5), (1 << 32, 9), (u64::MAX, 9)] {
            let mut bytes = Vec::new();
            head(&mut bytes, 0, argument);
            assert_eq!((bytes.len(), Reader::new(&bytes).read()), (length, Ok(Some(Event::Unsigned(argument)))));
        }
    }
}
