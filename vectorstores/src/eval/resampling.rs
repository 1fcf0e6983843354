//! How sure a mean over queries is, by drawing anew from the queries there are.

/// How much is drawn, and from which beginning: the same numbers give the same figures on every
/// machine.
///
/// ```
/// use corbie_vectorstores::eval::Resampling;
///
/// let resampling = Resampling::default();
/// let (low, high) = resampling.interval(&[0.0, 1.0, 1.0, 0.5, 1.0]);
/// assert!(0.0 < low && low < 0.7 && 0.7 < high && high <= 1.0);
/// assert_eq!(resampling.p(&[0.0, 0.0]), 1.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resampling {
    /// How many samples are drawn.
    pub resamples: usize,
    /// Where the random numbers begin.
    pub seed: u64,
}

impl Default for Resampling {
    fn default() -> Self {
        Self {
            resamples: 10_000,
            seed: 1,
        }
    }
}

impl Resampling {
    /// The confidence of [`interval`](Self::interval).
    pub const CONFIDENCE: f64 = 0.95;

    /// The 95 % confidence interval of the mean of `values`: the middle 95 % of the means of as
    /// many values drawn from them with replacement (the percentile bootstrap; Efron, "Bootstrap
    /// Methods: Another Look at the Jackknife", 1979). Of no values: 0 and 0.
    pub fn interval(&self, values: &[f64]) -> (f64, f64) {
        let mean = mean(values);
        let mut random = SplitMix(self.seed);
        let mut draw = |_| {
            let drawn = (0..values.len()).map(|_| values[random.below(values.len())]);
            drawn.sum::<f64>() / values.len().max(1) as f64
        };
        let mut means: Vec<f64> = (0..self.resamples).map(&mut draw).collect();
        means.sort_by(f64::total_cmp);
        let tail = (means.len() as f64 * (1.0 - Self::CONFIDENCE) / 2.0) as usize;
        let (low, high) = match means.get(tail..means.len() - tail) {
            Some([low, .., high]) => (*low, *high),
            _ => (mean, mean),
        };
        // Sums in another order are rounded otherwise.
        (low.min(mean), high.max(mean))
    }

    /// How probable it is that the mean of these paired differences is as far from 0 as it is, or
    /// farther, if which of each pair is which were a matter of chance: Fisher's randomisation
    /// test, two-sided (Smucker, Allan and Carterette, "A Comparison of Statistical Significance
    /// Tests for Information Retrieval Evaluation", CIKM 2007).
    ///
    /// Signs are drawn at random, and what was seen counts as one of the draws, so that `p` is
    /// never 0. Where there are no more patterns of signs than draws, all of them are looked at
    /// and `p` is exact.
    pub fn p(&self, differences: &[f64]) -> f64 {
        // A query without a difference has none under any sign.
        let differences: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
        let patterns = 1_usize.checked_shl(differences.len() as u32);
        if let Some(patterns) = patterns.filter(|patterns| *patterns <= self.resamples) {
            let far = (0..patterns).filter(|pattern| {
                let mut signs = *pattern;
                is_as_far(&differences, || {
                    let sign = signs & 1 == 1;
                    signs >>= 1;
                    sign
                })
            });
            return far.count() as f64 / patterns as f64;
        }
        let mut random = SplitMix(self.seed);
        let far =
            (0..self.resamples).filter(|_| is_as_far(&differences, || random.next() >> 63 == 1));
        (far.count() as f64 + 1.0) / (self.resamples as f64 + 1.0)
    }
}

/// Whether the sum is at least as far from 0 when those that `turns` says change their signs.
fn is_as_far(differences: &[f64], mut turns: impl FnMut() -> bool) -> bool {
    let seen: f64 = differences.iter().sum();
    let signed = differences.iter().map(|d| if turns() { -d } else { *d });
    // Equal sums in another order are rounded otherwise.
    signed.sum::<f64>().abs() >= seen.abs() * (1.0 - 1e-9)
}

/// The mean; of no values 0.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The random numbers of Steele, Lea and Flood's SplitMix64 (2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, by the high half of a product (Lemire, 2019): no number is favoured
    /// by more than `limit / 2^64`.
    fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.next()) * limit as u128) >> 64) as usize
    }
}
