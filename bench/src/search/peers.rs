//! FAISS, USearch and NumPy in a process of their own; bench/peers/search.py says what is spoken.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use portcullis::{ops::search::RowHits, types::Template};

use super::plain::Npy;
use crate::{fail::Failure, talk::Talk};

/// A running process with one or several peers over the same rows.
pub(super) struct Peers {
    talk: Talk,
    folder: PathBuf,
    best: usize,
    /// Name and version of each.
    pub(super) names: Vec<(String, String)>,
}

/// What is asked for.
pub(super) struct Asked<'a> {
    pub(super) python: &'a Path,
    /// Where `rows.npy` lies.
    pub(super) folder: &'a Path,
    pub(super) rows: usize,
    pub(super) threads: usize,
    pub(super) best: usize,
    /// Names; all of them where it is empty.
    pub(super) only: &'a [String],
}

impl Peers {
    pub(super) fn start(asked: &Asked<'_>, probes: &[Template]) -> Result<Self, Failure> {
        let dims = probes.first().map_or(0, |probe| probe.values().len());
        let mut file = Npy::create(&asked.folder.join("probes.npy"), [probes.len(), dims])?;
        for probe in probes {
            file.write(probe.values())?;
        }
        file.finish()?;
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers/search.py");
        let mut command = Command::new(asked.python);
        command
            .arg(script)
            .arg("--data")
            .arg(asked.folder)
            .args(["--rows", &asked.rows.to_string()])
            .args(["--threads", &asked.threads.to_string()])
            .args(["--best", &asked.best.to_string()])
            .args(["--only", &asked.only.join(",")]);
        let mut talk = Talk::start(&mut command)?;
        let ready = talk.answer("ready")?;
        let names = ready.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        Ok(Self { talk, folder: asked.folder.to_owned(), best: asked.best, names })
    }

    /// Nanoseconds of `runs` searches of `batch` probes, from the `first` batch on.
    pub(super) fn time(
        &mut self,
        peer: &str,
        batch: usize,
        first: usize,
        runs: usize,
    ) -> Result<Vec<u64>, Failure> {
        self.talk.say(&format!("time {peer} {batch} {first} {runs}"))?;
        self.talk.numbers("times")
    }

    /// Refuses a peer whose answers, in batches of `batch`, are not `ours`.
    ///
    /// The scores at or above the threshold must be the same numbers, and every row must be one
    /// that we found with that very score; where several rows have the score of the last place, any
    /// of them may stand there. A peer that rounds rows anew says by how much its scores may be
    /// off: its k-th score may then differ from ours by that much, and no row that it names may be
    /// better or worse than that allows.
    pub(super) fn verify(
        &mut self,
        peer: &str,
        batch: usize,
        threshold: i32,
        ours: &[RowHits],
    ) -> Result<(), Failure> {
        self.talk.say(&format!("answer {peer} {batch}"))?;
        self.talk.answer("answered")?;
        let dump = self.dump("answers.bin")?;
        let width = 2 * self.best + 1;
        let values: Vec<f64> =
            dump.as_chunks::<8>().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
        if values.len() != width * ours.len() {
            return Err(Failure::Peer(format!("{peer} answered {} values", values.len())));
        }
        for (probe, (theirs, ours)) in values.chunks_exact(width).zip(ours).enumerate() {
            let (pairs, off) = theirs.split_at(2 * self.best);
            let theirs: Vec<(u64, f64)> =
                pairs.chunks_exact(2).map(|pair| (pair[0] as u64, pair[1])).collect();
            agree(&theirs, off[0], f64::from(threshold), ours).map_err(|why| {
                Failure::Peer(format!("{peer}, probe {probe}: {why}; nothing was timed"))
            })?;
        }
        Ok(())
    }

