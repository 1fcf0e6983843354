//! Conditions that a question names itself.

use std::sync::Arc;

use corbie_core::filter::FieldPath;
use corbie_core::{
    BoxFuture, ChatModel, Error, ErrorKind, Filter, Hit, Range, Result, RetrieveRequest, Retriever,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ask::{Bilingual, ask};
use super::traced;

/// Has a model read conditions on declared fields out of a question ("reports of 2023 about …"),
/// and searches for the rest of it among what satisfies them.
///
/// The model fills in a form that can only name the fields given here, their kinds and allowed
/// values; what it writes is checked again, becomes a typed [`Filter`], and is added to the
/// request's own filter, so that it narrows a search and never widens it. Where the model fails,
/// its conditions are refused, or nothing satisfies them, the plain question is searched for under
/// the request's own filter, and a trace says so.
#[derive(Clone)]
pub struct SelfQuery {
    retriever: Arc<dyn Retriever>,
    model: Arc<dyn ChatModel>,
    fields: Vec<Field>,
}

/// A field that questions may put conditions on.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name in filters, such as `metadata.year`, see [`FieldPath`].
    pub name: String,
    /// What it says of a document, for the model: "year of publication".
    pub meaning: String,
    /// What its values are.
    pub kind: FieldKind,
    /// The values it may have; empty: any.
    pub values: Vec<Value>,
}

/// What the values of a [`Field`] are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// Texts.
    Text,
    /// Whole numbers.
    Integer,
    /// Numbers.
    Number,
    /// True or false.
    Boolean,
}

impl Field {
    /// A field that may have any value of its kind.
    pub fn new(name: impl Into<String>, meaning: impl Into<String>, kind: FieldKind) -> Self {
        Self {
            name: name.into(),
            meaning: meaning.into(),
            kind,
            values: Vec::new(),
        }
    }

    /// The same with these values only.
    #[must_use]
    pub fn one_of<V: Into<Value>>(mut self, values: impl IntoIterator<Item = V>) -> Self {
        self.values = values.into_iter().map(Into::into).collect();
        self
    }

    /// Whether a condition may name this value.
    fn allows(&self, value: &Value) -> bool {
        let of_kind = match self.kind {
            FieldKind::Text => value.is_string(),
            FieldKind::Integer => value.is_i64() || value.is_u64(),
            FieldKind::Number => value.is_number(),
            FieldKind::Boolean => value.is_boolean(),
        };
        of_kind && (self.values.is_empty() || self.values.contains(value))
    }

    fn permits(&self, condition: &Condition) -> bool {
        self.allows(&condition.value) && self.operators().contains(&condition.operator)
    }

