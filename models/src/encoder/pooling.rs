//! How the vectors of a text's tokens become the vector of the text.

use serde::{Deserialize, Serialize};

/// A way of pooling, under the name that Sentence Transformers gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Pooling {
    /// The first token's vector.
    Cls,
    /// The greatest number in each dimension.
    Max,
    /// The mean.
    Mean,
    /// The sum over the square root of the number of tokens.
    #[serde(rename = "mean_sqrt_len_tokens")]
    MeanSqrtLen,
    /// The mean where the token at position `i`, from 1, weighs `i` (Muennighoff, 2022).
    WeightedMean,
    /// The last token's vector.
    LastToken,
}

impl Pooling {
    /// Pools `rows`, `[tokens, out.len()]` of one text, into `out`. Rows are added in their order.
    pub fn pool(self, rows: &[f32], out: &mut [f32]) {
        let hidden = out.len();
        let rows = rows.chunks_exact(hidden);
        let tokens = rows.len() as f32;
        match self {
            Self::Cls => copy_row(rows.clone().next(), out),
            Self::LastToken => copy_row(rows.clone().last(), out),
            Self::Max => {
                out.fill(f32::NEG_INFINITY);
                for row in rows {
                    for (out, x) in out.iter_mut().zip(row) {
                        *out = out.max(*x);
                    }
                }
            }
            Self::Mean => weighted_sum(rows.map(|row| (1.0, row)), tokens, out),
            Self::MeanSqrtLen => weighted_sum(rows.map(|row| (1.0, row)), tokens.sqrt(), out),
            Self::WeightedMean => {
                let divisor = tokens * (tokens + 1.0) / 2.0;
                let weighted = rows.enumerate().map(|(i, row)| ((i + 1) as f32, row));
                weighted_sum(weighted, divisor, out);
            }
        }
    }
}

/// Scales `vector` to unit length; a vector of zeros stays as it is.
pub(super) fn normalize(vector: &mut [f32]) {
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
    vector.iter_mut().for_each(|x| *x /= norm);
}

fn copy_row(row: Option<&[f32]>, out: &mut [f32]) {
    if let Some(row) = row {
        out.copy_from_slice(row);
    }
}

fn weighted_sum<'a>(rows: impl Iterator<Item = (f32, &'a [f32])>, divisor: f32, out: &mut [f32]) {
    out.fill(0.0);
    for (weight, row) in rows {
        for (out, x) in out.iter_mut().zip(row) {
            *out += weight * x;
        }
    }
    out.iter_mut().for_each(|x| *x /= divisor);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn each_way_of_pooling_by_hand() {
        let rows = [1.0, -2.0, 3.0, 4.0, 5.0, -9.0];
        let cases = [
            ("cls", [1.0, -2.0]),
            ("max", [5.0, 4.0]),
            ("mean", [3.0, -7.0 / 3.0]),
            (
                "mean_sqrt_len_tokens",
                [9.0 / 3f32.sqrt(), -7.0 / 3f32.sqrt()],
            ),
            ("weightedmean", [22.0 / 6.0, -21.0 / 6.0]),
            ("lasttoken", [5.0, -9.0]),
        ];
        for (name, expected) in cases {
            let pooling: Pooling = serde_json::from_value(name.into()).unwrap();
            let mut out = [0.0; 2];
            pooling.pool(&rows, &mut out);
            assert_eq!(out, expected, "{name}");
        }
    }

    #[test]
    fn a_vector_of_zeros_stays_finite() {
        let mut vector = [0.0; 3];
        normalize(&mut vector);
        assert_eq!(vector, [0.0; 3]);
        let mut vector = [3.0, 4.0];
        normalize(&mut vector);
        assert_eq!(vector, [0.6, 0.8]);
    }
}
