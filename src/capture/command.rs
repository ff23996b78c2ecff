//! A program that writes frames to its standard output: ffmpeg, gst-launch, a camera's own tool.
//!
//! The program is started without a shell and in a process group of its own, so that a wrapper goes
//! with what it wraps. Its output is read as fast as it comes, whether or not somebody looks at the
//! lane: a pipe that fills up would hold the camera back, and the frame that is wanted is the one
//! of now. Its standard error is not kept: what a camera's tool prints may hold the camera's
//! password.
//!
//! One frame at a time is held while it is cut out; whoever drops the source ends the program.
//!
//! Absent on purpose: decoding of video. That is what the program is for.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use std::{
    io::Read,
    os::unix::process::CommandExt,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, Signal, kill_process_group},
};
use zeroize::{Zeroize, Zeroizing};

use super::{
    Arrival, Encoded, Source, SourceFault,
    mjpeg::{Cut, Splitter},
};
use crate::{
    limits::{IMAGE_BYTES_MAX, KILL_MS_MAX},
    share,
};

/// Bytes read at once: what a pipe holds.
const READ_BYTES: usize = 64 * 1024;
/// Longest that one call waits for the program, in nanoseconds: a lane that stops is heard.
const WAIT_NS: i64 = 100_000_000;

/// Time between two looks at whether a program whose output has ended has ended, too.
const MOMENT_US: u64 = 10_000;
/// So many looks at a program that was killed, before it is left to the system.
const KILL_LOOKS: u64 = KILL_MS_MAX * 1_000 / MOMENT_US;

/// What the program writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JPEG pictures, one after the other, perhaps with multipart boundaries between them.
    Mjpeg,
    /// Packed 8-bit RGB frames of this size, one after the other.
    Rgb24 {
        /// Width in pixels.
        width_px: u32,
        /// Height in pixels.
        height_px: u32,
    },
}

/// How the program is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The program, by path or as found in `PATH`.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What it writes.
    pub format: Format,
    /// Longest time without a whole frame before it counts as hung, in milliseconds.
    pub silence_ms: u64,
}

enum Cutter {
    Mjpeg(Splitter),
    Rgb24 { width_px: u32, height_px: u32, frame_bytes: usize, frame: Zeroizing<Vec<u8>> },
}

/// The program, running.
pub struct Running {
    program: String,
    child: Child,
    output: ChildStdout,
    cutter: Cutter,
    buffer: Zeroizing<Vec<u8>>,
    /// The part of `buffer` that was read and not yet cut.
    unread: std::ops::Range<usize>,
    silence_ms: u64,
    /// When the last whole frame arrived, or the program was started.
    last_us: u64,
    /// It has closed its output.
    is_at_end: bool,
}

impl Running {
    /// Starts the program.
    ///
    /// # Errors
    /// [`SourceFault::NotStarted`].
    pub fn start(invocation: &Invocation, now_us: u64) -> Result<Self, SourceFault> {
        let Invocation { program, arguments, format, silence_ms } = invocation;
        // The program shares the processor as the thread that starts it, and it is no part of this
        // one.
        share::as_others_do();
        let started = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        let mut child = started.map_err(|error| SourceFault::NotStarted {
            program: program.clone(),
            kind: error.kind(),
        })?;
        let output = child.stdout.take().expect("its output was asked for as a pipe");
        let cutter = match *format {
            Format::Mjpeg => Cutter::Mjpeg(Splitter::new(IMAGE_BYTES_MAX)),
            Format::Rgb24 { width_px, height_px } => {
                let pixels = (width_px as usize).saturating_mul(height_px as usize);
                let frame_bytes = pixels.saturating_mul(3);
                let frame = Zeroizing::new(Vec::with_capacity(frame_bytes));
                Cutter::Rgb24 { width_px, height_px, frame_bytes, frame }
            }
        };
        Ok(Self {
            program: program.clone(),
            child,
            output,
            cutter,
            buffer: Zeroizing::new(vec![0; READ_BYTES]),
            unread: 0..0,
            silence_ms: *silence_ms,
            last_us: now_us,
            is_at_end: false,
        })
    }

