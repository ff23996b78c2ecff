//! A real process that enrols and erases, killed at random moments: nothing that it acknowledged is
//! lost, nothing that it erased returns.
//!
//! The child is this test binary again. It says on a pipe when it begins an operation and when it
//! is done; what it does follows from the round's seed and from who is enrolled, so that this side
//! knows what it was about without being told.

use std::{
    env,
    io::{BufRead, BufReader, Write, stdout},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use portcullis::gallery::Enrolment;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::{
    people::{Act, People, Reference, compare, seen},
    site::{Site, is_long},
};

const FOLDER: &str = "PORTCULLIS_TEST_KILL_FOLDER";
const SEED: &str = "PORTCULLIS_TEST_KILL_SEED";
/// More operations than a round lives to do.
const ACTS: u64 = 100_000;
/// Enrolled at most, so that a round's cost does not grow.
const PEOPLE_MAX: usize = 60;

/// Operation `number` of a round, if `people` are enrolled.
fn act(seed: u64, number: u64, people: &People) -> Act {
    let mut random = ChaCha8Rng::seed_from_u64(seed.wrapping_mul(1_000_003) + number);
    let drawn = random.next_u32();
    let enrolled: Vec<u32> = people.numbers().collect();
    if enrolled.is_empty() || (drawn % 10 < 6 && enrolled.len() < PEOPLE_MAX) {
        let newcomers = 1 + random.next_u32() % 3;
        let newcomer = |_| {
            let reference = Reference { seed: random.next_u64(), enrolment: Enrolment::default() };
            (random.next_u32(), vec![reference])
        };
        return Act::Enrol((0..newcomers).map(newcomer).collect());
    }
    let number = enrolled[random.next_u32() as usize % enrolled.len()];
    match drawn % 10 {
        0 => Act::Restrict(number, random.next_u32() & 1 == 1),
        1 => Act::Rotate,
        _ => Act::Erase(number),
    }
}

/// The child's whole life; never run by itself.
#[test]
#[ignore = "the child of `a_killed_process_loses_nothing_and_brings_nobody_back`"]
fn the_child() {
    #[expect(clippy::disallowed_methods, reason = "a child is told by its environment")]
    let word = |name: &str| env::var(name).expect("set by the parent");
    let site = Site::in_folder(Path::new(&word(FOLDER)));
    let seed: u64 = word(SEED).parse().expect("a number");
    let gallery = site.open().expect("it opens");
    let mut people = People::of(seen(gallery.source().as_ref()).expect("it can be read"));
    let mut said = stdout().lock();
    let mut say = |word: &str, number: u64| {
        // One write each: a line is on the pipe whole or not at all.
        said.write_all(format!("\n{word} {number}\n").as_bytes()).expect("the parent listens");
        said.flush().expect("the parent listens");
    };
    for number in 0..ACTS {
        let act = act(seed, number, &people);
        say("begins", number);
        act.to_gallery(&gallery).expect("the disk is well");
        people.act(&act);
        say("done", number);
    }
}

fn spawn(folder: &Path, seed: u64) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(env::current_exe().expect("this binary"))
        .args(["--ignored", "--exact", "kill::the_child", "--nocapture", "--test-threads", "1"])
        .env(FOLDER, folder)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the child starts");
    let said = BufReader::new(child.stdout.take().expect("piped"));
    (child, said)
}

/// What the child said: the last operation that it began, and the last that it acknowledged.
#[derive(Debug, Default, PartialEq)]
struct Said {
    began: Option<u64>,
    done: Option<u64>,
}

impl Said {
    fn hear(&mut self, line: &str) {
        match line.trim().split_once(' ').map(|(word, number)| (word, number.parse())) {
            Some(("begins", Ok(number))) => self.began = Some(number),
            Some(("done", Ok(number))) => self.done = Some(number),
            _ => {} // the test runner's own words
        }
    }
}

/// Lets the child work, kills it somewhere in an operation, and hears what it said before.
fn round(folder: &Path, seed: u64) -> Said {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut child, mut output) = spawn(folder, seed);
    let (mut said, mut line) = (Said::default(), String::new());
    let last = u64::from(random.next_u32() % 40);
    while said.began.is_none_or(|began| began < last) {
        line.clear();
        assert_ne!(output.read_line(&mut line).expect("a pipe"), 0, "the child ended by itself");
        said.hear(&line);
    }
    pause(Duration::from_micros(u64::from(random.next_u32() % 3_000)));
    child.kill().expect("it runs"); // SIGKILL
    child.wait().expect("it ends");
    for line in output.lines() {
        said.hear(&line.expect("text"));
    }
    said
}

#[expect(clippy::disallowed_methods, reason = "a kill comes at any moment")]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

#[test]
fn a_killed_process_loses_nothing_and_brings_nobody_back() {
    let rounds = if is_long() { 200 } else { 20 };
    let folder = tempfile::tempdir().expect("a folder");
    let mut people = People::default();
    drop(Site::in_folder(folder.path()).create().expect("a new gallery"));
    let mut acknowledged = 0;
    for seed in 0..rounds {
        let said = round(folder.path(), seed);
        let done = said.done.map_or(0, |last| last + 1);
        acknowledged += done;
        for number in 0..done {
            let act = act(seed, number, &people);
            assert!(people.act(&act), "acknowledged, so allowed");
        }
        let mut after = people.clone();
        if said.began == Some(done) {
            after.act(&act(seed, done, &people));
        }
        let site = Site::in_folder(folder.path());
        let gallery = site.open().unwrap_or_else(|error| panic!("round {seed}, {said:?}: {error}"));
        let [was, is] = [&people, &after].map(|people| compare(&gallery, people));
        match (was, is) {
            (_, Ok(())) => people = after,
            (Ok(()), Err(_)) => {}
            (Err(was), Err(is)) => panic!("round {seed}, {said:?}: {was}; nor {is}"),
        }
        site.settled(&gallery).unwrap_or_else(|left| panic!("round {seed}, {said:?}: {left}"));
        let report = gallery.verify(&mut |_, _| {}).expect("it can be verified");
        assert!(report.faults.is_empty(), "round {seed}: {} faults", report.faults.len());
    }
    println!("{rounds} kills, {acknowledged} operations acknowledged before them");
}
