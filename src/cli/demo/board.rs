//! The live table of decisions: redrawn on a terminal, line by line elsewhere.

use std::collections::VecDeque;

use serde_json::Value;

use crate::cli::tell::{Ink, Tell};

/// Decisions that stay on a terminal.
const ROWS: usize = 12;

const HEADING: &str = "   time  lane    outcome  similarity  threshold   latency  why";

/// One traveller, answered.
pub(super) struct Event {
    pub(super) lane: &'static str,
    pub(super) at_us: u64,
    pub(super) took_us: u64,
    pub(super) answer: Result<Value, String>,
}

/// What has been answered so far.
pub(super) struct Board {
    tell: Tell,
    rows: VecDeque<String>,
    drawn: usize,
    decisions: u64,
    errors: u64,
    last_error: Option<String>,
}

impl Board {
    pub(super) fn new(tell: Tell) -> Self {
        let rows = VecDeque::with_capacity(ROWS);
        Self { tell, rows, drawn: 0, decisions: 0, errors: 0, last_error: None }
    }

    pub(super) fn decisions(&self) -> u64 {
        self.decisions
    }

    pub(super) fn errors(&self) -> u64 {
        self.errors
    }

    pub(super) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    pub(super) fn take(&mut self, event: Event) {
        match &event.answer {
            Ok(_) => self.decisions += 1,
            Err(why) => {
                self.errors += 1;
                self.last_error = Some(why.clone());
            }
        }
        if self.tell.json {
            let Event { lane, took_us, answer, .. } = event;
            let (answer, error) = (answer.as_ref().ok(), answer.as_ref().err());
            let row = serde_json::json!({
                "lane": lane, "latency_us": took_us, "answer": answer, "error": error,
            });
            return self.tell.line(row);
        }
        let row = self.row(&event);
        if !self.tell.redraws {
            if self.decisions + self.errors == 1 {
                self.tell.line(HEADING);
            }
            return self.tell.line(row);
        }
        if self.rows.len() == ROWS {
            self.rows.pop_front();
        }
        self.rows.push_back(row);
        self.draw();
    }

    fn draw(&mut self) {
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\u{1b}[{}A", self.drawn)); // back to the heading
        }
        for row in std::iter::once(&HEADING.to_owned()).chain(&self.rows) {
            text.push_str(&format!("\r\u{1b}[2K{row}\n"));
        }
        self.drawn = self.rows.len() + 1;
        self.tell.raw(&text);
    }

    fn row(&self, event: &Event) -> String {
        let at_s = event.at_us as f64 / 1e6;
        let head = format!("{at_s:>6.1}s  {:<6}", event.lane);
        let took_ms = event.took_us as f64 / 1e3;
        match &event.answer {
            Err(why) => format!("{head}  {}  {why}", self.tell.ink(Ink::Bad, "error")),
            Ok(answer) => {
                let outcome = answer["outcome"].as_str().unwrap_or_default();
                let ink = match outcome {
                    "admit" => Ink::Good,
                    "retry" => Ink::Care,
                    _ => Ink::Bad,
                };
                let found = answer["comparisons"].get(0).or_else(|| answer["candidates"].get(0));
                let similarity = found.and_then(|row| row["similarity"].as_f64());
                let similarity = similarity.map_or_else(|| "-".to_owned(), |s| format!("{s:.4}"));
                let threshold = answer["threshold"]["similarity"].as_f64().unwrap_or_default();
                let why = answer["reasons"][0]["code"].as_str().unwrap_or_default();
                let outcome = self.tell.ink(ink, format!("{outcome:<7}"));
                format!(
                    "{head}  {outcome}  {similarity:>10}  {threshold:>9.3}  {took_ms:>5.0} ms  \
                     {why}"
                )
            }
        }
    }
}
