//! What the manifests, the README and the other pages promise about the tree.

use std::collections::BTreeSet;

use super::tree::Tree;

const DIRECT_DEPENDENCIES_MAX: usize = 64;
/// The lock file lists optional parts, too: some 50 that wgpu would need on systems that nobody
/// builds here for, and some 70 by way of `serde_with`, which the policy engine takes.
const LOCKED_PACKAGES_MAX: usize = 600;
const README_LINES_MAX: usize = 200;

/// Dependencies of one manifest, each with its line and whether a comment says what it is for: on
/// its own line, or above the group that it stands in.
fn dependencies(manifest: &str) -> Vec<(usize, &str, bool)> {
    let (mut found, mut inside, mut explained) = (Vec::new(), false, false);
    for (number, line) in (1..).zip(manifest.lines()) {
        if line.starts_with('[') {
            (inside, explained) = (line.contains("dependencies]"), false);
        } else if inside && line.starts_with('#') {
            explained = true;
        } else if let (true, Some((name, _))) = (inside, line.split_once('=')) {
            found.push((number, name.trim(), explained || line.contains(" # ")));
        }
    }
    found
}

pub(crate) fn manifests(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for file in tree.0.iter().filter(|file| file.path.ends_with("Cargo.toml")) {
        let held = dependencies(&file.text);
        for (line, name, _) in held.iter().filter(|(_, _, explained)| !explained) {
            faults.push(format!(
                "{}:{line}: `{name}` without a word on what it is for: add a comment to its line, \
                 or above its group",
                file.path
            ));
        }
        if held.len() > DIRECT_DEPENDENCIES_MAX {
            faults.push(format!(
                "{}: {} direct dependencies; at most {DIRECT_DEPENDENCIES_MAX}: remove one first",
                file.path,
                held.len()
            ));
        }
        let is_house = !file.path.starts_with("fuzz/");
        if is_house && !file.text.contains("[lints]\nworkspace = true") {
            faults.push(format!("{}: does not take the one lint table: add `[lints]`", file.path));
        }
    }
    let locked = tree.text("Cargo.lock").matches("[[package]]").count();
    if locked > LOCKED_PACKAGES_MAX {
        faults.push(format!(
            "Cargo.lock: {locked} packages; at most {LOCKED_PACKAGES_MAX}: look with `cargo tree` \
             for what the newest one drags in"
        ));
    }
    faults
}

/// Words of `text` that begin with `portcullis_` and are metric names.
fn metric_names(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("portcullis_") && *word != "portcullis_")
        .map(|word| {
            let endings = ["_bucket", "_count", "_sum"];
            endings.iter().find_map(|e| word.strip_suffix(e)).unwrap_or(word).to_owned()
        })
        .collect()
}

/// Declared, used, documented: the three lists of metrics are one.
pub(crate) fn metrics(tree: &Tree) -> Vec<String> {
    let meter = tree.file("src/meter.rs").expect("the metrics are declared there");
    let declared = metric_names(&meter.parts.strings);
    let documented = metric_names(tree.text("docs/metrics.md"));
    let mut faults: Vec<String> = declared
        .difference(&documented)
        .map(|name| format!("`{name}` is not in docs/metrics.md: say what it counts"))
        .collect();
    faults.extend(documented.difference(&declared).map(|name| {
        format!("docs/metrics.md tells of `{name}`, which src/meter.rs does not declare")
    }));
    let recorders = meter.parts.code.split("pub fn ").skip(1).filter_map(|text| {
        let (name, rest) = text.split_once('(')?;
        rest.starts_with("&self").then_some(name)
    });
    for recorder in recorders {
        let call = format!(".{recorder}(");
        let is_used = tree
            .sources()
            .filter(|file| file.path != "src/meter.rs")
            .any(|file| file.parts.code.contains(&call));
        if !is_used {
            faults.push(format!("`Meter::{recorder}` is never called: record it, or remove it"));
        }
    }
    faults
}

/// The rows of the table below the heading that begins with `heading`.
fn table<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    page.lines()
        .skip_while(|line| !line.starts_with(heading))
        .skip(1)
        .take_while(|line| !line.starts_with('#'))
        .filter(|line| line.starts_with('|') && !line.starts_with("|-") && !line.starts_with("| -"))
        .skip(1)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

/// Programs that measure, and the file that names their verbs.
const BENCHES: [(&str, &str); 2] =
    [("portcullis-bench ", "bench/src/main.rs"), ("portcullis-load ", "bench/src/load/main.rs")];

