//! The repository as the rules see it: every file that is not ignored, and Rust text taken apart
//! into code, comments and strings, so that no rule is fooled by a brace in a string.

use std::{fs, path::Path};

/// One file.
pub(crate) struct File {
    /// Path below the repository root, with `/`.
    pub(crate) path: String,
    /// Its bytes.
    pub(crate) bytes: u64,
    /// Its text; empty for a binary file.
    pub(crate) text: String,
    /// Whether its owner may execute it.
    pub(crate) executable: bool,
    /// Rust text taken apart; for other files everything is code.
    pub(crate) parts: Parts,
}

impl File {
    pub(crate) fn of(path: &str, text: &str) -> Self {
        let parts = if path.ends_with(".rs") { Parts::of(text) } else { Parts::plain(text) };
        Self {
            path: path.to_owned(),
            bytes: text.len() as u64,
            text: text.to_owned(),
            executable: false,
            parts,
        }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn is_script(&self) -> bool {
        self.text.starts_with("#!/") || self.path.ends_with(".sh")
    }
}

/// All files.
pub(crate) struct Tree(pub(crate) Vec<File>);

impl Tree {
    /// The repository that this test was built from.
    pub(crate) fn repository() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let ignored = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
        let mut files = Vec::new();
        walk(root, "", &ignored, &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self(files)
    }

    /// A made-up repository, for the rules' own tests.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| File::of(path, text)).collect())
    }

    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.0.iter().find(|file| file.path == path)
    }

    /// The text of a file that a rule needs; a rule whose file is gone must not pass.
    pub(crate) fn text(&self, path: &str) -> &str {
        self.file(path).map_or_else(|| panic!("{path} is gone: restore it"), |file| &file.text)
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.0.iter().filter(|file| file.is_rust())
    }

    /// Rust files of the appliance itself.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &File> {
        self.rust().filter(|file| file.path.starts_with("src/"))
    }
}

/// Whether `.gitignore` (plain names, `/name` and `*.ending` are all it uses) names this entry.
fn is_ignored(ignored: &str, below_root: &str, name: &str) -> bool {
    name == ".git"
        || ignored.lines().map(|line| line.trim().trim_end_matches('/')).any(|line| {
            match (line.strip_prefix('/'), line.strip_prefix('*')) {
                (Some(rooted), _) => rooted == below_root,
                (None, Some(ending)) => !ending.is_empty() && name.ends_with(ending),
                (None, None) => !line.is_empty() && line == name,
            }
        })
}

fn walk(folder: &Path, below_root: &str, ignored: &str, files: &mut Vec<File>) {
    let entries = fs::read_dir(folder).expect("the repository can be read");
    for entry in entries {
        let entry = entry.expect("the repository can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path =
            if below_root.is_empty() { name.clone() } else { format!("{below_root}/{name}") };
        if is_ignored(ignored, &path, &name) {
            continue;
        }
        let kind = entry.file_type().expect("the repository can be read");
        if kind.is_dir() {
            let nested = fs::read_to_string(entry.path().join(".gitignore")).unwrap_or_default();
            let nested = nested.lines().fold(ignored.to_owned(), |all, line| {
                let rooted = line.strip_prefix('/').map(|name| format!("/{path}/{name}"));
                all + "\n" + &rooted.unwrap_or_else(|| line.to_owned())
            });
            walk(&entry.path(), &path, &nested, files);
        } else if kind.is_file() {
            files.push(read(&entry.path(), &path));
        }
    }
}

fn read(place: &Path, path: &str) -> File {
    let bytes = fs::read(place).expect("the repository can be read");
    let length = bytes.len() as u64;
    let mut file = File::of(path, &String::from_utf8(bytes).unwrap_or_default());
    file.bytes = length;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(place).expect("the repository can be read").permissions().mode();
        file.executable = mode & 0o100 != 0;
    }
    file
}

/// Rust text taken apart. Each part has the text's lines; what is not of the part is blank.
pub(crate) struct Parts {
    pub(crate) code: String,
    pub(crate) comments: String,
    pub(crate) strings: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Code,
    Comment,
    Text,
}