    /// How a condition may compare.
    fn operators(&self) -> &'static [Operator] {
        use Operator::{AtLeast, AtMost, Contains, Is, IsNot, LessThan, MoreThan};
        match self.kind {
            FieldKind::Text if self.values.is_empty() => &[Is, IsNot, Contains],
            FieldKind::Text => &[Is, IsNot],
            FieldKind::Boolean => &[Is],
            FieldKind::Integer | FieldKind::Number => {
                &[Is, IsNot, AtLeast, AtMost, MoreThan, LessThan]
            }
        }
    }

    fn schema(&self) -> Value {
        let value = match (self.values.is_empty(), self.kind) {
            (false, _) => json!({ "enum": self.values }),
            (true, FieldKind::Text) => json!({ "type": "string" }),
            (true, FieldKind::Integer) => json!({ "type": "integer" }),
            (true, FieldKind::Number) => json!({ "type": "number" }),
            (true, FieldKind::Boolean) => json!({ "type": "boolean" }),
        };
        let operators = self.operators().iter().map(|operator| operator.name());
        json!({
            "type": "object",
            "properties": {
                "field": { "enum": [self.name] },
                "operator": { "enum": operators.collect::<Vec<_>>() },
                "value": value,
            },
            "required": ["field", "operator", "value"],
            "additionalProperties": false,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Operator {
    Is,
    IsNot,
    Contains,
    AtLeast,
    AtMost,
    MoreThan,
    LessThan,
}

impl Operator {
    fn name(self) -> &'static str {
        match self {
            Self::Is => "is",
            Self::IsNot => "is_not",
            Self::Contains => "contains",
            Self::AtLeast => "at_least",
            Self::AtMost => "at_most",
            Self::MoreThan => "more_than",
            Self::LessThan => "less_than",
        }
    }
}

/// What the model writes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reading {
    conditions: Vec<Condition>,
    question: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    field: String,
    operator: Operator,
    value: Value,
}

/// More conditions than this no question names.
const MOST_CONDITIONS: usize = 8;

const INSTRUCTIONS: Bilingual = Bilingual {
    english: "The user's message is a question for searching documents. Write down the \
        conditions that it puts on the fields below, and the question without them, in its \
        language. Only conditions that the question names: where it names none, leave the list \
        empty. Conditions of one field with `is` are alternatives; all others must hold together. \
        Do not answer the question.\n\nFields:\n",
    chinese: "用户的消息是一个用于检索文档的问题。请写出它对下列字段提出的条件，\
        以及去掉这些条件之后的问题，使用问题所用的语言。只写问题中明确提到的条件：没有提到时，\
        列表留空。同一字段的多个 `is` 条件是“或”的关系，其余条件必须同时成立。\
        不要回答问题。\n\n字段：\n",
};

impl SelfQuery {
    /// Conditions on `fields`, read by `model`, for what `retriever` finds.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) when there are no fields, one has no name that filters
    /// know, or a value that is not of its kind.
    pub fn new(
        retriever: impl Retriever + 'static,
        model: Arc<dyn ChatModel>,
        fields: Vec<Field>,
    ) -> Result<Self> {
        let refuse = |subject: String, cause: String| {
            let error = Error::new(ErrorKind::BadInput, subject, cause);
            Err(error.hint("declare the fields that questions may put conditions on"))
        };
        if fields.is_empty() {
            return refuse("self-query".into(), "it has no fields".into());
        }
        for field in &fields {
            FieldPath::parse(&field.name)?;
            if let Some(value) = field.values.iter().find(|value| !field.allows(value)) {
                let cause = format!("its value {value} is not of its kind, {:?}", field.kind);
                return refuse(format!("field `{}`", field.name), cause);
            }
        }
        Ok(Self {
            retriever: Arc::new(retriever),
            model,
            fields,
        })
    }

    async fn search(&self, request: RetrieveRequest) -> Result<Vec<Hit>> {
        let narrow = match self.read(&request).await {
            Ok(narrow) => narrow,
            Err(error) => {
                tracing::warn!(%error, "no conditions were read out of the question");
                None
            }
        };
        let Some(narrow) = narrow else {
            return self.retriever.retrieve(request).await;
        };
        match self.retriever.retrieve(narrow).await {
            Ok(hits) if !hits.is_empty() => return Ok(hits),
            Ok(_) => tracing::info!("nothing satisfies the question's conditions: without them"),
            Err(error) if *error.kind() == ErrorKind::BadInput => {
                tracing::warn!(%error, "the question's conditions were refused: without them");
            }
            Err(error) => return Err(error),
        }
        self.retriever.retrieve(request).await
    }

    /// The request narrowed by the question's conditions; `None`: it has none.
    async fn read(&self, request: &RetrieveRequest) -> Result<Option<RetrieveRequest>> {
        if request.question.trim().is_empty() {
            return Ok(None);
        }
        let mut instructions = INSTRUCTIONS.like(&request.question).to_owned();
        for field in &self.fields {
            instructions.push_str(&format!("- `{}`: {}\n", field.name, field.meaning));
        }
        let model = self.model.as_ref();
        let reading: Reading = ask(model, &instructions, &request.question, self.schema()).await?;
        if reading.conditions.is_empty() {
            return Ok(None);
        }
        let mut filters = self.filters(&reading.conditions)?;
        filters.extend(request.filter.clone());
        let filter = Filter::all(filters);
        filter.check()?;
        let question = match reading.question.trim() {
            "" => request.question.clone(),
            question => question.to_owned(),
        };
        Ok(Some(RetrieveRequest {
            question,
            filter: Some(filter),
            limit: request.limit,
        }))
    }

    /// The conditions as filters that must all hold.
    fn filters(&self, conditions: &[Condition]) -> Result<Vec<Filter>> {
        if conditions.len() > MOST_CONDITIONS {
            return Err(self.refuse(format!("it wrote {} conditions", conditions.len())));
        }
        // Traces hold no text of a question: the condition is only numbered.
        for (number, it) in (1..).zip(conditions) {
            let declared = self.fields.iter().find(|field| field.name == it.field);
            if !declared.is_some_and(|field| field.permits(it)) {
                let cause = format!("its condition {number} is none that the fields allow");
                return Err(self.refuse(cause));
            }
        }
        let (equal, others): (Vec<&Condition>, Vec<&Condition>) = conditions
            .iter()
            .partition(|it| it.operator == Operator::Is);
        let mut filters: Vec<Filter> = others.iter().map(|it| it.filter()).collect();
        for field in &self.fields {
            let own = equal.iter().filter(|it| it.field == field.name);
            let alternatives: Vec<Filter> = own.map(|it| it.filter()).collect();
            if !alternatives.is_empty() {
                filters.push(Filter::any(alternatives));
            }
        }
        Ok(filters)
    }

    fn refuse(&self, cause: String) -> Error {
        let subject = format!("model `{}`", self.model.info().model);
        Error::new(ErrorKind::Malformed, subject, cause)
    }

    fn schema(&self) -> Value {
        let conditions: Vec<Value> = self.fields.iter().map(Field::schema).collect();
        json!({
            "type": "object",
            "properties": {
                "conditions": {
                    "type": "array",
                    "items": { "anyOf": conditions },
                    "maxItems": MOST_CONDITIONS,
                },
                "question": { "type": "string" },
            },
            "required": ["conditions", "question"],
            "additionalProperties": false,
        })
    }
}

impl Condition {
    /// What must hold; of [`Operator::Is`] an alternative.
    fn filter(&self) -> Filter {
        let field = self.field.as_str();
        let bound =
            |range: fn(Option<f64>) -> Range| Filter::range(field, range(self.value.as_f64()));
        match self.operator {
            Operator::Is => equals(field, &self.value),
            Operator::IsNot => Filter::not(equals(field, &self.value)),
            Operator::Contains => Filter::text(field, self.value.as_str().unwrap_or_default()),
            Operator::AtLeast => bound(|gte| Range {
                gte,
                ..Range::default()
            }),
            Operator::AtMost => bound(|lte| Range {
                lte,
                ..Range::default()
            }),
            Operator::MoreThan => bound(|gt| Range {
                gt,
                ..Range::default()
            }),
            Operator::LessThan => bound(|lt| Range {
                lt,
                ..Range::default()
            }),
        }
    }
}

/// Numbers are equal whether they are written `2` or `2.0`.
fn equals(field: &str, value: &Value) -> Filter {
    match value.as_f64() {
        Some(number) if !value.is_i64() => {
            let exact = Range {
                gte: Some(number),
                lte: Some(number),
                ..Range::default()
            };
            Filter::range(field, exact)
        }
        _ => Filter::eq(field, value.clone()),
    }
}

impl Retriever for SelfQuery {
    fn retrieve(&self, request: RetrieveRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        traced("self_query", request.limit, self.search(request))
    }

    fn competence(&self, question: &str) -> f32 {
        self.retriever.competence(question)
    }
}
