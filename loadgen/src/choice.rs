//! Which customer an event is for: each in turn, or some much more often than others.

/// How customers are chosen, by their index.
#[derive(Debug, Clone)]
pub enum Choice {
    /// One after the other.
    InTurn(u64),
    /// By Zipf's law, the first one most often.
    Zipf(Zipf),
}

/// Zipf's law over a fixed number of customers: the n-th is chosen in proportion to `1 / n^exponent`.
///
/// A table of sums, 8 bytes a customer: the same number always gives the same customer, whichever task asks.
#[derive(Debug, Clone)]
pub struct Zipf {
    sums: Vec<f64>,
    seed: u64,
}

impl Choice {
    /// In turn, or by Zipf's law where there is an exponent.
    ///
    /// # Panics
    /// Where there is no customer.
    pub fn new(customers: usize, zipf: Option<f64>, seed: u64) -> Self {
        assert!(customers > 0, "somebody has to be chosen");
        match zipf {
            None => Self::InTurn(customers as u64),
            Some(exponent) => Self::Zipf(Zipf::new(customers, exponent, seed)),
        }
    }

    /// The customer of that number's event (or parcel).
    pub fn of(&self, number: u64) -> usize {
        match self {
            Self::InTurn(customers) => usize::try_from(number % customers).expect("less than a list's length"),
            Self::Zipf(zipf) => zipf.of(number),
        }
    }
}

impl Zipf {
    fn new(customers: usize, exponent: f64, seed: u64) -> Self {
        let mut sum = 0.0;
        #[allow(clippy::cast_precision_loss, reason = "customers are at most a few millions")]
        let weight = |customer: usize| ((customer + 1) as f64).powf(-exponent);
        let mut add = |customer| {
            sum += weight(customer);
            sum
        };
        let sums = (0..customers).map(&mut add).collect();
        Self { sums, seed }
    }

    fn of(&self, number: u64) -> usize {
        let total = self.sums.last().copied().unwrap_or_default();
        let point = unit(mix(self.seed ^ mix(number))) * total;
        self.sums.partition_point(|sum| *sum <= point).min(self.sums.len() - 1)
    }
}

/// SplitMix64's last step: every bit of the answer depends on every bit of the number.
fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// From 0, and less than 1.
fn unit(bits: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "53 bits are left, as many as there are digits")]
    let number = (bits >> 11) as f64;
    number / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(choice: &Choice, customers: usize, events: u64) -> Vec<u64> {
        let mut counts = vec![0; customers];
        (0..events).for_each(|number| counts[choice.of(number)] += 1);
        counts
    }

    #[test]
    fn in_turn_everybody_gets_the_same() {
        assert_eq!(counts(&Choice::new(3, None, 1), 3, 9), [3, 3, 3]);
    }

    #[test]
    fn by_zipfs_law_the_second_gets_half_of_the_first_and_the_tenth_a_tenth() {
        let counts = counts(&Choice::new(100, Some(1.0), 7), 100, 200_000);
        let near = |count: u64, share: f64| (count as f64 / counts[0] as f64 - share).abs() < share * 0.1;
        assert!(near(counts[1], 0.5) && near(counts[9], 0.1), "{:?}", &counts[..10]);
        assert!(counts.iter().all(|count| *count > 0));
    }

    #[test]
    fn the_same_seed_chooses_the_same_and_another_one_others() {
        let chosen = |seed| {
            let choice = Choice::new(1_000, Some(1.1), seed);
            (0..50).map(|number| choice.of(number)).collect::<Vec<_>>()
        };
        assert_eq!(chosen(1), chosen(1));
        assert_ne!(chosen(1), chosen(2));
    }
}
