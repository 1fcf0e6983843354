//! Where Jinja lets Python show through: how values are written, JSON, dates.

use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use super::environment::over_limit;

/// The longest text that one value is written as.
const MAX_TEXT: usize = 16 << 20;
/// How deep values may hold one another that are written.
const MAX_DEPTH: usize = 100;

/// A value as Python's `str` writes it.
///
/// # Errors
///
/// When it is too deep or too long.
pub fn display(value: &Value) -> Result<String, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    let mut text = String::new();
    repr(value, 0, &mut text)?;
    Ok(text)
}

/// Refuses to go on writing what is too deep or too long.
fn bounded(depth: usize, out: &str) -> Result<(), Error> {
    match () {
        _ if depth > MAX_DEPTH => Err(over_limit("a value is too deep to be written")),
        _ if out.len() > MAX_TEXT => Err(over_limit("a value is too long to be written")),
        _ => Ok(()),
    }
}

/// Writes a value as Python's `repr` does.
fn repr(value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
    bounded(depth, out)?;
    match value.kind() {
        ValueKind::Undefined => {}
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number if !value.is_integer() => {
            let number = f64::try_from(value.clone()).unwrap_or(f64::NAN);
            out.push_str(&number_text(number));
        }
        ValueKind::String => quote(value.as_str().unwrap_or_default(), out),
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            for (index, item) in value.try_iter()?.enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                repr(&item, depth + 1, out)?;
            }
            out.push(']');
        }
        ValueKind::Map => {
            out.push('{');
            for (index, key) in value.try_iter()?.enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                repr(&key, depth + 1, out)?;
                out.push_str(": ");
                repr(&value.get_item(&key)?, depth + 1, out)?;
            }
            out.push('}');
        }
        _ => out.push_str(&value.to_string()),
    }
    Ok(())
}

/// A text in quotes: single ones, unless it holds single ones and no double ones.
fn quote(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push(quote);
}

/// Refuses what the method `format` would make a long text of, whatever the arguments are: a width
/// of four digits, or one that an argument gives.
///
/// # Errors
///
/// When it asks for that.
pub fn check_format(text: &str) -> Result<(), Error> {
    let (mut digits, mut open) = (0, false);
    for c in text.replace("{{", "").chars() {
        digits = if c.is_ascii_digit() { digits + 1 } else { 0 };
        if open && (digits > 3 || c == '{') {
            return Err(over_limit("a format asks for a width"));
        }
        open = match c {
            '{' => true,
            '}' => false,
            _ => open,
        };
    }
    Ok(())
}

/// A floating-point number as Python writes it.
fn number_text(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    let text = number.to_string();
    match text.contains('.') {
        true => text,
        false => format!("{text}.0"),
    }
}

/// The test `iterable`: whether Python could loop over the value, which `None` is not.
pub fn is_iterable(value: &Value) -> bool {
    matches!(
        value.kind(),
        ValueKind::String | ValueKind::Seq | ValueKind::Iterable | ValueKind::Map
    )
}

/// The filter `tojson` as transformers defines it: Python's `json.dumps` without escaping for
/// HTML or beyond ASCII.
pub fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let ensure_ascii = options
        .get::<Option<bool>>("ensure_ascii")?
        .unwrap_or(false);
    let indent = options.get::<Option<usize>>("indent")?;
    let separators = options.get::<Option<Vec<String>>>("separators")?;
    let sort_keys = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    options.assert_all_used()?;
    let (item, key) = match separators.as_deref() {
        Some([item, key]) => (item.clone(), key.clone()),
        _ if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        _ => (", ".to_owned(), ": ".to_owned()),
    };
    if indent.is_some_and(|indent| indent > 32) {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "tojson: indent is at most 32",
        ));
    }
    let style = JsonStyle {
        ensure_ascii,
        indent,
        item,
        key,
        sort_keys,
    };
    let mut out = String::new();
    style.write(value, 0, &mut out)?;
    Ok(Value::from(out))
}

struct JsonStyle {
    ensure_ascii: bool,
    indent: Option<usize>,
    item: String,
    key: String,
    sort_keys: bool,
}

