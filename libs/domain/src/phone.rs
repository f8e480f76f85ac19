use std::fmt;
use std::str::FromStr;

use crate::plan;

/// A phone number in E.164 form: `+`, then 7 to 15 digits of which the first is not 0. Its text is personal data: `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct E164(String);

/// The text is not a phone number in E.164 form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be `+` and 7 to 15 digits, country code first, without spaces")]
pub struct InvalidNumber;

/// Meta's id of a business phone number: 1 to 32 digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhoneNumberId(String);

/// Meta's id of a WhatsApp Business Account: 1 to 32 digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WabaId(String);

/// Meta's id of a message. It contains a phone number: `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wamid(String);

// === impl E164 ===

impl E164 {
    /// The number with its `+`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number without its `+`, as Meta writes WhatsApp ids.
    pub fn digits(&self) -> &str {
        &self.0[1..]
    }

    /// The number for a WhatsApp id: digits without `+`.
    pub fn from_wa_id(wa_id: &str) -> Result<Self, InvalidNumber> {
        format!("+{wa_id}").parse()
    }

    /// The other forms in which WhatsApp may know the number: Brazilian mobile numbers with or without their 9, Mexican ones with or without a 1, Argentine ones with or without a 9 after the
    /// country code. To find a user by, never to write to: what a message goes to is what the caller wrote.
    pub fn variants(&self) -> Vec<Self> {
        let other = plan::other_form(self.digits());
        other.map(|digits| Self(format!("+{digits}"))).into_iter().collect()
    }
}

impl FromStr for E164 {
    type Err = InvalidNumber;

    fn from_str(text: &str) -> Result<Self, InvalidNumber> {
        let digits = text.strip_prefix('+').ok_or(InvalidNumber)?.as_bytes();
        let valid = (7..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) && digits[0] != b'0';
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidNumber)
        }
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("E164(…)")
    }
}

// === impl PhoneNumberId, WabaId ===

macro_rules! digits {
    ($name:ident) => {
        impl $name {
            /// The digits.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidNumber;

            fn from_str(text: &str) -> Result<Self, InvalidNumber> {
                let valid = (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
                if valid {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidNumber)
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

digits!(PhoneNumberId);
digits!(WabaId);

// === impl Wamid ===

impl Wamid {
    /// The id with this text; `None` when it is empty or longer than 512 bytes.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (1..=512).contains(&text.len()).then_some(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, owned.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Debug for Wamid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wamid(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_need_their_plus_and_nothing_else() {
        for good in [
            "+14155551234",
            "+5511912345678",
            "+442071234567",
            "+1234567",
            "+123456789012345",
        ] {
            assert_eq!(good.parse::<E164>().expect(good).as_str(), good);
        }
        let bad = [
            "",
            "+",
            "14155551234",
            "+1 415 555 1234",
            "+1415555123a",
            "+0123456789",
            "+123456",
            "+1234567890123456",
            "++14155551234",
            "+١٢٣٤٥٦٧٨",
        ];
        for text in bad {
            assert_eq!(text.parse::<E164>(), Err(InvalidNumber), "{text}");
        }
        assert_eq!("+14155551234".parse::<E164>().expect("valid").digits(), "14155551234");
    }

    #[test]
    fn debug_shows_no_personal_data() {
        let number: E164 = "+14155551234".parse().expect("valid");
        let wamid = Wamid::new("wamid.HBgLMTQxNTU1NTEyMzQ").expect("valid");
        let shown = format!("{number:?} {wamid:?}");
        assert!(!shown.contains("1415") && !shown.contains("HBg"), "{shown}");
    }

    #[test]
    fn meta_ids_are_digits() {
        assert!("106540352242922".parse::<PhoneNumberId>().is_ok());
        for bad in ["", "12a", "123456789012345678901234567890123", "1/2"] {
            assert_eq!(bad.parse::<WabaId>(), Err(InvalidNumber), "{bad}");
        }
    }
}