impl Parts {
    fn plain(text: &str) -> Self {
        Self { code: text.to_owned(), comments: String::new(), strings: String::new() }
    }

    pub(crate) fn of(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let mut parts =
            Self { code: String::new(), comments: String::new(), strings: String::new() };
        let mut at = 0;
        while at < chars.len() {
            let (part, end) = next_part(&chars, at);
            for &c in &chars[at..end] {
                parts.push(part, c);
            }
            at = end;
        }
        parts
    }

    fn push(&mut self, part: Part, c: char) {
        let blank = if c == '\n' { '\n' } else { ' ' };
        self.code.push(if part == Part::Code { c } else { blank });
        self.comments.push(if part == Part::Comment { c } else { blank });
        self.strings.push(if part == Part::Text { c } else { blank });
    }
}

/// The part that begins at `at`, and where it ends.
fn next_part(chars: &[char], at: usize) -> (Part, usize) {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => {
            let length = chars[at..].iter().position(|&c| c == '\n');
            (Part::Comment, length.map_or(chars.len(), |length| at + length))
        }
        '/' if next == Some('*') => (Part::Comment, end_of_block_comment(chars, at)),
        '"' => (Part::Text, end_of_string(chars, at)),
        'r' if !follows_name(chars, at) || follows_byte_prefix(chars, at) => {
            end_of_raw_string(chars, at).map_or((Part::Code, at + 1), |end| (Part::Text, end))
        }
        '\'' => end_of_char(chars, at).map_or((Part::Code, at + 1), |end| (Part::Text, end)),
        _ => (Part::Code, at + 1),
    }
}

fn follows_name(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

/// `br"…"` and `cr"…"`: the letter before is a prefix, not the end of a name.
fn follows_byte_prefix(chars: &[char], at: usize) -> bool {
    at > 0 && matches!(chars[at - 1], 'b' | 'c') && !follows_name(chars, at - 1)
}

fn end_of_block_comment(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(chars.len())
}

fn end_of_string(chars: &[char], at: usize) -> usize {
    let mut at = at + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn end_of_raw_string(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
    let mut end = at + 1 + hashes;
    if chars.get(end) != Some(&'"') {
        return None;
    }
    loop {
        end += 1;
        let closes = *chars.get(end)? == '"'
            && chars[end + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
        if closes {
            return Some(end + 1 + hashes);
        }
    }
}

/// A character literal's end; `None` for a lifetime or a label.
fn end_of_char(chars: &[char], at: usize) -> Option<usize> {
    if chars.get(at + 1) == Some(&'\\') {
        let close = chars.get(at + 3..)?.iter().position(|&c| c == '\'')?;
        return Some(at + 3 + close + 1);
    }
    (chars.get(at + 2) == Some(&'\'')).then_some(at + 3)
}

#[test]
fn rust_text_is_taken_apart() {
    let parts = Parts::of(concat!(
        "let a = \"{ // \\\" \"; // } \"\n",
        "let b = r#\"{ \" \"#; /* { /* */ } */ let c = '{'; let d = '\\''; fn e<'a>() {}\n",
        "let f = br\"{\\\"; let number = 1; let g = b'{';",
    ));
    assert!(!parts.code.contains(['"', '/']), "{}", parts.code);
    assert_eq!(parts.code.matches('{').count(), 1, "{}", parts.code);
    assert!(parts.code.contains("fn e<'a>() {}") && parts.code.contains("number = 1"));
    assert_eq!(parts.comments.matches('}').count(), 2, "{}", parts.comments);
    assert_eq!(parts.code.lines().count(), 3);
}

#[test]
fn ignored_files_are_not_looked_at() {
    let ignored = "/target\n/.cache\n*.profraw\ncorpus/\n";
    assert!(is_ignored(ignored, "target", "target"));
    assert!(!is_ignored(ignored, "src/target", "target"));
    assert!(is_ignored(ignored, "a/b.profraw", "b.profraw"));
    assert!(is_ignored(ignored, "fuzz/corpus", "corpus"));
}
