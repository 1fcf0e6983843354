//! The tokenizer: from text to terms.

use rust_stemmers::Stemmer;
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

use super::Language;

/// A word longer than this is data, not language, and has no stem.
const LONGEST_WORD: usize = 64;

/// One term of a text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Term {
    /// Its text: normalised, in lower case, stemmed.
    pub text: String,
    /// Its dimension in sparse vectors, see [`Term::index_of`].
    pub index: u32,
    /// What it is.
    pub kind: TermKind,
}

/// What a [`Term`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TermKind {
    /// A word or a number; also a Chinese, Japanese or Korean character that stands alone.
    Word,
    /// Two neighbouring Chinese, Japanese or Korean characters.
    Pair,
    /// One character of a longer run.
    Character,
}

impl Term {
    fn new(text: String, kind: TermKind) -> Self {
        let index = Self::index_of(&text);
        Self { text, index, kind }
    }

    /// The dimension of a term: FNV-1a of its UTF-8 bytes with 64 bits, folded to 32 by
    /// exclusive or of the halves. It is stored in collections and never changes.
    pub fn index_of(text: &str) -> u32 {
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        (hash >> 32) as u32 ^ hash as u32
    }
}

/// The terms of `text` in order. The text is brought to normal form KC and lower case; then runs
/// of Chinese, Japanese or Korean characters give every character and every pair of neighbours,
/// and the rest gives its words and numbers (Unicode Standard Annex 29), stemmed.
/// `keep` sees each before it is stemmed.
pub(super) fn terms(text: &str, language: Language, keep: impl Fn(&str) -> bool) -> Vec<Term> {
    let text: String = text
        .nfkc()
        .map(|c| if c == '\u{2019}' { '\'' } else { c })
        .flat_map(char::to_lowercase)
        .collect();
    let stemmer = language.stemmer();
    let mut terms = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let run = rest.find(|c| !is_cjk(c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(run);
        push_characters(run, &keep, &mut terms);
        let words = after.find(is_cjk).unwrap_or(after.len());
        let (words, after) = after.split_at(words);
        for word in words.unicode_words().filter(|word| keep(word)) {
            terms.push(Term::new(stem(word, stemmer.as_ref()), TermKind::Word));
        }
        rest = after;
    }
    terms
}

fn push_characters(run: &str, keep: impl Fn(&str) -> bool, terms: &mut Vec<Term>) {
    let starts: Vec<usize> = run.char_indices().map(|(at, _)| at).collect();
    let end = |i: usize| starts.get(i).copied().unwrap_or(run.len());
    let mut push = |text: &str, kind| {
        if keep(text) {
            terms.push(Term::new(text.to_owned(), kind));
        }
    };
    if starts.len() == 1 {
        push(run, TermKind::Word);
        return;
    }
    for (i, start) in starts.iter().enumerate() {
        push(&run[*start..end(i + 1)], TermKind::Character);
        if i + 1 < starts.len() {
            push(&run[*start..end(i + 2)], TermKind::Pair);
        }
    }
}

fn stem(word: &str, stemmer: Option<&Stemmer>) -> String {
    match stemmer {
        Some(stemmer) if word.len() <= LONGEST_WORD && word.chars().all(is_stemmable) => {
            stemmer.stem(word).into_owned()
        }
        _ => word.to_owned(),
    }
}

/// Numbers and names with digits in them stay as they are.
fn is_stemmable(c: char) -> bool {
    c.is_alphabetic() || c == '\''
}

/// Whether `c` belongs to a script written without spaces or, as Korean, with endings joined to
/// the words: Han with its extensions, Kana, Hangul.
fn is_cjk(c: char) -> bool {
    matches!(c,
        '\u{3005}'..='\u{3007}' // iteration marks and zero
        | '\u{3040}'..='\u{30ff}' // Hiragana and Katakana
        | '\u{3100}'..='\u{312f}' // Bopomofo
        | '\u{31a0}'..='\u{31bf}'
        | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}' // Han
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{323af}'
        | '\u{1100}'..='\u{11ff}' // Hangul
        | '\u{ac00}'..='\u{d7ff}')
        && c != '\u{30fb}' // the dot between foreign names
        && c != '\u{30a0}'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let terms = terms(text, Language::English, |_| true);
        let texts: Vec<&str> = terms.iter().map(|term| term.text.as_str()).collect();
        assert_eq!(texts, expected, "{text:?}");
    }

    #[test]
    fn texts_become_terms() {
        check("Ravens CACHED the food.", &["raven", "cach", "the", "food"]);
        check("it’s Bob's don't", &["it", "bob", "don't"]);
        check("in 1986, 3.5 % of p53", &["in", "1986", "3.5", "of", "p53"]);
        check("ﬁne ＡＢＣ１２ Ⅳ", &["fine", "abc12", "iv"]);
        check("Straße café", &["straße", "café"]);
        check(
            "渡鸦藏食",
            &["渡", "渡鸦", "鸦", "鸦藏", "藏", "藏食", "食"],
        );
        check("三月，1月", &["三", "三月", "月", "1", "月"]);
        check("iPhone手机", &["iphon", "手", "手机", "机"]);
        check(
            "タワー・東京",
            &["タ", "タワ", "ワ", "ワー", "ー", "東", "東京", "京"],
        );
        check("서울 은", &["서", "서울", "울", "은"]);
        check("威廉·琼斯", &["威", "威廉", "廉", "琼", "琼斯", "斯"]);
    }

    #[test]
    fn a_character_alone_counts_as_a_word() {
        let kinds = |text| -> Vec<TermKind> {
            terms(text, Language::English, |_| true)
                .iter()
                .map(|t| t.kind)
                .collect()
        };
        assert_eq!(kinds("鸦 crow"), [TermKind::Word, TermKind::Word]);
        assert_eq!(
            kinds("渡鸦"),
            [TermKind::Character, TermKind::Pair, TermKind::Character]
        );
    }

    #[test]
    fn the_index_of_a_term_never_changes() {
        // Stored in every collection: a change of these numbers is a new on-disk format.
        assert_eq!(Term::index_of(""), 0xcbf2_9ce4 ^ 0x8422_2325);
        assert_eq!(Term::index_of("a"), 0xaf63_dc4c ^ 0x8601_ec8c);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC*|.*|[\\u{0}-\\u{10ffff}]{0,40}", language in 0..19_usize) {
            let language = Language::all().nth(language).unwrap_or_default();
            for term in terms(&text, language, |_| true) {
                prop_assert_eq!(term.index, Term::index_of(&term.text));
            }
        }

        #[test]
        fn no_word_breaks_a_stemmer(
            word in "[a-zäöüßéèçñåøæı']{1,20}|[а-яё]{1,20}|[ء-ي\\u{64b}-\\u{652}]{1,20}|[α-ωάέήί]{1,20}|[\\u{b80}-\\u{bff}]{1,20}",
            language in 0..19_usize,
        ) {
            let language = Language::all().nth(language).unwrap_or_default();
            terms(&word, language, |_| true);
        }
    }
}