    /// Refuses our accept sets where FAISS's range search finds others: the exact counts, and the
    /// rows themselves where ours are all listed.
    pub(super) fn verify_accepted(
        &mut self,
        threshold: i32,
        ours: &[RowHits],
    ) -> Result<(), Failure> {
        self.talk.say(&format!("range {threshold}"))?;
        let counts = self.talk.numbers("ranged")?;
        let dump = self.dump("accepted.bin")?;
        let mut rest: Vec<u64> =
            dump.as_chunks::<8>().0.iter().map(|&bytes| u64::from_le_bytes(bytes)).collect();
        for (probe, (count, ours)) in counts.iter().zip(ours).enumerate() {
            let theirs: Vec<u64> = rest.drain(..*count as usize).collect();
            let mut rows: Vec<u64> = ours.hits.iter().map(|hit| hit.row).collect();
            rows.sort_unstable();
            let listed = ours.certificate.accepted == ours.hits.len() as u64;
            if *count != ours.certificate.accepted || (listed && rows != theirs) {
                let held = ours.certificate.accepted;
                let why = format!("probe {probe}: we accept {held} rows, FAISS's ranges {count}");
                return Err(Failure::Peer(why));
            }
        }
        Ok(())
    }

    fn dump(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let path = self.folder.join(name);
        fs::read(&path).map_err(|error| Failure::File(path, error))
    }
}

/// Compares one answer with ours, whose hits at or above the threshold are the best of all.
fn agree(theirs: &[(u64, f64)], off: f64, threshold: f64, ours: &RowHits) -> Result<(), String> {
    let own =
        |row: u64| ours.hits.iter().find(|hit| hit.row == row).map(|hit| f64::from(hit.score.0));
    let above: Vec<&(u64, f64)> =
        theirs.iter().filter(|(_, score)| *score >= threshold + off).collect();
    let last = ours.hits.get(theirs.len() - 1).map(|hit| f64::from(hit.score.0));
    for &&(row, score) in &above {
        let tied = last.is_some_and(|last| (score - last).abs() <= off);
        match own(row) {
            Some(own) if (own - score).abs() <= off => {}
            None if tied => {}
            found => return Err(format!("row {row} has {score}, ours {found:?}")),
        }
    }
    // Whatever of ours is clearly above the threshold and the last place must be there.
    for hit in ours.hits.iter().take(theirs.len()) {
        let score = f64::from(hit.score.0);
        let clear = score >= threshold + 2.0 * off && last.is_none_or(|l| score > l + 2.0 * off);
        if clear && !above.iter().any(|(row, _)| *row == hit.row) {
            return Err(format!("row {} with {score} is missing", hit.row));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use portcullis::{ops::search::RowHit, types::Score};

    use super::*;

    fn ours(hits: &[(u64, i32)]) -> RowHits {
        let hit =
            |&(row, score): &(u64, i32)| RowHit { row, score: Score(score), subject: [0; 16] };
        RowHits { hits: hits.iter().map(hit).collect(), ..RowHits::default() }
    }

    #[test]
    fn equal_answers_agree_and_ties_may_stand_in_for_each_other() {
        let held = ours(&[(4, 90), (1, 80), (2, 80)]);
        assert_eq!(agree(&[(4, 90.0), (1, 80.0)], 0.0, 50.0, &held), Ok(()));
        assert_eq!(agree(&[(4, 90.0), (9, 80.0)], 0.0, 50.0, &held), Ok(()));
        assert!(agree(&[(4, 90.0), (9, 81.0)], 0.0, 50.0, &held).is_err());
        assert!(agree(&[(4, 91.0), (1, 80.0)], 0.0, 50.0, &held).is_err());
        assert!(agree(&[(1, 80.0), (2, 80.0)], 0.0, 50.0, &held).is_err());
        // Below the threshold nobody is asked.
        assert_eq!(agree(&[(4, 90.0), (7, 40.0)], 0.0, 85.0, &ours(&[(4, 90)])), Ok(()));
    }

    #[test]
    fn what_rounds_anew_may_be_off_by_what_it_says() {
        let held = ours(&[(4, 90), (1, 80)]);
        assert_eq!(agree(&[(4, 92.0), (1, 79.0)], 3.0, 50.0, &held), Ok(()));
        assert!(agree(&[(4, 96.0), (1, 79.0)], 3.0, 50.0, &held).is_err());
        assert!(agree(&[(1, 79.0), (7, 60.0)], 3.0, 50.0, &held).is_err());
    }
}
