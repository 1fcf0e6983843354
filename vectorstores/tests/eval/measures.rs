use std::collections::HashMap;

use corbie_vectorstores::eval::{Found, Judged};
use proptest::prelude::*;

fn found(hits: &[(&str, f32)]) -> Vec<Found> {
    let found = |(id, score): &(&str, f32)| Found {
        id: (*id).to_owned(),
        score: *score,
    };
    hits.iter().map(found).collect()
}

fn grades(grades: &[(&str, i64)]) -> HashMap<String, i64> {
    let graded = |(id, grade): &(&str, i64)| ((*id).to_owned(), *grade);
    grades.iter().map(graded).collect()
}

/// Hits `x000`, `x001`, … from best to worst, and at last `a`.
fn late(before: usize) -> Vec<Found> {
    let names: Vec<String> = (0..before).map(|at| format!("x{at:03}")).collect();
    let scores = (0..before).map(|at| 1000.0 - at as f32);
    let mut hits: Vec<(&str, f32)> = names.iter().map(String::as_str).zip(scores).collect();
    hits.push(("a", 1.0));
    found(&hits)
}

/// A ranking, the grades, and nDCG@10, recall@10, recall@100, MRR@10 and MAP@100 of it.
type Case = (Vec<Found>, HashMap<String, i64>, [f64; 5]);

#[test]
fn the_measures_are_those_of_trec_eval() {
    let ties = [("a", 1.0), ("b", 1.0), ("c", 1.0)];
    let cases: [Case; 10] = [
        (
            found(&[("a", 2.0), ("b", 1.0)]),
            grades(&[("a", 1)]),
            [1.0; 5],
        ),
        (
            found(&[("b", 2.0), ("a", 1.0)]),
            grades(&[("a", 1)]),
            [1.0 / 3.0_f64.log2(), 1.0, 1.0, 0.5, 0.5],
        ),
        (Vec::new(), grades(&[("a", 1)]), [0.0; 5]),
        // Grades are gains: (1 + 3/log2 3) / (3 + 1/log2 3).
        (
            found(&[("b", 2.0), ("a", 1.0)]),
            grades(&[("a", 3), ("b", 1), ("c", 0)]),
            [0.796_708, 1.0, 1.0, 1.0, 1.0],
        ),
        // A grade below 0 counts as 0; `d` is never found; precisions 1/2 and 2/4, of three.
        (
            found(&[("b", 2.0), ("a", 1.0), ("x", 0.5), ("c", 0.4)]),
            grades(&[("a", 2), ("b", -1), ("c", 1), ("d", 1)]),
            [0.540_586, 2.0 / 3.0, 2.0 / 3.0, 0.5, 1.0 / 3.0],
        ),
        // Equal scores are ranked by descending id.
        (
            found(&ties),
            grades(&[("a", 1)]),
            [0.5, 1.0, 1.0, 1.0 / 3.0, 1.0 / 3.0],
        ),
        (found(&ties), grades(&[("c", 1)]), [1.0; 5]),
        (
            late(10),
            grades(&[("a", 1)]),
            [0.0, 0.0, 1.0, 0.0, 1.0 / 11.0],
        ),
        (
            late(100),
            grades(&[("a", 1), ("x049", 1)]),
            [0.0, 0.0, 0.5, 0.0, 0.01],
        ),
        // Nothing is relevant.
        (found(&ties), grades(&[("a", 0), ("b", -1)]), [0.0; 5]),
    ];
    for (hits, grades, expected) in cases {
        let judged = Judged::new("q", hits, &grades);
        for ((name, value), expected) in judged.measures.named().into_iter().zip(expected) {
            assert!(
                (value - expected).abs() < 1e-6,
                "{name} of {judged:?}, {grades:?}"
            );
        }
    }
}

#[test]
fn an_entry_scores_as_its_best_chunk() {
    let hits = found(&[("a", 0.2), ("乌鸦", 0.5), ("a", 0.9), ("a", 0.1)]);
    let judged = Judged::new("q", hits, &grades(&[("乌鸦", 1)]));
    assert_eq!(judged.ranked, found(&[("a", 0.9), ("乌鸦", 0.5)]));
    assert_eq!(judged.measures.mrr_10, 0.5);
}

#[test]
fn one_hundred_hits_are_kept() {
    let judged = Judged::new("q", late(200), &grades(&[("a", 1)]));
    assert_eq!(judged.ranked.len(), 100);
    assert_eq!(judged.ranked[99].id, "x099");
}

/// Hits and grades among few ids, with many equal scores.
fn rankings() -> impl Strategy<Value = (Vec<Found>, HashMap<String, i64>)> {
    let hit = (0..150_u8, 0..5_u8).prop_map(|(id, score)| Found {
        id: id.to_string(),
        score: f32::from(score) / 4.0,
    });
    let grade = prop_oneof![-1..4_i64, Just(i64::MIN), Just(i64::MAX)];
    let graded = (0..150_u8).prop_map(|id| id.to_string());
    (
        prop::collection::vec(hit, 0..200),
        prop::collection::hash_map(graded, grade, 0..20),
    )
}

proptest! {
    #[test]
    fn every_measure_is_from_0_to_1((hits, grades) in rankings()) {
        let judged = Judged::new("q", hits, &grades);
        for (name, value) in judged.measures.named() {
            prop_assert!((0.0..=1.0).contains(value), "{name} is {value}");
        }
        let measures = judged.measures;
        prop_assert!(measures.recall_10 <= measures.recall_100);
        prop_assert!((measures.mrr_10 > 0.0) == (measures.recall_10 > 0.0));
        prop_assert!((measures.map_100 > 0.0) == (measures.recall_100 > 0.0));
    }

    #[test]
    fn the_order_in_which_hits_come_changes_nothing(
        (hits, shuffled, grades) in rankings().prop_flat_map(|(hits, grades)| {
            (Just(hits.clone()), Just(hits).prop_shuffle(), Just(grades))
        })
    ) {
        let judged = Judged::new("q", hits, &grades);
        prop_assert_eq!(&judged, &Judged::new("q", shuffled, &grades));
        prop_assert_eq!(&judged, &Judged::new("q", judged.ranked.clone(), &grades));
    }

    #[test]
    fn the_best_possible_ranking_has_every_gain((_, mut grades) in rankings()) {
        grades.insert("best".to_owned(), 1);
        let hits = grades.iter().map(|(id, grade)| Found {
            id: id.clone(),
            score: *grade as f32,
        });
        let measures = Judged::new("q", hits.collect(), &grades).measures;
        for value in [measures.ndcg_10, measures.mrr_10, measures.recall_100, measures.map_100] {
            prop_assert!((value - 1.0).abs() < 1e-12, "{measures:?}");
        }
    }
}
