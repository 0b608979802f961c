//! PostgreSQL's binary numeric: digits of base 10,000 behind their count, the weight of the first, the sign and the
//! number of decimal places.

/// Decimal digits in one of numeric's.
const WIDTH: usize = 4;
const NEGATIVE: u16 = 0x4000;
/// Most decimal digits that are read.
const DIGITS_MAX: usize = 76;

/// Writes a decimal that is spelled `-12.340`.
pub(crate) fn write(decimal: &str, out: &mut Vec<u8>) {
    let (sign, plain) = decimal.strip_prefix('-').map_or((0, decimal), |rest| (NEGATIVE, rest));
    let (whole, part) = plain.split_once('.').unwrap_or((plain, ""));
    let whole = whole.trim_start_matches('0');
    let groups_before = whole.len().div_ceil(WIDTH);
    let padded = format!(
        "{}{whole}{part}{}",
        "0".repeat(groups_before * WIDTH - whole.len()),
        "0".repeat(part.len().div_ceil(WIDTH) * WIDTH - part.len())
    );
    let groups: Vec<u16> = padded
        .as_bytes()
        .chunks(WIDTH)
        .map(|group| group.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
        .collect();
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let trailing = groups.iter().rev().take_while(|group| **group == 0).count();
    let kept = groups.get(leading..groups.len() - trailing.min(groups.len() - leading)).unwrap_or_default();
    let weight = if kept.is_empty() { 0 } else { small(groups_before).wrapping_sub(1).wrapping_sub(small(leading)) };
    let sign = if kept.is_empty() { 0 } else { sign };
    let head = [small(kept.len()), weight, sign, small(part.len())];
    head.iter().chain(kept).for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
}

fn small(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// Reads a numeric as a decimal's text; `None` for what is none, is no number, or has too many digits.
pub(crate) fn read(bytes: &[u8]) -> Option<String> {
    let numbers: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let [count, weight, sign, scale, groups @ ..] = numbers.as_slice() else { return None };
    let (weight, scale) = (i32::from(weight.cast_signed()), usize::from(*scale));
    let is_whole = bytes.len().is_multiple_of(2) && groups.len() == usize::from(*count);
    if !is_whole || groups.iter().any(|group| *group > 9_999) || ![0, NEGATIVE].contains(sign) {
        return None;
    }
    let places = usize::try_from(weight.checked_add(1)?.max(0)).ok()? * WIDTH;
    if places + scale > DIGITS_MAX || weight < -(DIGITS_MAX as i32) {
        return None;
    }
    let missing = usize::try_from((-1 - weight).max(0)).ok()? * WIDTH;
    let mut digits = "0".repeat(missing);
    groups.iter().for_each(|group| digits.push_str(&format!("{group:04}")));
    let wanted = places + scale;
    digits.extend(std::iter::repeat_n('0', wanted.saturating_sub(digits.len())));
    let (whole, part) = digits.split_at(places);
    let whole = Some(whole.trim_start_matches('0')).filter(|whole| !whole.is_empty()).unwrap_or("0");
    let point = if scale > 0 { "." } else { "" };
    Some(format!("{}{whole}{point}{}", if *sign == NEGATIVE { "-" } else { "" }, part.get(..scale)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_is_read_as_it_was_written() {
        for text in
            ["0", "1", "-1", "9999", "10000", "12.34", "-0.0001", "0.00010001", "100000000", "1234567.891", "0.00"]
        {
            let mut bytes = Vec::new();
            write(text, &mut bytes);
            assert_eq!(read(&bytes).as_deref(), Some(text), "{bytes:?}");
        }
    }

    /// As PostgreSQL 15 sends them.
    #[test]
    fn the_bytes_are_postgresqls() {
        for (text, expected) in [
            ("12345.678", vec![0, 3, 0, 1, 0, 0, 0, 3, 0, 1, 9, 41, 26, 124]),
            ("0.0001", vec![0, 1, 255, 255, 0, 0, 0, 4, 0, 1]),
            ("-10000", vec![0, 1, 0, 1, 64, 0, 0, 0, 0, 1]),
            ("0", vec![0, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            let mut bytes = Vec::new();
            write(text, &mut bytes);
            assert_eq!(bytes, expected, "{text}");
        }
        for bad in [
            vec![],
            vec![0, 1, 0, 0, 0, 0, 0, 0],
            vec![0, 1, 127, 255, 0, 0, 0, 0, 0, 1],
            vec![0, 0, 0, 0, 192, 0, 0, 0],
        ] {
            assert_eq!(read(&bad), None);
        }
    }
}
