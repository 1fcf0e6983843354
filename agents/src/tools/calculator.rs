//! Arithmetic: a parser of its own, so that nothing of what a model writes is ever run as code.

use corbie_core::{Effects, Error, ErrorKind, Invocation, Result};
use serde_json::{Value, json};

use crate::FunctionTool;

/// How deep brackets and signs may nest.
const MAX_DEPTH: usize = 64;
/// From here on whole numbers have gaps: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// The longest expression, in bytes.
const MAX_LENGTH: usize = 1000;

/// A tool that computes an arithmetic expression.
pub fn calculator() -> FunctionTool {
    let schema = json!({
        "type": "object",
        "properties": {
            "expression": {
                "type": "string",
                "description": "For example (3 + 4) * 2^5, sqrt(2), max(1, 2), 17 % 5",
            },
        },
        "required": ["expression"],
        "additionalProperties": false,
    });
    let description = "Computes an arithmetic expression. Use it for every calculation.";
    FunctionTool::new("calculator", description, schema, |run: Invocation| {
        let expression = run.arguments["expression"].as_str().unwrap_or_default();
        let result = calculate(expression).map(shown);
        async move { result }
    })
    .with_effects(Effects {
        read_only: true,
        idempotent: true,
        trusted: true,
        ..Effects::default()
    })
}

/// The value of an arithmetic expression: `+ - * / % ^`, brackets, numbers, `pi`, `e`, and the
/// functions sqrt, abs, round, floor, ceil, exp, ln, log, sin, cos, tan, min and max. Full-width
/// signs and digits, `×` and `÷` are read as their ASCII kin.
///
/// ```
/// use corbie_agents::tools::calculate;
///
/// assert_eq!(calculate("2 + 3 * 4")?, 14.0);
/// assert_eq!(calculate("（1＋２）×3")?, 9.0);
/// assert!(calculate("2 +").is_err());
/// # Ok::<(), corbie_core::Error>(())
/// ```
///
/// # Errors
///
/// [`BadInput`](ErrorKind::BadInput) that says what is wrong and where.
pub fn calculate(expression: &str) -> Result<f64> {
    if expression.len() > MAX_LENGTH {
        let why = format!(
            "it has {} bytes, at most {MAX_LENGTH} are read",
            expression.len()
        );
        return Err(Error::new(ErrorKind::BadInput, "expression", why));
    }
    let mut parser = Parser {
        text: expression.chars().map(narrow).collect(),
        at: 0,
        depth: 0,
        functions: 0,
    };
    let value = parser.sum()?;
    match parser.peek() {
        None if value.is_finite() => Ok(value),
        None => Err(Error::new(
            ErrorKind::BadInput,
            "expression",
            "its value is no finite number",
        )),
        Some(_) => Err(parser.wrong("an operator or the end")),
    }
}

/// A number without the dust of binary fractions; one that is too large to be exact says so.
fn shown(number: f64) -> Value {
    if number.abs() >= EXACT {
        return format!("about {number:.12e}").into();
    }
    if number.fract() == 0.0 {
        return (number as i64).into();
    }
    let rounded: f64 = format!("{number:.12e}").parse().unwrap_or(number);
    rounded.into()
}

fn narrow(character: char) -> char {
    match character {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(character as u32 - 0xfee0).unwrap_or(character),
        '×' | '·' | '⋅' => '*',
        '÷' | '∕' => '/',
        '−' | '–' => '-',
        '\u{3000}' => ' ',
        other => other,
    }
}

struct Parser {
    text: Vec<char>,
    at: usize,
    depth: usize,
    /// Functions whose arguments are being read.
    functions: usize,
}

