//! Random numbers of a seed.

/// A sequence of numbers that its seed alone decides: SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The sequence of a seed. `purpose` keeps the sequences of one seed apart.
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut chance = Self(seed ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93));
        chance.draw();
        chance
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `least` to `most`, both of them possible.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.draw() % (most - least + 1)
    }

    /// True once in `among` times.
    pub fn once_in(&mut self, among: u64) -> bool {
        self.draw().is_multiple_of(among)
    }

    /// True so many times of ten thousand.
    pub fn of_ten_thousand(&mut self, times: u64) -> bool {
        self.draw() % 10_000 < times
    }

    /// One of some.
    ///
    /// # Panics
    /// Where there is none.
    pub fn one_of<'a, T>(&mut self, some: &'a [T]) -> &'a T {
        let count = some.len() as u64;
        &some[usize::try_from(self.draw() % count).expect("an index fits a usize")]
    }

    /// A number from `least` to `most` whose order of magnitude is as likely as any other.
    pub fn magnitude(&mut self, least: u64, most: u64) -> u64 {
        let steps = (most / least.max(1)).max(1).ilog2();
        let low = least << self.between(0, u64::from(steps));
        self.between(low, (2 * low).min(most).max(low))
    }
}
