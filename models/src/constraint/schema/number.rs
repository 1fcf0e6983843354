//! Numbers between bounds, as sets of texts.
//!
//! Numbers are written without exponent once a bound or a divisor is stated, and always with few
//! digits: a model may neither write digits without end nor a number that no `f64` holds.

use std::cmp::Ordering;

use serde_json::Number;

use super::text::Text;

/// Digits before the point, where no bound has more; every integer of so many is exact in `f64`.
const WHOLE_DIGITS: usize = 15;
/// Digits after the point, where no bound has more.
const FRACTION_DIGITS: usize = 10;
/// A divisor's multiples that are listed where no rule for their digits is known.
const MULTIPLES: i128 = 1_000;
/// Bounds of more digits than this are refused.
const MAX_DIGITS: usize = 330;

/// A decimal number: sign, digits before and after the point, neither with needless zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    whole: String,
    fraction: String,
}

impl Decimal {
    pub fn zero() -> Self {
        Self::parse("0").unwrap_or(Self {
            negative: false,
            whole: "0".to_owned(),
            fraction: String::new(),
        })
    }

    pub fn of(number: &Number) -> Option<Self> {
        Self::parse(&number.to_string())
    }

    fn parse(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (digits, exponent) = match text.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = format!("{whole}{fraction}");
        let point = i32::try_from(whole.len()).ok()? + exponent;
        let (whole, fraction) = if point <= 0 {
            let zeros = usize::try_from(-point).ok().filter(|n| *n <= MAX_DIGITS)?;
            (String::new(), "0".repeat(zeros) + &all)
        } else {
            let point = usize::try_from(point).ok().filter(|n| *n <= MAX_DIGITS)?;
            let padded = format!("{all:0<point$}");
            (padded[..point].to_owned(), padded[point..].to_owned())
        };
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0').to_owned();
        let whole = if whole.is_empty() { "0" } else { whole }.to_owned();
        let negative = negative && !(whole == "0" && fraction.is_empty());
        Some(Self {
            negative,
            whole,
            fraction,
        })
    }

    pub fn is_integer(&self) -> bool {
        self.fraction.is_empty()
    }

    /// As a whole number of units of `10^-places`.
    fn scaled(&self, places: usize) -> Option<i128> {
        if self.fraction.len() > places {
            return None;
        }
        let digits = format!("{}{:0<places$}", self.whole, self.fraction);
        let value: i128 = digits.parse().ok()?;
        Some(if self.negative { -value } else { value })
    }

