//! Where `unsafe` and compile-time features may stand.

use std::ops::RangeInclusive;

use super::{
    size::end_of_body,
    tree::{File, Tree},
};

/// The only files with `unsafe` in them, each with the reason.
pub(crate) const ISLANDS: &[(&str, &str)] = &[
    ("src/backend/cpu/avx2.rs", "vector instructions of one set"),
    ("src/backend/cpu/avx512.rs", "vector instructions of one set"),
    ("src/backend/cpu/islands.rs", "the one loop over registers that all sets share"),
    ("src/backend/cpu/neon.rs", "vector instructions of one set"),
    ("src/backend/cuda/compiler.rs", "a foreign library is called through raw handles"),
    ("src/backend/cuda/driver/launch.rs", "a foreign library is called through raw handles"),
    ("src/backend/cuda/driver/memory.rs", "a foreign library is called through raw handles"),
    ("src/backend/cuda/driver/mod.rs", "a foreign library is called through raw handles"),
    ("src/backend/fpga/bar.rs", "device registers are raw memory with a life of their own"),
    ("src/gallery/map.rs", "a mapped file is raw memory that somebody else may change"),
    ("src/backend/cpu/search/avx2.rs", "vector instructions of one set"),
    ("src/backend/cpu/search/avx512.rs", "vector instructions of one set"),
    ("src/backend/cpu/search/neon.rs", "vector instructions of one set"),
    ("src/share.rs", "a call of the system that no library wraps"),
    ("src/keys/wipe.rs", "an allocator hands out raw memory"),
    ("tests/allocations.rs", "an allocator that counts hands out raw memory"),
    ("tests/document/memory.rs", "an allocator that counts hands out raw memory"),
];

/// `unsafe` as a word of the code, and what it introduces.
fn uses<'a>(file: &'a File, what: &'a str) -> impl Iterator<Item = usize> + 'a {
    let code = &file.parts.code;
    code.match_indices("unsafe").filter_map(move |(at, word)| {
        let before = code[..at].chars().next_back();
        let rest = &code[at + word.len()..];
        let is_word = !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
            && rest.starts_with(|c: char| c.is_whitespace() || c == '{');
        (is_word && rest.trim_start().starts_with(what))
            .then(|| code[..at].matches('\n').count() + 1)
    })
}

pub(crate) fn unsafe_stays_on_islands(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for file in tree.rust() {
        let is_island = ISLANDS.iter().any(|(path, _)| *path == file.path);
        if let (Some(line), false) = (uses(file, "").next(), is_island) {
            faults.push(format!(
                "{}:{line}: unsafe code outside the islands: write it safely, or move it to a file \
                 of ISLANDS in tests/tidy/islands.rs",
                file.path
            ));
        }
    }
    for (path, _) in ISLANDS {
        match tree.file(path) {
            None => faults.push(format!("{path} is listed as an island and is gone: unlist it")),
            Some(file) if uses(file, "").next().is_none() => {
                faults.push(format!("{path} needs no unsafe any more: unlist it"));
            }
            Some(_) => {}
        }
    }
    faults
}

/// Lines of each `unsafe impl` block.
fn unsafe_impl_lines(file: &File) -> Vec<RangeInclusive<usize>> {
    let code = &file.parts.code;
    let starts = code.match_indices("unsafe impl").map(|(at, _)| at);
    starts
        .filter_map(|at| {
            let end = at + end_of_body(&code.as_bytes()[at..])?;
            let line = |at: usize| code[..at].matches('\n').count() + 1;
            Some(line(at)..=line(end))
        })
        .collect()
}

/// As many safety texts as there are things to argue for.
pub(crate) fn every_block_is_argued(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for file in tree.rust() {
        let blocks = uses(file, "{").count() + uses(file, "impl").count();
        let argued = file.parts.comments.matches("SAFETY:").count();
        if argued < blocks {
            faults.push(format!(
                "{}: {blocks} unsafe blocks and impls, {argued} `SAFETY:` texts: say for each why \
                 it holds",
                file.path
            ));
        }
        // The duties of an `unsafe impl`'s functions are the trait's; its own text argues for them.
        let impls = unsafe_impl_lines(file);
        let own = |line: &usize| !impls.iter().any(|lines| lines.contains(line));
        let functions = uses(file, "fn").chain(uses(file, "extern")).filter(own).count();
        let duties = file.parts.comments.matches("# Safety").count();
        if duties < functions {
            faults.push(format!(
                "{}: {functions} unsafe functions, {duties} `# Safety` headings: name the caller's \
                 duty for each",
                file.path
            ));
        }
    }
    faults
}

/// `cfg(feature = …)` decides what is compiled in, never how anything behaves: it stands on a `mod`
/// line or on a line of the backends' factory table, and nowhere else.
pub(crate) fn features_only_choose_modules(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for file in tree.sources() {
        let lines: Vec<&str> = file.parts.code.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let is_feature = line.contains("cfg(feature") || line.contains("cfg!(feature");
            let next = lines[at + 1..]
                .iter()
                .map(|line| line.trim())
                .find(|line| !line.is_empty() && !line.starts_with("#["));
            let is_module = next.is_some_and(|next| {
                next.starts_with("mod ")
                    || next.starts_with("pub mod ")
                    || next.starts_with("pub(crate) mod ")
            });
            let is_factory =
                file.path == "src/backend/mod.rs" && next.is_some_and(|next| next.ends_with(','));
            if is_feature && !is_module && !is_factory {
                faults.push(format!(
                    "{}:{}: a feature changes behaviour here: gate the whole module or its factory \
                     line, and let the configuration choose",
                    file.path,
                    at + 1
                ));
            }
        }
    }
    faults
}

#[test]
fn unsafe_is_counted_by_word() {
    let argued =
        "// SAFETY: checked above\nunsafe { a() }\n/// # Safety\n/// b\nunsafe fn c() {}\n";
    let tree = Tree::of(&[
        ("src/a.rs", argued),
        ("src/b.rs", "#![deny(unsafe_code)] // unsafe {\nlet x = \"unsafe { }\";"),
        ("src/d.rs", "// SAFETY: b\nunsafe impl A for B {\n    unsafe fn c() {}\n}\n"),
        ("src/c.rs", "unsafe { a() }\nunsafe impl Send for X {}\nunsafe fn d() {}"),
    ]);
    assert_eq!(unsafe_stays_on_islands(&tree).len(), 3 + ISLANDS.len());
    let faults = every_block_is_argued(&tree);
    assert_eq!(faults.len(), 2, "{faults:#?}");
    assert!(faults.iter().all(|fault| fault.starts_with("src/c.rs")));
}

#[test]
fn a_feature_inside_a_function_is_found() {
    let tree = Tree::of(&[
        (
            "src/backend/mod.rs",
            "#[cfg(feature = \"x\")]\nmod x;\n[\n#[cfg(feature = \"x\")]\nx::F,\n]",
        ),
        ("src/a.rs", "fn a() {\n    #[cfg(feature = \"x\")]\n    b();\n}"),
    ]);
    assert_eq!(features_only_choose_modules(&tree).len(), 1);
}
