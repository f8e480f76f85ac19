//! SHA-256 (FIPS 180-4), because services know each other's secrets by their hash, and this package uses std only.

use crate::random::hex;

/// SHA-256 of `data` in lower-case hex.
pub fn sha256_hex(data: &[u8]) -> String {
    let mut padded = data.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend((data.len() as u64 * 8).to_be_bytes());
    let state = padded.chunks_exact(64).fold(initial(), compress);
    hex(&state.map(u32::to_be_bytes).concat())
}

/// The first 32 fractional bits of the square (2) or cube (3) roots of the first `N` primes: the constants of the standard.
fn fractions<const N: usize>(power: u32) -> [u32; N] {
    let mut words = [0; N];
    let primes = (2u128..).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0));
    for (word, prime) in words.iter_mut().zip(primes) {
        let mut root = 0u128;
        for bit in (0..37).rev() {
            let candidate = root | 1 << bit;
            if candidate.pow(power) <= prime << (32 * power) {
                root = candidate;
            }
        }
        *word = root as u32;
    }
    words
}

fn initial() -> [u32; 8] {
    fractions(2)
}

fn compress(state: [u32; 8], block: &[u8]) -> [u32; 8] {
    let constants: [u32; 64] = fractions(3);
    let mut schedule = [0u32; 64];
    for (word, bytes) in schedule.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    for at in 16..64 {
        let (early, late) = (schedule[at - 15], schedule[at - 2]);
        let s0 = early.rotate_right(7) ^ early.rotate_right(18) ^ early >> 3;
        let s1 = late.rotate_right(17) ^ late.rotate_right(19) ^ late >> 10;
        schedule[at] = schedule[at - 16]
            .wrapping_add(s0)
            .wrapping_add(schedule[at - 7])
            .wrapping_add(s1);
    }
    let mut working = state;
    for (constant, word) in constants.iter().zip(schedule) {
        working = round(working, constant.wrapping_add(word));
    }
    for (word, old) in working.iter_mut().zip(state) {
        *word = word.wrapping_add(old);
    }
    working
}

#[expect(clippy::many_single_char_names, reason = "the standard's own names")]
fn round([a, b, c, d, e, f, g, h]: [u32; 8], input: u32) -> [u32; 8] {
    let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
    let choice = (e & f) ^ (!e & g);
    let first = h.wrapping_add(s1).wrapping_add(choice).wrapping_add(input);
    let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
    let second = s0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
    [first.wrapping_add(second), a, b, c, d.wrapping_add(first), e, f, g]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_vectors_of_fips_180_4() {
        let vectors = [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (
                "abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
        ];
        for (data, digest) in vectors {
            assert_eq!(sha256_hex(data.as_bytes()), digest);
        }
    }
}
