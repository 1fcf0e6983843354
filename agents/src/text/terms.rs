//! Terms that carry content.

use std::collections::HashSet;
use std::sync::LazyLock;

use corbie_vectorstores::bm25::{Bm25, TermKind};

use super::is_han;

/// The terms of a text that say something: words without stop words and question words, numbers,
/// and pairs of Chinese, Japanese or Korean characters. Each once, in order.
pub(crate) fn content_terms(text: &str) -> Vec<String> {
    let mut terms = Vec::new();
    let mut seen = HashSet::new();
    for term in Bm25::default().terms(&without_chinese_stop_words(text)) {
        let keep = match term.kind {
            TermKind::Pair => true,
            TermKind::Word => !STOP_TERMS.contains(&term.text) && !is_lone_han(&term.text),
            TermKind::Character => false,
        };
        if keep && seen.insert(term.text.clone()) {
            terms.push(term.text);
        }
    }
    terms
}

/// One piece of what a question is about, and the terms that show that a text speaks of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unit {
    /// The term whose rarity weighs it.
    pub own: String,
    /// Any of these terms in a text shows it.
    pub shown_by: Vec<String>,
    /// Its length, so that a word weighs like the two characters it would have in Chinese.
    pub length: f32,
}

/// What a question is about: its content words, and in Chinese, Japanese and Korean its content
/// characters. A character counts as found where a pair it belongs to is: the pairs that span two
/// words, which are found nowhere, then count against no text.
pub(crate) fn units(question: &str) -> Vec<Unit> {
    let terms = Bm25::default().terms(&without_chinese_stop_words(question));
    let mut units: Vec<Unit> = Vec::new();
    for (at, term) in terms.iter().enumerate() {
        let is_pair = |at: Option<usize>| {
            let neighbour = terms.get(at?)?;
            (neighbour.kind == TermKind::Pair).then(|| neighbour.text.clone())
        };
        let (shown_by, length) = match term.kind {
            TermKind::Pair => continue,
            TermKind::Word if STOP_TERMS.contains(&term.text) => continue,
            TermKind::Word if is_lone_han(&term.text) => (vec![term.text.clone()], 0.3),
            TermKind::Word => (vec![term.text.clone()], 2.0),
            TermKind::Character => {
                let pairs = [is_pair(at.checked_sub(1)), is_pair(Some(at + 1))];
                (pairs.into_iter().flatten().collect(), 1.0)
            }
        };
        let unit = Unit {
            own: term.text.clone(),
            shown_by,
            length,
        };
        if !units.contains(&unit) {
            units.push(unit);
        }
    }
    units
}

/// All terms of a text, to look others up in.
pub(crate) fn term_set(text: &str) -> HashSet<String> {
    let terms = Bm25::default().terms(text).into_iter();
    terms.map(|term| term.text).collect()
}

/// The numbers of a text, as their digits stand there.
pub(crate) fn numbers(terms: &[String]) -> impl Iterator<Item = &String> {
    let is_number = |term: &&String| term.chars().any(|c| c.is_ascii_digit());
    terms.iter().filter(is_number)
}

/// Cutting stop words out of a run leaves single characters that mean little alone.
fn is_lone_han(term: &str) -> bool {
    let mut chars = term.chars();
    chars.next().is_some_and(is_han) && chars.next().is_none()
}

/// Chinese is written without spaces: stop words are cut out before pairs are made, so that no
/// pair spans one.
fn without_chinese_stop_words(text: &str) -> String {
    if !text.chars().any(is_han) {
        return text.to_owned();
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let stop = CHINESE_STOP_WORDS
            .split_whitespace()
            .filter(|word| rest.starts_with(*word))
            .max_by_key(|word| word.len());
        match stop {
            Some(word) => {
                kept.push(' ');
                rest = &rest[word.len()..];
            }
            None => {
                kept.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    kept
}

static STOP_TERMS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let stems = term_set(ENGLISH_STOP_WORDS);
    let plain = ENGLISH_STOP_WORDS.split_whitespace().map(str::to_owned);
    stems.into_iter().chain(plain).collect()
});

/// Function words, and the words that ask rather than say what is asked about.
const ENGLISH_STOP_WORDS: &str = "
    a an the and or but nor so yet if then than that this these those there here it its he him his
    she her hers they them their theirs we us our ours you your yours i me my mine one ones
    is are was were be been being am do does did done doing have has had having can could may might
    must shall should will would of in on at by for to from with without into onto upon about above
    after before between during under over through per as up down out off not no yes only also too
    very much many more most some any all each every both either neither other another such same
    own just what which who whom whose when where why how please tell say let give get got make
    made go goes going come came want need know find think like mean kind type sort name named
    called happen happened happens ever";

const CHINESE_STOP_WORDS: &str = "
    为什么 為什麼 是什么 什么样 什么 甚麼 什麼 怎么样 怎麼樣 怎么做 怎麼做 怎么 怎麼 怎样 怎樣 如何 哪里 哪裡 哪些
    哪个 哪個 哪一 哪 谁 誰 多少 多久 几 幾 何时 何時 何 请问 請問 请 請 可以 应该 應該 应当 應當 必须 必須 需要 是否 有没有
    有沒有 能否 时候 時候 情况 情況 条件下 條件下 吗 嗎 呢 吧 的 了 是 在 有 和 与 與 及 或 把 被 对 對 于 於 之 其 这 這 那 个
    個 每个 每個 会 會 能 要 一 就 都 也 而 以 为 為 我 你 您 他 她 它 们 們 大家";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_terms_leave_out_what_only_asks() {
        let check = |text: &str, expected: &[&str]| assert_eq!(content_terms(text), expected);
        check("How many stairs are there?", &["stair"]);
        check(
            "What does the Fulmar cost in 2024?",
            &["fulmar", "cost", "2024"],
        );
        check("谁负责厨房？", &["负责", "责厨", "厨房"]);
        check("为什么？", &[]);
        check("the of", &[]);
    }

    #[test]
    fn characters_are_shown_by_their_pairs() {
        let found = units("谁管厨房 wifi");
        let shown: Vec<Vec<&str>> = found
            .iter()
            .map(|u| u.shown_by.iter().map(String::as_str).collect())
            .collect();
        let expected = [
            vec!["管厨"],
            vec!["管厨", "厨房"],
            vec!["厨房"],
            vec!["wifi"],
        ];
        assert_eq!(shown, expected);
        assert_eq!(found[3].length, 2.0);
    }
}