    fn opposite(&self) -> Self {
        Self {
            negative: !self.negative && *self != Self::zero(),
            ..self.clone()
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = |a: &Self, b: &Self| {
            (a.whole.len().cmp(&b.whole.len()))
                .then_with(|| a.whole.cmp(&b.whole))
                .then_with(|| a.fraction.cmp(&b.fraction))
        };
        match (self.negative, other.negative) {
            (false, false) => size(self, other),
            (true, true) => size(other, self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

/// An end of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    pub at: Decimal,
    /// Whether `at` itself is outside.
    pub exclusive: bool,
}

impl Bound {
    fn opposite(&self) -> Self {
        Self {
            at: self.at.opposite(),
            ..self.clone()
        }
    }
}

/// What numbers must be.
#[derive(Debug, Clone, Default)]
pub struct Range {
    pub low: Option<Bound>,
    pub high: Option<Bound>,
    pub integer: bool,
    /// A number with a fraction.
    pub fractional: bool,
    pub divisors: Vec<Decimal>,
}

impl Range {
    pub fn contains(&self, number: &Decimal) -> bool {
        let above = self
            .low
            .as_ref()
            .is_none_or(|low| match number.cmp(&low.at) {
                Ordering::Less => false,
                Ordering::Equal => !low.exclusive,
                Ordering::Greater => true,
            });
        let below = self
            .high
            .as_ref()
            .is_none_or(|high| match number.cmp(&high.at) {
                Ordering::Less => true,
                Ordering::Equal => !high.exclusive,
                Ordering::Greater => false,
            });
        above
            && below
            && (!self.integer || number.is_integer())
            && (!self.fractional || !number.is_integer())
            && self
                .divisors
                .iter()
                .all(|divisor| is_multiple(number, divisor))
    }

    /// The texts of these numbers; `None` when the bounds are too large to write down, an empty
    /// list when no number is in the range.
    pub fn text(&self) -> Text {
        if self.low.is_none() && self.high.is_none() && self.divisors.is_empty() {
            return Text::regex(match (self.integer, self.fractional) {
                (true, _) => "0|-?[1-9][0-9]{0,14}",
                (_, true) => r"-?(0|[1-9][0-9]{0,14})\.[0-9]{0,9}[1-9]",
                _ => r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,10})?([eE][+-]?[1-9][0-9]?)?",
            });
        }
        if let Some(divisor) = self.divisors.first() {
            return self.multiples(divisor);
        }
        let mut options = Vec::new();
        if let Some(text) = self.side(self.low.as_ref(), self.high.as_ref(), true) {
            options.push(text);
        }
        let low = self.high.as_ref().map(Bound::opposite);
        let high = self.low.as_ref().map(Bound::opposite);
        if let Some(text) = self.side(low.as_ref(), high.as_ref(), false) {
            options.push(Text::Join(vec![Text::regex("-"), text]));
        }
        Text::Any(options)
    }

    /// Numbers without sign between the bounds. Zero belongs to the side that has it `with_zero`.
    fn side(&self, low: Option<&Bound>, high: Option<&Bound>, with_zero: bool) -> Option<Text> {
        let zero = Bound {
            at: Decimal::zero(),
            exclusive: !with_zero,
        };
        let low = match low {
            Some(low) if low.at > zero.at || (low.at == zero.at && low.exclusive) => low,
            _ => &zero,
        };
        let digits = (low.at.whole.len() + 1).max(WHOLE_DIGITS);
        let places = [Some(low), high]
            .into_iter()
            .flatten()
            .map(|bound| bound.at.fraction.len() + 2)
            .fold(FRACTION_DIGITS, usize::max);
        let form = match (self.integer, self.fractional) {
            (true, _) => "(0|[1-9][0-9]*)".to_owned(),
            (_, true) => format!(r"(0|[1-9][0-9]*)\.[0-9]{{0,{}}}[1-9]", places - 1),
            _ => format!(r"(0|[1-9][0-9]*)(\.[0-9]{{1,{places}}})?"),
        };
        let mut all = vec![Text::Regex(form), Text::Regex(at_least(low, digits))];
        if let Some(high) = high {
            if high.at < low.at || high.at.negative {
                return None;
            }
            all.push(Text::Regex(at_most(high)));
        }
        Some(Text::All(all))
    }

    fn multiples(&self, divisor: &Decimal) -> Text {
        let places = self
            .divisors
            .iter()
            .map(|divisor| divisor.fraction.len())
            .max()
            .unwrap_or(0);
        // All divisors as whole numbers of one unit: a multiple of all is one of their least
        // common multiple.
        let mut step: i128 = 1;
        for divisor in &self.divisors {
            let Some(units) = divisor.scaled(places).map(i128::abs).filter(|n| *n > 0) else {
                return Text::Any(Vec::new());
            };
            let common = gcd(step, units);
            let Some(product) = (step / common).checked_mul(units) else {
                return Text::Any(Vec::new());
            };
            step = product;
        }
        let bounds = Self {
            divisors: Vec::new(),
            ..self.clone()
        };
        let power = 10_i128.checked_pow(places as u32);
        if let Some(rule) = power.and_then(|unit| digit_rule(step, places, unit)) {
            let everything = Self {
                low: bounds.low.clone().or(Some(Bound {
                    at: Decimal::parse("-999999999999999").unwrap_or_else(Decimal::zero),
                    exclusive: false,
                })),
                ..bounds
            };
            return Text::All(vec![everything.text(), rule]);
        }
        let _ = divisor;
        self.listed(step, places)
    }

    /// The multiples of `step` units of `10^-places` nearest to zero or to the bounds, one by one.
    fn listed(&self, step: i128, places: usize) -> Text {
        let near = |bound: &Option<Bound>| {
            let at = &bound.as_ref()?.at;
            let cut = Decimal {
                fraction: at.fraction.chars().take(places).collect(),
                ..at.clone()
            };
            cut.scaled(places).map(|units| units / step)
        };
        let (first, last) = match (near(&self.low), near(&self.high)) {
            (Some(low), Some(high)) => (low - 1, (high + 1).min(low.saturating_add(MULTIPLES))),
            (Some(low), None) => (low - 1, low.saturating_add(MULTIPLES)),
            (None, Some(high)) => (high.saturating_sub(MULTIPLES), high + 1),
            (None, None) => (-MULTIPLES, MULTIPLES),
        };
        let texts = (first..=last).filter_map(|times| {
            let units = times.checked_mul(step)?;
            let digits = format!("{:0>width$}", units.unsigned_abs(), width = places + 1);
            let (whole, fraction) = digits.split_at(digits.len() - places);
            let fraction = fraction.trim_end_matches('0');
            let text = match fraction.is_empty() {
                true => whole.to_owned(),
                false => format!("{whole}.{fraction}"),
            };
            let text = if units < 0 { format!("-{text}") } else { text };
            let number = Decimal::parse(&text)?;
            self.contains(&number).then_some(Text::Literal(text))
        });
        Text::Any(texts.collect())
    }
}

/// Whether `number` is a whole multiple of `divisor`.
fn is_multiple(number: &Decimal, divisor: &Decimal) -> bool {
    let places = number.fraction.len().max(divisor.fraction.len());
    match (number.scaled(places), divisor.scaled(places)) {
        (Some(number), Some(divisor)) if divisor != 0 => number % divisor == 0,
        _ => false,
    }
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The digits of multiples of `step` units of `10^-places`, where the last few decide.
fn digit_rule(step: i128, places: usize, unit: i128) -> Option<Text> {
    // So many last digits decide, at most three before the point.
    let digits = (0..=places + 3).find(|digits| {
        10_i128
            .checked_pow(*digits as u32)
            .is_some_and(|power| power % step == 0)
    })?;
    if unit % step == 0 && unit != step {
        // A part of one: the fraction alone decides.
        let fractions = (1..unit / step).map(|times| {
            let digits = format!("{:0>places$}", times * step);
            digits.trim_end_matches('0').to_owned()
        });
        let fractions: Vec<String> = fractions.take(1_000).collect();
        return match step {
            1 => Some(Text::Regex(format!(r"-?[0-9]+(\.[0-9]{{1,{places}}})?"))),
            _ => Some(Text::Regex(format!(
                r"-?[0-9]+(\.({}))?",
                fractions.join("|")
            ))),
        };
    }
    if places > 0 {
        return None;
    }
    let power = 10_i128.checked_pow(digits as u32)?;
    if step == 1 {
        return Some(Text::regex("-?[0-9]+"));
    }
    let ends: Vec<String> = (0..power / step)
        .map(|times| format!("{:0>digits$}", times * step))
        .collect();
    let short = ends.iter().map(|end| {
        let trimmed = end.trim_start_matches('0');
        if trimmed.is_empty() { "0" } else { trimmed }
    });
    let short: Vec<&str> = short.collect();
    Some(Text::Regex(format!(
        "-?({}|[0-9]*({}))",
        short.join("|"),
        ends.join("|")
    )))
}

/// Unsigned numbers (with any fraction) from `bound` up, of at most `digits` digits before the
/// point.
fn at_least(bound: &Bound, digits: usize) -> String {
    let (whole, fraction) = (&bound.at.whole, &bound.at.fraction);
    let rest = r"(\.[0-9]+)?";
    let mut options = Vec::new();
    // More digits, then a larger digit at each place.
    if whole == "0" {
        options.push(format!("[1-9][0-9]{{0,{}}}{rest}", digits - 1));
    } else {
        let length = whole.len();
        if length < digits {
            options.push(format!("[1-9][0-9]{{{length},{}}}{rest}", digits - 1));
        }
        for (place, prefix, digit) in places(whole) {
            if digit < '9' {
                let left = length - place - 1;
                options.push(format!("{prefix}[{}-9][0-9]{{{left}}}{rest}", next(digit)));
            }
        }
    }
    // The same whole number with a larger fraction.
    let mut fractions = Vec::new();
    for (_, prefix, digit) in places(fraction) {
        if digit < '9' {
            fractions.push(format!(r"\.{prefix}[{}-9][0-9]*", next(digit)));
        }
    }
    fractions.push(match (bound.exclusive, fraction.is_empty()) {
        (false, true) => rest.to_owned(),
        (false, false) => format!(r"\.{fraction}[0-9]*"),
        (true, _) => format!(r"\.{fraction}[0-9]*[1-9][0-9]*"),
    });
    options.push(format!("{whole}({})", fractions.join("|")));
    options.join("|")
}

/// Unsigned numbers (with any fraction) from zero to `bound`.
fn at_most(bound: &Bound) -> String {
    let (whole, fraction) = (&bound.at.whole, &bound.at.fraction);
    let rest = r"(\.[0-9]+)?";
    let length = whole.len();
    let mut options = Vec::new();
    if whole != "0" {
        options.push(format!("0{rest}"));
        if length > 1 {
            options.push(format!("[1-9][0-9]{{0,{}}}{rest}", length - 2));
        }
        for (place, prefix, digit) in places(whole) {
            let lowest = if place == 0 { '1' } else { '0' };
            if digit > lowest {
                let left = length - place - 1;
                let below = char::from_u32(digit as u32 - 1).unwrap_or('0');
                options.push(format!("{prefix}[{lowest}-{below}][0-9]{{{left}}}{rest}"));
            }
        }
    }
    let mut fractions = Vec::new();
    if !fraction.is_empty() {
        fractions.push(String::new());
        for (place, prefix, digit) in places(fraction) {
            if digit > '0' {
                let below = char::from_u32(digit as u32 - 1).unwrap_or('0');
                fractions.push(format!(r"\.{prefix}[0-{below}][0-9]*"));
            }
            if place > 0 {
                fractions.push(format!(r"\.{prefix}0*"));
            }
        }
    }
    if !bound.exclusive {
        fractions.push(match fraction.is_empty() {
            true => r"(\.0+)?".to_owned(),
            false => format!(r"\.{fraction}0*"),
        });
    }
    if !fractions.is_empty() {
        options.push(format!("{whole}({})", fractions.join("|")));
    }
    match options.is_empty() {
        true => r"[^\s\S]".to_owned(),
        false => options.join("|"),
    }
}

/// Each digit with its place and what stands before it.
fn places(digits: &str) -> impl Iterator<Item = (usize, &str, char)> {
    digits
        .char_indices()
        .map(move |(place, digit)| (place, &digits[..place], digit))
}

fn next(digit: char) -> char {
    char::from_u32(digit as u32 + 1).unwrap_or('9')
}
