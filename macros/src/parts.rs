//! From a function to a tool.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Attribute, Error, Expr, ExprLit, FnArg, Ident, ItemFn, Lit, Meta, Pat, Type, parse_quote,
};

use crate::options::Options;

/// One parameter of the function.
enum Parameter {
    /// A field of the arguments, with its comments.
    Argument {
        name: Ident,
        kind: Box<Type>,
        comments: Vec<Attribute>,
    },
    /// The run itself.
    Run,
}

pub fn expand(options: Options, mut function: ItemFn) -> syn::Result<TokenStream> {
    if function.sig.asyncness.is_none() {
        let why = "a tool is an `async fn`";
        return Err(Error::new_spanned(function.sig.fn_token, why));
    }
    if !function.sig.generics.params.is_empty() {
        let why = "a tool has no type parameters: its schema is one";
        return Err(Error::new_spanned(&function.sig.generics, why));
    }
    let description = comment(&function.attrs);
    if description.is_empty() {
        let why = "a tool needs a comment: it tells the model what it does and when to use it";
        return Err(Error::new_spanned(&function.sig.ident, why));
    }
    let parameters = parameters(&mut function)?;
    let place = options
        .place
        .unwrap_or_else(|| parse_quote!(::corbie::agents));
    let name = function.sig.ident.clone();
    let shown = options.name.unwrap_or_else(|| name.to_string());
    let (visibility, traits) = (function.vis.clone(), &options.traits);
    let timeout = options
        .timeout
        .map(|seconds| quote!(.with_timeout(::std::time::Duration::from_secs_f64(#seconds))));
    let comments: Vec<&Attribute> = function.attrs.iter().filter(|it| is_comment(it)).collect();
    let passed = parameters.iter().map(|parameter| match parameter {
        Parameter::Argument { name, .. } => quote!(arguments.#name),
        Parameter::Run => quote!(run),
    });
    let serde_path = path_text(&place, "serde");
    let schemars_path = path_text(&place, "schemars");
    let fields = parameters.iter().filter_map(|parameter| match parameter {
        Parameter::Argument {
            name,
            kind,
            comments,
        } => Some(quote!(#(#comments)* #name: #kind)),
        Parameter::Run => None,
    });
    let other_attributes = function.attrs.iter().filter(|it| !is_comment(it));
    let mut inner = function.clone();
    inner.attrs = other_attributes.cloned().collect();
    inner.vis = syn::Visibility::Inherited;
    Ok(quote! {
        #(#comments)*
        #visibility fn #name() -> #place::FunctionTool {
            #[derive(
                #place::typed::serde::Deserialize,
                #place::typed::schemars::JsonSchema,
            )]
            #[serde(crate = #serde_path, deny_unknown_fields)]
            #[schemars(crate = #schemars_path)]
            struct Arguments { #(#fields),* }

            #inner

            #[allow(unused_variables)]
            let work = |arguments: Arguments, run: #place::typed::Invocation| #name(#(#passed),*);
            #place::typed::tool::<Arguments, _, _, _, _>(#shown, #description, work)
                .with_effects(#place::typed::Effects {
                    #(#traits: true,)*
                    ..::core::default::Default::default()
                })
                #timeout
        }
    })
}

fn parameters(function: &mut ItemFn) -> syn::Result<Vec<Parameter>> {
    let mut found = Vec::new();
    for input in &mut function.sig.inputs {
        let FnArg::Typed(input) = input else {
            return Err(Error::new_spanned(
                input,
                "a tool is a function of its own, not a method",
            ));
        };
        let is_run = match &*input.ty {
            Type::Path(path) => {
                let last = path.path.segments.last();
                last.is_some_and(|segment| segment.ident == "Invocation")
            }
            _ => false,
        };
        if is_run {
            found.push(Parameter::Run);
            continue;
        }
        let Pat::Ident(pattern) = &mut *input.pat else {
            return Err(Error::new_spanned(
                &input.pat,
                "a parameter of a tool has a plain name",
            ));
        };
        found.push(Parameter::Argument {
            name: pattern.ident.clone(),
            kind: input.ty.clone(),
            comments: std::mem::take(&mut input.attrs),
        });
    }
    Ok(found)
}

fn is_comment(attribute: &Attribute) -> bool {
    attribute.path().is_ident("doc")
}

/// The text of comments, without the space that each line begins with.
fn comment(attributes: &[Attribute]) -> String {
    let lines = attributes
        .iter()
        .filter(|it| is_comment(it))
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) => match &pair.value {
                Expr::Lit(ExprLit {
                    lit: Lit::Str(text),
                    ..
                }) => Some(text.value()),
                _ => None,
            },
            _ => None,
        });
    let lines: Vec<String> = lines
        .map(|line| {
            line.strip_prefix(' ')
                .unwrap_or(&line)
                .trim_end()
                .to_owned()
        })
        .collect();
    lines.join("\n").trim().to_owned()
}

/// The path to a crate that is re-exported, as serde and schemars want it.
fn path_text(place: &syn::Path, name: &str) -> String {
    let place = quote!(#place).to_string().replace(' ', "");
    format!("{place}::typed::{name}")
}
