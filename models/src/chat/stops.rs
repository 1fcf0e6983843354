//! Texts that end an answer, kept back from whoever reads it.

/// Watches for stop texts as a text comes.
///
/// What may turn out to be the beginning of one is held back until that is decided.
#[derive(Debug)]
pub(super) struct Stops {
    stops: Vec<String>,
    held: String,
    stopped: bool,
}

impl Stops {
    /// Watches for any of `stops`.
    pub fn new(stops: Vec<String>) -> Self {
        Self {
            stops,
            held: String::new(),
            stopped: false,
        }
    }

    /// Whether a stop text came.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// Takes the next piece of text; gives what is certain now.
    pub fn push(&mut self, piece: &str) -> String {
        if self.stopped {
            return String::new();
        }
        self.held.push_str(piece);
        let (sure, marker) = find(&self.held, &self.stops);
        let sure = self.held.drain(..sure).collect();
        if marker.is_some() {
            self.held.clear();
            self.stopped = true;
        }
        sure
    }

    /// Gives what was held back: nothing more comes, or something that is no text does.
    pub fn flush(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// How much of `text` is surely before any marker, and the length of the first marker if it
/// follows there.
fn find<M: AsRef<str>>(text: &str, markers: &[M]) -> (usize, Option<usize>) {
    let markers = || markers.iter().map(AsRef::as_ref);
    let first = markers()
        .filter_map(|marker| Some((text.find(marker)?, marker.len())))
        .min();
    if let Some((at, length)) = first {
        return (at, Some(length));
    }
    let longest = markers().map(str::len).max().unwrap_or(0);
    let from = text.len().saturating_sub(longest);
    let held = text
        .char_indices()
        .map(|(at, _)| at)
        .find(|at| *at >= from && markers().any(|marker| marker.starts_with(&text[*at..])));
    (held.unwrap_or(text.len()), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_stopped_however_they_are_cut() {
        let cases: [(&str, &[&str], &str, bool); 7] = [
            ("Under moss.", &["STOP"], "Under moss.", false),
            ("", &["STOP"], "", false),
            ("在苔藓下。", &["。"], "在苔藓下", true),
            ("one STOP two", &["STOP"], "one ", true),
            ("aab", &["aaab", "ab"], "a", true),
            ("x ### y", &["y", "###"], "x ", true),
            ("never STO", &["STOP"], "never STO", false),
        ];
        for (text, stops, expected, stopped) in cases {
            let characters: Vec<String> = text.chars().map(String::from).collect();
            let whole = vec![text.to_owned()];
            let halves = text.char_indices().map(|(cut, _)| {
                let (a, b) = text.split_at(cut);
                vec![a.to_owned(), b.to_owned()]
            });
            for pieces in [whole, characters].into_iter().chain(halves) {
                let mut watch = Stops::new(stops.iter().map(|it| (*it).to_owned()).collect());
                let mut found = String::new();
                for piece in &pieces {
                    found.push_str(&watch.push(piece));
                }
                found.push_str(&watch.flush());
                assert_eq!(
                    (found.as_str(), watch.stopped()),
                    (expected, stopped),
                    "{pieces:?}"
                );
            }
        }
    }
}
