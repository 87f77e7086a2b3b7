//! Figures as people read them.

use std::time::Duration;

/// Bytes with a binary unit and three digits: `512 B`, `1.61 KiB`, `20.0 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// A duration in the unit that fits it: `7 ms`, `3.2 s`, `12 min 05 s`.
pub(crate) fn duration(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        0 => format!("{} ms", elapsed.as_millis()),
        1..60 => format!("{:.1} s", elapsed.as_secs_f64()),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_about_three_digits() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1649, "1.61 KiB"),
            (20 << 20, "20.0 MiB"),
            (1_047_552, "1.00 MiB"),
            (300 << 30, "300 GiB"),
        ];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
        assert!(bytes(u64::MAX).ends_with(" TiB"));
    }

    #[test]
    fn durations_take_the_unit_that_fits() {
        assert_eq!(duration(Duration::from_millis(7)), "7 ms");
        assert_eq!(duration(Duration::from_millis(3240)), "3.2 s");
        assert_eq!(duration(Duration::from_secs(725)), "12 min 05 s");
    }
}
