//! Frames that a gate controller pushes, one per request.
//!
//! A push is answered when the frame is in the lane, not when it has been judged: the controller's
//! camera goes on. Only the picture's header is read before, so that a controller that sends
//! something else hears of it; the pixels are decoded when whoever serves the traveller asks for
//! them.

use super::{
    Encoded,
    lane::{Lane, LaneState, Taken},
};
use crate::{
    document::image::{self, ImageError},
    meter::{LaneKind, Offered, Shed},
    types::LaneId,
};

/// Why a pushed frame was not taken; it is zeroed already.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PushRefused {
    /// The lane's frames come from elsewhere.
    #[error(
        "lane {lane} takes its frames from a {source_kind} source; only `http` lanes take pushes"
    )]
    NotPushed {
        /// The lane.
        lane: LaneId,
        /// Where they come from.
        source_kind: &'static str,
    },
    /// It is no picture that may be decoded.
    #[error(transparent)]
    Image(ImageError),
    /// A detector's result came for a lane whose configuration names no detector.
    #[error("lane {lane} names no external detector, so none is believed; set `external_detector`")]
    DetectorUnknown {
        /// The lane.
        lane: LaneId,
    },
    /// A detector's result that is none.
    #[error("an attack score of {score}; it lies in [0, 1], 0 bona fide and 1 attack")]
    DetectorScore {
        /// What came.
        score: f32,
    },
    /// The appliance is going down.
    #[error("the appliance is stopping and takes no more frames")]
    Stopping,
}

impl Lane {
    /// Takes a pushed frame, with what the lane's external detector said of it. Whatever becomes of
    /// it, `offered` is settled by it.
    ///
    /// # Errors
    /// [`PushRefused`].
    pub fn push(
        &self,
        picture: Encoded,
        external_attack: Option<f32>,
        offered: Offered,
    ) -> Result<Taken, PushRefused> {
        if self.kind() != LaneKind::Http {
            let source_kind = self.kind().name();
            return Err(PushRefused::NotPushed { lane: self.name().clone(), source_kind });
        }
        if self.status().state == LaneState::Stopped {
            offered.shed(Shed::Stopping);
            return Err(PushRefused::Stopping);
        }
        if let Some(score) = external_attack {
            if self.terms().external_detector.is_none() {
                return Err(PushRefused::DetectorUnknown { lane: self.name().clone() });
            }
            if !(0.0..=1.0).contains(&score) {
                return Err(PushRefused::DetectorScore { score });
            }
        }
        if let Err(error) = image::header(picture.bytes()) {
            self.unreadable(offered);
            return Err(PushRefused::Image(error));
        }
        Ok(self.keep(picture, external_attack, offered))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        capture::lane::LaneTerms, meter::Meter, pipeline::slot::SlotPool, time::SimulatedClock,
    };

    /// A grey picture of 2 by 2 pixels.
    fn png() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 2, 2);
        encoder.set_color(png::ColorType::Rgb);
        let mut writer = encoder.write_header().expect("a header");
        writer.write_image_data(&[90; 12]).expect("twelve values");
        writer.finish().expect("written to memory");
        bytes
    }

    fn lane(kind: LaneKind, detector: Option<&str>) -> (Arc<Lane>, Arc<Meter>) {
        let meter = Arc::new(Meter::new());
        let terms = LaneTerms {
            name: "gate-1".parse().expect("a name"),
            kind,
            deadline_ms: 1,
            external_detector: detector.map(str::to_owned),
        };
        let clock = Arc::new(SimulatedClock::at(0));
        let lane = Lane::new(terms, SlotPool::new(1, 64), clock, Arc::clone(&meter));
        (lane, meter)
    }

    #[test]
    fn a_frame_and_its_detectors_result_travel_together() {
        let (lane, meter) = lane(LaneKind::Http, Some("vendor-x"));
        let push = |attack| lane.push(Encoded::new(png()), attack, Offered::new(&meter));
        let untapped = push(None).expect("taken");
        assert_eq!(untapped, Taken { sequence: 1, kept: false });
        let tap = lane.tap(Arc::new(|| {})).expect("nobody looks");
        let kept = push(Some(0.25)).expect("taken");
        assert_eq!(kept, Taken { sequence: 2, kept: true });
        let frame = tap.newest().expect("the newest");
        assert_eq!((frame.sequence, frame.external_attack), (2, Some(0.25)));
        assert_eq!(frame.captured.view().pixels(), [90; 12]);
        drop((frame, tap));
        assert_eq!(meter.account().in_flight(), 0);
    }

    #[test]
    fn what_is_no_push_is_refused_told_why_and_counted() {
        let push = |(lane, meter): &(Arc<Lane>, Arc<Meter>), bytes: Vec<u8>, attack| {
            let refused = lane.push(Encoded::new(bytes), attack, Offered::new(meter));
            let account = meter.account();
            assert_eq!(account.offered, account.sheds.iter().sum::<u64>(), "{refused:?}");
            refused
        };
        let other = lane(LaneKind::Directory, None);
        let refused = push(&other, png(), None);
        assert!(matches!(refused, Err(PushRefused::NotPushed { source_kind: "directory", .. })));
        let plain = lane(LaneKind::Http, None);
        let refused = push(&plain, png(), Some(0.1));
        assert!(matches!(refused, Err(PushRefused::DetectorUnknown { .. })));
        let refused = push(&plain, b"text".to_vec(), None);
        assert!(matches!(refused, Err(PushRefused::Image(_))));
        let account = plain.1.account();
        assert_eq!((account.shed(Shed::Refused), account.shed(Shed::Unreadable)), (1, 1));
        let named = lane(LaneKind::Http, Some("vendor-x"));
        for score in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
            let refused = push(&named, png(), Some(score));
            assert!(matches!(refused, Err(PushRefused::DetectorScore { .. })), "{score}");
        }
        named.0.becomes(LaneState::Stopped);
        assert_eq!(push(&named, png(), None), Err(PushRefused::Stopping));
        assert_eq!(named.1.account().shed(Shed::Stopping), 1);
    }
}
