//! Rankings fused by their scores: known values and laws.

use std::collections::HashMap;

use corbie_vectorstores::fuse;
use proptest::prelude::*;
use uuid::Uuid;

type Ranking = Vec<(Uuid, f32)>;

fn ranking(scores: &[(u128, f32)]) -> Ranking {
    let ranked = |(id, score): &(u128, f32)| (Uuid::from_u128(*id), *score);
    scores.iter().map(ranked).collect()
}

fn fused(rankings: &[(f32, Ranking)]) -> Ranking {
    let rankings: Vec<(f32, &[(Uuid, f32)])> = rankings
        .iter()
        .map(|(weight, ranking)| (*weight, ranking.as_slice()))
        .collect();
    fuse(&rankings)
}

#[test]
fn the_score_is_the_mean_of_the_shares() {
    let four = ranking(&[(1, 0.9), (2, 0.8), (3, 0.2), (4, 0.1)]);
    let two = ranking(&[(3, 20.0), (1, 10.0)]);
    let one = ranking(&[(9, 0.3)]);
    let nothing = Ranking::new();
    // Of four: 1, (1 + 3 × 7/8) / 4, (1 + 3 × 1/8) / 4 and 1/4. Of two: 1 and 1/2.
    let cases = [
        (
            vec![(1.0, four.clone()), (1.0, two.clone())],
            vec![(1, 0.75), (3, 0.671_875), (2, 0.453_125), (4, 0.125)],
        ),
        // A quarter of the weight.
        (
            vec![(1.0, four.clone()), (3.0, two.clone())],
            vec![(3, 0.835_937_5), (1, 0.625), (2, 0.226_562_5), (4, 0.0625)],
        ),
        // One alone is the best; what says nothing changes no order.
        (
            vec![(1.0, one.clone()), (1.0, nothing.clone())],
            vec![(9, 0.5)],
        ),
        // A weight of zero silences.
        (
            vec![(0.0, one), (1.0, two)],
            vec![(3, 1.0), (1, 0.5), (9, 0.0)],
        ),
        // Nobody weighs anything.
        (
            vec![(0.0, ranking(&[(2, 0.7), (1, 0.8)]))],
            vec![(1, 0.0), (2, 0.0)],
        ),
        // Equals are equal, also where rounding tells them apart.
        (
            vec![(1.0, ranking(&[(2, 0.700_000_05), (1, 0.7)]))],
            vec![(1, 1.0), (2, 1.0)],
        ),
        (
            vec![(1.0, ranking(&[(2, f32::INFINITY), (1, 0.0)]))],
            vec![(1, 1.0), (2, 1.0)],
        ),
        (vec![(1.0, nothing)], vec![]),
        (Vec::new(), vec![]),
    ];
    for (rankings, expected) in cases {
        let found = fused(&rankings);
        assert_eq!(found.len(), expected.len(), "{rankings:?}");
        for ((id, score), (expected_id, expected)) in found.iter().zip(expected) {
            assert_eq!(id.as_u128(), expected_id, "{rankings:?}: {found:?}");
            assert!((score - expected).abs() < 1e-6, "{rankings:?}: {found:?}");
        }
    }
}

#[test]
fn a_hit_that_stands_out_beats_one_among_many() {
    // By ranks 2 were as good as 1: each is first in one and second in the other.
    let words = ranking(&[(1, 30.0), (2, 5.0), (3, 4.9), (4, 4.8)]);
    let meaning = ranking(&[(2, 0.61), (1, 0.60), (3, 0.59), (4, 0.3)]);
    let found = fused(&[(1.0, meaning), (1.0, words)]);
    assert_eq!(found[0].0.as_u128(), 1, "{found:?}");
}

/// A few of ten points, each once, with scores that differ visibly.
fn rankings() -> impl Strategy<Value = Vec<(f32, Ranking)>> {
    let of_ten = prop::collection::hash_map(0..10_u128, -20..20_i16, 0..10);
    let one = (0..5_u8, of_ten).prop_map(|(weight, scores): (u8, HashMap<u128, i16>)| {
        let scores = scores.into_iter().map(|(id, score)| (id, f32::from(score)));
        let scores: Vec<(u128, f32)> = scores.collect();
        (f32::from(weight) / 4.0, ranking(&scores))
    });
    prop::collection::vec(one, 0..4)
}

proptest! {
    #[test]
    fn scores_are_from_0_to_1_and_fall(rankings in rankings()) {
        let found = fused(&rankings);
        for (_, score) in &found {
            prop_assert!((0.0..=1.000_001).contains(score), "{score}");
        }
        prop_assert!(found.is_sorted_by(|a, b| a.1 > b.1 || (a.1 == b.1 && a.0 < b.0)));
        let mut all: Vec<Uuid> = rankings.iter().flat_map(|(_, it)| it).map(|it| it.0).collect();
        all.sort();
        all.dedup();
        prop_assert_eq!(found.len(), all.len(), "every point once");
    }

    #[test]
    fn a_ranking_alone_keeps_its_order(rankings in rankings()) {
        for (_, ranking) in rankings {
            let found = fused(&[(1.0, ranking.clone())]);
            let of: HashMap<Uuid, f32> = ranking.into_iter().collect();
            prop_assert!(found.is_sorted_by(|a, b| of[&a.0] >= of[&b.0]), "{found:?}");
        }
    }

    #[test]
    fn the_unit_and_the_zero_of_scores_do_not_matter(
        rankings in rankings(),
        unit in 1..64_u8,
        zero in -64..64_i8,
    ) {
        let moved = |(weight, ranking): &(f32, Ranking)| {
            let moved = ranking.iter();
            let moved = moved.map(|(id, score)| (*id, score * f32::from(unit) + f32::from(zero)));
            (*weight, moved.collect())
        };
        let moved: Vec<(f32, Ranking)> = rankings.iter().map(moved).collect();
        let scores: HashMap<Uuid, f32> = fused(&moved).into_iter().collect();
        for (id, score) in fused(&rankings) {
            prop_assert!((scores[&id] - score).abs() < 1e-5, "{id}");
        }
    }
}
