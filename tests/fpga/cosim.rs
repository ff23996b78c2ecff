//! The Verilated RTL: as a card, beat for beat beside the twin under faults, and on vectors.
//!
//! `make -C hw cosim` builds the executable once for all tests here; a machine without Verilator
//! skips them, counted. The long form (`PORTCULLIS_LONG`) runs a thousand seeds instead of twenty.

use std::{
    fs,
    io::{BufReader, BufWriter},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, OnceLock, PoisonError},
};

use portcullis::{
    backend::{
        Backend, Tiles,
        fpga::{
            answer::ResultBeat,
            card::Card,
            packet::{BEAT_BYTES, Beat, KIND_COLD, KIND_FINISH, KIND_HOT},
            pipe::{Frame, Operation, Pipe},
            regs,
            sizes::Sizes,
            twin::Twin,
        },
    },
    ops::{search::scan, tile::TileLayout},
};

use crate::{
    cases::{Case, case, expect_oracle, layout},
    common,
    recorder::Recorder,
    support::{cards::alone, dice::Dice, gallery::Query},
};

type Simulated = Pipe<BufReader<ChildStdout>, BufWriter<ChildStdin>>;

/// Seeds of the short and of the long form.
fn seeds() -> usize {
    if std::env::var_os("PORTCULLIS_LONG").is_some() { 1000 } else { 20 }
}

fn hw() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("hw")
}

/// The executable; `None` after a counted skip of `test`.
fn executable(test: &str) -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        Command::new("verilator").arg("--version").output().ok()?;
        let arguments = ["cosim", "PROBES=16", "BEST=16"];
        let made = Command::new("make").arg("-s").arg("-C").arg(hw()).args(arguments).status();
        assert!(made.expect("make can be started").success(), "make -C hw cosim failed");
        Some(hw().join("build/cosim_p16_k16/cosim"))
    });
    if built.is_none() {
        common::skip(test, "verilator", "verilator is not installed");
    }
    built.as_deref()
}

/// A running simulation; ended when its pipe is dropped.
struct Simulation(Child);

impl Simulation {
    fn start(executable: &Path) -> (Self, Simulated) {
        let mut command = Command::new(executable);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the simulation can be started");
        let replies = BufReader::new(child.stdout.take().expect("piped"));
        let requests = BufWriter::new(child.stdin.take().expect("piped"));
        let pipe = Pipe::open(replies, requests, "Verilated RTL".to_owned());
        (Self(child), pipe.expect("the simulation answers"))
    }

    /// Waits for the end that a dropped pipe brings.
    fn ended(mut self) {
        let status = self.0.wait().expect("a child");
        assert!(status.success(), "the simulation ended with {status}");
    }
}

#[test]
fn the_rtl_is_the_oracle_under_random_stalls() {
    let test = "the_rtl_is_the_oracle_under_random_stalls";
    let Some(executable) = executable(test) else { return };
    for seed in 0..seeds() {
        let dice = &mut Dice::thrown_for(&format!("rtl {seed}"));
        let (simulation, mut card) = Simulation::start(executable);
        let stalls = |dice: &mut Dice| dice.pick(&[0, 0, 20, 128, 230]);
        let (idle, back) = (stalls(dice), stalls(dice));
        card.stall(idle, back, seed as u64).expect("it answers");
        let fpga = alone(card);
        let (layout, rows, probes) = (layout(dice), dice.below(150), 1 + dice.below(16));
        let case = case(dice, layout, rows, probes, 16);
        expect_oracle(&fpga, &case, &format!("seed {seed}, {layout:?}, {rows} rows"));
        drop(fpga);
        simulation.ended();
    }
}

#[test]
fn erased_sets_leave_zeros_in_the_simulated_memory() {
    let test = "erased_sets_leave_zeros_in_the_simulated_memory";
    let Some(executable) = executable(test) else { return };
    let (simulation, mut card) = Simulation::start(executable);
    let beats = [[7; BEAT_BYTES]; 5];
    let mut seen = Vec::new();
    card.store(3, &beats).expect("it has memory");
    card.erase(4..6).expect("it has memory");
    card.look(2..9, &mut seen).expect("it has memory");
    let kinds: Vec<u8> = seen.iter().map(|beat| beat[63]).collect();
    assert_eq!(kinds, [0, 7, 0, 0, 7, 7, 0]);
    drop(card);
    simulation.ended();
}

/// Values that a template may have: −128 never occurs.
fn template_bytes(dice: &mut Dice, count: usize) -> Vec<u8> {
    dice.bytes(count).into_iter().map(|byte| if byte == 0x80 { 0x81 } else { byte }).collect()
}

