//! Which characters bytes stand for: encodings found out, text made uniform.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, GB18030, GBK, UTF_8, UTF_16BE, UTF_16LE};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Text decoded from bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The characters, as [`normalize`] leaves them.
    pub text: String,
    /// The encoding's name in the Encoding Standard, such as `UTF-8` or `gb18030`.
    pub encoding: &'static str,
    /// Whether some bytes stood for no character; `U+FFFD` is in their place.
    pub damaged: bool,
}

/// Decodes `bytes` of any encoding.
///
/// In this order: a byte order mark; UTF-8 where all of it is valid; UTF-16 and UTF-32 without a
/// mark, known by their shape; `declared`, what the content says of itself (such as an HTML
/// `meta charset`); a guess by letter frequencies.
///
/// ```
/// use corbie_loaders::encoding::decode;
///
/// let decoded = decode(b"\xc4\xe3\xba\xc3\xa3\xac\xca\xc0\xbd\xe7\xa1\xa3", None);
/// assert_eq!(decoded.text, "你好，世界。");
/// assert_eq!(decoded.encoding, "gb18030");
/// ```
pub fn decode(bytes: &[u8], declared: Option<&str>) -> Decoded {
    let (text, encoding, damaged) = characters(bytes, declared);
    Decoded {
        text: normalize(&text),
        encoding,
        damaged,
    }
}

fn characters<'a>(bytes: &'a [u8], declared: Option<&str>) -> (Cow<'a, str>, &'static str, bool) {
    if let Some((text, name)) = utf32(bytes) {
        let damaged = text.contains(char::REPLACEMENT_CHARACTER);
        return (Cow::Owned(text), name, damaged);
    }
    let encoding = match Encoding::for_bom(bytes) {
        Some((marked, _)) => marked,
        None if std::str::from_utf8(bytes).is_ok() && !bytes.contains(&0) => UTF_8,
        None => utf16(bytes)
            .or_else(|| declared.and_then(|label| declared_encoding(label, bytes)))
            .unwrap_or_else(|| guess(bytes)),
    };
    // The wider set holds the narrower and reads rare characters too.
    let encoding = if encoding == GBK { GB18030 } else { encoding };
    let (text, used, damaged) = encoding.decode(bytes);
    (text, used.name(), damaged)
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(bytes, true);
    detector.guess(None, Utf8Detection::Allow)
}

/// The encoding that `label` names, if `bytes` are plausible in it.
fn declared_encoding(label: &str, bytes: &[u8]) -> Option<&'static Encoding> {
    let encoding = Encoding::for_label(label.trim().as_bytes())?;
    // A page that can be read to find its label is not UTF-16 (HTML Standard, 13.2.3.2).
    let encoding = match encoding == UTF_16LE || encoding == UTF_16BE {
        true => UTF_8,
        false => encoding,
    };
    // A wrong label is common; text with a few damaged bytes is too.
    let (text, _, damaged) = encoding.decode(bytes);
    let lost = text.matches(char::REPLACEMENT_CHARACTER).count();
    (!damaged || lost * 200 < text.len()).then_some(encoding)
}

/// UTF-16 without a byte order mark, known by what its code units are.
fn utf16(bytes: &[u8]) -> Option<&'static Encoding> {
    if bytes.len() < 2 || !bytes.len().is_multiple_of(2) {
        return None;
    }
    let sample = &bytes[..bytes.len().min(8192)];
    let zeros = sample.contains(&0);
    let likeness = |unit: fn([u8; 2]) -> u16| {
        let units = sample.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        let common = units.clone().filter(|unit| is_common(*unit)).count();
        let anchors = units.clone().filter(|unit| is_anchor(*unit)).count();
        // Without a zero byte anywhere it must be CJK text through and through.
        let enough = match zeros {
            true => sample.len() / 2 * 9 / 10,
            false => sample.len() / 2,
        };
        (common >= enough && anchors > 0).then_some(common + anchors)
    };
    let little = likeness(u16::from_le_bytes);
    let big = likeness(u16::from_be_bytes);
    match (little, big) {
        (None, None) => None,
        (little, big) if little >= big => Some(UTF_16LE),
        _ => Some(UTF_16BE),
    }
}

/// Code units that make up nearly all text.
fn is_common(unit: u16) -> bool {
    matches!(unit,
        0x09 | 0x0a | 0x0d | 0x20..=0x7e | 0xa0..=0x6ff | 0x900..=0xeff | 0x1e00..=0x206f
        | 0x3000..=0x30ff | 0x4e00..=0x9fff | 0xac00..=0xd7a3 | 0xff01..=0xff9f)
}

/// Code units that appear in every longer text: spaces, line ends, punctuation, digits, kana.
fn is_anchor(unit: u16) -> bool {
    matches!(unit, 0x0a | 0x20..=0x3f | 0x2010..=0x2026 | 0x3000..=0x3011 | 0x3041..=0x30ff
        | 0xff01..=0xff1f | 0x4e00 | 0x7684)
}

/// UTF-32 with or without its mark. The Encoding Standard has none; files have.
fn utf32(bytes: &[u8]) -> Option<(String, &'static str)> {
    if bytes.len() < 4 || !bytes.len().is_multiple_of(4) {
        return None;
    }
    for name in ["UTF-32LE", "UTF-32BE"] {
        let numbers = bytes.chunks_exact(4).map(|four| {
            let four = [four[0], four[1], four[2], four[3]];
            match name {
                "UTF-32LE" => u32::from_le_bytes(four),
                _ => u32::from_be_bytes(four),
            }
        });
        // All of a sample must be scalars, or it is something else.
        let sample = numbers.clone().take(1024);
        if sample
            .clone()
            .all(|number| char::from_u32(number).is_some_and(|c| c != '\0'))
        {
            let text = numbers.map(|n| char::from_u32(n).unwrap_or(char::REPLACEMENT_CHARACTER));
            return Some((text.collect(), name));
        }
    }
    None
}

