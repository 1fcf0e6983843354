#![allow(clippy::unwrap_used)]
use super::*;

/// A PDF with one page for each text, in a font every reader has.
fn pdf(pages: &[&str]) -> Vec<u8> {
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        String::new(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut kids = String::new();
    for text in pages {
        let lines: String = text
            .lines()
            .map(|line| format!("({line}) Tj 0 -14 Td "))
            .collect();
        let content = format!("BT /F1 12 Tf 72 720 Td {lines}ET");
        objects.push(format!(
            "<< /Length {} >>\nstream\n{content}\nendstream",
            content.len()
        ));
        let stream = objects.len();
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {stream} 0 R \
             /Resources << /Font << /F1 3 0 R >> >> >>"
        ));
        kids.push_str(&format!("{} 0 R ", objects.len()));
    }
    objects[1] = format!("<< /Type /Pages /Kids [{kids}] /Count {} >>", pages.len());
    let mut file = b"%PDF-1.4\n".to_vec();
    let mut offsets = Vec::new();
    for (number, object) in (1..).zip(&objects) {
        offsets.push(file.len());
        file.extend(format!("{number} 0 obj\n{object}\nendobj\n").bytes());
    }
    let table = file.len();
    let count = objects.len() + 1;
    file.extend(format!("xref\n0 {count}\n0000000000 65535 f \n").bytes());
    for offset in offsets {
        file.extend(format!("{offset:010} 00000 n \n").bytes());
    }
    file.extend(
        format!("trailer << /Size {count} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF").bytes(),
    );
    file
}

#[test]
fn pages_are_where_their_text_is() {
    let extract = parse(&pdf(&["First page.", "", "Third page."])).unwrap();
    assert_eq!(extract.text, "First page.\n\nThird page.");
    let pages: Vec<(u32, &str)> = extract
        .pages
        .iter()
        .map(|page| (page.number, &extract.text[page.start..page.end]))
        .collect();
    assert_eq!(pages, [(1, "First page."), (2, ""), (3, "Third page.")]);
}

#[test]
fn lines_of_a_paragraph_are_joined() {
    let page = "The raven remembers where it has hid-\nden its food for the whole of winter.";
    let extract = parse(&pdf(&[page])).unwrap();
    assert_eq!(
        extract.text,
        "The raven remembers where it has hidden its food for the whole of winter."
    );
}

#[test]
fn no_text_is_named() {
    let trouble = parse(&pdf(&[""])).unwrap_err();
    assert!(trouble.cause.contains("no text"), "{}", trouble.cause);
    assert_eq!(trouble.kind, ErrorKind::Unsupported);
}

#[test]
fn damaged_files_are_errors_or_what_can_be_saved() {
    let whole = pdf(&["Some words."]);
    for length in (0..whole.len()).step_by(7) {
        if let Ok(extract) = parse(&whole[..length]) {
            assert_eq!(extract.text, "Some words.", "cut at {length}");
        }
    }
    assert!(parse(b"%PDF-1.4\n").is_err());
}
