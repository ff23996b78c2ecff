//! Imports point only downward. The table of this file is the one that ARCHITECTURE.md draws.

use super::{
    size::end_of_body,
    tree::{File, Tree},
};

/// The layers, lowest first, and the modules of each.
pub(crate) const LAYERS: [&[&str]; 5] = [
    &["types", "limits", "time", "random", "sync", "share", "meter"],
    &["ops", "model", "face", "document", "policy", "accuracy", "profile"],
    &["backend", "gallery", "keys", "audit", "register"],
    &["pipeline", "capture", "transaction", "duty", "webhook"],
    &["command", "http", "config", "cli", "appliance"],
];

/// Edges inside a layer, each with its reason. ARCHITECTURE.md draws them all.
pub(crate) const SIDEWAYS: &[(&str, &str, &str)] = &[
    ("meter", "types", "outcomes are counted by name"),
    ("model", "ops", "a network file becomes an `ops::Program`"),
    ("face", "ops", "an aligned face is what `ops::warp` makes of a frame"),
    ("gallery", "keys", "its keys lie in locked memory, and custodians keep those of its epochs"),
    ("audit", "keys", "its checkpoints are signed with a key in locked memory"),
    ("register", "keys", "its values are sealed with keys of the gallery's custodian"),
    ("capture", "pipeline", "what is captured lies in one of the pipeline's slots"),
    ("transaction", "capture", "it looks at a lane through its tap"),
    ("transaction", "pipeline", "frames are judged there"),
    ("http", "command", "an endpoint is a command with a route"),
    ("http", "config", "limits and identities of the listener"),
    ("cli", "command", "a verb of the command line is a command"),
    ("cli", "config", "the configuration is read once, at the start"),
    ("cli", "http", "`openapi` prints the document"),
    ("cli", "appliance", "`serve` and `demo` start it"),
    ("appliance", "command", "it carries out every command"),
    ("appliance", "config", "it is built from the configuration"),
];

/// Edges that point downward and are forbidden all the same.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("backend", "model", "they meet in `ops::program`"),
    ("backend", "face", "a backend knows programs, not faces"),
    ("backend", "document", "a backend knows programs, not files"),
    ("backend", "policy", "a backend computes, it does not decide"),
    ("policy", "ops", "policy knows facts, not how they came about"),
    ("policy", "model", "policy knows facts, not how they came about"),
    ("policy", "face", "policy knows facts, not how they came about"),
    ("http", "gallery", "an endpoint speaks `command`"),
    ("http", "backend", "an endpoint speaks `command`"),
    ("http", "pipeline", "an endpoint speaks `command`"),
];

/// Files that name every layer: the composition root and what starts it.
const ROOTS: [&str; 2] = ["src/lib.rs", "src/main.rs"];

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// The top-level module that a source file belongs to.
fn module_of(path: &str) -> &str {
    let below = path.trim_start_matches("src/");
    below.split_once('/').map_or_else(|| below.trim_end_matches(".rs"), |(module, _)| module)
}

/// The top-level modules that `code` names through `crate::`, with their lines.
fn named(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, matched) in code.match_indices("crate::") {
        if at > 0 && (code.as_bytes()[at - 1] == b'$' || code.as_bytes()[at - 1] == b'_') {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + matched.len()..];
        if rest.starts_with('{') {
            found.extend(group_heads(rest).into_iter().map(|name| (line, name)));
        } else {
            found.push((line, first_name(rest)));
        }
    }
    found
}

fn first_name(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// First names of the branches of `{a::b, c::{d, e}}`.
fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut heads) = (0, Vec::new());
    for (at, c) in group.char_indices() {
        if matches!(c, '{' | ',') && depth == usize::from(c == ',') {
            heads.push(first_name(&group[at + 1..]));
        }
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

/// `code` without its `#[cfg(test)] mod … { … }`: a unit test may look across layers for examples.
fn product_code(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        let (before, tests) = rest.split_at(at);
        kept.push_str(before);
        let Some(end) = end_of_body(tests.as_bytes()) else {
            // A file of tests (`mod tests;`) is a file of its own; what follows here is product.
            let end = tests.find(';').map_or(tests.len(), |end| end + 1);
            rest = &tests[end..];
            continue;
        };
        kept.extend(tests[..end].chars().filter(|&c| c == '\n'));
        rest = &tests[end..];
    }
    kept + rest
}

