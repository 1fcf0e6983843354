//! Shares of what was tried, and how sure they are.

use serde::{Deserialize, Serialize};

/// How many of so many were right.
///
/// ```
/// use corbie_agents::eval::Rate;
///
/// let rate: Rate = [true, true, false, true].into_iter().collect();
/// assert_eq!(rate.share(), Some(0.75));
/// let (low, high) = rate.interval();
/// assert!(low < 0.75 && 0.75 < high);
/// assert_eq!(Rate::default().share(), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rate {
    /// Those that were right.
    pub right: usize,
    /// All.
    pub of: usize,
}

impl Rate {
    /// Counts one more.
    pub fn add(&mut self, right: bool) {
        self.right += usize::from(right);
        self.of += 1;
    }

    /// The share that was right, from 0 to 1; `None`: there was nothing.
    pub fn share(&self) -> Option<f64> {
        (self.of > 0).then(|| self.right as f64 / self.of as f64)
    }

    /// The 95 % confidence interval of the share (Wilson's score interval, 1927): within 0 and 1
    /// whatever was counted, and all of it when nothing was.
    pub fn interval(&self) -> (f64, f64) {
        /// So many standard deviations hold 95 % of a normal distribution.
        const Z: f64 = 1.959_963_984_540_054;
        let Some(share) = self.share() else {
            return (0.0, 1.0);
        };
        let n = self.of as f64;
        let weight = 1.0 + Z * Z / n;
        let centre = (share + Z * Z / (2.0 * n)) / weight;
        let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt() / weight;
        ((centre - spread).max(0.0), (centre + spread).min(1.0))
    }
}

impl FromIterator<bool> for Rate {
    fn from_iter<I: IntoIterator<Item = bool>>(outcomes: I) -> Self {
        let mut rate = Self::default();
        outcomes.into_iter().for_each(|right| rate.add(right));
        rate
    }
}

impl std::ops::AddAssign for Rate {
    fn add_assign(&mut self, other: Self) {
        self.right += other.right;
        self.of += other.of;
    }
}

/// The mean of the shares of several groups, however large each is: whoever always calls a
/// function, or never, gains nothing by it. `None` where a group is empty or there is none.
pub fn balanced(groups: &[Rate]) -> Option<f64> {
    let shares: Option<Vec<f64>> = groups.iter().map(Rate::share).collect();
    let shares = shares.filter(|shares| !shares.is_empty())?;
    Some(shares.iter().sum::<f64>() / shares.len() as f64)
}

/// The chance that `k` attempts at a task all succeed (pass^k), by the attempts that were made at
/// each task: C(right, k) / C(of, k), the mean over all tasks. `None` where a task has fewer than
/// `k` attempts or there is no task. After Yao et al., τ-bench (2024).
///
/// ```
/// use corbie_agents::eval::{Rate, pass_hat_k};
///
/// let tasks = [Rate { right: 4, of: 4 }, Rate { right: 2, of: 4 }];
/// assert_eq!(pass_hat_k(&tasks, 1), Some(0.75));
/// assert_eq!(pass_hat_k(&tasks, 2), Some((1.0 + 1.0 / 6.0) / 2.0));
/// assert_eq!(pass_hat_k(&tasks, 5), None);
/// ```
pub fn pass_hat_k(tasks: &[Rate], k: usize) -> Option<f64> {
    if tasks.is_empty() || tasks.iter().any(|task| task.of < k) {
        return None;
    }
    let chance = |task: &Rate| -> f64 {
        // A product of k fractions: no factorial can overflow.
        let factor = |i: usize| task.right.saturating_sub(i) as f64 / (task.of - i) as f64;
        (0..k).map(factor).product()
    };
    Some(tasks.iter().map(chance).sum::<f64>() / tasks.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_known_ones_and_never_leave_the_unit() {
        // The roots of (share - p)² = z² p (1 - p) / n, found numerically.
        let cases = [
            (0, 10, 0.0, 0.277_533),
            (10, 10, 0.722_467, 1.0),
            (31, 44, 0.557_798, 0.818_445),
        ];
        for (right, of, low, high) in cases {
            let found = Rate { right, of }.interval();
            assert!((found.0 - low).abs() < 1e-4, "{right}/{of}: {found:?}");
            assert!((found.1 - high).abs() < 1e-4, "{right}/{of}: {found:?}");
        }
        for of in 0..50 {
            for right in 0..=of {
                let (low, high) = Rate { right, of }.interval();
                assert!(0.0 <= low && low <= high && high <= 1.0);
            }
        }
    }

    #[test]
    fn nothing_counted_is_no_number() {
        assert_eq!(balanced(&[]), None);
        let half = Rate { right: 1, of: 2 };
        assert_eq!(balanced(&[half, Rate::default()]), None);
        assert_eq!(balanced(&[half, Rate { right: 9, of: 9 }]), Some(0.75));
        assert_eq!(pass_hat_k(&[], 1), None);
        assert_eq!(pass_hat_k(&[Rate { right: 1, of: 3 }], 2), Some(0.0));
    }
}
