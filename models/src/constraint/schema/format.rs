//! The formats of JSON Schema, as regular expressions.
//!
//! Each matches a part of what its format allows, the part that no reader disputes: no leap
//! seconds, no years before 1000, ASCII names of hosts. Unknown formats say nothing, as the
//! standard has it.

/// A regular expression, in Rust's syntax, whose texts all have the format.
pub fn regex(name: &str) -> Option<&'static str> {
    Some(match name {
        "date" => DATE,
        "time" => TIME,
        "date-time" => DATE_TIME,
        "duration" => {
            r"P([1-9][0-9]{0,3}W|[1-9][0-9]{0,3}Y([1-9][0-9]?M([1-9][0-9]?D)?)?|[1-9][0-9]{0,3}M([1-9][0-9]?D)?|[1-9][0-9]{0,3}D(T[1-9][0-9]?H([1-9][0-9]?M)?)?|T([1-9][0-9]{0,3}H([1-9][0-9]?M([1-9][0-9]?S)?)?|[1-9][0-9]{0,3}M([1-9][0-9]?S)?|[1-9][0-9]{0,3}S))"
        }
        "email" | "idn-email" => {
            r"[A-Za-z0-9]{1,20}([._+-][A-Za-z0-9]{1,20}){0,2}@[A-Za-z0-9]{1,20}(-[A-Za-z0-9]{1,20})?(\.[A-Za-z0-9]{2,20}){1,3}"
        }
        "hostname" | "idn-hostname" => {
            r"[A-Za-z0-9]{1,20}(-[A-Za-z0-9]{1,20})?(\.[A-Za-z][A-Za-z0-9]{0,20}(-[A-Za-z0-9]{1,20})?){0,3}"
        }
        "ipv4" => {
            r"((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
        }
        "ipv6" => {
            r"([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,5}(:[0-9a-fA-F]{1,4}){1,2}|::1|::"
        }
        "uuid" => {
            r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-5][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"
        }
        "uri" | "iri" => URI,
        "uri-reference" | "iri-reference" => {
            r"(https?://[A-Za-z0-9]{1,20}(-[A-Za-z0-9]{1,20})?(\.[A-Za-z0-9]{1,20}){0,4})?(/[A-Za-z0-9._~-]{1,40}){0,8}/?(\?[A-Za-z0-9=&_-]{0,60})?(#[A-Za-z0-9_-]{0,40})?"
        }
        "uri-template" => {
            r"https?://[A-Za-z0-9]{1,20}(\.[A-Za-z0-9]{1,20}){0,4}(/[A-Za-z0-9._~-]{1,40}|/\{[A-Za-z][A-Za-z0-9_]{0,20}\}){0,8}"
        }
        "json-pointer" => r"(/([A-Za-z0-9_ -]|~0|~1){0,40}){0,16}",
        "relative-json-pointer" => r"(0|[1-9][0-9]{0,2})(#|(/([A-Za-z0-9_ -]|~0|~1){0,40}){0,16})",
        "regex" => r"\^?([A-Za-z0-9_ ]|\[[a-z]-z\]|\\d|\\w){1,60}[*+?]?\$?",
        _ => return None,
    })
}

/// A regular expression for strings with content of this media type in this encoding.
pub fn content(media: Option<&str>, encoding: Option<&str>) -> Option<&'static str> {
    match (media, encoding) {
        // JSON of one level: `{}`, `[]`, `null` and `[1,2]` in base64 are picked out.
        (Some("application/json"), Some("base64")) => Some("e30=|W10=|bnVsbA==|WzEsMl0="),
        (Some("application/json"), None) => Some(JSON),
        (_, Some("base64")) => {
            Some("([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)?")
        }
        _ => None,
    }
}

const JSON: &str = r#"-?(0|[1-9][0-9]{0,14})|true|false|null|"[^"\\\x00-\x1f]*"|\[((0|[1-9][0-9]{0,14})(, ?(0|[1-9][0-9]{0,14}))*)?\]|\{("[a-z_]{1,40}": ?("[^"\\\x00-\x1f]*"|(0|[1-9][0-9]{0,14})|true|false|null))?\}"#;
const DATE: &str = r"[1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))";
const TIME: &str =
    r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";
const DATE_TIME: &str = r"[1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";
const URI: &str = r"(https?|ftp)://[A-Za-z0-9]{1,20}(-[A-Za-z0-9]{1,20})?(\.[A-Za-z0-9]{1,20}){0,4}(:[1-9][0-9]{0,3})?(/[A-Za-z0-9._~-]{1,40}){0,8}/?(\?[A-Za-z0-9=&_-]{0,60})?(#[A-Za-z0-9_-]{0,40})?|mailto:[A-Za-z0-9]{1,20}@[A-Za-z0-9]{1,20}(\.[A-Za-z0-9]{1,20}){1,3}|urn:[A-Za-z][A-Za-z0-9]{1,20}:[A-Za-z0-9._:-]{1,60}";
