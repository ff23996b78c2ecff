//! Whether an audit is whole: nothing taken out, changed, moved or cut off.
//!
//! Each entry is held against the one before it, each file against the one before it, and the tree
//! over all of them against signed checkpoints: the newest, which stands beside the audit, and
//! those that left the machine. Where the beginning is gone, a signed entry must say that its time
//! had come, and it must have. Who could write the folder *and* sign, and can also take back every
//! checkpoint that left, is not found; nothing on one machine can find them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    checkpoint::{Checkpoint, CheckpointError, VerifierKey},
    segment::{Break, Pruned, PrunedLine, State, checkpoint_path, old_files, walk},
};
use crate::limits::AUDIT_DAYS_MIN;

const DAY_S: i64 = 86_400;

/// Why an audit is not whole, or could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum NotWhole {
    /// A file cannot be read.
    #[error("{path} cannot be read: {why}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        why: io::Error,
    },
    /// Entries do not follow each other.
    #[error("{path}: {fault}")]
    Broken {
        /// The file.
        path: String,
        /// Where and how.
        fault: Break,
    },
    /// A checkpoint is not one of this audit's.
    #[error("the checkpoint {path} does not count: {error}")]
    Checkpoint {
        /// The file.
        path: String,
        /// Why not.
        error: CheckpointError,
    },
    /// More entries were signed than are there.
    #[error("{held} entries are there and {signed} were signed: the end was cut off")]
    CutOff {
        /// Entries there.
        held: u64,
        /// Entries signed.
        signed: u64,
    },
    /// What was signed is not what is there.
    #[error(
        "the first {signed} entries are not those that were signed: the history was written anew"
    )]
    Rewritten {
        /// Entries that the checkpoint covers.
        signed: u64,
    },
    /// Files at the beginning are gone.
    #[error(
        "the entries before number {first} are gone, and no signed entry says that their time had \
         come: files were taken out"
    )]
    TakenOut {
        /// The first entry that is still there.
        first: u64,
    },
    /// Entries were let go of too soon.
    #[error(
        "entry {n} let go of entries that were younger than {AUDIT_DAYS_MIN} days: the clock or \
         the configuration was changed for it"
    )]
    TooSoon {
        /// The entry that says so.
        n: u64,
    },
}

/// A whole audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Number of the first entry that is still kept.
    pub first: u64,
    /// Entries that are kept.
    pub entries: u64,
    /// Entries after the newest checkpoint: chained, and not signed yet.
    pub unsigned: u64,
    /// Writes that failed half-way; nobody was told that they were written.
    pub torn: u64,
    /// Files, oldest first.
    pub files: Vec<PathBuf>,
    /// Checkpoints that were held against it and cover entries that are kept.
    pub checkpoints: usize,
    /// Checkpoints of entries that are no longer kept; nothing can be said about those.
    pub outlived: usize,
}

/// Looks at the audit at `path`. `witness` is a checkpoint that left the machine.
///
/// # Errors
/// [`NotWhole`].
pub fn verify(path: &Path, key: &VerifierKey, witness: Option<&Path>) -> Result<Report, NotWhole> {
    let beside = checkpoint_path(path);
    let places = [Some(beside.as_path()), witness];
    let mut checkpoints = Vec::new();
    for place in places.into_iter().flatten() {
        checkpoints.push(read_checkpoint(place, key)?);
    }
    let mut files = old_files(path).map_err(|why| unreadable(path, why))?;
    files.push(path.to_owned());
    let (mut state, mut first, mut torn): (Option<State>, _, _) = (None, None, 0);
    let (mut borne_out, mut pruned) = (vec![false; checkpoints.len()], Vec::new());
    for file in &files {
        let text = fs::read(file).map_err(|why| unreadable(file, why))?;
        let walked = walk(&text, state.take(), |state| {
            first.get_or_insert(state.tree.size());
            for (checkpoint, is_borne_out) in checkpoints.iter().zip(&mut borne_out) {
                let reached = checkpoint.size == state.tree.size();
                *is_borne_out |= reached && checkpoint.root == state.tree.root();
            }
        });
        let broken = |fault| NotWhole::Broken { path: file.display().to_string(), fault };
        let walked = walked.map_err(broken)?;
        torn += walked.torn;
        pruned.extend(text.split(|&byte| byte == b'\n').filter_map(PrunedLine::read));
        state = Some(walked.state);
    }
    let size = state.map_or(0, |state| state.tree.size());
    let first = first.unwrap_or(0);
    settle(&checkpoints, &borne_out, first, size)?;
    let outlived = checkpoints.iter().filter(|checkpoint| checkpoint.size < first).count();
    let newest = checkpoints.iter().map(|checkpoint| checkpoint.size).max().unwrap_or(0);
    had_its_time(first, &pruned, newest)?;
    Ok(Report {
        first,
        entries: size - first,
        unsigned: size.saturating_sub(newest.max(first)),
        torn,
        files,
        checkpoints: checkpoints.len() - outlived,
        outlived,
    })
}

fn settle(
    checkpoints: &[Checkpoint],
    borne_out: &[bool],
    first: u64,
    held: u64,
) -> Result<(), NotWhole> {
    for (checkpoint, &is_borne_out) in checkpoints.iter().zip(borne_out) {
        let signed = checkpoint.size;
        if signed > held {
            return Err(NotWhole::CutOff { held, signed });
        }
        if !is_borne_out && signed >= first {
            return Err(NotWhole::Rewritten { signed });
        }
    }
    Ok(())
}

/// Whether everything before `first` went because its time had come, as signed entries say.
fn had_its_time(first: u64, pruned: &[PrunedLine], signed: u64) -> Result<(), NotWhole> {
    let kept_s = i64::from(AUDIT_DAYS_MIN) * DAY_S;
    let mut gone = 0;
    for PrunedLine { n, at_s, pruned: Pruned { entries_before, newest_s }, .. } in pruned {
        if at_s.saturating_sub(*newest_s) < kept_s {
            return Err(NotWhole::TooSoon { n: *n });
        }
        if *n < signed {
            gone = gone.max(*entries_before);
        }
    }
    if first > gone { Err(NotWhole::TakenOut { first }) } else { Ok(()) }
}

fn unreadable(path: &Path, why: io::Error) -> NotWhole {
    NotWhole::Unreadable { path: path.display().to_string(), why }
}

fn read_checkpoint(path: &Path, key: &VerifierKey) -> Result<Checkpoint, NotWhole> {
    let note = fs::read_to_string(path).map_err(|why| unreadable(path, why))?;
    let shown = path.display().to_string();
    key.open(&note).map_err(|error| NotWhole::Checkpoint { path: shown, error })
}
