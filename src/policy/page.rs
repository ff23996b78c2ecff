//! `docs/law.md`: every requirement with what answers it, written from the texts themselves.
//!
//! What a row asks and what beside the rules carries it out stands in `policies/rows.toml`; which
//! rules and duties answer it is told by their `@domain`. `portcullis law` prints the page, and a
//! test holds the one in the repository against it.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use serde::Deserialize;

use super::{
    Law, Rule, SOURCES,
    case::{Covered, covered},
    source::{DUTIES, ROWS},
};

/// A requirement that the law puts to the appliance.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What is asked.
    pub asks: String,
    /// What carries it out beside the rules; empty where they do it alone.
    #[serde(default)]
    pub by: String,
    /// Tests of that, as `file` or `file::function`.
    #[serde(default)]
    pub tests: Vec<String>,
}

/// Every requirement by its id.
///
/// # Errors
/// When the table is not well-formed.
pub fn rows() -> Result<BTreeMap<String, Row>, toml::de::Error> {
    toml::from_str(ROWS)
}

/// What carries a duty out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    /// What.
    #[serde(default)]
    pub by: String,
    /// Tests of that, as `file` or `file::function`.
    #[serde(default)]
    pub tests: Vec<String>,
}

/// What carries each duty out, by the duty's name.
///
/// # Errors
/// When the table is not well-formed.
pub fn duties() -> Result<BTreeMap<String, Carried>, toml::de::Error> {
    toml::from_str(DUTIES)
}

/// The name of a row's test: its id as a name of Rust.
#[must_use]
pub fn test_of(row: &str) -> String {
    row.to_ascii_lowercase().replace('-', "_")
}

/// How many duties `tests/http_api/struck.rs` strikes out; it holds the page against that.
const STRUCK: usize = 8;

const HEAD: &str = "\
# The law, row by row

Written by `portcullis law` from the texts under [`policies/`](../policies/); a test holds this page
against them. Do not edit it: edit the texts.

How to read it: a *row* is one requirement of a legal source, under the id that the project's reading
of that source gave it. A row is answered by *rules* that refuse (each with its reason code), by
*duties* that the appliance owes where something is permitted, by mechanisms beside the rules, or by
several of these. Each row has a test that bears its id, in `src/policy/tests.rs`: it runs the cases
of the row's rules, then strikes out each rule, and each duty, and sees the cases fail.

These texts are a reading of the law by engineers. They are no legal advice, and a site's own counsel
and data protection officer decide what holds there. What the sources say was read as cited in each
rule; the Danish opinion of 2009 is historical and no legal basis.

## Rules that nothing reaches

Some rules speak about what no call of this appliance offers. They hold for whoever adds one, and their
tests are tests of the text alone:

- `change_threshold`, `configure` and `read_audit` are actions without a command: thresholds and
  configuration are read at the start, and the audit is read by `portcullis audit` where its file lies.
  An auditor's credential therefore describes galleries, and no more.
- `export_gallery` and `rotate_keys` are acts of the command line, which asks no policy. With a site's
  profile an export is refused there (EXPORT_NEEDS_TWO can be met by nobody); beginning an epoch or
  drawing a transform puts nobody in and hands nobody out, and stays.
- Analysis and categorisation (ANALYSIS_REFUSED and its like) and the estimation of attributes
  (ATTRIBUTE_ESTIMATION): no command, no model and no key of the configuration does any of it.
- UNNOTICED_COLLECTION: a site is put into use after its signs were attested, and whoever passes them
  counts as informed.
- `holder-template` as a gallery's storage: a token is in no gallery, so that nobody could search it
  (IDENTIFY_NOT_POSSIBLE).

## Rules of your own

`policy.own_texts` names files of further rules in Cedar. They may forbid, and nothing else: no file
beside the appliance can permit what the law refuses. `policies/schema.cedarschema` lists what a rule
may ask about; a slip of the pen keeps the appliance from starting, with file and line. Each rule bears
`@reason` with a code: one of the list at the end of this page, or a new one with its `@sentence`.
`portcullis law` checks them and prints this page with them in it.

```cedar
@id(\"night\")
@reason(\"CLOSED_AT_NIGHT\")
@sentence(\"The gate is closed at night; the booth is open.\")
forbid (principal, action == Action::\"verify\", resource)
when { context.purpose == Purpose::\"access_control\" };
```
";

