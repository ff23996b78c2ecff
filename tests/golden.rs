//! Golden decisions: `tests/golden/decisions.txt`, a table that a lawyer can read, against the
//! rules.

use portcullis::{
    policy::{AttackRule, Guards, Policy},
    types::{
        Action, Asked, Attack, Caller, CaptureFact, ComparisonFact, EngineFact, Facts,
        IdentificationFact, Obligation, Obligations, Outcome, Purpose, Role, Score,
    },
};

const TABLE: &str = include_str!("golden/decisions.txt");

struct Case {
    rule: AttackRule,
    facts: Facts,
    expected: String,
}

fn action(word: &str) -> Action {
    match word {
        "verify" => Action::Verify,
        "identify" => Action::Identify,
        "enrol" => Action::Enrol,
        "embed" => Action::Embed,
        other => panic!("no such action: {other}"),
    }
}

fn purpose(word: &str) -> Purpose {
    match word {
        "access" => Purpose::AccessControl,
        "boarding" => Purpose::Boarding,
        "border" => Purpose::BorderControl,
        "evaluation" => Purpose::Evaluation,
        "watchlist" => Purpose::Watchlist,
        other => panic!("no such purpose: {other}"),
    }
}

fn capture(word: &str) -> CaptureFact {
    match word {
        "usable" => CaptureFact::Usable,
        "noface" => CaptureFact::NoFace,
        "several" => CaptureFact::SeveralFaces,
        "small" => CaptureFact::FaceTooSmall,
        "offcentre" => CaptureFact::OffCentre,
        "poor" => CaptureFact::PoorQuality,
        other => panic!("no such capture: {other}"),
    }
}

fn engine(word: &str) -> EngineFact {
    match word {
        "sound" => EngineFact::Sound,
        "late" => EngineFact::Late,
        "lost" => EngineFact::Lost,
        other => panic!("no such engine: {other}"),
    }
}

/// `score/threshold` or `-/threshold`, and the reference's capture behind an `@`.
fn comparison(text: &str) -> ComparisonFact {
    let (numbers, reference) = text.split_once('@').unwrap_or((text, "usable"));
    let (score, threshold) = numbers.split_once('/').expect("score/threshold");
    ComparisonFact {
        reference: capture(reference),
        document: None,
        score: (score != "-").then(|| Score(score.parse().expect("a score"))),
        threshold: Score(threshold.parse().expect("a threshold")),
    }
}

fn answers(text: &str) -> (Vec<ComparisonFact>, Option<IdentificationFact>) {
    let (mut comparisons, mut identification) = (Vec::new(), None);
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        match word {
            "unsearched" => {}
            "found" | "stale" => {
                let candidates = words.next().expect("a number").parse().expect("a number");
                let current = word == "found";
                identification = Some(IdentificationFact { candidates, doubtful: 0, current });
            }
            text => comparisons.push(comparison(text)),
        }
    }
    (comparisons, identification)
}

fn case(line: &str) -> Case {
    let (given, expected) = line.split_once("=>").expect("facts => verdict");
    let (asked, found) = given.split_once(':').expect("what is asked : what was found");
    let (act, why) = asked.trim().split_once(' ').expect("action purpose");
    let parts: Vec<&str> = found.split(';').map(str::trim).collect();
    let [probe, attack, answered, machine] = parts[..] else {
        panic!("four parts: {line}");
    };
    let (rule, attack) = match attack.strip_prefix("required! ") {
        Some(rest) => (AttackRule::Required, rest),
        None => (AttackRule::NotRequired, attack),
    };
    let attack = match attack {
        "none" => Attack::NotPerformed,
        score => Attack::Score(score.parse().expect("a score")),
    };
    let (comparisons, identification) = answers(answered);
    let client = "lane-1".parse().expect("a name");
    let caller = Caller { role: Role::Gate, client };
    let (action, purpose) = (action(act), purpose(why));
    let asked = Asked { caller, action, purpose, gallery: None, at_lane: None, subject: None };
    let (probe, engine) = (capture(probe), engine(machine));
    let owed = Obligations::NONE;
    let facts = Facts { asked, owed, probe, attack, comparisons, identification, engine };
    Case { rule, facts, expected: expected.trim().to_owned() }
}

fn cases() -> impl Iterator<Item = (usize, Case)> {
    let lines = (1..).zip(TABLE.lines());
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(at, line)| (at, case(line)))
}

#[test]
fn the_rules_answer_as_the_table_says() {
    for (line, case) in cases() {
        let verdict = Guards::new(case.rule).decide(&case.facts);
        let codes: Vec<&str> = verdict.reasons.iter().map(|reason| reason.code).collect();
        let told = format!("{} {}", verdict.outcome, codes.join(" "));
        assert_eq!(told, case.expected, "line {line} of tests/golden/decisions.txt");
        let calls = verdict.obligations.contains(&Obligation::NotifyOfficer);
        assert_eq!(calls, verdict.outcome == Outcome::Refer, "line {line}");
    }
}

#[test]
fn every_code_is_met_and_every_outcome_too() {
    let (mut codes, mut outcomes) = (Vec::new(), [0; 3]);
    for (_, case) in cases() {
        let verdict = Guards::new(case.rule).decide(&case.facts);
        outcomes[verdict.outcome as usize] += 1;
        codes.extend(verdict.reasons.iter().map(|reason| reason.code));
    }
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(
        codes.len(),
        27,
        "a rule without a line in the table, or a line too many: {codes:?}"
    );
    assert!(outcomes.iter().all(|&count| count > 5), "{outcomes:?}");
}
