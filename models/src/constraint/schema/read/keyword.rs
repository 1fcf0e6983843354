//! One keyword: the cases in which it holds, or fails.

use serde_json::{Map, Value};

use super::cases::{kind, size_case, types_case, unevaluated, whole};
use super::items::contains_cases;
use super::members::without;
use super::{Reader, Refusal};
use crate::constraint::schema::document::step;
use crate::constraint::schema::format;
use crate::constraint::schema::shape::{Arrays, Case, Claim, Demand, Objects, Strings};

/// Values that one `enum` may list.
const MAX_VALUES: usize = 5_000;

impl Reader {
    /// Where `key` holds, or fails; `None`: everywhere, or nowhere that could be said.
    pub(super) fn keyword(
        &mut self,
        schema: &Map<String, Value>,
        key: &str,
        pointer: &str,
        holds: bool,
    ) -> Result<Option<Vec<Case>>, Refusal> {
        let null = Value::Null;
        let value = schema.get(key).unwrap_or(&null);
        let here = format!("{pointer}/{}", step(key));
        let wrong = |what: &str| Refusal::malformed(format!("`{key}` must be {what}")).at(pointer);
        let texts = |value: &Value| -> Option<Vec<String>> {
            let list = value.as_array()?.iter();
            list.map(|text| text.as_str().map(str::to_owned)).collect()
        };
        Ok(Some(match key {
            "type" => {
                let types = match value {
                    Value::String(one) => vec![one.clone()],
                    _ => texts(value).ok_or_else(|| wrong("a type or a list of types"))?,
                };
                types_case(&types, holds).ok_or_else(|| wrong("a type or a list of types"))?
            }
            "const" => self.values(std::slice::from_ref(value), &here, holds)?,
            "enum" => {
                let values = value.as_array().ok_or_else(|| wrong("a list"))?;
                if values.len() > MAX_VALUES {
                    let why = format!("it lists more than {MAX_VALUES} values");
                    return Err(Refusal::limit(why).at(&here));
                }
                self.values(values, &here, holds)?
            }
            "$ref" | "$dynamicRef" => {
                let reference = value.as_str().ok_or_else(|| wrong("a text"))?;
                let found = match key {
                    "$ref" => self.document.resolve(pointer, reference),
                    _ => self.document.resolve_dynamic(pointer, reference),
                };
                let found = found.map_err(|why| Refusal::unsupported(key, why).at(pointer))?;
                let claim = self.claim(&found);
                self.of(Claim { holds, ..claim })?.to_vec()
            }
            "$recursiveRef" => {
                return Err(Refusal::unsupported(key, "use `$ref`").at(pointer));
            }
            "allOf" | "anyOf" | "oneOf" => {
                let parts = value.as_array().ok_or_else(|| wrong("a list of schemas"))?;
                let claims: Vec<Claim> = (0..parts.len())
                    .map(|index| self.claim(&format!("{here}/{index}")))
                    .collect();
                self.combination(key, &claims, pointer, holds)?
            }
            "not" => {
                let claim = self.claim(&here);
                let cases = self.of(Claim {
                    holds: !holds,
                    ..claim
                })?;
                cases.iter().map(unevaluated).collect()
            }
            "if" => {
                let condition = self.claim(&here);
                let mut cases = Vec::new();
                for (branch, when) in [("then", true), ("else", false)] {
                    let branch = schema.contains_key(branch).then(|| {
                        let claim = self.claim(&format!("{pointer}/{branch}"));
                        Claim { holds, ..claim }
                    });
                    if branch.is_none() && !holds {
                        continue;
                    }
                    let mut demand = Demand::from([Claim {
                        holds: when,
                        ..condition
                    }]);
                    demand.extend(branch);
                    cases.extend(self.cases(&demand)?);
                }
                cases
            }
            "minimum" | "maximum" | "multipleOf" => {
                return self.number(schema, key, pointer, holds);
            }
            "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties"
            | "maxProperties" => {
                let size = whole(value).ok_or_else(|| wrong("a whole number from zero up"))?;
                size_case(key, size, holds)
            }
            "pattern" => {
                let source = value.as_str().ok_or_else(|| wrong("a text"))?;
                let pattern = self.pattern(source, "pattern", pointer)?;
                kind(
                    holds,
                    Case::strings(Strings {
                        patterns: vec![(pattern, holds)],
                        ..Strings::default()
                    }),
                )
            }
            "format" => {
                let name = value.as_str().ok_or_else(|| wrong("a text"))?;
                match format::regex(name).filter(|_| holds) {
                    Some(regex) => kind(
                        true,
                        Case::strings(Strings {
                            formats: vec![regex],
                            ..Strings::default()
                        }),
                    ),
                    None => return Ok(None),
                }
            }
            "contentMediaType" => {
                // The newer drafts take it for a remark.
                let encoding = schema.get("contentEncoding").and_then(Value::as_str);
                let regex = format::content(value.as_str(), encoding);
                match regex.filter(|_| holds && !self.document.new) {
                    Some(regex) => kind(
                        true,
                        Case::strings(Strings {
                            formats: vec![regex],
                            ..Strings::default()
                        }),
                    ),
                    None => return Ok(None),
                }
            }
            "items" => return self.items(schema, pointer, holds).map(Some),
            "contains" => {
                let claim = self.claim(&here);
                let limit = |key: &str| {
                    schema
                        .get(key)
                        .and_then(whole)
                        .filter(|_| !self.document.old)
                };
                contains_cases(
                    claim,
                    limit("minContains").unwrap_or(1),
                    limit("maxContains"),
                    holds,
                )
            }
            "uniqueItems" => match (value, holds) {
                (Value::Bool(true), true) => kind(
                    true,
                    Case::arrays(Arrays {
                        unique: true,
                        ..Arrays::default()
                    }),
                ),
                _ => return Ok(None),
            },
            "properties" => return self.members(schema, pointer, holds).map(Some),
            "required" => {
                // In draft 3 it was a boolean.
                let Some(names) = texts(value) else {
                    return Ok(None);
                };
                match holds {
                    true => kind(
                        true,
                        Case::objects(Objects {
                            required: names.into_iter().collect(),
                            ..Objects::default()
                        }),
                    ),
                    false => names.into_iter().map(without).collect(),
                }
            }
            "propertyNames" => match holds {
                true => {
                    let names = Demand::from([self.claim(&here)]);
                    kind(
                        true,
                        Case::objects(Objects {
                            names,
                            ..Objects::default()
                        }),
                    )
                }
                false => return Ok(None),
            },
            "dependentRequired" | "dependentSchemas" | "dependencies" => {
                let of = value.as_object().ok_or_else(|| wrong("an object"))?;
                self.dependencies(of, &here, holds)?
            }
            _ => return Ok(None),
        }))
    }
}
