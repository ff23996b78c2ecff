//! What a verb says: results to standard output, errors and progress to standard error.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::config::Environment;

/// How to say it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tell {
    /// One JSON document instead of text.
    pub(super) json: bool,
    colours: bool,
    colours_stderr: bool,
    /// Whether standard output is a terminal that can be redrawn.
    pub(super) redraws: bool,
}

/// A colour, by what it means.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ink {
    /// A match, an Admit.
    Good,
    /// A Retry, a warning.
    Care,
    /// No match, a Refer.
    Bad,
    /// A heading.
    Bold,
}

impl Tell {
    pub(super) fn new(json: bool, environment: &Environment) -> Self {
        let plain = environment.value("NO_COLOR").is_some()
            || environment.value("TERM").is_some_and(|term| term == "dumb");
        let redraws = io::stdout().is_terminal() && !json;
        Self {
            json,
            colours: redraws && !plain,
            colours_stderr: io::stderr().is_terminal() && !plain,
            redraws,
        }
    }

    pub(super) fn colours_stderr(&self) -> bool {
        self.colours_stderr
    }

    /// A line of the result. A reader that has gone is not an error of ours.
    pub(super) fn line(&self, text: impl Display) {
        let _written = writeln!(io::stdout().lock(), "{text}");
    }

    /// Text without a line's end, written out at once.
    pub(super) fn raw(&self, text: &str) {
        let mut out = io::stdout().lock();
        let _written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// The result as JSON.
    pub(super) fn document(&self, document: &impl Serialize) {
        let text = serde_json::to_string_pretty(document);
        self.line(text.expect("documents of this crate have string keys"));
    }

    /// Something beside the result.
    pub(super) fn note(&self, text: impl Display) {
        let _written = writeln!(io::stderr().lock(), "{text}");
    }

    /// Why it did not work.
    pub(super) fn failure(&self, text: &str) {
        if self.json {
            self.document(&serde_json::json!({ "error": text }));
        }
        let label = if self.colours_stderr { "\u{1b}[31merror:\u{1b}[0m" } else { "error:" };
        self.note(format!("{label} {text}"));
    }

    /// `text` in a colour, where colours are wanted.
    pub(super) fn ink(&self, ink: Ink, text: impl Display) -> String {
        let code = match ink {
            Ink::Good => 32,
            Ink::Care => 33,
            Ink::Bad => 31,
            Ink::Bold => 1,
        };
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }

    /// A progress bar on standard error; hidden where that is no terminal.
    pub(super) fn progress(&self, what: &'static str, count: u64) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(count), ProgressDrawTarget::stderr());
        let style = if self.colours_stderr {
            "{msg} {bar:32.cyan} {human_pos}/{human_len} {eta}"
        } else {
            "{msg} {bar:32} {human_pos}/{human_len} {eta}"
        };
        bar.set_style(ProgressStyle::with_template(style).expect("a constant template"));
        bar.set_message(what);
        bar
    }
}