/// Text as every document holds it: Unicode normal form C, `\n` line ends, no characters that
/// are not seen.
///
/// Dropped are control characters (an escape sequence must not reach a terminal), byte order
/// marks, soft hyphens, zero-width spaces, bidirectional overrides and tag characters (which hide
/// text from readers but not from models). Joiners, which some scripts need, stay.
///
/// ```
/// use corbie_loaders::encoding::normalize;
///
/// assert_eq!(normalize("\u{feff}e\u{301}\r\nb\u{1b}[2J\0"), "é\nb[2J");
/// ```
pub fn normalize(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' => {
                characters.next_if_eq(&'\n');
                clean.push('\n');
            }
            '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => clean.push('\n'),
            '\n' | '\t' => clean.push(character),
            unseen if unseen.is_control() || is_unseen(unseen) => {}
            seen => clean.push(seen),
        }
    }
    match is_nfc_quick(clean.chars()) {
        IsNormalized::Yes => clean,
        _ => clean.nfc().collect(),
    }
}

fn is_unseen(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{180e}' | '\u{200b}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use encoding_rs::{BIG5, EUC_JP, EUC_KR, SHIFT_JIS, WINDOWS_1251, WINDOWS_1252};
    use proptest::prelude::*;

    const SIMPLIFIED: &str = "人工智能是计算机科学的一个分支，它试图了解智能的实质，并生产出一种新的能以与人类智能相似的方式做出反应的智能机器。";
    const TRADITIONAL: &str = "臺北市是中華民國的首都，也是臺灣的政治、文化、商業與傳播中心。這裡的居民大多說國語和閩南語。";
    const JAPANESE: &str =
        "日本語の文章をコンピュータで扱うには、文字コードの知識が必要です。ひらがなとカタカナ。";
    const KOREAN: &str = "안녕하세요. 오늘은 날씨가 매우 좋습니다. 한국어 문장을 읽어 봅시다.";
    const RUSSIAN: &str =
        "Москва является столицей России и крупнейшим городом страны по численности населения.";
    const FRENCH: &str = "L’été dernier, nous avons visité un très vieux château près de la forêt.";

    #[test]
    fn legacy_encodings_are_told_apart() {
        let cases = [
            (SIMPLIFIED, GB18030),
            (TRADITIONAL, BIG5),
            (JAPANESE, SHIFT_JIS),
            (JAPANESE, EUC_JP),
            (KOREAN, EUC_KR),
            (RUSSIAN, WINDOWS_1251),
            (FRENCH, WINDOWS_1252),
        ];
        for (text, encoding) in cases {
            let (bytes, _, _) = encoding.encode(text);
            let decoded = decode(&bytes, None);
            assert_eq!(decoded.text, text, "{}", encoding.name());
            assert!(!decoded.damaged);
        }
    }

    #[test]
    fn utf_16_and_32_need_no_mark() {
        for text in [SIMPLIFIED, JAPANESE, RUSSIAN, "Plain words,\nin English."] {
            let units: Vec<u16> = text.encode_utf16().collect();
            let scalars: Vec<u32> = text.chars().map(u32::from).collect();
            let encodings: [Vec<u8>; 4] = [
                units.iter().flat_map(|unit| unit.to_le_bytes()).collect(),
                units.iter().flat_map(|unit| unit.to_be_bytes()).collect(),
                scalars
                    .iter()
                    .flat_map(|scalar| scalar.to_le_bytes())
                    .collect(),
                scalars
                    .iter()
                    .flat_map(|scalar| scalar.to_be_bytes())
                    .collect(),
            ];
            for bytes in encodings {
                assert_eq!(decode(&bytes, None).text, text);
            }
        }
    }

    #[test]
    fn marks_and_declarations_are_honoured() {
        assert_eq!(decode(b"\xef\xbb\xbfa", None).text, "a");
        assert_eq!(decode(b"\xff\xfe\x60\x4f", None).text, "你");
        assert_eq!(decode(b"\xfe\xff\x4f\x60", None).text, "你");
        assert_eq!(decode(b"\xc4\xe3", Some("gb2312")).text, "你");
        assert_eq!(decode(b"\xe9t\xe9", Some("latin1")).text, "été");
        // Wrong and unknown labels do no harm.
        assert_eq!(decode("你好".as_bytes(), Some("big5")).text, "你好");
        assert_eq!(decode("你好".as_bytes(), Some("nonsense")).text, "你好");
    }

    #[test]
    fn the_unseen_is_dropped() {
        assert_eq!(
            normalize("a\u{200b}b\u{202e}c\u{e0041}\u{1b}[31m\u{7}\0\u{ad}d"),
            "abc[31md"
        );
        assert_eq!(normalize("a\r\rb\u{2028}c\u{c}d\te"), "a\n\nb\nc\nd\te");
        assert_eq!(
            normalize("\u{1f468}\u{200d}\u{1f469}"),
            "\u{1f468}\u{200d}\u{1f469}"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_decode_to_normal_text(bytes: Vec<u8>, label in prop::option::of("[a-z0-9-]{0,12}")) {
            let text = decode(&bytes, label.as_deref()).text;
            prop_assert_eq!(normalize(&text), text);
        }

        #[test]
        fn utf_8_is_always_read_as_such(text in "\\PC{0,60}") {
            prop_assert_eq!(decode(text.as_bytes(), None).text, normalize(&text));
        }
    }
}
