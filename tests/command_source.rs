//! A program as a camera: ffmpeg draws a test picture and writes it as a camera's tool would. Its
//! frames arrive, its exit is noticed, it is started again, and it ends with its lane.

#![allow(clippy::disallowed_methods, reason = "waits for a real program")]

mod common;

use std::{
    fs,
    process::Command,
    sync::{Arc, mpsc},
    time::Duration,
};

use portcullis::{
    capture::{
        command::{Format, Invocation},
        lane::{Frame, LaneState, Tap},
        runner::{LanePlan, Lanes, SourcePlan},
    },
    limits::FRAME_PIXELS_MAX,
    meter::{LaneKind, Meter},
    pipeline::slot::SlotPool,
    time::{Clock, SystemClock},
};

const WIDTH_PX: u32 = 320;
const HEIGHT_PX: u32 = 240;
/// Far beyond what anything here takes: a test that fails by it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether ffmpeg can be called; a counted skip where it cannot.
fn has_ffmpeg(test: &str) -> bool {
    let found = Command::new("ffmpeg").arg("-version").output().is_ok();
    if !found {
        common::skip(test, "ffmpeg", "ffmpeg is not installed");
    }
    found
}

fn ffmpeg(format: Format, output: &[&str]) -> Invocation {
    let picture = format!("testsrc2=size={WIDTH_PX}x{HEIGHT_PX}:rate=50");
    let input = ["-loglevel", "quiet", "-re", "-f", "lavfi", "-i", &picture];
    let arguments = input.iter().chain(output).map(|&word| word.to_owned()).collect();
    Invocation { program: "ffmpeg".into(), arguments, format, silence_ms: 60_000 }
}

struct Stand {
    lanes: Lanes,
    meter: Arc<Meter>,
    slots: Arc<SlotPool>,
    woken: mpsc::Receiver<()>,
    tap: Option<Tap>,
}

impl Stand {
    fn new(invocation: Invocation) -> Self {
        let plan = LanePlan {
            name: "gate-1".parse().expect("a name"),
            source: SourcePlan::Command(invocation),
            deadline_ms: 1_000,
            external_detector: None,
        };
        let (slots, meter) = (SlotPool::new(2, FRAME_PIXELS_MAX * 3), Arc::new(Meter::new()));
        let clock = Arc::new(SystemClock::start()) as Arc<dyn Clock>;
        let lanes = Lanes::start(vec![plan], &slots, &clock, &meter);
        let lane = lanes.set().lane("gate-1").expect("configured");
        assert_eq!(lane.kind(), LaneKind::Command);
        let (wake, woken) = mpsc::sync_channel(1);
        let tap = lane.tap(Arc::new(move || {
            let _ = wake.try_send(());
        }));
        let tap = tap.expect("nobody looks");
        Self { lanes, meter, slots, woken, tap: Some(tap) }
    }

    /// The next frame.
    fn frame(&self) -> Frame {
        loop {
            if let Some(frame) = self.tap.as_ref().and_then(Tap::newest) {
                return frame;
            }
            self.woken.recv_timeout(PATIENCE).expect("the program delivers");
        }
    }

    /// Ends everything, and finds nothing left.
    fn end(mut self) {
        self.tap = None;
        self.lanes.stop();
        for lane in self.lanes.set().iter() {
            assert_eq!(lane.status().state, LaneState::Stopped);
        }
        assert_eq!((self.slots.free(), self.slots.residue_bytes()), (2, 0));
        assert_eq!(self.meter.account().in_flight(), 0);
    }
}

/// Programs that this process started and that still run, by the name of `word` in their command.
fn children(word: &str) -> usize {
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").expect("Linux").flatten().filter(|entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        after_name.split_whitespace().nth(1) == Some(&own)
            && String::from_utf8_lossy(&command).contains(word)
    });
    processes.count()
}

fn sees(format: Format, output: &[&str], test: &str) {
    if !has_ffmpeg(test) {
        return;
    }
    let stand = Stand::new(ffmpeg(format, output));
    let (mut last, mut before) = (0, Vec::new());
    for _ in 0..5 {
        let frame = stand.frame();
        let view = frame.captured.view();
        assert_eq!((view.width_px(), view.height_px()), (WIDTH_PX, HEIGHT_PX));
        assert!(frame.sequence > last, "frames come in order");
        assert_ne!(view.pixels(), before, "the picture moves");
        (last, before) = (frame.sequence, view.pixels().to_vec());
        // It is the test picture: bright colours, not noise and not black.
        assert!(before.iter().filter(|&&value| value > 200).count() > before.len() / 10);
    }
    stand.end();
}

#[test]
fn motion_jpeg_arrives() {
    sees(Format::Mjpeg, &["-c:v", "mjpeg", "-f", "mjpeg", "-"], "motion_jpeg_arrives");
}

#[test]
fn multipart_motion_jpeg_arrives() {
    let output = ["-c:v", "mjpeg", "-f", "mpjpeg", "-"];
    sees(Format::Mjpeg, &output, "multipart_motion_jpeg_arrives");
}

#[test]
fn raw_frames_arrive() {
    let format = Format::Rgb24 { width_px: WIDTH_PX, height_px: HEIGHT_PX };
    let output = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"];
    sees(format, &output, "raw_frames_arrive");
}

#[test]
fn a_program_that_ends_is_told_of_and_started_again() {
    if !has_ffmpeg("a_program_that_ends_is_told_of_and_started_again") {
        return;
    }
    let output = ["-frames:v", "2", "-c:v", "mjpeg", "-f", "mjpeg", "-"];
    let stand = Stand::new(ffmpeg(Format::Mjpeg, &output));
    let lane = stand.lanes.set().lane("gate-1").expect("configured");
    // Two frames a run: the fifth is one of the third run.
    while lane.status().frames < 5 {
        drop(stand.tap.as_ref().and_then(Tap::newest));
        stand.woken.recv_timeout(PATIENCE).expect("the lane tells of every change");
    }
    assert!(lane.status().restarts >= 2);
    stand.end();
}

#[test]
fn a_program_ends_with_its_lane() {
    if !has_ffmpeg("a_program_ends_with_its_lane") {
        return;
    }
    // Its own picture size tells it from those of the other tests.
    let word = "testsrc2=size=64x48";
    let arguments = ["-loglevel", "quiet", "-re", "-f", "lavfi", "-i", word];
    let output = ["-c:v", "mjpeg", "-f", "mjpeg", "-"];
    let invocation = Invocation {
        program: "ffmpeg".into(),
        arguments: arguments.iter().chain(&output).map(|&word| word.to_owned()).collect(),
        format: Format::Mjpeg,
        silence_ms: 60_000,
    };
    let stand = Stand::new(invocation);
    drop(stand.frame());
    assert_eq!(children(word), 1);
    stand.end();
    assert_eq!(children(word), 0);
}
