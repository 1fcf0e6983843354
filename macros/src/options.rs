//! What stands in the brackets of `#[tool(…)]`.

use syn::parse::{Parse, ParseStream};
use syn::{Error, LitFloat, LitInt, LitStr, Path, Token, ext::IdentExt};

/// The traits that need no value, named as the fields of `Effects`.
const TRAITS: [&str; 6] = [
    "read_only",
    "destructive",
    "egress",
    "idempotent",
    "trusted",
    "approval",
];

#[derive(Default)]
pub struct Options {
    /// Names of the traits that hold.
    pub traits: Vec<syn::Ident>,
    /// In seconds.
    pub timeout: Option<f64>,
    pub name: Option<String>,
    pub place: Option<Path>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            let key = input.call(syn::Ident::parse_any)?;
            let name = key.to_string();
            if TRAITS.contains(&name.as_str()) {
                options.traits.push(key);
            } else {
                let equals = input.parse::<Token![=]>();
                let known = matches!(name.as_str(), "timeout" | "name" | "crate");
                if !known || equals.is_err() {
                    let why = format!(
                        "expected one of {}, timeout = SECONDS, name = \"…\", crate = path",
                        TRAITS.join(", ")
                    );
                    return Err(Error::new(key.span(), why));
                }
                match name.as_str() {
                    "timeout" => options.timeout = Some(seconds(input)?),
                    "name" => options.name = Some(input.parse::<LitStr>()?.value()),
                    _ => options.place = Some(input.parse()?),
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

fn seconds(input: ParseStream<'_>) -> syn::Result<f64> {
    let (value, span) = if input.peek(LitFloat) {
        let literal: LitFloat = input.parse()?;
        (literal.base10_parse()?, literal.span())
    } else {
        let literal: LitInt = input.parse()?;
        (literal.base10_parse()?, literal.span())
    };
    match value > 0.0 {
        true => Ok(value),
        false => Err(Error::new(span, "a timeout is longer than 0 seconds")),
    }
}
