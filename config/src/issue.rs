//! Decides which issue of a list a document is, and until when it counts. Whether an issue is too old is for
//! its reader to decide: there is no clock here.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize, Serializer};

/// What a document says about itself, beside its entries. Two issues with the same entries are the same
/// list, so none of this is part of its hash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Issue {
    /// Grows with each issue of the file.
    pub serial: Option<Serial>,
    /// The list counts up to and including this moment.
    pub not_after: Option<Moment>,
}

impl Issue {
    /// Whether the document says nothing about itself.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl fmt::Display for Issue {
    /// `serial 7, not after 2026-12-31T00:00:00Z`; nothing where nothing is said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let serial = self.serial.map(|serial| format!("serial {serial}"));
        let not_after = self.not_after.map(|moment| format!("not after {moment}"));
        let said: Vec<String> = serial.into_iter().chain(not_after).collect();
        f.write_str(&said.join(", "))
    }
}

/// The number of an issue: from 0 to 2⁶³ − 1, as far as TOML counts (<https://toml.io/en/v1.0.0#integer>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64")]
pub struct Serial(u64);

/// A number that is no serial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a whole number from 0 to {}", i64::MAX)]
pub struct SerialError;

impl Serial {
    /// The number.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Serial {
    type Error = SerialError;

    fn try_from(number: u64) -> Result<Self, SerialError> {
        i64::try_from(number).map(|_| Self(number)).map_err(|_| SerialError)
    }
}

impl TryFrom<i64> for Serial {
    type Error = SerialError;

    fn try_from(number: i64) -> Result<Self, SerialError> {
        u64::try_from(number).map(Self).map_err(|_| SerialError)
    }
}

impl FromStr for Serial {
    type Err = SerialError;

    fn from_str(text: &str) -> Result<Self, SerialError> {
        text.parse::<u64>().map_err(|_| SerialError)?.try_into()
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment in UTC, from 1970 to 9999, as RFC 3339 writes it: `2026-12-31T00:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(SystemTime);

/// A text that names no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write date, time and the `Z` of UTC, as in 2026-12-31T00:00:00Z")]
pub struct MomentError;

impl Moment {
    /// The same moment for the system's clock.
    pub fn time(self) -> SystemTime {
        self.0
    }

    /// As TOML has it: an offset date-time, without quotes.
    pub(crate) fn to_toml(self) -> toml::value::Datetime {
        self.to_string().parse().expect("a moment is an offset date-time")
    }
}

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        // The same moment is written in one way only.
        if !text.ends_with('Z') {
            return Err(MomentError);
        }
        humantime::parse_rfc3339(text).map(Self).map_err(|_| MomentError)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339(self.0).fmt(f)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments_are_in_utc() {
        for text in ["2026-12-31T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
            let moment: Moment = text.parse().expect(text);
            assert_eq!(moment.to_string(), text);
            assert_eq!(moment.to_toml().to_string(), text);
        }
        for text in [
            "",
            "2026-12-31",
            "2026-12-31T00:00:00",
            "2026-12-31 00:00:00Z",
            "2026-12-31T00:00:00+00:00",
            "2026-12-31T00:00:00+01:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "tomorrow",
        ] {
            assert_eq!(text.parse::<Moment>(), Err(MomentError), "{text}");
        }
    }

    #[test]
    fn serials_are_what_toml_can_count() {
        assert_eq!("7".parse::<Serial>().map(Serial::number), Ok(7));
        assert_eq!(Serial::try_from(i64::MAX).map(Serial::number), Ok(9_223_372_036_854_775_807));
        assert_eq!(Serial::try_from(-1_i64), Err(SerialError));
        for text in ["", "-1", "1.5", "seven", "9223372036854775808"] {
            assert_eq!(text.parse::<Serial>(), Err(SerialError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_no_moment_is_an_error_and_no_panic(text in "\\PC{0,40}|[0-9TZ:.+-]{19,26}") {
            if let Ok(moment) = text.parse::<Moment>() {
                prop_assert_eq!(moment.to_string().parse(), Ok(moment));
            }
        }
    }
}
