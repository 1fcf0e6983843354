//! HTML: the main content as Markdown.
//!
//! Hidden elements, comments, scripts and images go first, so that nothing a reader does not see
//! reaches a model. What is left is judged by readability (Mozilla's algorithm); pages too small
//! or too unlike an article for it are taken whole, without navigation. Links keep their words
//! and lose their targets.

use corbie_core::{ErrorKind, Metadata};
use dom_query::{Document, NodeRef};
use dom_smoothie::Readability;
use htmd::element_handler::Handlers;
use htmd::options::{BulletListMarker, Options};
use htmd::{Element, HtmlToMarkdown};

use super::{Extract, Trouble, markdown};
use crate::encoding::{decode, normalize};

pub(super) fn parse(bytes: &[u8]) -> Result<Extract, Trouble> {
    let declared = declared_charset(bytes);
    let decoded = decode(bytes, declared.as_deref());
    if open_elements(&decoded.text) > MAX_OPEN_ELEMENTS {
        return Err(too_deep());
    }
    let page = Document::from(decoded.text);
    if is_deeper_than(&page, MAX_DEPTH) {
        return Err(too_deep());
    }
    let mut metadata = Metadata::new();
    metadata.insert("encoding".to_owned(), decoded.encoding.into());
    describe(&page, &mut metadata);
    remove_unseen(&page);
    mark_headings(&page);

    let text = match main_content(&page) {
        Some(content) => to_markdown(&content)?,
        None => to_markdown(&whole_content(&page))?,
    };
    let headings = markdown::headings(&text);
    if !metadata.contains_key("title")
        && let Some(first) = headings.first().filter(|heading| heading.level == 1)
    {
        metadata.insert("title".to_owned(), first.title.clone().into());
    }
    Ok(Extract {
        text,
        headings,
        metadata,
        ..Extract::default()
    })
}

/// Elements nested deeper than this are an attack on recursive code, not a page.
const MAX_DEPTH: usize = 2000;

/// Building a tree takes time that grows with the square of the elements left open.
const MAX_OPEN_ELEMENTS: usize = 10_000;

/// Elements that the HTML Standard closes on its own, or that hold nothing.
const SELF_CLOSING: &[&str] = &[
    "a", "area", "base", "body", "br", "caption", "col", "colgroup", "dd", "dt", "embed", "head",
    "hr", "html", "img", "input", "li", "link", "meta", "optgroup", "option", "p", "rp", "rt",
    "source", "tbody", "td", "tfoot", "th", "thead", "tr", "track", "wbr",
];

fn too_deep() -> Trouble {
    let cause = format!("its elements are nested more than {MAX_DEPTH} deep");
    Trouble::new(ErrorKind::LimitExceeded, cause)
}

/// About how many elements are open at once at most, judged by the tags alone.
fn open_elements(html: &str) -> usize {
    let mut open = 0usize;
    let mut most = 0;
    for (at, _) in html.match_indices('<') {
        let tag = &html[at + 1..];
        let (is_end, name) = match tag.strip_prefix('/') {
            Some(name) => (true, name),
            None => (false, tag),
        };
        let length = name.find(|c: char| !c.is_ascii_alphanumeric());
        let name = name[..length.unwrap_or(name.len())].to_ascii_lowercase();
        if name.is_empty() || SELF_CLOSING.contains(&name.as_str()) {
            continue;
        }
        open = match is_end {
            true => open.saturating_sub(1),
            false => open + 1,
        };
        most = most.max(open);
    }
    most
}

fn is_deeper_than(page: &Document, depth: usize) -> bool {
    let mut level = page.root().children();
    for _ in 0..depth {
        if level.is_empty() {
            return false;
        }
        let below = level.iter().flat_map(|node| node.children_it(false));
        level = below.collect();
    }
    true
}

