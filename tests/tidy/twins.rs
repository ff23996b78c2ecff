//! One meaning, many machines: what the tables promise stands in the folders, and the reverse.

use std::collections::BTreeSet;

use portcullis::{
    backend::FACTORIES,
    ops::{ALL, Twin},
};

use super::tree::Tree;

/// Files of `src/ops/` that are words of the ops and not ops.
const WORDS: [&str; 8] =
    ["mod", "check", "item", "program", "residence", "step", "tile", "transform"];

/// One row: the op, and whether its kernel and its shader are promised.
type Row<'a> = (&'a str, bool, bool);

pub(crate) fn table() -> Vec<Row<'static>> {
    let present = |twin| matches!(twin, Twin::Present);
    ALL.iter().map(|row| (row.name, present(row.kernel), present(row.shader))).collect()
}

/// Stems of the files right below `folder` that end as told.
fn stems<'a>(tree: &'a Tree, folder: &str, ending: &str) -> BTreeSet<&'a str> {
    let below = |file: &'a super::tree::File| {
        let name = file.path.strip_prefix(folder)?.strip_suffix(ending)?;
        (!name.contains('/')).then_some(name)
    };
    tree.0.iter().filter_map(below).collect()
}

pub(crate) fn ops(tree: &Tree, rows: &[Row<'_>]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut compare = |folder: &str, ending: &str, promised: BTreeSet<&str>, spare: &[&str]| {
        let mut held = stems(tree, folder, ending);
        held.retain(|name| !spare.contains(name));
        for name in promised.difference(&held) {
            faults.push(format!(
                "ops::ALL promises {folder}{name}{ending}, which is not there: write it, or let \
                 the row say missing"
            ));
        }
        for name in held.difference(&promised) {
            faults.push(format!(
                "{folder}{name}{ending} has no row in ops::ALL that promises it: add the row"
            ));
        }
    };
    compare("src/ops/", ".rs", rows.iter().map(|row| row.0).collect(), &WORDS);
    let kernels = rows.iter().filter(|row| row.1).map(|row| row.0).collect();
    compare("kernels/", ".cu", kernels, &[]);
    let shaders = rows.iter().filter(|row| row.2).map(|row| row.0).collect();
    compare("shaders/", ".wgsl", shaders, &[]);
    faults
}

pub(crate) fn factories() -> Vec<&'static str> {
    FACTORIES.iter().map(|factory| factory.name).collect()
}

/// Every backend that can be made is mounted in the conformance suite, under its own name.
pub(crate) fn mounted(tree: &Tree, factories: &[&str]) -> Vec<String> {
    let suite = tree.file("tests/conformance.rs").expect("the conformance suite is there");
    let mounts = suite.parts.code.split("mount! {").nth(1).and_then(|rest| rest.split('}').next());
    let mounts = mounts.unwrap_or_default();
    let unmounted = factories.iter().filter(|name| !mounts.contains(&format!("on_{name} =>")));
    unmounted
        .map(|name| {
            format!(
                "backend `{name}` has a factory and no mount: add `on_{name}` to the mounts of \
                 tests/conformance.rs"
            )
        })
        .collect()
}

#[test]
fn a_missing_twin_and_a_stray_one_are_found() {
    let tree = Tree::of(&[
        ("src/ops/mod.rs", ""),
        ("src/ops/add.rs", ""),
        ("src/ops/stray.rs", ""),
        ("kernels/shared/reduce.cu", ""),
        ("shaders/add.wgsl", ""),
    ]);
    let faults = ops(&tree, &[("add", true, false), ("dense", false, false)]);
    assert_eq!(faults.len(), 4, "{faults:#?}");
}

#[test]
fn an_unmounted_factory_is_found() {
    let tree = Tree::of(&[(
        "tests/conformance.rs",
        "mount! {\n  // on_b => \"b\";\n  on_a => \"a\";\n}\n",
    )]);
    assert_eq!(mounted(&tree, &["a", "b"]).len(), 1);
}
