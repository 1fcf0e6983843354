//! Answers that claim nothing that was not done.
//!
//! A model is given the results of what was done and nothing of the rest. When something was not
//! done, each sentence that it writes must be borne out: a good part of its content words and all
//! its numbers stand in what was done, and none of its words belongs to what was not done alone.
//! What is not borne out is taken out, and what was not done is stated in words of our own.

use std::collections::HashSet;

use super::run::Step;
use super::words::words;
use crate::text::{Language, content_terms, numbers, sentences, term_set};

/// Least share of a sentence's content terms that must stand in what was done.
const SHARE: f32 = 0.5;
/// The same in Chinese, where pairs across two words differ when one of them is changed.
const CHINESE_SHARE: f32 = 0.35;

/// What a model said about these steps, as far as they bear it out, and the sentences that they
/// do not. If nothing is left of it, the results stand for it.
pub(super) fn checked(said: &str, goal: &str, steps: &[Step]) -> (String, Vec<String>) {
    let undone: Vec<&Step> = steps
        .iter()
        .filter(|it| it.status.result().is_none())
        .collect();
    let said = said.trim();
    if undone.is_empty() && !said.is_empty() {
        return (said.to_owned(), Vec::new());
    }
    let words = words(Language::of(goal));
    let mut known = HashSet::new();
    for (step, result) in done(steps) {
        known.extend(term_set(&step.text));
        known.extend(term_set(result));
    }
    let foreign: HashSet<String> = undone
        .iter()
        .flat_map(|step| content_terms(&step.text))
        .filter(|term| !known.contains(term))
        .collect();
    let (mut answer, mut struck) = (String::new(), Vec::new());
    let mut end = 0;
    for range in sentences(said) {
        let sentence = &said[range.clone()];
        match is_borne_out(sentence, &known, &foreign) {
            true => answer.push_str(&said[end..range.end]),
            false => struck.push(sentence.to_owned()),
        }
        end = range.end;
    }
    if answer.trim().is_empty() {
        let results = done(steps).map(|(step, result)| words.result(&step.text, result.trim()));
        answer = results.collect::<Vec<_>>().join("\n");
    }
    let mut parts = vec![answer.trim().to_owned()];
    parts.retain(|part| !part.is_empty());
    for step in undone {
        let why = step.status.trouble().unwrap_or(words.unended);
        parts.push(words.undone(&step.text, why));
    }
    (parts.join("\n"), struck)
}

/// What was done, with its results.
pub(super) fn done(steps: &[Step]) -> impl Iterator<Item = (&Step, &str)> {
    steps
        .iter()
        .filter_map(|step| Some((step, step.status.result()?)))
}

fn is_borne_out(sentence: &str, known: &HashSet<String>, foreign: &HashSet<String>) -> bool {
    let terms = content_terms(sentence);
    let least = match Language::of(sentence) {
        Language::English => SHARE,
        Language::Chinese => CHINESE_SHARE,
    };
    let held = terms.iter().filter(|term| known.contains(*term)).count();
    !terms.is_empty()
        && held as f32 / terms.len() as f32 >= least
        && !terms.iter().any(|term| foreign.contains(term))
        && numbers(&terms).all(|number| known.contains(number))
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[track_caller]
    fn check(said: &str, goal: &str, kept: &str, struck: &[&str]) {
        let step = |text: &str, status| Step {
            id: String::new(),
            text: text.to_owned(),
            status,
            tried: Vec::new(),
        };
        let (done, failed) = match Language::of(goal) {
            Language::English => (
                "Look up the weather in Lima",
                "Send the weather by mail to Ada",
            ),
            Language::Chinese => ("查询北京的天气", "查询上海的天气"),
        };
        let result = match Language::of(goal) {
            Language::English => "18 degrees, fog",
            Language::Chinese => "晴，3度",
        };
        let steps = [
            step(
                done,
                Status::Done {
                    result: result.into(),
                },
            ),
            step(
                failed,
                Status::Failed {
                    why: "no answer".into(),
                },
            ),
        ];
        let (answer, found) = checked(said, goal, &steps);
        assert!(answer.starts_with(kept), "{answer}");
        assert!(
            answer.contains(failed) && answer.contains("no answer"),
            "{answer}"
        );
        assert_eq!(found, struck, "{said}");
    }

    #[test]
    fn what_failed_is_never_claimed() {
        let goal = "Mail the weather in Lima to Ada";
        check("In Lima it is 18 degrees with fog.", goal, "In Lima", &[]);
        check(
            "In Lima it is 18 degrees. I sent it to Ada by mail.",
            goal,
            "In Lima it is 18 degrees.\nNot done",
            &["I sent it to Ada by mail."],
        );
        check(
            "In Lima it is 19 degrees. All done! Everything was delivered successfully.",
            goal,
            "Look up the weather in Lima: 18",
            &[
                "In Lima it is 19 degrees.",
                "All done!",
                "Everything was delivered successfully.",
            ],
        );
        let goal = "北京和上海今天天气？";
        check("北京晴，3度。", goal, "北京晴，3度。", &[]);
        check(
            "北京晴，3度。上海也是晴，3度。",
            goal,
            "北京晴，3度。\n未完成",
            &["上海也是晴，3度。"],
        );
    }
}