/// The encoding a page names in its first kilobytes: `<meta charset=x>`,
/// `<meta content="text/html; charset=x">` or `<?xml encoding="x"?>`.
fn declared_charset(bytes: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).to_ascii_lowercase();
    for name in ["charset", "encoding"] {
        for (at, _) in head.match_indices(name) {
            let Some(value) = head[at + name.len()..].trim_start().strip_prefix('=') else {
                continue;
            };
            let value = value.trim_start().trim_start_matches(['"', '\'']);
            let end = value.find(|c: char| !(c.is_ascii_alphanumeric() || "-_:.".contains(c)));
            let label = &value[..end.unwrap_or(value.len())];
            if !label.is_empty() {
                return Some(label.to_owned());
            }
        }
    }
    None
}

/// Reads title, language, author and description from a page's head.
fn describe(page: &Document, metadata: &mut Metadata) {
    let content = |selector: &str| page.select_single(selector).attr("content");
    let facts = [
        ("title", content("meta[property='og:title']")),
        ("title", Some(page.select_single("title").text())),
        ("language", page.select_single("html").attr("lang")),
        ("author", content("meta[name='author']")),
        ("description", content("meta[name='description']")),
    ];
    for (name, value) in facts {
        let value = normalize(value.as_deref().unwrap_or_default());
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        if !value.is_empty() {
            metadata.insert(name.to_owned(), value.into());
        }
    }
}

/// What is never shown, or is not text.
const UNSEEN: &str = "script, style, noscript, template, iframe, object, embed, svg, canvas, audio, \
    video, img, picture, map, head, input, select, textarea, datalist, dialog:not([open]), [hidden], \
    [aria-hidden='true'], [type='hidden']";

fn remove_unseen(page: &Document) {
    let rules = page.select("style").text();
    page.select(UNSEEN).remove();
    let most = page.root().normalized_char_count() / 2;
    for selector in hiding_selectors(&rules) {
        let Some(hidden) = page.try_select(&selector) else {
            continue;
        };
        // What hides most of the page waits for a script to show it.
        let characters = hidden.nodes().iter().map(NodeRef::normalized_char_count);
        if characters.sum::<usize>() <= most {
            hidden.remove();
        }
    }
    for styled in page.select("[style]").nodes() {
        if styled.attr("style").is_some_and(|style| hides(&style)) {
            styled.remove_from_parent();
        }
    }
    for comment in page
        .root()
        .descendants()
        .iter()
        .filter(|node| node.is_comment())
    {
        comment.remove_from_parent();
    }
}

/// Whether declarations make an element invisible.
fn hides(style: &str) -> bool {
    let declarations = style.to_ascii_lowercase();
    declarations.split(';').any(|declaration| {
        let Some((property, value)) = declaration.split_once(':') else {
            return false;
        };
        let value = value.trim().trim_end_matches("!important").trim_end();
        let zero = value.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%');
        let is_zero = !zero.is_empty() && zero.parse() == Ok(0.0);
        match property.trim() {
            "display" => value == "none",
            "visibility" => matches!(value, "hidden" | "collapse"),
            "opacity" | "font-size" => is_zero,
            "color" => matches!(value, "transparent"),
            "text-indent" | "left" | "top" => value.starts_with("-999"),
            _ => false,
        }
    })
}

/// The selectors of a style sheet's plain rules that hide what they match. Rules inside `@media`
/// and the like depend on the device, and are not followed.
fn hiding_selectors(sheet: &str) -> Vec<String> {
    let mut selectors = Vec::new();
    let mut depth = 0usize;
    let mut prelude = String::new();
    let mut body = String::new();
    let mut rest = sheet;
    while let Some(next) = rest.chars().next() {
        if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after);
            continue;
        }
        rest = &rest[next.len_utf8()..];
        match next {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    // A state such as `:hover` says nothing of the page at rest.
                    let is_plain = !prelude.trim_start().starts_with('@') && !prelude.contains(':');
                    if is_plain && hides(&body) {
                        selectors.push(prelude.trim().to_owned());
                    }
                    prelude.clear();
                    body.clear();
                }
            }
            ';' if depth == 0 => prelude.clear(),
            other if depth == 0 => prelude.push(other),
            other => body.push(other),
        }
    }
    selectors
}