impl Parser {
    fn peek(&mut self) -> Option<char> {
        while self.text.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn wrong(&self, wanted: &str) -> Error {
        let found = self
            .text
            .get(self.at)
            .map_or("the end".to_owned(), |c| format!("`{c}`"));
        let why = format!(
            "expected {wanted} at character {}, found {found}",
            self.at + 1
        );
        Error::new(ErrorKind::BadInput, "expression", why)
    }

    fn sum(&mut self) -> Result<f64> {
        let mut value = self.product()?;
        loop {
            if self.take('+') {
                value += self.product()?;
            } else if self.take('-') {
                value -= self.product()?;
            } else {
                return Ok(value);
            }
        }
    }

    fn product(&mut self) -> Result<f64> {
        let mut value = self.sign()?;
        loop {
            let operator = match self.peek() {
                Some(operator @ ('*' | '/' | '%')) => operator,
                _ => return Ok(value),
            };
            self.at += 1;
            // As Python writes powers.
            if operator == '*' && self.text.get(self.at) == Some(&'*') {
                return Err(self.wrong("a number (a power is written ^)"));
            }
            let other = self.sign()?;
            if operator != '*' && other == 0.0 {
                return Err(Error::new(
                    ErrorKind::BadInput,
                    "expression",
                    "it divides by zero",
                ));
            }
            match operator {
                '*' => value *= other,
                '/' => value /= other,
                _ => value = value.rem_euclid(other),
            }
        }
    }

    /// A sign binds less than a power: -2^2 is -4.
    fn sign(&mut self) -> Result<f64> {
        self.deeper(|parser| {
            if parser.take('-') {
                return Ok(-parser.sign()?);
            }
            if parser.take('+') {
                return parser.sign();
            }
            parser.power()
        })
    }

    fn power(&mut self) -> Result<f64> {
        let base = self.value()?;
        match self.take('^') {
            // From the right: 2^3^2 is 2^9.
            true => Ok(base.powf(self.sign()?)),
            false => Ok(base),
        }
    }

    fn value(&mut self) -> Result<f64> {
        match self.peek() {
            Some('(') => {
                self.at += 1;
                let value = self.sum()?;
                self.close()?;
                Ok(value)
            }
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if c.is_ascii_alphabetic() => self.named(),
            _ => Err(self.wrong("a number or `(`")),
        }
    }

    fn close(&mut self) -> Result<()> {
        match self.take(')') {
            true => Ok(()),
            false => Err(self.wrong("`)`")),
        }
    }

    fn number(&mut self) -> Result<f64> {
        let start = self.at;
        let digits = |parser: &mut Self| {
            while parser
                .text
                .get(parser.at)
                .is_some_and(|c| c.is_ascii_digit() || *c == '.')
            {
                parser.at += 1;
            }
        };
        digits(self);
        // Thousands: 1,234,567; within a function a comma separates arguments.
        let group = |text: &[char]| {
            text.len() >= 4
                && text[0] == ','
                && text[1..4].iter().all(char::is_ascii_digit)
                && !text.get(4).is_some_and(char::is_ascii_digit)
        };
        while self.functions == 0 && group(&self.text[self.at..]) {
            self.at += 4;
            digits(self);
        }
        if matches!(self.text.get(self.at), Some('e' | 'E')) {
            let signed = matches!(self.text.get(self.at + 1), Some('+' | '-'));
            let first = self.at + 1 + usize::from(signed);
            if self.text.get(first).is_some_and(char::is_ascii_digit) {
                self.at = first;
                digits(self);
            }
        }
        let text: String = self.text[start..self.at]
            .iter()
            .filter(|c| **c != ',')
            .collect();
        let number = text.parse();
        number.map_err(|_| {
            let why = format!("`{text}` is no number");
            Error::new(ErrorKind::BadInput, "expression", why)
        })
    }

    fn named(&mut self) -> Result<f64> {
        let start = self.at;
        while self
            .text
            .get(self.at)
            .is_some_and(char::is_ascii_alphanumeric)
        {
            self.at += 1;
        }
        let name: String = self.text[start..self.at].iter().collect();
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "pi" => return Ok(std::f64::consts::PI),
            "e" => return Ok(std::f64::consts::E),
            _ => {}
        }
        if !self.take('(') {
            self.at = start;
            return Err(self.wrong("a number, `pi`, `e` or a function"));
        }
        self.functions += 1;
        let mut arguments = vec![self.sum()?];
        while self.take(',') {
            arguments.push(self.sum()?);
        }
        self.functions -= 1;
        self.close()?;
        let first = arguments[0];
        let value = match (name.as_str(), arguments.len()) {
            ("min", _) => arguments.into_iter().fold(f64::INFINITY, f64::min),
            ("max", _) => arguments.into_iter().fold(f64::NEG_INFINITY, f64::max),
            ("sqrt", 1) => first.sqrt(),
            ("abs", 1) => first.abs(),
            ("round", 1) => first.round(),
            ("round", 2) => {
                let scale = 10_f64.powf(arguments[1].round());
                (first * scale).round() / scale
            }
            ("floor", 1) => first.floor(),
            ("ceil", 1) => first.ceil(),
            ("exp", 1) => first.exp(),
            ("ln", 1) => first.ln(),
            ("log" | "log10", 1) => first.log10(),
            ("log", 2) => first.log(arguments[1]),
            ("sin", 1) => first.sin(),
            ("cos", 1) => first.cos(),
            ("tan", 1) => first.tan(),
            (_, count) => {
                let why = format!("there is no function `{name}` of {count} arguments");
                return Err(Error::new(ErrorKind::BadInput, "expression", why));
            }
        };
        Ok(value)
    }