    /// Cuts what was read; `None` when it holds no whole frame.
    fn cut(&mut self, now_us: u64) -> Option<Result<Arrival, SourceFault>> {
        while !self.unread.is_empty() {
            let bytes = self.buffer.get(self.unread.clone()).unwrap_or_default();
            let (seen, cut) = match &mut self.cutter {
                Cutter::Mjpeg(splitter) => splitter.push(bytes),
                Cutter::Rgb24 { frame_bytes, frame, .. } => fill(bytes, *frame_bytes, frame),
            };
            self.unread.start = self.unread.start.saturating_add(seen);
            let fault = match cut {
                Cut::More => continue,
                Cut::Picture(bytes) => {
                    self.last_us = now_us;
                    return Some(Ok(Arrival::Picture(self.whole(bytes))));
                }
                Cut::TooLarge => SourceFault::FrameTooLarge { most: IMAGE_BYTES_MAX },
                Cut::Foreign => {
                    let bytes = IMAGE_BYTES_MAX.saturating_mul(2);
                    SourceFault::Foreign { program: self.program.clone(), bytes }
                }
            };
            return Some(Err(fault));
        }
        None
    }

    fn whole(&self, bytes: Vec<u8>) -> Encoded {
        match self.cutter {
            Cutter::Mjpeg(_) => Encoded::new(bytes),
            Cutter::Rgb24 { width_px, height_px, .. } => Encoded::rgb(bytes, width_px, height_px),
        }
    }

