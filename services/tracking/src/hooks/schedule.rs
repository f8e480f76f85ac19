//! When a failed delivery is tried again.

use std::time::Duration;

use outeract_clock::Random;

/// Pauses between the ten attempts: 75.6 hours in all.
const PAUSES: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];

/// The pause after so many tries, give or take a fifth, so that what failed together does not come back together. What the target asked for counts between the pause and its
/// double. `None`: it was the last try.
pub(super) fn pause(tries: i32, wish: Option<Duration>, random: &dyn Random) -> Option<Duration> {
    let index = usize::try_from(tries).ok()?.checked_sub(1)?;
    let base = *PAUSES.get(index)?;
    let mut bytes = [0; 4];
    random.fill(&mut bytes);
    let jitter = 0.8 + 0.4 * f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX);
    let pause = base.mul_f64(jitter);
    Some(wish.map_or(pause, |wish| wish.clamp(pause, base * 2)))
}

#[cfg(test)]
mod tests {
    use outeract_clock::SeededRandom;

    use super::*;

    #[test]
    fn ten_tries_take_about_seventy_five_hours() {
        let total: Duration = PAUSES.iter().sum();
        assert_eq!(total.as_secs(), 272_105);
        let random = SeededRandom::new(1);
        for _ in 0..100 {
            for (index, base) in PAUSES.iter().enumerate() {
                let found = pause(index as i32 + 1, None, &random).unwrap();
                assert!(found >= base.mul_f64(0.8) && found <= base.mul_f64(1.2), "{found:?}");
            }
        }
        assert_eq!(pause(10, None, &random), None);
    }

    #[test]
    fn what_the_target_asks_for_has_bounds() {
        let random = SeededRandom::new(1);
        let wish = |seconds| pause(2, Some(Duration::from_secs(seconds)), &random).unwrap().as_secs();
        assert_eq!(wish(400), 400);
        assert_eq!(wish(86_400), 600);
        assert!(wish(0) >= 240);
    }
}
