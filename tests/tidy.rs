//! The rules of the house, as a test. Each failure names the file and says what to do instead; each
//! rule is itself tested with a few lines that break it, beside the rule.
//!
//! What is not here: what the compiler, rustfmt and clippy already check (`Cargo.toml`,
//! `clippy.toml`).

mod tidy {
    pub(crate) mod islands;
    pub(crate) mod layers;
    pub(crate) mod papers;
    pub(crate) mod size;
    pub(crate) mod tree;
    pub(crate) mod twins;
    pub(crate) mod words;
}

use tidy::{islands, layers, papers, size, tree::Tree, twins, words};

/// Fails with every fault of a rule at once.
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n  {}", faults.len(), faults.join("\n  "));
}

#[test]
fn files_are_short() {
    let (faults, remarks) = size::files(&Tree::repository());
    for remark in remarks {
        println!("remark: {remark}");
    }
    none(&faults);
}

#[test]
fn functions_are_short() {
    none(&size::function_lengths(&Tree::repository()));
}

#[test]
fn lines_fit_a_page() {
    none(&size::columns(&Tree::repository()));
}

#[test]
fn nothing_large_is_kept() {
    none(&size::bytes(&Tree::repository()));
}

#[test]
fn the_tree_is_shallow() {
    none(&size::depth(&Tree::repository()));
}

#[test]
fn imports_point_downward() {
    none(&layers::edges(&Tree::repository()));
}

#[test]
fn the_layers_are_drawn() {
    none(&layers::drawn(&Tree::repository()));
}

#[test]
fn no_edge_is_drawn_for_nothing() {
    none(&layers::unused(&Tree::repository()));
}

#[test]
fn unsafe_stays_on_islands() {
    none(&islands::unsafe_stays_on_islands(&Tree::repository()));
}

#[test]
fn unsafe_is_argued() {
    none(&islands::every_block_is_argued(&Tree::repository()));
}

#[test]
fn features_only_choose_modules() {
    none(&islands::features_only_choose_modules(&Tree::repository()));
}

#[test]
fn ops_have_their_twins() {
    none(&twins::ops(&Tree::repository(), &twins::table()));
}

#[test]
fn every_factory_is_mounted() {
    none(&twins::mounted(&Tree::repository(), &twins::factories()));
}

#[test]
fn no_banned_phrase() {
    none(&words::phrases(&Tree::repository()));
}

#[test]
fn names_say_something() {
    none(&words::names(&Tree::repository()));
}

#[test]
fn no_place_of_one_machine() {
    none(&words::machine_paths(&Tree::repository()));
}

#[test]
fn no_network_host() {
    none(&words::hosts(&Tree::repository()));
}

#[test]
fn dependencies_are_few_and_explained() {
    none(&papers::manifests(&Tree::repository()));
}

#[test]
fn metrics_are_declared_used_and_documented() {
    none(&papers::metrics(&Tree::repository()));
}

#[test]
fn promises_can_be_checked() {
    none(&papers::promises(&Tree::repository()));
}

#[test]
fn links_lead_somewhere() {
    none(&papers::links(&Tree::repository()));
}

#[test]
fn scripts_can_be_run() {
    none(&papers::scripts(&Tree::repository()));
}

#[test]
fn every_file_says_what_it_is() {
    none(&papers::headed(&Tree::repository()));
}