fn fault(from: &str, to: &str) -> Option<String> {
    let (Some(high), Some(low)) = (layer_of(from), layer_of(to)) else {
        let unknown = if layer_of(from).is_none() { from } else { to };
        return Some(format!("`{unknown}` has no layer: give it one here and in ARCHITECTURE.md"));
    };
    if let Some((_, _, why)) = FORBIDDEN.iter().find(|(a, b, _)| (*a, *b) == (from, to)) {
        return Some(format!("`{from}` may not know `{to}`: {why}"));
    }
    let drawn = SIDEWAYS.iter().any(|(a, b, _)| (*a, *b) == (from, to));
    (from != to && low >= high && !drawn).then(|| {
        format!(
            "`{from}` (layer {high}) names `{to}` (layer {low}): imports point downward; move the \
             shared part down, or hand it in as an argument"
        )
    })
}

/// `super::` that climbs to the crate's root hides an edge from this rule.
fn climbs_to_root(file: &File) -> bool {
    let below = file.path.trim_start_matches("src/");
    let is_top =
        !below.contains('/') || (below.ends_with("/mod.rs") && below.matches('/').count() == 1);
    let code = &file.parts.code;
    code.contains("super::super::")
        || (is_top
            && code
                .lines()
                .any(|line| line.starts_with("use super::") || line.starts_with("pub use super::")))
}

pub(crate) fn edges(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for file in tree.sources().filter(|file| !ROOTS.contains(&file.path.as_str())) {
        let from = module_of(&file.path);
        for (line, to) in named(&product_code(&file.parts.code)) {
            faults.extend(fault(from, &to).map(|why| format!("{}:{line}: {why}", file.path)));
        }
        if climbs_to_root(file) {
            faults.push(format!("{}: climbs with `super::`; name it by `crate::`", file.path));
        }
    }
    faults
}

/// Every top-level module has a layer, an entry in ARCHITECTURE.md, and every edge is drawn there.
pub(crate) fn drawn(tree: &Tree) -> Vec<String> {
    let page = tree.text("ARCHITECTURE.md");
    let mut faults = Vec::new();
    let mut modules: Vec<&str> = tree.sources().map(|file| module_of(&file.path)).collect();
    modules.sort_unstable();
    modules.dedup();
    for module in modules.into_iter().filter(|module| !["lib", "main"].contains(module)) {
        if layer_of(module).is_none() {
            faults.push(format!("src/{module} has no layer: add it to the table in layers.rs"));
        }
        if !page.contains(&format!("`{module}/`")) && !page.contains(&format!("`{module}.rs`")) {
            faults.push(format!("ARCHITECTURE.md does not map src/{module}: say what it is for"));
        }
    }
    for (from, to, _) in SIDEWAYS {
        if !page.contains(&format!("`{from}` → `{to}`")) {
            faults.push(format!("ARCHITECTURE.md does not draw `{from}` → `{to}`: add it"));
        }
    }
    faults
}

/// An edge that no code uses any more is taken out of the picture.
pub(crate) fn unused(tree: &Tree) -> Vec<String> {
    let uses = |from: &str, to: &str| {
        tree.sources()
            .filter(|file| module_of(&file.path) == from)
            .any(|file| named(&product_code(&file.parts.code)).iter().any(|(_, name)| name == to))
    };
    let idle = SIDEWAYS.iter().filter(|(from, to, _)| !uses(from, to));
    idle.map(|(from, to, _)| {
        format!("no code uses `{from}` → `{to}`: take it out of layers.rs and ARCHITECTURE.md")
    })
    .collect()
}

#[test]
fn groups_and_paths_are_read() {
    let code = "use crate::{\n    ops::{tile::Tile, search},\n    types::Score,\n};\nfn a() { crate::limits::b(); }";
    let names: Vec<String> = named(code).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["ops", "types", "limits"]);
    assert_eq!(named("macro $crate::x; my_crate::y"), []);
}

#[test]
fn an_upward_or_forbidden_edge_is_found() {
    let tree = Tree::of(&[
        ("src/ops/a.rs", "use crate::{backend::B, types::C};"),
        ("src/backend/a.rs", "use crate::model::M;"),
        ("src/http/endpoint/a.rs", "use crate::gallery::G;"),
        ("src/http/b.rs", "#[cfg(test)]\nmod tests {\n use crate::gallery::G;\n}\n"),
        ("src/keys/mod.rs", "use super::ops::O;"),
        ("src/novel.rs", "use crate::types::T;"),
        ("src/gallery/a.rs", "// crate::http\nuse crate::{ops::tile::T, limits};"),
        ("src/appliance.rs", "use crate::{command, gallery};"),
    ]);
    let faults = edges(&tree);
    assert_eq!(faults.len(), 5, "{faults:#?}");
    for fault in [
        "`ops` (layer 1) names `backend`",
        "not know `model`",
        "speaks",
        "climbs",
        "`novel` has no layer",
    ] {
        assert!(faults.iter().any(|told| told.contains(fault)), "{fault}: {faults:#?}");
    }
}
