//! Filters as conditions of SQL. Keys and values are parameters, never text of the statement.

use std::sync::Arc;

use corbie_core::filter::{FieldPath, Step};
use corbie_core::{Filter, Range};
use serde_json::Value;
use tokio_postgres::types::{ToSql, Type};

use super::convert::is_kept_number;

/// The most parameters that the conditions of one statement may have: the protocol counts all of
/// a statement's in 15 bits.
const MOST_PARAMETERS: usize = 30_000;

/// The values of a statement's parameters.
#[derive(Clone, Default)]
pub(super) struct Params(Vec<Param>);

type Param = (Arc<dyn ToSql + Sync + Send>, Type);

impl Params {
    /// Adds a value, and gives the parameter's name.
    pub(super) fn bind(&mut self, value: impl ToSql + Sync + Send + 'static, ty: Type) -> String {
        self.0.push((Arc::new(value), ty));
        format!("${}", self.0.len())
    }

    /// As the client takes them.
    pub(super) fn typed(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        fn typed((value, ty): &Param) -> (&(dyn ToSql + Sync), Type) {
            (&**value, ty.clone())
        }
        self.0.iter().map(typed).collect()
    }
}

/// A condition on the rows of the table of points.
#[derive(Clone)]
pub(super) struct Condition {
    pub(super) sql: String,
    pub(super) params: Params,
    /// Whether it looks into `payload`, where some rows have nothing.
    pub(super) reads_payload: bool,
}

impl Condition {
    /// The condition that every row fulfils.
    pub(super) fn always() -> Self {
        Self {
            sql: "true".to_owned(),
            params: Params::default(),
            reads_payload: false,
        }
    }

    /// What `filter` means for rows whose payload is whole; `None` where SQL cannot say exactly
    /// the same.
    pub(super) fn of(filter: &Filter) -> Option<Self> {
        let mut condition = Self::always();
        condition.sql = condition.write(filter)?;
        (condition.params.0.len() <= MOST_PARAMETERS).then_some(condition)
    }

    /// The points with these ids.
    pub(super) fn only(ids: Vec<uuid::Uuid>) -> Self {
        let mut condition = Self::always();
        let ids = condition.params.bind(ids, Type::UUID_ARRAY);
        condition.sql = format!("id = ANY({ids})");
        condition
    }

    /// The same for rows whose payload is whole; of the others, `ids` are those that match.
    pub(super) fn beside(mut self, ids: Vec<uuid::Uuid>) -> Self {
        self.sql = format!("(exact IS NULL AND {})", self.sql);
        if !ids.is_empty() {
            let ids = self.params.bind(ids, Type::UUID_ARRAY);
            self.sql = format!("({} OR id = ANY({ids}))", self.sql);
        }
        self
    }

    fn write(&mut self, filter: &Filter) -> Option<String> {
        Some(match filter {
            Filter::Eq { field, value } => self.one_of(field, std::slice::from_ref(value))?,
            Filter::In { field, values } => self.one_of(field, values)?,
            Filter::Range { field, range } => {
                let test = self.within(range);
                self.any_value(field, &test)?
            }
            Filter::Text { field, text } => {
                let test = self.holding(text);
                self.any_value(field, &test)?
            }
            Filter::All(filters) => self.join(filters, " AND ", "true")?,
            Filter::Any(filters) => self.join(filters, " OR ", "false")?,
            Filter::Not(filter) => format!("(NOT {})", self.write(filter)?),
        })
    }

    fn join(&mut self, filters: &[Filter], between: &str, of_none: &str) -> Option<String> {
        if filters.is_empty() {
            return Some(of_none.to_owned());
        }
        let written = filters.iter().map(|filter| self.write(filter));
        let written: Vec<String> = written.collect::<Option<_>>()?;
        Some(format!("({})", written.join(between)))
    }

