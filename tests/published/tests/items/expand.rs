//! Expansion of `macro_rules!` macros, as far as crates define public items by them.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::discouraged::Speculative;
use syn::parse::{ParseStream, Parser};

/// A `macro_rules!` macro.
pub(crate) struct Macro(Vec<Rule>);

struct Rule {
    pattern: Vec<Pattern>,
    body: TokenStream,
}

enum Pattern {
    Token(TokenTree),
    Group(Delimiter, Vec<Pattern>),
    /// `$name:fragment`.
    Variable {
        name: String,
        fragment: String,
    },
    /// `$(…)` with its separator and operator.
    Repetition {
        inner: Vec<Pattern>,
        separator: Option<TokenTree>,
        at_most_once: bool,
    },
}

/// Value of a variable.
#[derive(Clone)]
enum Bound {
    One(TokenStream),
    /// In a repetition: its values, one for each round.
    Rounds(Vec<Bound>),
}

type Bindings = BTreeMap<String, Bound>;

impl Macro {
    /// `definition` is the content of the braces of `macro_rules!`.
    pub(crate) fn of(definition: TokenStream) -> Self {
        let mut groups = definition.into_iter().filter_map(|token| match token {
            TokenTree::Group(group) => Some(group.stream()),
            _ => None,
        });
        let mut rules = Vec::new();
        while let (Some(pattern), Some(body)) = (groups.next(), groups.next()) {
            rules.push(Rule { pattern: patterns(pattern), body });
        }
        Self(rules)
    }

    /// Returns the expansion of a call; `None` if no rule matches.
    pub(crate) fn expand(&self, call: &TokenStream) -> Option<TokenStream> {
        self.0.iter().find_map(|rule| {
            let fit = |input: ParseStream<'_>| {
                let mut bindings = Bindings::new();
                fit_all(&rule.pattern, input, &mut bindings)?;
                Ok(bindings)
            };
            let bindings = fit.parse2(call.clone()).ok()?;
            Some(substitute(rule.body.clone(), &bindings))
        })
    }
}

fn patterns(tokens: TokenStream) -> Vec<Pattern> {
    let mut found = Vec::new();
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        found.push(match token {
            TokenTree::Punct(sign) if sign.as_char() == '$' => match tokens.next() {
                Some(TokenTree::Ident(name)) => {
                    let fragment = tokens.nth(1).map(|fragment| fragment.to_string());
                    Pattern::Variable { name: name.to_string(), fragment: fragment.unwrap_or_default() }
                }
                Some(TokenTree::Group(group)) => {
                    let (separator, operator) = repetition(&mut tokens);
                    let inner = patterns(group.stream());
                    Pattern::Repetition { inner, separator, at_most_once: operator == "?" }
                }
                other => panic!("$ before {other:?}"),
            },
            TokenTree::Group(group) => Pattern::Group(group.delimiter(), patterns(group.stream())),
            other => Pattern::Token(other),
        });
    }
    found
}

/// Separator, if there is one, and operator (`*`, `+` or `?`) after `$(…)`.
fn repetition(tokens: &mut impl Iterator<Item = TokenTree>) -> (Option<TokenTree>, String) {
    let mut next = || tokens.next().expect("$(…) is followed by *, + or ?");
    let first = next();
    let text = first.to_string();
    if ["*", "+", "?"].contains(&text.as_str()) { (None, text) } else { (Some(first), next().to_string()) }
}

fn fit_all(patterns: &[Pattern], input: ParseStream<'_>, bindings: &mut Bindings) -> syn::Result<()> {
    patterns.iter().try_for_each(|pattern| fit(pattern, input, bindings))
}

