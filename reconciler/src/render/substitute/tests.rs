//! Variables as Flux and the shell read them, and what is said about those that cannot be replaced.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn variables(values: &[(&str, &str)]) -> Substitution {
    let inline = values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Substitution {
        inline,
        strategy: SubstituteStrategy::Always,
        ..Substitution::default()
    }
}

fn substituted(text: &str, values: &[(&str, &str)]) -> Result<String, SubstituteError> {
    let variables = variables(values).variables()?.expect("the strategy is Always");
    variables.substitute(text).map(|substituted| substituted.text)
}

/// What the reference says where we return `error`.
fn reference_message(error: &SyntaxError) -> &'static str {
    match error {
        SyntaxError::BadSubstitution => "bad substitution",
        SyntaxError::MissingClosingBrace { .. } => "missing closing brace",
        SyntaxError::VariableName => "unable to parse variable name",
        SyntaxError::Argument => "unable to parse substitution within function",
        SyntaxError::TooDeep { .. } | SyntaxError::TooLong { .. } => "none: a bound of our own",
    }
}

#[derive(serde::Deserialize)]
struct Golden {
    variables: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    input: String,
    #[serde(default)]
    output: String,
    bytes: Option<String>,
    error: Option<String>,
    strict: Option<String>,
}

#[test]
fn every_expression_comes_out_as_from_flux_envsubst() {
    let golden: Golden = serde_json::from_str(include_str!("../../../tests/fixtures/envsubst/cases.json"))
        .expect("cases.json is JSON");
    assert!(golden.cases.len() > 1000, "the golden file is whole");
    let substitution = Substitution {
        inline: golden.variables,
        strict: false,
        ..Substitution::default()
    };
    let lenient = substitution
        .variables()
        .expect("valid names")
        .expect("there are variables");
    let strict = Variables {
        strict: true,
        ..lenient.clone()
    };

    for case in golden.cases {
        let expected = match (&case.error, &case.bytes) {
            (Some(message), _) => Err(message.clone()),
            (None, Some(_)) => Err("not text".to_owned()),
            (None, None) => Ok(case.output.clone()),
        };
        let actual = lenient
            .substitute(&case.input)
            .map(|s| s.text)
            .map_err(|error| match error {
                SubstituteError::Syntax(syntax) => reference_message(&syntax).to_owned(),
                SubstituteError::NotText => "not text".to_owned(),
                other => format!("unexpected: {other}"),
            });
        assert_eq!(actual, expected, "{:?}", case.input);

        let refused = matches!(
            strict.substitute(&case.input),
            Err(SubstituteError::NotSet { .. })
        );
        assert_eq!(refused, case.strict.is_some(), "strict mode of {:?}", case.input);
    }
}

#[test]
fn all_variables_that_are_not_set_are_named_at_once() {
    let error = substituted("${one} ${two:=2} ${three^^} ${one}", &[]).expect_err("strict");
    assert_eq!(
        error.to_string(),
        "not set: `one`, `three`; define it in spec.postBuild, give it a default as in `${one:=value}`, \
         or write `$${` where the text is meant as it stands"
    );
}

#[test]
fn newlines_are_taken_out_of_values() {
    assert_eq!(
        substituted("[${pem}]", &[("pem", "a\nb\r\n")]),
        Ok("[ab\r]".to_owned())
    );
}

#[test]
fn the_inline_map_wins_over_sources_and_a_later_source_over_an_earlier() {
    let source = |name: &str, values: &[(&str, &str)]| VariableSource {
        name: name.to_owned(),
        secret: false,
        values: values
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect(),
    };
    let substitution = Substitution {
        sources: vec![
            source("ConfigMap/one", &[("a", "1"), ("b", "1"), ("c", "1")]),
            source("ConfigMap/two", &[("b", "2"), ("c", "2")]),
        ],
        inline: BTreeMap::from([("c".to_owned(), "3".to_owned())]),
        ..Substitution::default()
    };
    let variables = substitution
        .variables()
        .expect("valid names")
        .expect("there are variables");
    assert_eq!(
        variables.substitute("${a}${b}${c}").map(|s| s.text),
        Ok("123".to_owned())
    );
}

#[test]
fn without_variables_nothing_is_substituted_unless_the_strategy_is_always() {
    let mut substitution = Substitution::default();
    assert!(substitution.variables().expect("no names").is_none());
    substitution.strategy = SubstituteStrategy::Always;
    assert!(substitution.variables().expect("no names").is_some());
}

#[test]
fn a_name_that_no_expression_could_refer_to_is_refused_with_its_source() {
    let error = variables(&[("with-dash", "x")])
        .variables()
        .err()
        .expect("refused");
    assert_eq!(
        error.to_string(),
        "the variable name `with-dash` in spec.postBuild.substitute is not valid: \
         a name starts with a letter or `_` and goes on with letters, digits or `_`"
    );
}

#[test]
fn only_secret_values_that_were_used_are_reported_for_redaction() {
    let substitution = Substitution {
        sources: vec![VariableSource {
            name: "Secret/s".to_owned(),
            secret: true,
            values: BTreeMap::from([
                ("used".to_owned(), "planted".to_owned()),
                ("unused".to_owned(), "other".to_owned()),
            ]),
        }],
        inline: BTreeMap::from([("open".to_owned(), "plain".to_owned())]),
        ..Substitution::default()
    };
    let variables = substitution
        .variables()
        .expect("valid names")
        .expect("there are variables");
    let substituted = variables.substitute("${used} ${open}").expect("both are set");
    assert_eq!(substituted.secrets, BTreeSet::from(["planted".to_owned()]));
}

#[test]
fn an_expansion_beyond_the_bound_is_refused() {
    let long = "a".repeat(1024 * 1024);
    let error = substituted("${v//a/${v}}", &[("v", &long)]).expect_err("too long");
    assert_eq!(
        error,
        SubstituteError::Syntax(SyntaxError::TooLong { limit: MAX_EXPANSION })
    );
    let error = substituted(&"${v}".repeat(9), &[("v", &long)]).expect_err("too long");
    assert_eq!(
        error,
        SubstituteError::Syntax(SyntaxError::TooLong { limit: MAX_EXPANSION })
    );
}

#[test]
fn expressions_nested_too_deep_are_refused() {
    let error = substituted(&"${v:=".repeat(100_000), &[]).expect_err("too deep");
    assert_eq!(error, SubstituteError::Syntax(SyntaxError::TooDeep { limit: 64 }));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in r"(\$|\{|\}|\$\{|[a-b:/#%^,=*?\[\]\\é-]){0,40}") {
        let _ = substituted(&text, &[("a", "äbc"), ("b", "")]);
    }

    #[test]
    fn text_without_a_dollar_stays_as_it_is(text in "[^$\0]{0,80}") {
        prop_assert_eq!(substituted(&text, &[]), Ok(text));
    }
}
