//! A peer in a process of its own, spoken to in lines: a verb and its words each way.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::fail::Failure;

/// A running process; dropping it ends it.
pub(crate) struct Talk {
    process: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Talk {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Failure> {
        let program = std::path::PathBuf::from(command.get_program());
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Failure::File(program, error))?;
        let lost = || Failure::Peer("its pipes are gone".to_owned());
        let asks = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().ok_or_else(lost)?);
        Ok(Self { process, asks, answers })
    }

    /// Sends a line.
    pub(crate) fn say(&mut self, line: &str) -> Result<(), Failure> {
        let asks = self.asks.as_mut();
        let sent = asks.map(|pipe| writeln!(pipe, "{line}").and_then(|()| pipe.flush()));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => Err(Failure::Peer("it takes no more questions".to_owned())),
        }
    }

    /// The words after `verb` of the next line.
    pub(crate) fn answer(&mut self, verb: &str) -> Result<Vec<String>, Failure> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        let mut words = line.split_whitespace().map(str::to_owned);
        match (read, words.next()) {
            (Ok(_), Some(first)) if first == verb => Ok(words.collect()),
            (Ok(0), _) => Err(Failure::Peer("it ended; its complaint stands above".to_owned())),
            (Ok(_), _) => Err(Failure::Peer(format!("expected {verb}, read {line:?}"))),
            (Err(error), _) => Err(Failure::Peer(error.to_string())),
        }
    }

    /// As [`Talk::answer`], where every word is a whole number.
    pub(crate) fn numbers(&mut self, verb: &str) -> Result<Vec<u64>, Failure> {
        let number =
            |word: &String| word.parse().map_err(|_| Failure::Peer(format!("{word}: no number")));
        self.answer(verb)?.iter().map(number).collect()
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // Closing its input ends it; whatever it then says is of no interest.
        self.asks = None;
        let _ = self.process.wait();
    }
}
