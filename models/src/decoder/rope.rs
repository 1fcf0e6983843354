//! Rotary frequencies: from a base, scaled to longer contexts in one of several ways.

use std::f64::consts::PI;

/// How rotary frequencies follow from a base.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Pair `i` of `n` turns by `base^(-i / n)` a position.
    pub base: f32,
    /// Divides every frequency: linear scaling to longer contexts. With [`Rope::yarn`] it
    /// divides only those that YaRN lets it.
    pub divisor: f32,
    /// Which frequencies are kept.
    pub yarn: Option<Yarn>,
    /// Multiplies the numbers that turn, and so scores by its square.
    pub magnitude: f32,
}

/// The ramp of YaRN (Peng et al., 2023): frequencies that turn more than `beta_fast` times within
/// the original context are kept, those that turn less than `beta_slow` times are divided.
#[derive(Debug, Clone, PartialEq)]
pub struct Yarn {
    /// Turns within the original context from which a frequency is kept.
    pub beta_fast: f32,
    /// Turns within the original context up to which a frequency is divided.
    pub beta_slow: f32,
    /// Positions the model was first trained on.
    pub original_context: usize,
}

impl Rope {
    /// Frequencies as they follow from `base` alone.
    pub fn unscaled(base: f32) -> Self {
        Self {
            base,
            divisor: 1.0,
            yarn: None,
            magnitude: 1.0,
        }
    }

    /// The frequency of each of `pairs` pairs, divided by its own factor where there are factors.
    pub fn frequencies(&self, pairs: usize, factors: Option<&[f32]>) -> Vec<f32> {
        let divisor = f64::from(self.divisor);
        let ramp = self.yarn.as_ref().map(|yarn| yarn.ramp(self.base, pairs));
        (0..pairs)
            .map(|i| {
                let factor = factors.map_or(1.0, |factors| f64::from(factors[i]));
                let power = f64::from(self.base).powf(-(i as f64) / pairs as f64) / factor;
                let divided = power / divisor;
                let Some((low, high)) = ramp else {
                    return divided as f32;
                };
                let share = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                (divided * share + power * (1.0 - share)) as f32
            })
            .collect()
    }
}

impl Yarn {
    /// The pairs between which frequencies pass from kept to divided.
    fn ramp(&self, base: f32, pairs: usize) -> (f64, f64) {
        let dim = 2.0 * pairs as f64;
        let pair = |turns: f32| {
            let turns = self.original_context as f64 / (f64::from(turns) * 2.0 * PI);
            dim * turns.ln() / (2.0 * f64::from(base).ln())
        };
        let low = pair(self.beta_fast).floor().max(0.0);
        let high = pair(self.beta_slow).ceil().min(dim - 1.0);
        (low, high.max(low + 0.001))
    }

    /// What numbers are multiplied by so that attention stays as sharp over `factor` times the
    /// context.
    pub(super) fn magnitude(factor: f32, multiplier: f32) -> f32 {
        match factor > 1.0 {
            true => 0.1 * multiplier * factor.ln() + 1.0,
            false => 1.0,
        }
    }
}

/// What the frequencies of Llama 3.1 and later are divided by, pair by pair: low ones by
/// `factor`, high ones by 1, with a passage between (published with those models).
pub(super) fn llama3_factors(
    base: f32,
    pairs: usize,
    factor: f64,
    (low, high): (f64, f64),
    original_context: usize,
) -> Vec<f32> {
    let context = original_context as f64;
    (0..pairs)
        .map(|i| {
            let wavelength = 2.0 * PI * f64::from(base).powf(i as f64 / pairs as f64);
            let smooth = (context / wavelength - low) / (high - low);
            let factor = if wavelength < context / high {
                1.0
            } else if wavelength > context / low {
                factor
            } else {
                1.0 / ((1.0 - smooth) / factor + smooth)
            };
            factor as f32
        })
        .collect()
}
