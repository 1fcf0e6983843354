//! Whether a passage says what a sentence says, decided by the words and numbers they share.
//!
//! This is no understanding: it is a rule that can be checked by hand. A sentence is supported by
//! a passage when two neighbouring sentences of that passage (its headings counted with them) hold
//! all its numbers, most of its content terms, and most of those that the question did not bring
//! already. A claim whose words no passage holds gets no mark; a copied heading says nothing.

use std::collections::HashSet;
use std::ops::Range;

use super::Citation;
use crate::text::{Language, content_terms, is_han, numbers, sentences, term_set};

/// Least share of a sentence's content terms that its passage must hold.
const SHARE: f32 = 0.8;
/// The same in Chinese, where pairs across two words differ when one of them is changed.
const CHINESE_SHARE: f32 = 0.65;
/// Least share at which a model's own mark is believed.
const BELIEVED: f32 = 0.34;
/// Least share of the question's terms that must stand where a sentence's support stands: a small
/// model copies whatever it was given, and a true sentence about something else is no answer.
const RELEVANT: f32 = 0.2;

/// The passages of one answer, ready to be compared with.
pub(super) struct Grounds {
    language: Language,
    question: HashSet<String>,
    passages: Vec<Passage>,
}

struct Passage {
    language: Language,
    /// The terms of its headings, those in its text among them.
    heading: HashSet<String>,
    /// Its sentences without headings: where they stand and their terms.
    sentences: Vec<(Range<usize>, HashSet<String>)>,
}

impl Grounds {
    pub(super) fn new(question: &str, passages: &[Citation]) -> Self {
        Self {
            language: Language::of(question),
            question: content_terms(question).into_iter().collect(),
            passages: passages.iter().map(Passage::new).collect(),
        }
    }

    /// How many passages there are.
    pub(super) fn len(&self) -> usize {
        self.passages.len()
    }

    /// The number of the passage that supports `sentence` best.
    pub(super) fn support(&self, sentence: &str) -> Option<usize> {
        let terms = content_terms(sentence);
        let least = match Language::of(sentence) {
            Language::English => SHARE,
            Language::Chinese => CHINESE_SHARE,
        };
        let fresh = self.fresh(&terms);
        // A sentence that only says the question again is not supported by chance.
        let least = if fresh.is_empty() { 1.0 } else { least };
        if terms.len() < 2 {
            return None;
        }
        let mut best: Option<(f32, usize)> = None;
        for (i, passage) in self.passages.iter().enumerate() {
            for window in passage.windows() {
                let holds = |term: &&String| window.iter().any(|set| set.contains(*term));
                let share = share(&terms, holds);
                let enough = share >= least
                    && self.is_relevant(passage, &window)
                    && (fresh.is_empty() || self::share(&fresh, holds) >= least)
                    && numbers(&terms).all(|number| holds(&number));
                if enough && best.is_none_or(|(most, _)| share > most) {
                    best = Some((share, i + 1));
                }
            }
        }
        best.map(|(_, n)| n)
    }

    /// The terms that the question did not bring.
    fn fresh(&self, terms: &[String]) -> Vec<String> {
        let fresh = terms.iter().filter(|term| !self.question.contains(*term));
        fresh.cloned().collect()
    }

    /// Whether `sentence` has no words but those of a passage's headings: it names what is to be
    /// said and says nothing.
    pub(super) fn is_heading(&self, sentence: &str) -> bool {
        let ends = |c: char| matches!(c, '.' | '!' | '?' | '。' | '！' | '？');
        let terms = term_set(sentence);
        sentence.starts_with('#')
            || !sentence.contains(ends)
                && !terms.is_empty()
                && self.passages.iter().any(|it| terms.is_subset(&it.heading))
    }

    /// Whether the model's own mark `n` may stand after `sentence`: somewhere the passage shares
    /// words with it that the question did not bring, holds its numbers and speaks of the
    /// question. In another language than the passage's a mark is believed.
    pub(super) fn believes(&self, sentence: &str, n: usize) -> bool {
        let Some(passage) = n.checked_sub(1).and_then(|i| self.passages.get(i)) else {
            return false;
        };
        if Language::of(sentence) != passage.language {
            return true;
        }
        let terms = content_terms(sentence);
        let fresh = self.fresh(&terms);
        !fresh.is_empty()
            && passage.windows().any(|window| {
                let holds = |term: &&String| window.iter().any(|set| set.contains(*term));
                share(&terms, holds) >= BELIEVED
                    && share(&fresh, holds) >= BELIEVED
                    && numbers(&terms).all(|number| holds(&number))
                    && self.is_relevant(passage, &window)
            })
    }

