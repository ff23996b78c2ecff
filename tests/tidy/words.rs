//! Words that are not used here, and what to write instead.

use super::tree::Tree;

/// Phrases banned in every text file. Written in two halves, so that this file obeys itself.
const PHRASES: [(&str, &str); 7] = [
    (concat!("<<<<", "<<< "), "settle the merge"),
    (concat!("TO", "DO"), "do it, or say plainly in the README what is not there yet"),
    (concat!("FIX", "ME"), "fix it, or say plainly in the README what is not there yet"),
    (concat!("XX", "X"), "say what is wrong, in a sentence"),
    (concat!("keep in ", "sync"), "let a test compare the two, or generate one from the other"),
    (concat!("kept in ", "sync"), "let a test compare the two, or generate one from the other"),
    (concat!("match ", "score"), "the field's word is comparison score"),
];

/// Parts of the names of items that say nothing, with the advice.
const HOLLOW: [&str; 6] = ["util", "utils", "manager", "helper", "helpers", "misc"];

/// Whole names of items that say nothing.
const BARE: [&str; 3] = ["data", "info", "common"];

/// Words that introduce the name of an item.
const ITEMS: [&str; 8] = ["fn", "struct", "enum", "trait", "mod", "const", "static", "type"];

/// Text that was not written here, and the lock files that cargo writes.
fn is_foreign(path: &str) -> bool {
    path.ends_with(".lock") || path == "LICENSE-APACHE"
}

pub(crate) fn phrases(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for file in tree.0.iter().filter(|file| !is_foreign(&file.path)) {
        // In Rust only what is said counts: `match` before a variable is code.
        let said = [&file.parts.comments, &file.parts.strings];
        let texts: &[&String] = if file.is_rust() { &said } else { &[&file.text] };
        for (number, line) in texts.iter().flat_map(|text| (1..).zip(text.lines())) {
            for (phrase, advice) in PHRASES.iter().filter(|(phrase, _)| line.contains(phrase)) {
                faults.push(format!("{}:{number}: `{phrase}`: {advice}", file.path));
            }
        }
    }
    faults
}

/// Names of the items that `code` declares, with their lines.
fn item_names(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(code.lines()) {
        let words: Vec<&str> = line
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .filter(|word| !word.is_empty())
            .collect();
        for pair in words.windows(2) {
            if ITEMS.contains(&pair[0]) && !ITEMS.contains(&pair[1]) {
                found.push((number, pair[1].to_owned()));
            }
        }
    }
    found
}

/// `SlotManager` and `slot_manager` both have the parts `slot` and `manager`.
fn parts(name: &str) -> Vec<String> {
    let mut spaced = String::new();
    for c in name.chars() {
        if c.is_uppercase() {
            spaced.push('_');
        }
        spaced.extend(c.to_lowercase());
    }
    spaced.split('_').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn advice(name: &str) -> Option<&'static str> {
    if parts(name).iter().any(|part| HOLLOW.contains(&part.as_str())) {
        return Some("says nothing: name it by what it does, in words an airport operator knows");
    }
    if BARE.contains(&name) {
        return Some("says nothing: name what it holds");
    }
    name.starts_with("get_").then_some("a getter is named by what it gives: drop `get_`")
}

pub(crate) fn names(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for file in tree.rust() {
        // tests/common/mod.rs is where the test runner's own convention puts shared code.
        let declared = item_names(&file.parts.code);
        for (line, name) in declared
            .iter()
            .filter(|(_, name)| !(name == "common" && file.path.starts_with("tests/")))
        {
            if let Some(advice) = advice(name) {
                faults.push(format!("{}:{line}: `{name}` {advice}", file.path));
            }
        }
        let stem = file.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        if let Some(advice) = advice(stem) {
            faults.push(format!("{}: the name {advice}", file.path));
        }
    }
    faults
}

/// Folders of a developer's or a build machine, which mean nothing elsewhere.
const MACHINE_PATHS: [&str; 4] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    env!("CARGO_MANIFEST_DIR"), // where this very checkout lies
];

pub(crate) fn machine_paths(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for file in tree.0.iter().filter(|file| !is_foreign(&file.path)) {
        let temporary = concat!("\"/t", "mp");
        for (number, line) in (1..).zip(file.text.lines()) {
            let found = MACHINE_PATHS.iter().find(|path| line.contains(**path)).copied();
            let found = found.or_else(|| {
                (file.path.starts_with("src/") && line.contains(temporary)).then_some(temporary)
            });
            if let Some(path) = found {
                faults.push(format!(
                    "{}:{number}: `{path}` is a place on one machine: take it from the \
                     environment, an argument or `CARGO_MANIFEST_DIR`",
                    file.path
                ));
            }
        }
    }
    faults
}

/// Names with a dot that follow a scheme and are identifiers rather than places: nothing is ever
/// fetched from them. Loopback addresses are no network hosts, and a name without a dot
/// (`{address}`, `$api`, a made-up `h`) leads nowhere.
const NOT_A_HOST: [&str; 3] = [
    "127.0.0.1",
    "www.w3.org/2000/svg",   // the namespace of SVG
    "json-schema.org/draft", // the dialect of a schema
];

pub(crate) fn hosts(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for file in tree.0.iter().filter(|file| !is_foreign(&file.path)) {
        for (number, line) in (1..).zip(file.text.lines()) {
            for scheme in [concat!("http:", "//"), concat!("https:", "//")] {
                let named = line.match_indices(scheme).map(|(at, _)| &line[at + scheme.len()..]);
                for rest in named.filter(|rest| is_host(rest)) {
                    let host: String = rest.chars().take(40).collect();
                    faults.push(format!(
                        "{}:{number}: names the host `{host}`: name a package, a document or a \
                         standard instead",
                        file.path
                    ));
                }
            }
        }
    }
    faults
}

fn is_host(rest: &str) -> bool {
    let name = rest.split(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-'))).next();
    name.is_some_and(|name| name.contains('.'))
        && !NOT_A_HOST.iter().any(|known| rest.starts_with(known))
}

#[test]
fn hollow_names_are_found_and_good_ones_are_not() {
    let code = "struct SlotManager;\nmod util;\nfn get_row() {}\nlet data = 1;\nfn data() {}\n\
                fn information() {}\ntype Row = u8; impl Fn for X {}";
    let tree = Tree::of(&[("src/a.rs", code), ("src/helper.rs", ""), ("src/rows.rs", "")]);
    let faults = names(&tree);
    assert_eq!(faults.len(), 5, "{faults:#?}");
}

#[test]
fn banned_phrases_paths_and_hosts_are_found() {
    let text = [
        concat!("// TO", "DO later"),
        concat!("// must be keep in ", "sync with"),
        concat!("let a = \"/wo", "rk/x\"; let b = \"/t", "mp/x\";"),
        concat!("let c = \"https:", "//example.com/\"; \"http:", "//127.0.0.1:80\""),
        concat!("format!(\"http:", "//{address}/v1\"); \"http:", "//h/path\""),
    ];
    let tree = Tree::of(&[("src/a.rs", &text.join("\n")), ("Cargo.lock", text[3])]);
    assert_eq!(phrases(&tree).len(), 2);
    assert_eq!(machine_paths(&tree).len(), 1);
    assert_eq!(hosts(&tree).len(), 1, "{:#?}", hosts(&tree));
}
