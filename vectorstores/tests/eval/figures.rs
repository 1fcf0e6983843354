//! Keyword search reaches the known figures on public data, in English and Chinese.

use std::path::Path;

use corbie_vectorstores::SearchMode;
use corbie_vectorstores::eval::{EvalOptions, evaluate};

/// Data set, split and the nDCG@10 of a good BM25.
const BARS: [(&str, &str, f64); 3] = [
    ("xquad-en", "test", 0.9685),
    ("hotpotqa-100", "test", 0.776),
    ("cmrc2018-trial", "test", 0.986),
];

#[test]
fn keyword_search_reaches_the_known_figures() {
    let Some(data) = std::env::var_os("CORBIE_DATA") else {
        eprintln!("skipped: CORBIE_DATA is not set");
        return;
    };
    let options = EvalOptions {
        mode: SearchMode::Keyword,
        ..EvalOptions::default()
    };
    for (set, split, bar) in BARS {
        let dir = Path::new(&data).join("retrieval").join(set);
        let evaluation = futures::executor::block_on(evaluate(&dir, split, &options)).unwrap();
        let scores = evaluation.means();
        assert!(scores.ndcg_10 >= bar, "{set}: {scores:?} is below {bar}");
    }
}