impl JsonStyle {
    fn write(&self, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
        bounded(depth, out)?;
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => out.push_str(&match value.is_integer() {
                true => value.to_string(),
                false => number_text(f64::try_from(value.clone()).unwrap_or(f64::NAN)),
            }),
            ValueKind::String => self.text(value.as_str().unwrap_or_default(), out)?,
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    self.before(i, depth + 1, out);
                    self.write(item, depth + 1, out)?;
                }
                self.close(items.is_empty(), depth, out);
                out.push(']');
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort_keys {
                    keys.sort();
                }
                out.push('{');
                for (i, key) in keys.iter().enumerate() {
                    self.before(i, depth + 1, out);
                    self.text(&key.to_string(), out)?;
                    out.push_str(&self.key);
                    self.write(&value.get_item(key)?, depth + 1, out)?;
                }
                self.close(keys.is_empty(), depth, out);
                out.push('}');
            }
            kind => {
                let message = format!("tojson: a value of kind {kind} is no JSON");
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
        }
        Ok(())
    }

    fn before(&self, index: usize, depth: usize, out: &mut String) {
        if index > 0 {
            out.push_str(&self.item);
        }
        self.line(depth, out);
    }

    fn close(&self, empty: bool, depth: usize, out: &mut String) {
        if !empty {
            self.line(depth, out);
        }
    }

    fn line(&self, depth: usize, out: &mut String) {
        if let Some(indent) = self.indent {
            out.push('\n');
            out.push_str(&" ".repeat(indent * depth));
        }
    }

    fn text(&self, text: &str, out: &mut String) -> Result<(), Error> {
        bounded(0, text)?;
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
                c if self.ensure_ascii && !c.is_ascii() => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
        Ok(())
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// The function `strftime_now`: the time now, in UTC, in the usual letters of `strftime`.
pub fn strftime_now(format: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    strftime(now.map_or(0, |since| since.as_secs()), format)
}

fn strftime(seconds: u64, format: &str) -> String {
    let (days, second) = ((seconds / 86_400) as i64, seconds % 86_400);
    let (year, month, day) = civil(days);
    let weekday = DAYS[((days + 3) % 7) as usize];
    let month_name = MONTHS[month - 1];
    let hour = second / 3600;
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(c) = letters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match letters.next() {
            Some('Y') => out.push_str(&year.to_string()),
            Some('y') => out.push_str(&format!("{:02}", year % 100)),
            Some('m') => out.push_str(&format!("{month:02}")),
            Some('d') => out.push_str(&format!("{day:02}")),
            Some('e') => out.push_str(&format!("{day:2}")),
            Some('B') => out.push_str(month_name),
            Some('b' | 'h') => out.push_str(&month_name[..3]),
            Some('A') => out.push_str(weekday),
            Some('a') => out.push_str(&weekday[..3]),
            Some('H') => out.push_str(&format!("{hour:02}")),
            Some('I') => out.push_str(&format!("{:02}", (hour + 11) % 12 + 1)),
            Some('p') => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            Some('M') => out.push_str(&format!("{:02}", second / 60 % 60)),
            Some('S') => out.push_str(&format!("{:02}", second % 60)),
            Some('F') => out.push_str(&format!("{year}-{month:02}-{day:02}")),
            Some('%') => out.push('%'),
            Some(other) => {
                out.push('%');
                out.push(other);
            }
            None => out.push('%'),
        }
    }
    out
}

/// Year, month and day of a day since 1970-01-01, in the Gregorian calendar (Howard Hinnant's
/// `civil_from_days`).
fn civil(days: i64) -> (i64, usize, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    }) as usize;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use minijinja::value::Serde;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let cases = [
            (
                0,
                "%A %d %B %Y %H:%M:%S",
                "Thursday 01 January 1970 00:00:00",
            ),
            (951_782_400, "%d %b %Y", "29 Feb 2000"),
            (1_795_478_399, "%F %I %p %%", "2026-11-23 11 PM %"),
        ];
        for (seconds, format, expected) in cases {
            assert_eq!(strftime(seconds, format), expected);
        }
    }

    #[test]
    fn values_are_written_as_python_writes_them() {
        let cases = [
            (Value::from(true), "True"),
            (Value::from(()), "None"),
            (Value::from(1.0), "1.0"),
            (Value::from(1e20), "1e+20"),
            (
                Value::from(Serde(serde_json::json!(["it's", "鸟", null]))),
                "[\"it's\", '鸟', None]",
            ),
            (
                Value::from(Serde(serde_json::json!({ "b": 1, "a": 0.5 }))),
                "{'b': 1, 'a': 0.5}",
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(display(&value).unwrap(), expected);
        }
    }
}
