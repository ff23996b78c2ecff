//! How long and how deep things may be.

use std::iter;

use super::tree::{File, Tree};

const FILE_LINES_MAX: usize = 800;
const FILE_LINES_SOFT: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
const FOLDERS_BELOW_SRC_MAX: usize = 3;
const FILE_BYTES_MAX: u64 = 512 * 1024;
const COLUMNS_MAX: usize = 100;

/// Functions that may be longer, each with the reason why cutting it would not help a reader.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

/// Endings of the files that people write line by line.
const WRITTEN: [&str; 10] =
    [".rs", ".sh", ".py", ".toml", ".cu", ".cuh", ".wgsl", ".sv", ".cedar", ".yaml"];

fn is_written(file: &File) -> bool {
    file.is_script() || WRITTEN.iter().any(|ending| file.path.ends_with(ending))
}

/// Files over the hard cap; and, said aloud but allowed, those over the soft one.
pub(crate) fn files(tree: &Tree) -> (Vec<String>, Vec<String>) {
    let (mut faults, mut remarks) = (Vec::new(), Vec::new());
    for file in tree.0.iter().filter(|file| is_written(file)) {
        let lines = file.text.lines().count();
        let told = format!("{}: {lines} lines", file.path);
        if lines > FILE_LINES_MAX {
            faults.push(format!("{told}; at most {FILE_LINES_MAX}: split it by what it is about"));
        } else if lines > FILE_LINES_SOFT {
            remarks.push(format!("{told}; more than {FILE_LINES_SOFT}: is it about one thing?"));
        }
    }
    (faults, remarks)
}

pub(crate) fn columns(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    // A manifest says on one line what is depended on and why; it may be as wide as it must.
    let paged = |file: &&File| is_written(file) && !file.path.ends_with(".toml");
    for file in tree.0.iter().filter(paged) {
        let strings = file.parts.strings.lines().chain(iter::repeat(""));
        for ((number, line), string) in (1..).zip(file.text.lines()).zip(strings) {
            let columns = line.chars().count();
            // A message stays in one piece, so that it can be searched for.
            let is_message = string.trim_end().chars().count() >= COLUMNS_MAX;
            if columns > COLUMNS_MAX && !is_message {
                faults.push(format!(
                    "{}:{number}: {columns} columns; at most {COLUMNS_MAX}: break the line",
                    file.path
                ));
            }
        }
    }
    faults
}

pub(crate) fn bytes(tree: &Tree) -> Vec<String> {
    let large = tree.0.iter().filter(|file| file.bytes > FILE_BYTES_MAX);
    large
        .map(|file| {
            format!(
                "{}: {} KiB; at most {}: generate it, or fetch it by name, version and hash",
                file.path,
                file.bytes / 1024,
                FILE_BYTES_MAX / 1024
            )
        })
        .collect()
}

pub(crate) fn depth(tree: &Tree) -> Vec<String> {
    let deep = tree.sources().filter(|file| {
        let folders = file.path.matches('/').count() - 1;
        folders > FOLDERS_BELOW_SRC_MAX
    });
    deep.map(|file| {
        format!("{}: more than {FOLDERS_BELOW_SRC_MAX} folders below src: move it up", file.path)
    })
    .collect()
}

/// One function: its name, its first line and its number of lines, braces included.
#[derive(Debug, PartialEq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

/// Every function with a body, nested ones too.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let is_word = at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let rest = code[at + 3..].trim_start();
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !is_word || name.is_empty() {
            continue;
        }
        if let Some(end) = end_of_body(&bytes[at..]) {
            let line = code[..at].matches('\n').count() + 1;
            let lines = code[at..at + end].matches('\n').count() + 1;
            found.push(Function { name, line, lines });
        }
    }
    found
}

/// Where the body closes, counted from the word that begins the item; `None` for a
/// declaration without one.
pub(crate) fn end_of_body(code: &[u8]) -> Option<usize> {
    let (mut braces, mut brackets) = (0, 0);
    for (at, byte) in code.iter().enumerate() {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b'{' => braces += 1,
            b'}' if braces == 1 => return Some(at + 1),
            b'}' => braces -= 1,
            b';' if braces == 0 && brackets == 0 => return None,
            _ => {}
        }
    }
    None
}

pub(crate) fn function_lengths(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for file in tree.rust() {
        for function in functions(&file.parts.code) {
            let excused = LONG_FUNCTIONS
                .iter()
                .any(|(path, name, _)| *path == file.path && *name == function.name);
            if function.lines > FUNCTION_LINES_MAX && !excused {
                faults.push(format!(
                    "{}:{}: `{}` has {} lines; at most {FUNCTION_LINES_MAX}: give its steps names",
                    file.path, function.line, function.name, function.lines
                ));
            }
        }
    }
    faults
}

#[test]
fn a_function_ends_at_its_own_brace() {
    let text = "trait T { fn a(&self, b: [u8; 2]);\n fn c() {\n  let d = \"}\"; // }\n }\n}\n\
                fn e() -> Vec<u8> { vec![] }";
    let code = super::tree::Parts::of(text).code;
    let told = |name: &str, line, lines| Function { name: name.to_owned(), line, lines };
    assert_eq!(functions(&code), [told("c", 2, 3), told("e", 6, 1)]);
}

#[test]
fn long_things_are_found() {
    let body = "    a();\n".repeat(FUNCTION_LINES_MAX);
    let long = format!("fn long() {{\n{body}}}\n");
    let short = format!("fn short() {{\n{}}}\n", "    a();\n".repeat(FUNCTION_LINES_MAX - 2));
    let wide = format!("// {}", "x".repeat(COLUMNS_MAX));
    let deep = "src/a/b/c/d/e.rs";
    let tree = Tree::of(&[
        ("src/a.rs", &long),
        ("src/b.rs", &short),
        ("src/c.rs", &wide),
        (deep, ""),
        ("src/a/b/c/e.rs", ""),
        ("d.sh", &"x\n".repeat(FILE_LINES_MAX + 1)),
        ("e.toml", &"x\n".repeat(FILE_LINES_SOFT + 1)),
        ("f.onnx", &"x".repeat(512 * 1024 + 1)),
    ]);
    assert_eq!(function_lengths(&tree).len(), 1);
    assert_eq!(columns(&tree).len(), 1);
    assert_eq!(depth(&tree).len(), 1);
    let (faults, remarks) = files(&tree);
    assert_eq!((faults.len(), remarks.len(), bytes(&tree).len()), (1, 1, 1));
}
