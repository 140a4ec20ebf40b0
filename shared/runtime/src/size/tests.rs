use proptest::prelude::*;

use super::*;

#[test]
fn every_unit_is_read() {
    for (text, bytes) in [
        ("0B", 0),
        ("512B", 512),
        ("256KiB", 262_144),
        ("1GiB", 1_073_741_824),
        ("10GB", 10_000_000_000),
        ("5kB", 5_000),
        ("5KB", 5_000),
        ("2TiB", 2_199_023_255_552),
    ] {
        assert_eq!(text.parse::<ByteSize>().unwrap(), ByteSize(bytes), "{text}");
    }
}

#[test]
fn anything_else_is_refused_with_an_example() {
    for text in ["", "1024", "KiB", "1.5GiB", "-1B", "1 KiB", "1kib", "99999999TiB"] {
        let error = text.parse::<ByteSize>().unwrap_err().to_string();
        assert_eq!(
            error,
            format!("{text:?} is not a size such as 512B, 256KiB, 1GiB or 10GB")
        );
    }
}

#[test]
fn the_greatest_whole_unit_is_written() {
    for (bytes, text) in [
        (0, "0B"),
        (1_025, "1025B"),
        (262_144, "256KiB"),
        (10_000_000_000, "10GB"),
        (1_536, "1536B"),
    ] {
        assert_eq!(ByteSize(bytes).to_string(), text);
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(bytes in 0..=u64::MAX) {
        prop_assert_eq!(ByteSize(bytes).to_string().parse::<ByteSize>().unwrap(), ByteSize(bytes));
    }
}
