//! The other transports, each against the oracle and against an other end that misbehaves.

use std::{
    io::{self, Cursor},
    thread,
};

use portcullis::backend::fpga::{
    card::{Card, CardError},
    mapped::Mapped,
    packet::BEAT_BYTES,
    pipe::{Frame, Operation, Pipe},
    regs,
    sizes::Sizes,
};

use crate::{
    cases::{case, expect_oracle, layout},
    server::serve,
    shell::Shell,
    support::{cards::alone, dice::Dice},
};

const SIZES: Sizes = Sizes { probes: 4, best: 16, probe_beats: 8, tile_rows: 64 };
const CASES: usize = 60;

fn expect_oracles(card: impl Card + 'static, what: &str) {
    let dice = &mut Dice::thrown_for(what);
    let fpga = alone(card);
    for number in 0..CASES {
        let (layout, rows) = (layout(dice), dice.below(200));
        let probes = 1 + dice.below(SIZES.probes);
        let case = case(dice, layout, rows, probes, SIZES.best);
        expect_oracle(&fpga, &case, &format!("{what}, case {number}"));
    }
}

#[test]
fn a_card_in_a_window_is_the_oracle() {
    let card = Mapped::open(Shell::new(SIZES, 1 << 14), "a shell".to_owned());
    expect_oracles(card.expect("a shell"), "mapped");
}

#[test]
fn a_card_on_a_pipe_is_the_oracle() {
    let (requests_in, requests_out) = io::pipe().expect("a pipe");
    let (replies_in, replies_out) = io::pipe().expect("a pipe");
    thread::scope(|scope| {
        scope.spawn(|| serve(requests_in, replies_out, SIZES));
        let card = Pipe::open(replies_in, requests_out, "a pipe".to_owned());
        expect_oracles(card.expect("it answers"), "pipe");
    });
}

#[test]
fn a_window_on_something_else_or_on_a_deaf_shell_is_refused() {
    let mut stranger = Shell::new(SIZES, 4);
    stranger.identity = u32::MAX;
    let refused = Mapped::open(stranger, String::new()).err();
    assert!(matches!(refused, Some(CardError::Foreign { .. })), "{refused:?}");
    let mut deaf = Shell::new(SIZES, 4);
    deaf.is_deaf = true;
    let mut card = Mapped::open(deaf, String::new()).expect("a shell");
    let stuck = |doing| Err(CardError::Stuck { doing });
    let beat = [[0; BEAT_BYTES]];
    assert_eq!(card.stream(&beat, true), stuck("waiting for room in the packet stream"));
    assert_eq!(card.play(0..1, true), stuck("streaming card memory"));
    assert_eq!(card.results(1, &mut Vec::new()), stuck("waiting for results"));
    let outside = Err(CardError::Outside { from: 4, to: 5, beats: 4 });
    assert_eq!(card.store(4, &beat), outside);
    assert_eq!(card.erase(4..5), outside);
    assert_eq!(card.play(4..5, true), outside);
}

/// A pipe that already holds every reply.
fn told(replies: &[(Frame, &[u8])]) -> Result<Pipe<Cursor<Vec<u8>>, io::Sink>, CardError> {
    let memory = Frame { operation: Operation::Memory as u8, flags: 0, count: 64, address: 0 };
    let mut bytes = memory.bytes().to_vec();
    for (frame, payload) in replies {
        bytes.extend(frame.bytes());
        bytes.extend(*payload);
    }
    Pipe::open(Cursor::new(bytes), io::sink(), String::new())
}

#[test]
fn replies_that_do_not_fit_their_request_are_refused() {
    let reply = |operation: Operation, flags: u8, count: u32| Frame {
        operation: operation as u8,
        flags,
        count,
        address: 9,
    };
    let read = |frame: Frame, payload: &[u8]| {
        told(&[(frame, payload)]).expect("it told its memory").read(regs::STATUS)
    };
    assert_eq!(read(reply(Operation::Read, 0, 4), &[1, 2, 3, 4]), Ok(0x0403_0201));
    let register = regs::STATUS;
    assert_eq!(read(reply(Operation::Read, 4, 0), &[]), Err(CardError::Refused { register }));
    let foreign = |held: Result<u32, CardError>| matches!(held, Err(CardError::Foreign { .. }));
    assert!(foreign(read(reply(Operation::Read, 0, 5), &[1, 2, 3, 4, 5])));
    assert!(foreign(read(reply(Operation::Write, 0, 4), &[1, 2, 3, 4])));
    assert!(foreign(read(reply(Operation::Read, 2, 4), &[1, 2, 3, 4])));
    let stuck = read(reply(Operation::Read, 3, 0), &[]);
    assert_eq!(stuck, Err(CardError::Stuck { doing: "simulating" }));
    let closed = |held: Result<u32, CardError>| matches!(held, Err(CardError::Closed { .. }));
    assert!(closed(read(reply(Operation::Read, 0, 4), &[1, 2])));
    let mut silent = told(&[]).expect("it told its memory");
    assert!(closed(silent.read(regs::STATUS)));
    let mut many = told(&[(reply(Operation::Results, 0, u32::MAX), &[])]).expect("its memory");
    let refused = many.results(3, &mut Vec::new());
    assert!(matches!(refused, Err(CardError::Foreign { .. })), "nothing is allocated for it");
}