    /// Waits a moment for output; whether there is some, or the end of it.
    fn wait(&self) -> Result<bool, SourceFault> {
        let mut ready = [PollFd::new(&self.output, PollFlags::IN)];
        let moment = Timespec { tv_sec: 0, tv_nsec: WAIT_NS };
        match poll(&mut ready, Some(&moment)) {
            Ok(count) => Ok(count > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(self.broken(&error.into())),
        }
    }

    fn broken(&self, error: &std::io::Error) -> SourceFault {
        SourceFault::Broken { program: self.program.clone(), kind: error.kind() }
    }

    /// Its output has ended: so does the program, in a moment.
    fn leave(&mut self, now_us: u64) -> Result<Arrival, SourceFault> {
        match self.child.try_wait() {
            Ok(None) if !self.is_silent(now_us) => {
                Ok(Arrival::NotBefore(now_us.saturating_add(MOMENT_US)))
            }
            Ok(status) => {
                let status = status.and_then(|status| status.code());
                Err(SourceFault::Ended { program: self.program.clone(), status })
            }
            Err(error) => Err(self.broken(&error)),
        }
    }

    fn is_silent(&self, now_us: u64) -> bool {
        now_us.saturating_sub(self.last_us) / 1_000 >= self.silence_ms
    }

    /// Ends the program and what it started, which is what its group is for; one that is stuck in
    /// the system and does not die is left to it. That nothing is left to end is no error. A
    /// program that ended by itself was waited for already; its number cannot have become another
    /// group's in the moments since, or numbers would have gone once around.
    fn end(&mut self) {
        let _gone = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        if !is_gone(&mut self.child) {
            let program = self.program.as_str();
            tracing::error!(
                program,
                patience_ms = KILL_MS_MAX,
                "a killed program has not ended in its time and is left behind: it may be stuck in \
                 the system, or the machine too busy to end it"
            );
        }
    }
}

impl Source for Running {
    fn next(&mut self, now_us: u64) -> Result<Arrival, SourceFault> {
        if let Some(cut) = self.cut(now_us) {
            return cut;
        }
        if self.is_at_end {
            return self.leave(now_us);
        }
        if self.wait()? {
            match self.output.read(&mut self.buffer) {
                Ok(read) => {
                    self.is_at_end = read == 0;
                    self.unread = 0..read;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(&error)),
            }
        }
        match self.cut(now_us) {
            Some(cut) => cut,
            // Also one that writes and never comes to the end of a frame.
            None if self.is_silent(now_us) && !self.is_at_end => {
                let (program, silence_ms) = (self.program.clone(), self.silence_ms);
                Err(SourceFault::Silent { program, silence_ms })
            }
            None => Ok(Arrival::NotBefore(now_us)),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
        self.buffer.zeroize();
    }
}

/// Buries the child when it has died, or dies within [`KILL_MS_MAX`].
fn is_gone(child: &mut Child) -> bool {
    for _ in 0..KILL_LOOKS {
        match child.try_wait() {
            Ok(None) => std::thread::park_timeout(Duration::from_micros(MOMENT_US)),
            Ok(Some(_)) | Err(_) => return true,
        }
    }
    false
}

/// Takes `bytes` up to the end of a raw frame.
fn fill(bytes: &[u8], frame_bytes: usize, frame: &mut Zeroizing<Vec<u8>>) -> (usize, Cut) {
    let needed = frame_bytes.saturating_sub(frame.len());
    let (part, _) = bytes.split_at(needed.min(bytes.len()));
    frame.extend_from_slice(part);
    if frame.len() < frame_bytes {
        return (part.len(), Cut::More);
    }
    let next = Vec::with_capacity(frame_bytes);
    (part.len(), Cut::Picture(std::mem::replace(&mut **frame, next)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, format: Format) -> Running {
        let invocation = Invocation {
            program: "sh".into(),
            arguments: vec!["-c".into(), script.into()],
            format,
            silence_ms: 50,
        };
        Running::start(&invocation, 0).expect("every system has a shell")
    }

    const RGB: Format = Format::Rgb24 { width_px: 2, height_px: 1 };

    /// Asks until something other than "later" comes.
    fn next(running: &mut Running, now_us: u64) -> Result<Vec<u8>, SourceFault> {
        loop {
            match running.next(now_us)? {
                Arrival::Picture(picture) => return Ok(picture.bytes().to_vec()),
                Arrival::NotBefore(_) => {}
                Arrival::End => panic!("a program has no end but its exit"),
            }
        }
    }

    /// Whether a process of that group runs; one that is dead and not yet buried does not.
    fn is_alive(group: u32) -> bool {
        let processes = std::fs::read_dir("/proc").expect("Linux").flatten();
        let mut stats = processes.filter_map(|one| {
            let stat = std::fs::read_to_string(one.path().join("stat")).ok()?;
            stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned())
        });
        stats.any(|stat| {
            let mut fields = stat.split(' ');
            let (state, its_group) = (fields.next(), fields.nth(1));
            state != Some("Z") && its_group == Some(&group.to_string())
        })
    }

    #[test]
    fn raw_frames_are_cut_at_their_length_and_the_exit_is_told() {
        let mut running = shell("printf abcdefghijklmn; exit 3", RGB);
        assert_eq!(next(&mut running, 0), Ok(b"abcdef".to_vec()));
        assert_eq!(next(&mut running, 0), Ok(b"ghijkl".to_vec()));
        let ended = SourceFault::Ended { program: "sh".into(), status: Some(3) };
        assert_eq!(next(&mut running, 0), Err(ended));
    }

    #[test]
    fn a_program_that_says_nothing_is_hung_and_ends_with_its_children() {
        let mut running = shell("sleep 1000 & wait", RGB);
        let silent = SourceFault::Silent { program: "sh".into(), silence_ms: 50 };
        assert_eq!(next(&mut running, 50_000), Err(silent));
        let group = running.child.id();
        assert!(is_alive(group));
        drop(running);
        // Death is quick, but not at once.
        let patience = Duration::from_millis(10);
        let gone = (0..6_000).any(|_| {
            std::thread::park_timeout(patience);
            !is_alive(group)
        });
        assert!(gone, "a child outlived its source");
    }

    #[test]
    fn a_program_that_does_not_die_is_not_waited_for() {
        let mut running = shell("sleep 1000", RGB);
        assert!(!is_gone(&mut running.child), "nobody has killed it");
        let _killed = running.child.kill();
        assert!(is_gone(&mut running.child));
    }

    #[test]
    fn a_program_that_is_not_there_is_named_without_its_arguments() {
        let invocation = Invocation {
            program: "/nowhere/camera".into(),
            arguments: vec!["rtsp://user:password@camera".into()],
            format: Format::Mjpeg,
            silence_ms: 1,
        };
        let fault = Running::start(&invocation, 0).err().expect("it is not there");
        assert!(matches!(fault, SourceFault::NotStarted { .. }));
        assert!(!fault.to_string().contains("password"), "{fault}");
    }
}
