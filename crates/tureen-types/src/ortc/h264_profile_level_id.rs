//! `profile-level-id` of H264 (RFC 6184 §8.1): parsing, and the answer to an offer.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// H264 profile and level.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Hash)]
pub struct ProfileLevelId {
    profile: Profile,
    level: Level,
}

/// H264 profile.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Hash)]
#[expect(missing_docs, reason = "the names of the standard")]
pub enum Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    ConstrainedHigh,
    High,
    PredictiveHigh444,
}

/// H264 level, ordered by the required decoder capability.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
#[expect(missing_docs, reason = "the names of the standard")]
pub enum Level {
    Level1,
    Level1b,
    Level11,
    Level12,
    Level13,
    Level2,
    Level21,
    Level22,
    Level3,
    Level31,
    Level32,
    Level4,
    Level41,
    Level42,
    Level5,
    Level51,
    Level52,
}

/// Error of parsing a [`ProfileLevelId`].
#[derive(Debug, Error, Copy, Clone, Eq, PartialEq)]
pub enum ParseProfileLevelIdError {
    /// The string is not three bytes in hexadecimal.
    #[error("profile-level-id is not three bytes in hexadecimal")]
    NotHexadecimal,
    /// The last byte is not a level.
    #[error("unknown H264 level_idc {0}")]
    UnknownLevel(u8),
    /// The first two bytes are not a profile that WebRTC uses.
    #[error("unknown H264 profile_idc {idc:#04x} with profile_iop {iop:#04x}")]
    UnknownProfile {
        /// First byte.
        idc: u8,
        /// Second byte, the constraint flags.
        iop: u8,
    },
}

impl ProfileLevelId {
    /// The profile.
    pub const fn profile(self) -> Profile {
        self.profile
    }

    /// The level.
    pub const fn level(self) -> Level {
        self.level
    }

    /// Profile and level of the answer if `self` is the local one and `offered` the peer's. `None` if the profiles
    /// differ.
    ///
    /// RFC 6184 §8.2.2: unless both sides allow asymmetry, the level of an answer is at most the one offered.
    #[must_use]
    pub fn answer(self, offered: ProfileLevelId, level_asymmetry_allowed: bool) -> Option<ProfileLevelId> {
        if self.profile != offered.profile {
            return None;
        }
        let level = if level_asymmetry_allowed { self.level } else { self.level.min(offered.level) };
        Some(Self { profile: self.profile, level })
    }
}

/// Profile and level of a codec without `profile-level-id` in browsers: Constrained Baseline, level 3.1.
///
/// RFC 6184 §8.1 specifies Baseline, level 1, which libwebrtc has never used.
impl Default for ProfileLevelId {
    fn default() -> Self {
        Self { profile: Profile::ConstrainedBaseline, level: Level::Level31 }
    }
}

/// Flag of level 1b, whose level_idc alone means level 1.1.
const CONSTRAINT_SET3: u8 = 0x10;

/// RFC 6184 §8.1, table 5: profile_idc, mask and value of profile_iop, and the profile.
const PROFILES: [(u8, u8, u8, Profile); 9] = [
    (0x42, 0x4F, 0x40, Profile::ConstrainedBaseline),
    (0x4D, 0x8F, 0x80, Profile::ConstrainedBaseline),
    (0x58, 0xCF, 0xC0, Profile::ConstrainedBaseline),
    (0x42, 0x4F, 0x00, Profile::Baseline),
    (0x58, 0xCF, 0x80, Profile::Baseline),
    (0x4D, 0xAF, 0x00, Profile::Main),
    (0x64, 0xFF, 0x00, Profile::High),
    (0x64, 0xFF, 0x0C, Profile::ConstrainedHigh),
    (0xF4, 0xFF, 0x00, Profile::PredictiveHigh444),
];

/// level_idc of each level except 1b.
const LEVELS: [(u8, Level); 16] = [
    (10, Level::Level1),
    (11, Level::Level11),
    (12, Level::Level12),
    (13, Level::Level13),
    (20, Level::Level2),
    (21, Level::Level21),
    (22, Level::Level22),
    (30, Level::Level3),
    (31, Level::Level31),
    (32, Level::Level32),
    (40, Level::Level4),
    (41, Level::Level41),
    (42, Level::Level42),
    (50, Level::Level5),
    (51, Level::Level51),
    (52, Level::Level52),
];