/// A packet as likely broken as not.
fn packet(dice: &mut Dice, layout: TileLayout) -> Vec<Beat> {
    let beats = layout.hot_dims.div_ceil(64);
    let rows: usize = dice.pick(&[0, 1, 2, 31, 32, 33, 64, 1025]);
    let kind = dice.pick(&[KIND_HOT, KIND_HOT, KIND_COLD, KIND_COLD, KIND_FINISH, 0, 4]);
    let each = dice.pick(&[0_u16, 0, 0xffff, 5]);
    let facts = if each == 0 { 0 } else { rows.div_ceil(2) };
    let due = match kind {
        KIND_HOT => 1 + facts + rows.div_ceil(32) + rows * beats,
        KIND_COLD => 1 + beats + (layout.dims - layout.hot_dims).div_ceil(64),
        _ => 1,
    };
    let length = match dice.below(3) {
        0 => 1 + dice.below(due + 2),
        _ => due,
    };
    let mut packet: Vec<Beat> =
        (0..length).map(|_| template_bytes(dice, BEAT_BYTES).try_into().expect("a beat")).collect();
    packet[0][0] = kind;
    packet[0][4..8].copy_from_slice(&(rows as u32 + dice.below(3) as u32).to_le_bytes());
    if kind == KIND_HOT {
        packet[0][4..8].copy_from_slice(&(rows as u32).to_le_bytes());
        packet[0][8..10].copy_from_slice(&each.to_le_bytes());
    }
    packet
}

/// What is seen of a card: its errors and every result since it was last asked.
fn seen(card: &mut dyn Card, results: usize) -> (u32, Vec<ResultBeat>) {
    let mut beats = Vec::new();
    card.results(results, &mut beats).expect("as many as the twin gave");
    (card.read(regs::ERRORS).expect("a register"), beats)
}

#[test]
fn the_rtl_is_the_twin_fault_for_fault() {
    let test = "the_rtl_is_the_twin_fault_for_fault";
    let Some(executable) = executable(test) else { return };
    for seed in 0..seeds() {
        let dice = &mut Dice::thrown_for(&format!("faults {seed}"));
        let (simulation, mut rtl) = Simulation::start(executable);
        let mut twin = Twin::new(Sizes::DEFAULT);
        rtl.stall(dice.pick(&[0, 100]), dice.pick(&[0, 100]), seed as u64).expect("it answers");
        let layout = TileLayout { hot_dims: dice.pick(&[64, 128]), dims: 192, rows: 32 };
        let words = dice.below(3) as u32;
        let shape = [layout.hot_dims / 64, (layout.dims - layout.hot_dims) / 64];
        let sound = (shape[0] | shape[1] << 8) as u32;
        let mut setup = vec![
            (regs::CONTROL, regs::RESET),
            (regs::LAYOUT, if words == 0 { dice.pick(&[0, 33, 0x1f02]) } else { sound }),
            (regs::ACTIVE, dice.pick(&[0xffff, 1, 0x8421])),
        ];
        for probe in 0..16 {
            setup.push((regs::PROBE_ADDRESS, probe << 8));
            let values = template_bytes(dice, 64 * 3);
            let four = values.as_chunks().0.iter();
            setup.extend(four.map(|&four| (regs::PROBE_DATA, u32::from_le_bytes(four))));
            for fact in 0..8 {
                let at = regs::PROBE + probe as u16 * regs::PROBE_STRIDE + fact * 4;
                let word = u32::from_le_bytes(dice.bytes(4).try_into().expect("a word"));
                setup.push((at, if fact == 0 { word >> 12 } else { word }));
            }
        }
        for &(register, word) in &setup {
            twin.write(register, word).expect("an idle core");
        }
        rtl.write(&setup[..1]).expect("a reset");
        rtl.results(0, &mut Vec::new()).expect("idle");
        rtl.write(&setup[1..]).expect("an idle core");
        for number in 0..40 {
            let packet = packet(dice, layout);
            for (at, beat) in packet.iter().enumerate() {
                twin.take(beat, at + 1 == packet.len());
            }
            rtl.stream(&packet, true).expect("it takes every packet");
            let due: Vec<ResultBeat> = twin.results().collect();
            let told = seen(&mut rtl, due.len());
            let errors = twin.read(regs::ERRORS).expect("a register");
            let what = format!("seed {seed}, packet {number}, {} beats", packet.len());
            assert_eq!(told.0, errors, "{what}: errors {}", regs::error_names(told.0 ^ errors));
            assert!(told.1 == due, "{what}: the results differ");
            for card_word in [regs::BEATS_LOW, regs::STATUS] {
                assert_eq!(rtl.read(card_word).ok(), twin.read(card_word).ok(), "{what}");
            }
            if dice.below(4) == 0 {
                let cleared = (regs::ERRORS, u32::MAX);
                twin.write(cleared.0, cleared.1).expect("always");
                rtl.write(&[cleared]).expect("always");
            }
        }
        drop(rtl);
        simulation.ended();
    }
}