/// The page about `law`.
///
/// # Errors
/// When a table of rows or duties is not well-formed.
pub fn page(law: &Arc<Law>) -> Result<String, toml::de::Error> {
    let mut page = HEAD.to_owned();
    requirements(&mut page, law, &rows()?);
    carried(&mut page, &duties()?);
    let cases = SOURCES.iter().flat_map(|source| covered(law, source.cases)).collect();
    rules(&mut page, law, &cases);
    reasons(&mut page, law);
    Ok(page)
}

/// Writing to a string does not fail.
macro_rules! line {
    ($page:expr, $($told:tt)*) => {{
        let _written = writeln!($page, $($told)*);
    }};
}

fn requirements(page: &mut String, law: &Law, rows: &BTreeMap<String, Row>) {
    line!(page, "\n## Requirements\n");
    line!(
        page,
        "| row | asks | refused by | duties | carried out by | tests |\n|--|--|--|--|--|--|"
    );
    for (id, row) in rows {
        let answering: Vec<&Rule> =
            law.rules().iter().filter(|rule| rule.rows.contains(id)).collect();
        let refusing = answering.iter().filter_map(|rule| {
            rule.reason.map(|reason| format!("`{}` ({})", rule.id, reason.code))
        });
        let owing = answering.iter().filter(|rule| rule.reason.is_none()).map(|rule| {
            let names: Vec<&str> = rule.owed.iter().map(|duty| duty.name()).collect();
            match names.is_empty() {
                true => format!("`{}` (who may)", rule.id),
                false => format!("`{}` ({})", rule.id, names.join(", ")),
            }
        });
        let own =
            (!answering.is_empty()).then(|| format!("`src/policy/tests.rs::{}`", test_of(id)));
        let tests = own.into_iter().chain(row.tests.iter().map(|test| format!("`{test}`")));
        line!(
            page,
            "| {id} | {} | {} | {} | {} | {} |",
            row.asks,
            refusing.collect::<Vec<_>>().join(", "),
            owing.collect::<Vec<_>>().join(", "),
            row.by,
            tests.collect::<Vec<_>>().join(", "),
        );
    }
}

fn carried(page: &mut String, duties: &BTreeMap<String, Carried>) {
    line!(page, "\n## Duties\n");
    line!(
        page,
        "What carries each duty out, and the tests that see it. `tests/http_api/struck.rs` strikes \
         {STRUCK} of these {} duties out of a running appliance, one after the other, and sees the \
         test that is named for each fail; it says why not the others, of which some are carried \
         out whatever is owed.\n\n| duty | carried out by | tests |\n|--|--|--|",
        duties.len()
    );
    for (duty, Carried { by, tests }) in duties {
        let tests: Vec<String> = tests.iter().map(|test| format!("`{test}`")).collect();
        line!(page, "| {duty} | {by} | {} |", tests.join(", "));
    }
}

fn rules(page: &mut String, law: &Law, cases: &BTreeMap<String, Covered>) {
    line!(page, "\n## Rules\n");
    line!(page, "In the order of the texts. The cases are those of the table beside each text.");
    let mut file = "";
    for rule in law.rules() {
        if rule.file != file {
            file = &rule.file;
            line!(page, "\n### {file}\n");
            line!(page, "| rule | source | article | says | rows | cases |\n|--|--|--|--|--|--|");
        }
        let owed: Vec<&str> = rule.owed.iter().map(|duty| duty.name()).collect();
        let says = match (rule.reason, owed.is_empty()) {
            (Some(reason), true) => format!("refuses: {}", reason.code),
            (Some(reason), false) => format!("refuses: {}; owes {}", reason.code, owed.join(", ")),
            (None, true) => "permits".to_owned(),
            (None, false) => format!("owes {}", owed.join(", ")),
        };
        let Covered { holds, silent } = cases.get(&rule.id).copied().unwrap_or_default();
        line!(
            page,
            "| `{}` | {} | {} | {says} | {} | {holds} + {silent} |",
            rule.id,
            rule.source,
            rule.article,
            rule.rows.join(" "),
        );
    }
}

fn reasons(page: &mut String, law: &Law) {
    line!(page, "\n## Reasons\n");
    line!(
        page,
        "What a refusal says to people; in Dutch, Danish, Swedish and Chinese as well, in \
         [`policies/reasons.toml`](../policies/reasons.toml).\n\n| code | article | says |\n|--|--|--|"
    );
    for ruling in law.catalogue().rulings() {
        let told = [ruling.source, ruling.article].map(str::trim);
        let told: Vec<&str> = told.into_iter().filter(|part| !part.is_empty()).collect();
        line!(page, "| {} | {} | {} |", ruling.reason.code, told.join(", "), ruling.reason.text);
    }
}
