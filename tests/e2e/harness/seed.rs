//! Chance that can be repeated: every scenario prints its seed, and `SIGNALBOX_E2E_SEED` plays it again.

use std::{env, ops::Range, time::Duration};

/// Names the seed to play again.
const SEED_VARIABLE: &str = "SIGNALBOX_E2E_SEED";
/// Rounds of the long forms.
const ROUNDS_VARIABLE: &str = "SIGNALBOX_SOAK_ROUNDS";
/// Rounds of the long forms where the environment names none.
const ROUNDS: u32 = 20;

/// A generator of numbers: SplitMix64, small and the same on every machine.
pub(crate) struct Seed(u64);

impl Seed {
    /// The seed of the environment, else a new one; printed with the scenario's name.
    pub(crate) fn of(scenario: &str) -> Self {
        let seed = match env::var(SEED_VARIABLE) {
            Ok(text) => text
                .parse()
                .unwrap_or_else(|_| panic!("{SEED_VARIABLE}={text:?} is not a number")),
            Err(_) => getrandom::u64().expect("the system gives random numbers"),
        };
        eprintln!("{scenario}: {SEED_VARIABLE}={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of the range.
    pub(crate) fn number(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    /// One of them.
    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.number(0..all.len() as u64)).expect("an index fits")]
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_be_bytes()[0]).collect()
    }

    pub(crate) fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }
}

/// Rounds of a long form.
pub(crate) fn soak_rounds() -> u32 {
    match env::var(ROUNDS_VARIABLE) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{ROUNDS_VARIABLE}={text:?} is not a number")),
        Err(_) => ROUNDS,
    }
}