    /// The field equals one of `values`.
    fn one_of(&mut self, field: &str, values: &[Value]) -> Option<String> {
        let path = FieldPath::parse(field).ok()?;
        // These are texts of their own columns, or of an index.
        if let [Step::Key(key)] = path.steps() {
            let column = match key.as_str() {
                "namespace" => Some("namespace"),
                "document" => Some("(payload ->> 'document')"),
                "source" => Some("(payload ->> 'source')"),
                _ => None,
            };
            if let Some(column) = column {
                self.reads_payload |= column != "namespace";
                return Some(self.text_is_one_of(column, values));
            }
        }
        self.reads_payload = true;
        let (mut plain, mut integers, mut floats) = (Vec::new(), Vec::new(), Vec::new());
        for value in values {
            match value {
                Value::Null | Value::Bool(_) => plain.push(value.clone()),
                Value::String(text) if text.contains('\0') => {}
                Value::String(_) => plain.push(value.clone()),
                Value::Number(number) if !number.is_f64() => integers.push(value.clone()),
                // One that no whole payload has, but for the zero, equals nothing there.
                Value::Number(number) if is_kept_number(number) => floats.push(value.clone()),
                Value::Number(number) if number.as_f64() == Some(0.0) => floats.push(0.0.into()),
                Value::Number(_) => {}
                Value::Array(_) | Value::Object(_) => return None,
            }
        }
        let mut tests = Vec::new();
        if !plain.is_empty() {
            tests.push(format!("v = ANY({})", self.bind_values(plain)));
        }
        // 1 and 1.0 are two values; in `jsonb`, only the decimal places tell them apart.
        for (numbers, places) in [(integers, "= 0"), (floats, "> 0")] {
            if !numbers.is_empty() {
                let numbers = self.bind_values(numbers);
                tests.push(if_number(&format!(
                    "scale(v::numeric) {places} AND v = ANY({numbers})"
                )));
            }
        }
        if tests.is_empty() {
            return Some("false".to_owned());
        }
        self.any_value(field, &tests.join(" OR "))
    }

    fn bind_values(&mut self, values: Vec<Value>) -> String {
        self.params.bind(values, Type::JSONB_ARRAY)
    }

    fn text_is_one_of(&mut self, column: &str, values: &[Value]) -> String {
        let texts = values.iter().filter_map(Value::as_str);
        let texts: Vec<String> = texts
            .filter(|t| !t.contains('\0'))
            .map(str::to_owned)
            .collect();
        let is = match <[String; 1]>::try_from(texts) {
            Ok([text]) => format!("= {}", self.params.bind(text, Type::TEXT)),
            Err(texts) if texts.is_empty() => return "false".to_owned(),
            Err(texts) => format!("= ANY({})", self.params.bind(texts, Type::TEXT_ARRAY)),
        };
        // Never null, so that its contrary is true where there is nothing.
        format!("({column} IS NOT NULL AND {column} {is})")
    }

    fn within(&mut self, range: &Range) -> String {
        let bounds = [
            (">=", range.gte),
            (">", range.gt),
            ("<=", range.lte),
            ("<", range.lt),
        ];
        let mut tests = Vec::new();
        for (compare, bound) in bounds {
            match bound {
                // To the server it is larger than every number, to us it compares with none.
                Some(bound) if bound.is_nan() => return "false".to_owned(),
                Some(bound) => {
                    let bound = self.params.bind(bound, Type::FLOAT8);
                    tests.push(format!("v::numeric::float8 {compare} {bound}"));
                }
                None => {}
            }
        }
        match tests.is_empty() {
            true => "jsonb_typeof(v) = 'number'".to_owned(),
            false => if_number(&tests.join(" AND ")),
        }
    }

    fn holding(&mut self, text: &str) -> String {
        if text.contains('\0') {
            return "false".to_owned();
        }
        let text = self.params.bind(text.to_owned(), Type::TEXT);
        format!(
            "CASE jsonb_typeof(v) WHEN 'string' \
             THEN strpos((v #>> '{{}}') COLLATE \"C\", {text}) > 0 ELSE false END"
        )
    }

    /// One of the values found at `field` passes `test`, in which it is called `v`.
    fn any_value(&mut self, field: &str, test: &str) -> Option<String> {
        self.reads_payload = true;
        let path = FieldPath::parse(field).ok()?;
        let mut at = "payload".to_owned();
        let mut from = String::new();
        for (number, step) in path.steps().iter().enumerate() {
            match step {
                // No whole payload has such a key.
                Step::Key(key) if key.contains('\0') => return Some("false".to_owned()),
                // Of what is no object, it is null.
                Step::Key(key) => {
                    at = format!("({at} -> {})", self.params.bind(key.clone(), Type::TEXT));
                }
                Step::Each => {
                    from += &format!(
                        "jsonb_array_elements(CASE jsonb_typeof({at}) WHEN 'array' THEN {at} END) \
                         AS e{number}(list), "
                    );
                    at = format!("e{number}.list");
                }
            }
        }
        Some(format!(
            "EXISTS (SELECT FROM {from}jsonb_array_elements(\
             CASE WHEN jsonb_typeof({at}) = 'array' THEN {at} \
             WHEN {at} IS NOT NULL THEN jsonb_build_array({at}) END) AS last(v) WHERE {test})"
        ))
    }
}

/// `test`, where the value is a number. Others cannot be cast to one.
fn if_number(test: &str) -> String {
    format!("CASE jsonb_typeof(v) WHEN 'number' THEN {test} ELSE false END")
}