/// Whether a cell names something that shows a promise: a test file (and a test in it), a
/// measurement of `bench/`, or plainly that it is pending.
fn shows(tree: &Tree, cell: &str) -> Result<(), String> {
    if cell.contains("pending") {
        return Ok(());
    }
    let mut named = false;
    for word in cell.split('`').skip(1).step_by(2) {
        if word.starts_with("tests/") || word.starts_with("src/") || word.starts_with("bench/") {
            let (path, test) = word.split_once("::").map_or((word, None), |(p, t)| (p, Some(t)));
            let file = tree.file(path).ok_or_else(|| format!("`{path}` is not there"))?;
            if let Some(test) = test.filter(|test| !file.text.contains(&format!("fn {test}("))) {
                return Err(format!("{path} has no test `{test}`"));
            }
            named = true;
        } else if let Some((main, rest)) =
            BENCHES.iter().find_map(|(program, main)| Some((*main, word.strip_prefix(program)?)))
        {
            let verb = rest.split_whitespace().next().unwrap_or_default();
            if !tree.text(main).to_lowercase().contains(&verb.to_lowercase()) {
                return Err(format!("{main} knows no `{verb}`"));
            }
            named = true;
        } else if ["./test", "./run", "cargo build"].iter().any(|known| word.starts_with(known)) {
            named = true;
        }
    }
    if named { Ok(()) } else { Err("no test, no measurement, not pending".to_owned()) }
}

/// Every promise of the README can be checked by its reader.
pub(crate) fn promises(tree: &Tree) -> Vec<String> {
    let page = tree.text("README.md");
    let rows = table(page, "## Promises");
    let mut faults = Vec::new();
    if rows.is_empty() {
        faults.push("README.md: the table under `## Promises` is gone: restore it".to_owned());
    }
    for row in rows {
        let shown = row.get(2).copied().unwrap_or_default();
        if let Err(why) = shows(tree, shown) {
            faults.push(format!(
                "README.md, promise `{}`: {why}: name its test or bench, or say pending",
                row[0]
            ));
        }
    }
    let lines = page.lines().count();
    if lines > README_LINES_MAX {
        faults.push(format!("README.md: {lines} lines: move depth to docs/"));
    }
    faults
}

/// Links between pages lead somewhere.
pub(crate) fn links(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for page in tree.0.iter().filter(|file| file.path.ends_with(".md")) {
        let folder = page.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in page.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            let path = resolved(folder, target);
            let leads = target.is_empty()
                || tree
                    .0
                    .iter()
                    .any(|file| file.path == path || file.path.starts_with(&format!("{path}/")));
            if !leads {
                faults.push(format!("{}: `{link}` leads nowhere: mend the link", page.path));
            }
        }
    }
    faults
}

fn resolved(folder: &str, link: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// What has a first line for an interpreter can be executed, and nothing else is marked so.
pub(crate) fn scripts(tree: &Tree) -> Vec<String> {
    let odd =
        tree.0.iter().filter(|file| cfg!(unix) && file.text.starts_with("#!/") != file.executable);
    odd.map(|file| {
        let advice = if file.executable { "chmod -x it" } else { "chmod +x it" };
        format!("{}: first line and permission disagree: {advice}", file.path)
    })
    .collect()
}

/// Every source file begins by saying what it is.
pub(crate) fn headed(tree: &Tree) -> Vec<String> {
    let bare = tree.rust().filter(|file| !file.text.starts_with("//! "));
    bare.map(|file| format!("{}: begins without `//!`: say what it is and why", file.path))
        .collect()
}

#[test]
fn a_dependency_needs_a_word() {
    let manifest = "[package]\nname = \"a\"\n[dependencies]\nb = \"1\"\nc = \"1\" # for d\n\
                    # Edges.\ne = \"1\"\nf = \"1\"\n[dev-dependencies]\ng = \"1\"\n";
    let bare: Vec<&str> = dependencies(manifest)
        .into_iter()
        .filter(|(_, _, explained)| !explained)
        .map(|(_, name, _)| name)
        .collect();
    assert_eq!(bare, ["b", "g"]);
}

#[test]
fn metrics_are_declared_used_and_documented() {
    let meter = "impl M { pub fn new() {}\npub fn a(&self) { c(\"portcullis_a_total\") }\n\
                 pub fn b(&self) { c(\"portcullis_b_seconds\") } }";
    let tree = Tree::of(&[
        ("src/meter.rs", meter),
        ("src/x.rs", "meter.a();"),
        ("docs/metrics.md", "`portcullis_b_seconds_bucket` and `portcullis_c_total`"),
    ]);
    assert_eq!(metrics(&tree).len(), 3, "{:#?}", metrics(&tree));
}

#[test]
fn a_promise_without_proof_is_found() {
    let page = "# P\n\n## Promises\n\n| number | condition | shown by | measured |\n\
                |--|--|--|--|\n| 1 | a | `tests/a.rs::holds` | 1 |\n| 2 | b | `tests/a.rs::gone` | |\n\
                | 3 | c | trust us | |\n| 4 | d | pending | |\n| 5 | e | `portcullis-bench race` | |\n\n\
                ## More\n| 6 | f |\n";
    let tree = Tree::of(&[
        ("README.md", page),
        ("tests/a.rs", "fn holds() {}"),
        ("bench/src/main.rs", "enum Verb { Race }"),
    ]);
    let faults = promises(&tree);
    assert_eq!(faults.len(), 2, "{faults:#?}");
}

#[test]
fn links_are_followed() {
    let tree = Tree::of(&[
        ("docs/a.md", "[b](../README.md#top) [c](c.md) [d](#here) [e](../src/)"),
        ("README.md", ""),
        ("src/lib.rs", ""),
    ]);
    assert_eq!(links(&tree), ["docs/a.md: `c.md` leads nowhere: mend the link"]);
}
