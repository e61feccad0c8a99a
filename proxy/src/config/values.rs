//! Values in the configuration file: durations, sizes and volumes, each within its bounds.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// What a text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parsed<T>(pub(super) T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|error| D::Error::custom(format!("`{text}`: {error}")))
    }
}

/// A duration such as `10s`, `5m` or `1h 30m`, longer than nothing, and up to a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time(pub(super) Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        duration(deserializer, Duration::from_nanos(1)).map(Self)
    }
}

/// The same, but it may be `0s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pause(pub(super) Duration);

impl<'de> Deserialize<'de> for Pause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        duration(deserializer, Duration::ZERO).map(Self)
    }
}

fn duration<'de, D: Deserializer<'de>>(
    deserializer: D,
    least: Duration,
) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    match humantime::parse_duration(&text) {
        Ok(duration) if (least..=MAX_TIME).contains(&duration) => Ok(duration),
        _ => Err(D::Error::custom(format!(
            "`{text}` is not a duration of up to a year; write it as in \"10s\", \"5m\" or \"24h\""
        ))),
    }
}

const MAX_TIME: Duration = Duration::from_hours(365 * 24);

/// A number, of bytes or of what the key says, at least `LEAST` and at most 1 Mi.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size<const LEAST: usize>(pub(super) usize);

impl<'de, const LEAST: usize> Deserialize<'de> for Size<LEAST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let range: RangeInclusive<usize> = LEAST..=1024 * 1024;
        match usize::deserialize(deserializer)? {
            bytes if range.contains(&bytes) => Ok(Self(bytes)),
            bytes => Err(D::Error::custom(format!(
                "{bytes} is out of range; give {} to {}",
                range.start(),
                range.end()
            ))),
        }
    }
}

/// An amount of data such as `100MiB` or `5GiB`: digits and a unit, nothing between, more than nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Volume(pub(super) NonZeroU64);

impl FromStr for Volume {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(0));
        let unit = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, bytes)| *bytes);
        let count: Option<u64> = digits.parse().ok();
        let bytes = count.zip(unit).and_then(|(count, unit)| count.checked_mul(unit));
        bytes.and_then(NonZeroU64::new).map(Self).ok_or_else(|| {
            format!("`{text}` is not an amount of data; write it as in \"100MiB\" or \"5GiB\"")
        })
    }
}

const UNITS: [(&str, u64); 5] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

impl<'de> Deserialize<'de> for Volume {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
