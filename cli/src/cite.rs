//! The list of sources under an answer.

use corbie_agents::Citation;
use corbie_vectorstores::index::Index;

use crate::app::App;
use crate::args::OutputForm;

/// What stands under an answer: each passage with file, page, lines and score.
pub fn sources(app: &App, index: &Index, citations: &[Citation]) -> String {
    if citations.is_empty() {
        return String::new();
    }
    let mut list = match app.output.form {
        OutputForm::Md => "\n## Sources\n\n".to_owned(),
        _ => "\nSources\n".to_owned(),
    };
    for citation in citations {
        let mut place = citation.source.clone();
        if let Some(page) = citation.page {
            place.push_str(&format!(", page {page}"));
        }
        if let Some((first, last)) = lines(index, citation) {
            place.push_str(&format!(", lines {first}–{last}"));
        }
        let heading = citation
            .heading
            .last()
            .map(|h| format!(" · {h}"))
            .unwrap_or_default();
        let cited = if citation.cited { "" } else { " (not cited)" };
        let (n, score) = (citation.n, citation.score);
        list.push_str(&match app.output.form {
            OutputForm::Md => format!("{n}. `{place}`{heading} — score {score:.3}{cited}\n"),
            _ => format!("[{n}] {place}{heading} · score {score:.3}{cited}\n"),
        });
    }
    list
}

/// The first and last line of a passage in its document's text, from 1.
fn lines(index: &Index, citation: &Citation) -> Option<(usize, usize)> {
    let text = index.document(&citation.source).ok()??.text;
    let before = text.get(..citation.start)?;
    let passage = text.get(citation.start..citation.end)?;
    let first = before.matches('\n').count() + 1;
    Some((first, first + passage.trim_end().matches('\n').count()))
}
