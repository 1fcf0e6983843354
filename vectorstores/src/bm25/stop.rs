//! Words of a question that say how it asks, not what it asks about.

use super::Language;

/// English articles, prepositions, auxiliaries and question words. Passages hold the latter so
/// seldom that a small collection takes them for rare and telling.
const ENGLISH: &str = "a about an and are as at be been between by can could did do does for from \
    had has have he her his how i if in into is it its many me might much my of on or our s she \
    should so some than that the their them then there these they this those to was we were what \
    when where which while who whom whose why will with would you your";

/// The same in Chinese, simplified and traditional: pairs and single characters.
const CHINESE: &str = "的 了 是 在 和 与 與 及 有 为 為 于 於 之 其 吗 嗎 呢 么 麼 谁 誰 哪 何 几 幾 \
    什么 什麼 甚麼 怎么 怎麼 怎样 怎樣 如何 为何 為何 为什 為什 多少 哪个 哪個 哪些 哪里 哪裡 哪裏 \
    哪一 哪位 哪年 是谁 是誰 是什 是哪 何时 何時 何处 何處 几个 幾個 是否 的是 在哪 有哪 有什";

/// Whether a term, before stemming, says nothing of what is asked about.
pub(super) fn is_stop(term: &str, language: Language) -> bool {
    let english = language == Language::English && ENGLISH.split(' ').any(|word| word == term);
    english || CHINESE.split_whitespace().any(|word| word == term)
}