fn fit(pattern: &Pattern, input: ParseStream<'_>, bindings: &mut Bindings) -> syn::Result<()> {
    match pattern {
        Pattern::Token(token) => fit_token(token, input),
        Pattern::Group(delimiter, inner) => {
            let group: Group = input.parse()?;
            if group.delimiter() != *delimiter {
                return Err(input.error("another parenthesis"));
            }
            (|input: ParseStream<'_>| fit_all(inner, input, bindings)).parse2(group.stream())
        }
        Pattern::Variable { name, fragment } => {
            bindings.insert(name.clone(), Bound::One(parse_fragment(fragment, input)?));
            Ok(())
        }
        Pattern::Repetition { inner, separator, at_most_once } => {
            let mut rounds = Vec::new();
            while !input.is_empty() && !(*at_most_once && rounds.len() == 1) {
                let ahead = input.fork();
                let mut round = Bindings::new();
                let separated = match separator {
                    Some(separator) if !rounds.is_empty() => fit_token(separator, &ahead),
                    _ => Ok(()),
                };
                if separated.and_then(|()| fit_all(inner, &ahead, &mut round)).is_err() {
                    break;
                }
                input.advance_to(&ahead);
                rounds.push(round);
            }
            for name in names(inner) {
                let bound = rounds.iter().map(|round| round[&name].clone()).collect();
                bindings.insert(name, Bound::Rounds(bound));
            }
            Ok(())
        }
    }
}

fn fit_token(token: &TokenTree, input: ParseStream<'_>) -> syn::Result<()> {
    let found: TokenTree = input.parse()?;
    if found.to_string() == token.to_string() { Ok(()) } else { Err(input.error("another token")) }
}

fn parse_fragment(fragment: &str, input: ParseStream<'_>) -> syn::Result<TokenStream> {
    Ok(match fragment {
        "ident" => Ident::parse_any(input)?.into_token_stream(),
        "ty" => input.parse::<syn::Type>()?.into_token_stream(),
        "path" => input.parse::<syn::Path>()?.into_token_stream(),
        "meta" => input.parse::<syn::Meta>()?.into_token_stream(),
        "vis" => input.parse::<syn::Visibility>()?.into_token_stream(),
        "expr" => input.parse::<syn::Expr>()?.into_token_stream(),
        "literal" => input.parse::<syn::Lit>()?.into_token_stream(),
        "pat" => syn::Pat::parse_multi(input)?.into_token_stream(),
        "tt" => input.parse::<TokenTree>()?.into_token_stream(),
        other => return Err(input.error(format!("no parser of {other}"))),
    })
}

/// Names of the variables of a pattern.
fn names(patterns: &[Pattern]) -> Vec<String> {
    let of = |pattern: &Pattern| match pattern {
        Pattern::Token(_) => Vec::new(),
        Pattern::Variable { name, .. } => vec![name.clone()],
        Pattern::Group(_, inner) | Pattern::Repetition { inner, .. } => names(inner),
    };
    patterns.iter().flat_map(of).collect()
}

fn substitute(body: TokenStream, bindings: &Bindings) -> TokenStream {
    let mut made = TokenStream::new();
    let mut tokens = body.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(sign) if sign.as_char() == '$' => match tokens.next() {
                Some(TokenTree::Ident(name)) if name == "crate" => {
                    made.extend([TokenTree::Ident(Ident::new("crate", Span::call_site()))]);
                }
                Some(TokenTree::Ident(name)) => {
                    if let Some(Bound::One(tokens)) = bindings.get(&name.to_string()) {
                        made.extend(tokens.clone());
                    }
                }
                Some(TokenTree::Group(group)) => {
                    let (separator, _) = repetition(&mut tokens);
                    for (round, bindings) in rounds(&group.stream(), bindings).iter().enumerate() {
                        made.extend(separator.clone().filter(|_| round > 0));
                        made.extend(substitute(group.stream(), bindings));
                    }
                }
                other => panic!("$ before {other:?}"),
            },
            TokenTree::Group(group) => {
                let inner = substitute(group.stream(), bindings);
                made.extend([TokenTree::Group(Group::new(group.delimiter(), inner))]);
            }
            other => made.extend([other]),
        }
    }
    made
}

/// Bindings of each round of a repetition with this body.
fn rounds(body: &TokenStream, bindings: &Bindings) -> Vec<Bindings> {
    let mut used = Vec::new();
    variables(body.clone(), &mut used);
    let count = used.iter().find_map(|name| match bindings.get(name)? {
        Bound::Rounds(rounds) => Some(rounds.len()),
        Bound::One(_) => None,
    });
    let of = |round: usize| {
        let pick = |(name, bound): (&String, &Bound)| {
            let bound = match bound {
                Bound::Rounds(rounds) if used.contains(name) => rounds.get(round)?.clone(),
                other => other.clone(),
            };
            Some((name.clone(), bound))
        };
        bindings.iter().filter_map(pick).collect()
    };
    (0..count.unwrap_or(0)).map(of).collect()
}

/// Names of the variables in a body.
fn variables(body: TokenStream, found: &mut Vec<String>) {
    let mut after_dollar = false;
    for token in body {
        match &token {
            TokenTree::Ident(name) if after_dollar => found.push(name.to_string()),
            TokenTree::Group(group) => variables(group.stream(), found),
            _ => {}
        }
        after_dollar = matches!(&token, TokenTree::Punct(sign) if sign.as_char() == '$');
    }
}

#[cfg(test)]
mod tests {
    use super::Macro;

    fn expand(definition: &str, call: &str) -> Option<String> {
        let expanded = Macro::of(definition.parse().unwrap()).expand(&call.parse().unwrap())?;
        Some(expanded.to_string().replace(' ', ""))
    }

    #[test]
    fn rounds_of_a_repetition_are_written_out() {
        let definition = "($name:ident { $($field:ident: $type:ty),* }) => { struct $name { $($field: Option<$type>),* } };";
        let expanded = expand(definition, "Point { x: u8, y: Vec<u8> }");
        assert_eq!(expanded.as_deref(), Some("structPoint{x:Option<u8>,y:Option<Vec<u8>>}"));
    }

    #[test]
    fn first_rule_that_fits_is_taken() {
        let definition = "(a $x:literal) => { one $x }; ($($x:tt)*) => { two };";
        assert_eq!(expand(definition, "a 1").as_deref(), Some("one1"));
        assert_eq!(expand(definition, "b 1").as_deref(), Some("two"));
        assert_eq!(expand("(a) => { one };", "b"), None);
    }

    #[test]
    fn optional_parts_are_left_out() {
        let definition = "($name:ident $(, as $other:ident)?) => { fn $name() $(-> $other)? };";
        assert_eq!(expand(definition, "f").as_deref(), Some("fnf()"));
        assert_eq!(expand(definition, "f, as T").as_deref(), Some("fnf()->T"));
    }
}
