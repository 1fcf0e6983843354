use crate::Reranker;

/// The laws of [`Reranker`]: one finite score a passage, the same bit for bit every time, alone
/// and in any order, whatever the passages are.
///
/// # Panics
///
/// With the law that is broken.
pub async fn reranker(reranker: &dyn Reranker) {
    let long = "A raven remembers where it hid its food. 乌鸦记得它把食物藏在哪里。".repeat(60);
    let passages: Vec<String> = [
        "A raven hides its food.",
        "",
        "乌鸦会把食物藏起来。",
        "A crow\nuses tools.",
        &long,
        "A raven hides its food.",
    ]
    .map(str::to_owned)
    .into();
    for question in [
        "Where does a raven hide food?",
        "乌鸦把食物藏在哪里？",
        "",
        &long,
    ] {
        assert!(
            reranker.rerank(question, &[]).await.unwrap().is_empty(),
            "no passages, no scores"
        );
        let scores = reranker.rerank(question, &passages).await.unwrap();
        assert_eq!(scores.len(), passages.len(), "one score for each passage");
        assert!(
            scores.iter().all(|score| score.is_finite()),
            "finite scores"
        );
        let bits = |scores: &[f32]| scores.iter().map(|s| s.to_bits()).collect::<Vec<_>>();
        assert_eq!(
            scores[0].to_bits(),
            scores[5].to_bits(),
            "equal passages, equal scores"
        );
        let again = reranker.rerank(question, &passages).await.unwrap();
        assert_eq!(bits(&again), bits(&scores), "the same scores every time");
        let turned: Vec<String> = passages.iter().rev().cloned().collect();
        let mut turned = reranker.rerank(question, &turned).await.unwrap();
        turned.reverse();
        assert_eq!(bits(&turned), bits(&scores), "the order changes nothing");
        for (passage, score) in passages.iter().zip(&scores) {
            let alone = reranker
                .rerank(question, std::slice::from_ref(passage))
                .await
                .unwrap();
            assert_eq!(bits(&alone), [score.to_bits()], "the same score alone");
        }
    }
}
