//! How often counted repetitions repeat one another.

use regex_syntax::hir::{Hir, HirKind};

/// The most repetitions of repetitions: an automaton has a state for each combination of counts.
const MAX_TIMES: u64 = 100_000;

/// Refuses counted repetitions in one another that come to too many; says how many they are.
pub(super) fn check(hir: &Hir) -> Result<(), String> {
    match nested(hir) {
        (times, depth) if depth > 1 && times > MAX_TIMES => Err(format!(
            "repetitions in one another come to {times}, at most {MAX_TIMES} are followed"
        )),
        _ => Ok(()),
    }
}

/// The greatest product of counts that lie in one another, and how many those are.
fn nested(hir: &Hir) -> (u64, usize) {
    match hir.kind() {
        HirKind::Repetition(repetition) => {
            let (times, depth) = nested(&repetition.sub);
            match u64::from(repetition.max.unwrap_or(repetition.min)) {
                0 | 1 => (times, depth),
                count => (times.saturating_mul(count), depth + 1),
            }
        }
        HirKind::Capture(capture) => nested(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(nested).max().unwrap_or((1, 0))
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => (1, 0),
    }
}
