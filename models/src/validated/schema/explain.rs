//! A validator's complaint as a fault: where, what was expected, what was found.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

use crate::validated::fault::{Fault, shorten};

/// The most characters of a value or a list in a fault.
const MAX_SHOWN: usize = 160;

pub fn fault(error: &ValidationError<'_>) -> Fault {
    let instance = error.instance();
    let show = |value: &Value| shorten(&value.to_string(), MAX_SHOWN);
    let list = |names: &[String]| shorten(&serde_json::json!(names).to_string(), MAX_SHOWN);
    let mut found = match instance.as_ref() {
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            format!("an object with {}", list(&names))
        }
        Value::Array(items) => format!("a list of {} items", items.len()),
        value => show(value),
    };
    let expected = match error.kind() {
        Kind::Type { kind } => match kind {
            TypeKind::Single(kind) => kind.to_string(),
            TypeKind::Multiple(kinds) => {
                let kinds: Vec<String> = kinds.iter().map(|kind| kind.to_string()).collect();
                kinds.join(" or ")
            }
        },
        Kind::Enum { options } => format!("one of {}", show(options)),
        Kind::Constant { expected_value } => show(expected_value),
        Kind::Required { property } => format!("the property {property}"),
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            found = list(unexpected);
            "no other properties than those of the schema".to_owned()
        }
        Kind::AdditionalItems { limit } => format!("at most {limit} items"),
        Kind::UnevaluatedItems { .. } => "no other items than those of the schema".to_owned(),
        Kind::Minimum { limit } => format!("at least {limit}"),
        Kind::Maximum { limit } => format!("at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("a multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("at least {limit} characters"),
        Kind::MaxLength { limit } => format!("at most {limit} characters"),
        Kind::MinItems { limit } => format!("at least {limit} items"),
        Kind::MaxItems { limit } => format!("at most {limit} items"),
        Kind::MinProperties { limit } => format!("at least {limit} properties"),
        Kind::MaxProperties { limit } => format!("at most {limit} properties"),
        Kind::UniqueItems => "items that all differ".to_owned(),
        Kind::Contains => "an item as `contains` describes it".to_owned(),
        Kind::Pattern { pattern } => {
            format!("a text that `{}` matches", shorten(pattern, MAX_SHOWN))
        }
        Kind::Format { format } => format!("a text in the format `{format}`"),
        Kind::PropertyNames { error } => {
            found = show(error.instance());
            format!("other names of properties ({})", fault(error).expected)
        }
        Kind::FalseSchema => "nothing here".to_owned(),
        Kind::Not { schema } => format!("nothing that satisfies {}", show(schema)),
        Kind::OneOfMultipleValid { .. } => "exactly one of the shapes of `oneOf`".to_owned(),
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            format!("one of {} shapes{}", context.len(), nearest(context))
        }
        other => format!("what `{}` asks for", other.keyword()),
    };
    Fault {
        call: None,
        place: error.instance_path().to_string(),
        expected,
        found,
    }
}

/// What is wrong with the shape that fits best: the one with the fewest complaints.
fn nearest(shapes: &[Vec<ValidationError<'static>>]) -> String {
    let Some(nearest) = shapes.iter().min_by_key(|complaints| complaints.len()) else {
        return String::new();
    };
    let complaints: Vec<String> = nearest
        .iter()
        .take(2)
        .map(|error| fault(error).to_string())
        .collect();
    format!(
        " (for the nearest: {})",
        shorten(&complaints.join("; "), 2 * MAX_SHOWN)
    )
}
