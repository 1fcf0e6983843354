use corbie_vectorstores::eval::Resampling;
use proptest::prelude::*;

/// Sixty differences with a mean of 0.0883.
fn sixty() -> Vec<f64> {
    let value = |at: u32| f64::from(at * 37 % 11) / 10.0 - 0.4;
    (0..60).map(value).collect()
}

#[test]
fn intervals_and_probabilities_are_known_ones() {
    let resampling = Resampling::default();
    // scipy.stats.bootstrap, percentile method: 0.0083 and 0.1683.
    let (low, high) = resampling.interval(&sixty());
    assert!((low - 0.0083).abs() < 0.004, "{low}");
    assert!((high - 0.1683).abs() < 0.004, "{high}");
    // scipy.stats.permutation_test, which looks at all patterns of signs where they are few.
    let p = resampling.p(&sixty());
    assert!((p - 0.0405).abs() < 0.006, "{p}");
    for (differences, p) in [
        (&[1.0; 5][..], 0.0625),
        (&[0.5, -0.25, 0.125, 1.0, 0.0625], 0.3125),
        (&[0.3, 0.1, -0.2], 0.75),
        (&[0.3, 0.1, 0.0, -0.2, 0.0], 0.75),
    ] {
        assert_eq!(resampling.p(differences), p, "{differences:?}");
    }
}

#[test]
fn equal_runs_differ_by_chance_alone() {
    for count in [0, 1, 5, 1000] {
        assert_eq!(Resampling::default().p(&vec![0.0; count]), 1.0);
    }
}

#[test]
fn the_seed_decides_what_is_drawn() {
    let of = |seed| {
        let resampling = Resampling {
            seed,
            ..Resampling::default()
        };
        (resampling.interval(&sixty()), resampling.p(&sixty()))
    };
    assert_eq!(of(7), of(7));
    assert_ne!(of(7), of(8));
}

#[test]
fn more_queries_make_surer() {
    let width = |repeated: usize| {
        let (low, high) = Resampling::default().interval(&sixty().repeat(repeated));
        high - low
    };
    // Nine times the queries, a third of the width.
    assert!((width(1) / width(9) - 3.0).abs() < 0.3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn intervals_hold_the_mean_and_stay_among_the_values(
        values in prop::collection::vec(0.0..=1.0_f64, 1..40),
        resamples in 0..300_usize,
    ) {
        let resampling = Resampling { resamples, seed: 3 };
        let (low, high) = resampling.interval(&values);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let least = values.iter().copied().fold(1.0, f64::min);
        let most = values.iter().copied().fold(0.0, f64::max);
        prop_assert!(low <= mean && mean <= high, "{low} to {high} without {mean}");
        prop_assert!(least - 1e-9 <= low && high <= most + 1e-9, "{low} to {high}");
    }

    #[test]
    fn which_of_two_is_first_does_not_matter(
        differences in prop::collection::vec(-1.0..=1.0_f64, 0..40),
        resamples in 0..300_usize,
    ) {
        let resampling = Resampling { resamples, seed: 3 };
        let turned: Vec<f64> = differences.iter().map(|d| -d).collect();
        let p = resampling.p(&differences);
        prop_assert!(0.0 < p && p <= 1.0, "{p}");
        prop_assert_eq!(p, resampling.p(&turned));
    }
}