    fn deeper(&mut self, work: impl FnOnce(&mut Self) -> Result<f64>) -> Result<f64> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let why = format!("it is nested deeper than {MAX_DEPTH}");
            return Err(Error::new(ErrorKind::BadInput, "expression", why));
        }
        let value = work(self);
        self.depth -= 1;
        value
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn expressions_have_the_values_of_school() {
        for (expression, value) in [
            ("2+3", "5"),
            ("0.1 + 0.2", "0.3"),
            ("-2^2", "-4"),
            ("2^3^2", "512"),
            ("2^-1", "0.5"),
            ("(1 + 2) * (3 - 4)", "-3"),
            ("17 % 5", "2"),
            ("-7 % 5", "3"),
            ("1,234,567 + 1", "1234568"),
            ("max(1,234, 5)", "234"),
            ("1e3 + 2.5E-1", "1000.25"),
            ("sqrt(16) + abs(-1)", "5"),
            ("round(2.345, 2)", "2.35"),
            ("ＳＱＲＴ（９）", "3"),
            ("１２ ÷ 4 × ３ − 1", "8"),
            ("2^53 - 1", "9007199254740991"),
            ("2^100", "\"about 1.267650600228e30\""),
        ] {
            let got = calculate(expression).map(|number| shown(number).to_string());
            assert_eq!(got.unwrap(), value, "{expression}");
        }
    }

    #[test]
    fn what_is_no_arithmetic_says_so() {
        let nested = "(".repeat(500) + "1" + ")".repeat(200).as_str();
        let signs = "-".repeat(900) + "1";
        for (expression, wanted) in [
            ("", "a number"),
            ("2 +", "found the end"),
            ("2 2", "an operator"),
            ("(1", "`)`"),
            ("1/0", "zero"),
            ("5 % 0", "zero"),
            ("1.2.3", "no number"),
            ("2**3", "written ^"),
            ("system(1)", "no function"),
            ("x + 1", "a function"),
            ("10^400", "no finite number"),
            ("sqrt(-1)", "no finite number"),
            (nested.as_str(), "nested"),
            (signs.as_str(), "nested"),
            (&"1+".repeat(600), "bytes"),
        ] {
            let error = calculate(expression).unwrap_err().to_string();
            assert!(error.contains(wanted), "{expression}: {error}");
        }
    }
}
