//! Sizes and the like as arguments.

/// Bytes from `512`, `64K`, `16M`, `2G`, `18T` (powers of 1024, also spelt `KiB` ...) or `18TB` (powers of 1000).
///
/// # Errors
/// What is wrong with the text, for the user.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| {
        "a size is a whole number with or without a unit: 512, 64K, 16M, 2G, 18T, 18TB".to_owned()
    })?;
    let unit = unit.trim_start().to_ascii_lowercase();
    let power = match unit.as_bytes().first() {
        None | Some(b'b') => 0,
        Some(b'k') => 1,
        Some(b'm') => 2,
        Some(b'g') => 3,
        Some(b't') => 4,
        Some(b'p') => 5,
        Some(_) => return Err(format!("unknown unit {unit:?}: use K, M, G, T or KB, MB, GB, TB")),
    };
    let base: u64 = match (power, unit.get(1..).unwrap_or_default()) {
        (0, "") | (1.., "" | "ib") => 1024,
        (1.., "b") => 1000,
        _ => return Err(format!("unknown unit {unit:?}: use K, M, G, T or KB, MB, GB, TB")),
    };
    number.checked_mul(base.pow(power)).ok_or_else(|| "this is more than 16 EiB".to_owned())
}

/// A [`size`] that is not 0.
///
/// # Errors
/// What is wrong with the text, for the user.
pub(super) fn some_size(text: &str) -> Result<u64, String> {
    match size(text)? {
        0 => Err("it must not be 0".to_owned()),
        bytes => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let good = [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("64K", 65536),
            ("64k", 65536),
            ("16M", 16 << 20),
            ("2G", 2 << 30),
            ("2 GiB", 2 << 30),
            ("18T", 18 << 40),
            ("18TB", 18_000_000_000_000),
            ("1kb", 1000),
            ("3PiB", 3 << 50),
        ];
        for (text, bytes) in good {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in
            ["", "K", "-1", "1.5G", "1X", "1KBB", "1BB", "1iB", "99999999999999999999", "99999999T", "1é"]
        {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(some_size("0K").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = size(&text);
        }

        #[test]
        fn plain_numbers_are_bytes(number: u64) {
            prop_assert_eq!(size(&number.to_string()), Ok(number));
        }
    }
}
