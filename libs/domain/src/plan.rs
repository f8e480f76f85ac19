//! Numbering plans: which phone numbers can exist, and in which other form WhatsApp may know one. Source of the lengths: libphonenumber's metadata, through `build.rs`.

use crate::E164;

/// Country calling codes in order, each with the lengths of its national numbers: bit n stands for n digits.
static PLANS: &[(u16, u32)] = &include!(concat!(env!("OUT_DIR"), "/plans.rs"));

/// A phone number that cannot exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Impossible {
    /// It begins with no country's calling code.
    Country,
    /// No number of its country has so many digits.
    Length,
}

/// Whether the number, in one of its forms, can exist.
pub(crate) fn check(number: &E164) -> Result<(), Impossible> {
    let outcome = possible(number.digits());
    if outcome.is_err() && number.variants().iter().any(|other| possible(other.digits()).is_ok()) {
        return Ok(());
    }
    outcome
}

fn possible(digits: &str) -> Result<(), Impossible> {
    // No calling code begins another one.
    let plan = (1..=3).find_map(|length| {
        let code: u16 = digits.get(..length)?.parse().ok()?;
        let index = PLANS.binary_search_by_key(&code, |(code, _)| *code).ok()?;
        Some((length, PLANS[index].1))
    });
    let (code, lengths) = plan.ok_or(Impossible::Country)?;
    if lengths >> (digits.len() - code) & 1 == 1 {
        Ok(())
    } else {
        Err(Impossible::Length)
    }
}

/// The digits of the other form in which WhatsApp may know the number. Brazil: mobile numbers got a 9 in front, and accounts from before that are known without it (an eight-digit number
/// that begins with 2 to 5 is a landline: it has no such form). Mexico: 1 after the country code. Argentina: 9 after the country code. Source: Meta, "Phone numbers"; facts §b.4.
pub(crate) fn other_form(digits: &str) -> Option<String> {
    let bytes = digits.as_bytes();
    let within =
        |index: usize, range: std::ops::RangeInclusive<u8>| bytes.get(index).is_some_and(|b| range.contains(b));
    let area = within(2, b'1'..=b'9') && within(3, b'1'..=b'9');
    let mobile = |index: usize| bytes.get(index).is_some_and(|byte| !(b'2'..=b'5').contains(byte));
    match (digits.get(..2)?, digits.len()) {
        ("55", 13) if area && bytes[4] == b'9' && mobile(5) => Some(without(digits, 4)),
        ("55", 12) if area && mobile(4) => Some(with(digits, 4, '9')),
        ("52", 13) if bytes[2] == b'1' && within(3, b'2'..=b'9') => Some(without(digits, 2)),
        ("52", 12) if within(2, b'2'..=b'9') => Some(with(digits, 2, '1')),
        ("54", 13) if bytes[2] == b'9' && within(3, b'1'..=b'3') => Some(without(digits, 2)),
        ("54", 12) if within(2, b'1'..=b'3') => Some(with(digits, 2, '9')),
        _ => None,
    }
}

fn with(digits: &str, at: usize, digit: char) -> String {
    let mut other = digits.to_owned();
    other.insert(at, digit);
    other
}

fn without(digits: &str, at: usize) -> String {
    let mut other = digits.to_owned();
    other.remove(at);
    other
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> E164 {
        text.parse().expect(text)
    }

    #[test]
    fn numbers_of_every_kind_of_plan_can_exist_and_those_of_other_lengths_cannot() {
        for text in [
            "+14155551234",
            "+442071234567",
            "+5511912345678",
            "+551132345678",
            "+4915112345678",
            "+390236618300",
            "+6591234567",
            "+2250701234567",
            "+29023123",
            "+882161234567",
            "+525512345678",
            "+5215512345678",
            "+541123456789",
            "+5491123456789",
        ] {
            assert_eq!(check(&number(text)), Ok(()), "{text}");
        }
        for text in [
            "+1415555123",
            "+14155551",
            "+141555512345",
            "+44207123456789",
            "+551191234",
            "+52155123456789",
        ] {
            assert_eq!(check(&number(text)), Err(Impossible::Length), "{text}");
        }
        for text in ["+9991234567", "+2101234567", "+2591234567"] {
            assert_eq!(check(&number(text)), Err(Impossible::Country), "{text}");
        }
    }

    #[test]
    fn brazilian_mobile_numbers_are_known_with_and_without_their_nine() {
        let pairs = [
            ("+5511912345678", "+551112345678"),
            ("+5531987654321", "+553187654321"),
            ("+5547999887766", "+554799887766"),
            ("+5521967654321", "+552167654321"),
        ];
        for (with, without) in pairs {
            assert_eq!(number(with).variants(), [number(without)]);
            assert_eq!(number(without).variants(), [number(with)]);
        }
    }

    #[test]
    fn brazilian_landlines_and_what_would_become_one_have_one_form() {
        for text in [
            "+551132345678",
            "+556121234567",
            "+5511932345678",
            "+5511987654",
            "+5501987654321",
        ] {
            assert!(number(text).variants().is_empty(), "{text}");
        }
    }

    #[test]
    fn mexican_numbers_are_known_with_and_without_the_one() {
        assert_eq!(number("+525512345678").variants(), [number("+5215512345678")]);
        assert_eq!(number("+5215512345678").variants(), [number("+525512345678")]);
        for text in ["+521551234567", "+52155123456789", "+520512345678"] {
            assert!(number(text).variants().is_empty(), "{text}");
        }
    }

    #[test]
    fn argentine_numbers_are_known_with_and_without_the_nine() {
        assert_eq!(number("+541123456789").variants(), [number("+5491123456789")]);
        assert_eq!(number("+5493514567890").variants(), [number("+543514567890")]);
        for text in ["+54112345678", "+5481123456789", "+54911234567890"] {
            assert!(number(text).variants().is_empty(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_form_leads_back_to_the_one_it_came_from(digits in "(55|52|54|1|44)[0-9]{8,12}") {
            let Ok(number) = format!("+{digits}").parse::<E164>() else { return Ok(()) };
            for other in number.variants() {
                prop_assert_ne!(&other, &number);
                prop_assert_eq!(other.variants(), [number.clone()]);
            }
        }

        #[test]
        fn any_number_is_checked_without_a_panic(digits in "[1-9][0-9]{6,14}") {
            let _ = check(&format!("+{digits}").parse().expect("a number"));
        }
    }
}