    /// Whether a place speaks of the question, as far as words can tell: across languages they
    /// cannot.
    fn is_relevant(&self, passage: &Passage, window: &[&HashSet<String>]) -> bool {
        if passage.language != self.language {
            return true;
        }
        let held = self.question.iter();
        let held = held.filter(|term| window.iter().any(|set| set.contains(*term)));
        held.count() as f32 >= RELEVANT * self.question.len() as f32
    }

    /// The place that says most about the question: a passage's number and the range of one or
    /// two whole sentences in its text.
    pub(super) fn quotation(&self) -> Option<(usize, Range<usize>)> {
        let all = self.passages.iter().flat_map(|passage| &passage.sentences);
        let all: Vec<&HashSet<String>> = all.map(|(_, terms)| terms).collect();
        let rarity = |term: &String| {
            let holding = all.iter().filter(|set| set.contains(term)).count() as f32;
            (1.0 + (all.len() as f32 - holding + 0.5) / (holding + 0.5)).ln()
        };
        let mut question: Vec<(&String, f32)> = self
            .question
            .iter()
            .map(|term| (term, rarity(term)))
            .collect();
        question.sort_by(|a, b| a.0.cmp(b.0));
        let whole: f32 = question
            .iter()
            .map(|(_, weight)| weight)
            .sum::<f32>()
            .max(1e-6);
        let weigh = |holds: &dyn Fn(&String) -> bool| {
            let held = question.iter().filter(|(term, _)| holds(term));
            held.map(|(_, weight)| weight).sum::<f32>() / whole
        };
        let mut best: Option<(f32, usize, Range<usize>)> = None;
        for (i, passage) in self.passages.iter().enumerate() {
            let around = |term: &String| {
                passage.heading.contains(term)
                    || passage.sentences.iter().any(|(_, set)| set.contains(term))
            };
            // Among equals the better passage wins.
            let context = 0.4 * weigh(&around) + 0.1 / (i + 1) as f32;
            for (j, (range, terms)) in passage.sentences.iter().enumerate() {
                let own = weigh(&|term| terms.contains(term));
                let next = passage.sentences.get(j + 1);
                let both = next.map_or(0.0, |(_, after)| {
                    weigh(&|term| terms.contains(term) || after.contains(term))
                });
                // A short sentence says little: it needs the next one.
                let (score, end) = match next {
                    Some((after, _)) if both > own + 0.15 => (both - 0.1, after.end),
                    _ => (own, range.end),
                };
                let score = score + context - if terms.len() < 4 { 0.3 } else { 0.0 };
                if best.as_ref().is_none_or(|(most, ..)| score > *most) {
                    best = Some((score, i + 1, range.start..end));
                }
            }
        }
        best.map(|(_, n, range)| (n, range))
    }
}

impl Passage {
    fn new(citation: &Citation) -> Self {
        let text = &citation.text;
        let mut heading = term_set(&citation.heading.join("\n"));
        let mut body = Vec::new();
        for range in sentences(text) {
            let terms = term_set(&text[range.clone()]);
            match text[range.clone()].starts_with('#') {
                true => heading.extend(terms),
                false => body.push((range, terms)),
            }
        }
        Self {
            language: Language::of(text),
            heading,
            sentences: body,
        }
    }

    /// Every two neighbouring sentences with the headings; a lone sentence by itself.
    fn windows(&self) -> impl Iterator<Item = Vec<&HashSet<String>>> {
        let sets: Vec<&HashSet<String>> = self.sentences.iter().map(|(_, set)| set).collect();
        (0..sets.len().saturating_sub(1).max(1)).map(move |start| {
            let end = (start + 2).min(sets.len());
            let mut window = vec![&self.heading];
            window.extend(&sets[start.min(end)..end]);
            window
        })
    }
}

fn share(terms: &[String], holds: impl Fn(&&String) -> bool) -> f32 {
    terms.iter().filter(holds).count() as f32 / terms.len().max(1) as f32
}

/// A verbatim piece of a document on one line: line breaks become spaces, or nothing between two
/// Han characters. No other character is changed.
pub(super) fn on_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for piece in text.split_whitespace() {
        let joins = line.chars().last().is_some_and(is_wide) && piece.starts_with(is_wide);
        if !line.is_empty() && !joins {
            line.push(' ');
        }
        line.push_str(piece);
    }
    line
}

fn is_wide(c: char) -> bool {
    is_han(c) || matches!(c, '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ffef}')
}
