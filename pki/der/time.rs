//! Times in DER: two types, of which certificates use one form each.

use super::{DerError, tag};
use gatehouse_types::UnixTime;

/// A time with the rule of RFC 5280 §4.1.2.5 about which years take which type.
pub(super) fn read(tag: u8, content: &[u8]) -> Result<UnixTime, DerError> {
    let (year, rest) = match tag {
        tag::UTC_TIME => {
            let (short, rest) = content.split_at_checked(2).ok_or(DerError::Time)?;
            let year = decimal(short)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        tag::GENERALIZED_TIME => {
            let (long, rest) = content.split_at_checked(4).ok_or(DerError::Time)?;
            let year = decimal(long)?;
            if (1950..2050).contains(&year) {
                return Err(DerError::Time);
            }
            (year, rest)
        }
        _ => return Err(DerError::Tag),
    };
    time_of(year, rest)
}

/// Checks the form of a time without asking whether its year should have taken the other type.
pub(super) fn check(tag: u8, content: &[u8]) -> Result<(), DerError> {
    let year_digits = if tag == tag::UTC_TIME { 2 } else { 4 };
    let (year, rest) = content.split_at_checked(year_digits).ok_or(DerError::Time)?;
    let year = decimal(year)?;
    // For the days of February any century will do here: 2000 had a 29th, and 1900 is judged by who reads it.
    time_of(if year_digits == 2 { 2000 + year } else { year }, rest).map(drop)
}

/// `MMDDHHMMSSZ`, the only form that RFC 5280 §4.1.2.5 leaves, in a year.
fn time_of(year: i64, rest: &[u8]) -> Result<UnixTime, DerError> {
    let [digits @ .., b'Z'] = rest else { return Err(DerError::Time) };
    if digits.len() != 10 {
        return Err(DerError::Time);
    }
    let field = |at: usize| decimal(&digits[2 * at..2 * at + 2]);
    let (month, day, hour, minute, second) = (field(0)?, field(1)?, field(2)?, field(3)?, field(4)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return Err(DerError::Time),
    };
    if !(1..=days_in_month).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return Err(DerError::Time);
    }
    // Days since 1970 by counting from a first of March, so that a leap day comes last in its year.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = years * 365 + years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400) + (153 * months + 2) / 5 + day - 719_469;
    Ok(UnixTime::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

fn decimal(digits: &[u8]) -> Result<i64, DerError> {
    digits
        .iter()
        .try_fold(0, |value, digit| if digit.is_ascii_digit() { Ok(value * 10 + i64::from(digit - b'0')) } else { Err(DerError::Time) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::Reader;

    #[test]
    fn years_decide_the_form_of_a_time() {
        // RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050.
        let read = |bytes: &[u8]| Reader::new(bytes).time().map(|time| time.to_string());
        assert_eq!(read(b"\x17\x0d500101000000Z").as_deref(), Ok("1950-01-01T00:00:00Z"));
        assert_eq!(read(b"\x17\x0d491231235959Z").as_deref(), Ok("2049-12-31T23:59:59Z"));
        assert_eq!(read(b"\x17\x0d000229120000Z").as_deref(), Ok("2000-02-29T12:00:00Z"));
        assert_eq!(read(b"\x18\x0f20500101000000Z").as_deref(), Ok("2050-01-01T00:00:00Z"));
        assert_eq!(read(b"\x18\x0f99991231235959Z").as_deref(), Ok("9999-12-31T23:59:59Z"));
        assert_eq!(read(b"\x18\x0f20491231235959Z"), Err(DerError::Time));
        assert_eq!(read(b"\x18\x0f21000229000000Z"), Err(DerError::Time));
        assert_eq!(read(b"\x02\x01\x00"), Err(DerError::Tag));
    }
}