impl FromStr for ProfileLevelId {
    type Err = ParseProfileLevelIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 6 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(ParseProfileLevelIdError::NotHexadecimal);
        }
        let number = u32::from_str_radix(text, 16).map_err(|_| ParseProfileLevelIdError::NotHexadecimal)?;
        let [_, idc, iop, level_idc] = number.to_be_bytes();

        let level = match LEVELS.iter().find(|(byte, _)| *byte == level_idc) {
            Some((_, Level::Level11)) if iop & CONSTRAINT_SET3 != 0 => Level::Level1b,
            Some((_, level)) => *level,
            None => return Err(ParseProfileLevelIdError::UnknownLevel(level_idc)),
        };
        PROFILES
            .iter()
            .find(|(profile_idc, mask, value, _)| *profile_idc == idc && iop & mask == *value)
            .map(|(_, _, _, profile)| Self { profile: *profile, level })
            .ok_or(ParseProfileLevelIdError::UnknownProfile { idc, iop })
    }
}

/// Formats the value in lower case hexadecimal, as usual.
impl fmt::Display for ProfileLevelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (idc, iop) = match self.profile {
            Profile::ConstrainedBaseline => (0x42, 0xE0),
            Profile::Baseline => (0x42, 0x00),
            Profile::Main => (0x4D, 0x00),
            Profile::ConstrainedHigh => (0x64, 0x0C),
            Profile::High => (0x64, 0x00),
            Profile::PredictiveHigh444 => (0xF4, 0x00),
        };
        let (iop, level_idc) = match LEVELS.iter().find(|(_, level)| *level == self.level) {
            Some((level_idc, _)) => (iop, *level_idc),
            None => (iop | CONSTRAINT_SET3, 11),
        };
        write!(f, "{idc:02x}{iop:02x}{level_idc:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ProfileLevelId {
        text.parse().unwrap()
    }

    #[test]
    fn constraint_flags_choose_the_profile() {
        for (text, profile) in [
            ("42e01f", Profile::ConstrainedBaseline),
            ("42C02A", Profile::ConstrainedBaseline),
            ("4de01f", Profile::ConstrainedBaseline),
            ("58f01f", Profile::ConstrainedBaseline),
            ("42a01f", Profile::Baseline),
            ("58A01F", Profile::Baseline),
            ("4D401f", Profile::Main),
            ("64001f", Profile::High),
            ("640c1f", Profile::ConstrainedHigh),
            ("f4001f", Profile::PredictiveHigh444),
        ] {
            assert_eq!(id(text).profile(), profile, "{text}");
        }
    }

    #[test]
    fn constraint_set_3_distinguishes_level_1b_from_1_1() {
        assert_eq!(id("42e00b").level(), Level::Level11);
        assert_eq!(id("42f00b").level(), Level::Level1b);
        assert_eq!(id("640c34").level(), Level::Level52);
    }

    #[test]
    fn malformed_and_unknown_values_are_refused() {
        use ParseProfileLevelIdError::*;
        for text in ["", " 42e01f", "4242e01f", "e01f", "gggggg", "+2e01f", "42é1f"] {
            assert_eq!(text.parse::<ProfileLevelId>(), Err(NotHexadecimal), "{text}");
        }
        for (text, level) in [("42e000", 0), ("42e00f", 15), ("42e0ff", 255), ("000000", 0)] {
            assert_eq!(text.parse::<ProfileLevelId>(), Err(UnknownLevel(level)), "{text}");
        }
        for text in ["42e11f", "58601f", "64e01f"] {
            assert!(matches!(text.parse::<ProfileLevelId>(), Err(UnknownProfile { .. })), "{text}");
        }
    }

    #[test]
    fn display_is_the_usual_spelling() {
        for text in ["42e01f", "42000a", "4d001f", "640c2a", "64002a", "42f00b", "42100b", "4d100b", "f40034"]
        {
            assert_eq!(id(text).to_string(), text);
            assert_eq!(id(&text.to_uppercase()).to_string(), text);
        }
        assert_eq!(id("4de01f").to_string(), "42e01f");
    }

    #[test]
    fn answer_is_capped_unless_asymmetry_is_allowed() {
        let (low, high) = (id("42e015"), id("42e01f"));
        assert_eq!(low.answer(high, false), Some(low));
        assert_eq!(high.answer(low, false), Some(low));
        assert_eq!(high.answer(low, true), Some(high));
        assert_eq!(low.answer(high, true), Some(low));
        assert_eq!(high.answer(id("64001f"), true), None);
    }

    #[test]
    fn level_1b_lies_between_1_and_1_1() {
        let (one, one_b, one_one) = (id("42e00a"), id("42f00b"), id("42e00b"));
        assert_eq!(one_b.answer(one, false), Some(one));
        assert_eq!(one_one.answer(one_b, false), Some(one_b));
        assert_eq!(one_b.answer(one_one, false), Some(one_b));
    }
}