/// Writes the vectors of one search, streamed or from card memory; the twin's answers must be the
/// oracle's before anything is compared with them.
fn vectors(case: &Case, sizes: Sizes, is_pinned: bool) -> Vec<u8> {
    let probes: Vec<_> = case.queries.iter().map(Query::probe).collect();
    let truth = scan(&probes, case.source.as_ref()).expect("every tile opens");
    let (recorder, bytes) = Recorder::new(sizes);
    let fpga = alone(recorder);
    let tiles = if is_pinned {
        Tiles::Pinned(fpga.pin(&case.source).expect("it opens"))
    } else {
        Tiles::Source(Arc::clone(&case.source))
    };
    assert_eq!(fpga.search(&probes, &tiles).expect("it answers"), truth);
    drop((tiles, fpga));
    Arc::try_unwrap(bytes)
        .expect("nobody records")
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Whether the RTL answers as `bytes` say; `is_tight` also holds its clocks to the beats.
fn is_matched(executable: &Path, name: &str, bytes: &[u8], is_tight: bool) -> bool {
    let folder = hw().join("build/vectors");
    fs::create_dir_all(&folder).expect("the build folder");
    let file = folder.join(name);
    fs::write(&file, bytes).expect("the build folder");
    let mut command = Command::new(executable);
    command.arg("--play").arg(&file);
    if is_tight {
        command.arg("--tight");
    }
    command.status().expect("it can be started").success()
}

#[test]
fn vectors_of_fifty_thousand_records_and_sixteen_probes_are_matched() {
    let test = "vectors_of_fifty_thousand_records_and_sixteen_probes_are_matched";
    let Some(executable) = executable(test) else { return };
    let dice = &mut Dice::thrown_for(test);
    // hot and cold of a 128-value embedder, in tiles as galleries have them
    let layout = TileLayout { dims: 128, hot_dims: 96, rows: 1024 };
    let full = case(dice, layout, 50_000, 16, 16);
    let bytes = vectors(&full, Sizes::DEFAULT, true);
    assert!(is_matched(executable, "full.bin", &bytes, true), "a beat per clock, all right");
    for seed in 1..seeds() {
        let dice = &mut Dice::thrown_for(&format!("vectors {seed}"));
        let (layout, rows) = (layout_of(dice), 200 + dice.below(1500));
        let few = case(dice, layout, rows, 16, 16);
        let bytes = vectors(&few, Sizes::DEFAULT, dice.coin());
        assert!(is_matched(executable, "few.bin", &bytes, false), "seed {seed}");
    }
}

/// The bench can fail: an expected answer with one bit wrong is told.
#[test]
fn vectors_with_a_wrong_bit_are_not_matched() {
    let test = "vectors_with_a_wrong_bit_are_not_matched";
    let Some(executable) = executable(test) else { return };
    let dice = &mut Dice::thrown_for(test);
    let layout = TileLayout { dims: 100, hot_dims: 64, rows: 64 };
    let few = case(dice, layout, 100, 16, 16);
    let mut bytes = vectors(&few, Sizes::DEFAULT, false);
    assert!(is_matched(executable, "right.bin", &bytes, false));
    // The last candidate of the last list stands before the marks of the answer's 37 beats and the
    // frames that wait until the probes are wiped.
    let head = Frame::request(Operation::Results, 37, 0, false).bytes();
    let answer = bytes.windows(head.len()).rposition(|window| window == head);
    let last = answer.expect("an answer to a finish packet") + head.len() + 37 * BEAT_BYTES - 1;
    bytes[last] ^= 1;
    assert!(!is_matched(executable, "wrong.bin", &bytes, false));
}

/// Longer rows and tiles than the other tests have.
fn layout_of(dice: &mut Dice) -> TileLayout {
    let TileLayout { dims, hot_dims, .. } = layout(dice);
    TileLayout { dims, hot_dims, rows: dice.pick(&[33, 100, 1024]) }
}