/// Readability makes `h1` an `h2`; this attribute remembers.
const LEVEL: &str = "data-level";

fn mark_headings(page: &Document) {
    for heading in page.select("h1, h2, h3, h4, h5, h6").nodes() {
        let name = heading.node_name().unwrap_or_default();
        heading.set_attr(LEVEL, &name);
    }
}

fn restore_headings(content: &Document) {
    for heading in content.select("[data-level]").nodes() {
        if let Some(name) = heading.attr(LEVEL) {
            heading.rename(&name);
            heading.remove_attr(LEVEL);
        }
    }
}

/// Pages with less text than this are taken whole: nothing much can be in the way.
const SMALL_PAGE_CHARACTERS: usize = 1500;

/// The main content as HTML, when readability finds one worth the name.
fn main_content(page: &Document) -> Option<String> {
    let whole = Document::from(whole_content(page));
    let whole_length = whole.root().normalized_char_count();
    if whole_length < SMALL_PAGE_CHARACTERS {
        return None;
    }
    let first_heading = page.select_single("h1");
    let title = first_heading.text();
    let article = Readability::with_document(page.clone(), None, None)
        .ok()?
        .parse()
        .ok()?;
    let content = Document::from(article.content);
    if content.root().normalized_char_count() * 4 < whole_length {
        return None;
    }
    restore_headings(&content);
    let has_title = content.select("h1").exists();
    let html = content.html().to_string();
    // The page's own heading often stands outside of what readability picks.
    match has_title || title.trim().is_empty() {
        true => Some(html),
        false => Some(format!("{}{html}", first_heading.html())),
    }
}

/// Everything but navigation.
fn whole_content(page: &Document) -> String {
    let page = page.clone();
    page.select("nav, footer, aside, form button, [role='navigation'], [role='banner'] nav")
        .remove();
    restore_headings(&page);
    page.html().to_string()
}

fn to_markdown(html: &str) -> Result<String, Trouble> {
    let options = Options {
        bullet_list_marker: BulletListMarker::Dash,
        ul_bullet_spacing: 1,
        ol_number_spacing: 1,
        ..Options::default()
    };
    let converter = HtmlToMarkdown::builder()
        .options(options)
        .skip_tags(vec!["head", "script", "style", "title"])
        .add_handler(
            vec!["a"],
            |handlers: &dyn Handlers, element: Element<'_>| {
                Some(handlers.walk_children(element.node))
            },
        )
        .add_handler(
            vec!["h1", "h2", "h3", "h4", "h5", "h6"],
            |handlers: &dyn Handlers, element: Element<'_>| {
                let words = handlers.walk_children(element.node).content;
                let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
                let level = element
                    .tag
                    .strip_prefix('h')
                    .and_then(|n| n.parse().ok())
                    .unwrap_or(1);
                let line = match words.is_empty() {
                    true => String::new(),
                    false => format!("\n\n{} {words}\n\n", "#".repeat(level)),
                };
                Some(line.into())
            },
        )
        .build();
    let text = converter.convert(html);
    let text = text.map_err(|error| Trouble::new(ErrorKind::Malformed, error))?;
    Ok(tidy(&normalize(&text)))
}

/// Without white space at line ends and without more than one empty line in a row.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    let mut empty = 0;
    for line in text.lines() {
        let line = line.trim_end();
        empty = if line.is_empty() { empty + 1 } else { 0 };
        if empty < 2 && !(tidy.is_empty() && line.is_empty()) {
            tidy.push_str(line);
            tidy.push('\n');
        }
    }
    tidy.truncate(tidy.trim_end().len());
    tidy
}

#[cfg(test)]
mod tests;
