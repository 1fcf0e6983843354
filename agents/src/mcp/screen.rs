//! Characters that people do not see and models read.

/// Ranges of characters without a shape of their own: zero-width, joining and filling characters,
/// direction marks, selectors of variants, interlinear notes, and tags. U+FE0F, which makes an
/// emoji colourful, is common and alone can say nothing.
const INVISIBLE: [(u32, u32); 19] = [
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x2028, 0x202E),
    (0x2060, 0x206F),
    (0x2800, 0x2800),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0E),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFB),
    (0x1_BCA0, 0x1_BCA3),
    (0x1_D173, 0x1_D17A),
    (0xE_0000, 0xE_0FFF),
    (0xF_0000, 0x10_FFFF),
];

fn is_invisible(c: char) -> bool {
    let code = u32::from(c);
    let control = c.is_control() && !matches!(c, '\n' | '\t' | '\r');
    control
        || INVISIBLE
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&code))
}

/// Whether a text holds characters that people do not see.
///
/// ```
/// use corbie_agents::mcp::has_invisible;
///
/// assert!(has_invisible("add\u{200b}"));
/// assert!(!has_invisible("加法 ✔️"));
/// ```
pub fn has_invisible(text: &str) -> bool {
    text.chars().any(is_invisible)
}

/// A text with such characters written out, as `\u{200b}`.
pub fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_invisible(c) {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_is_written_out() {
        for (text, shown) in [
            ("plain\n文字\t✔️", "plain\n文字\t✔️"),
            ("a\u{200b}b", "a\\u{200b}b"),
            ("\u{202e}cba", "\\u{202e}cba"),
            ("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}"),
            ("x\u{e0041}\u{e007f}", "x\\u{e0041}\\u{e007f}"),
            ("x\u{e0100}", "x\\u{e0100}"),
            ("\u{1b}[8m", "\\u{1b}[8m"),
            ("\u{feff}", "\\u{feff}"),
        ] {
            assert_eq!(escaped(text), shown);
            assert_eq!(has_invisible(text), text != shown, "{text:?}");
        }
    }
}
