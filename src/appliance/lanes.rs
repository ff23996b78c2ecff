//! From a lane's configuration to a lane.

use super::Appliance;
use crate::{
    capture::{
        Encoded,
        command::{Format, Invocation},
        runner::{LanePlan, SourcePlan},
    },
    command::{Answer, EncodedImage, Refusal},
    config::{FormatName, LaneKeys, Limits, SourceName},
    meter::Offered,
    types::LaneId,
};

/// The lane of `keys`, which were checked.
pub(super) fn plan(keys: &LaneKeys, limits: &Limits) -> LanePlan {
    let source = match keys.source {
        SourceName::Http => SourcePlan::Http,
        SourceName::Directory => SourcePlan::Directory {
            folder: keys.directory.clone(),
            period_us: (1e6 / keys.frames_per_second) as u64,
        },
        SourceName::Command => {
            let (program, arguments) = keys.command.split_first().expect("checked: it has words");
            let (width_px, height_px) = (keys.width_px, keys.height_px);
            SourcePlan::Command(Invocation {
                program: program.clone(),
                arguments: arguments.to_vec(),
                format: match keys.format {
                    FormatName::Mjpeg => Format::Mjpeg,
                    FormatName::Rgb24 => Format::Rgb24 { width_px, height_px },
                },
                silence_ms: keys.silence_ms,
            })
        }
    };
    let detector = &keys.external_detector;
    LanePlan {
        name: keys.name.parse().expect("checked: it is a name"),
        source,
        deadline_ms: if keys.deadline_ms == 0 { limits.deadline_ms } else { keys.deadline_ms },
        external_detector: (!detector.is_empty()).then(|| detector.clone()),
    }
}

impl Appliance {
    /// A frame that a gate controller pushes.
    pub(super) fn push_frame(
        &self,
        name: &LaneId,
        frame: EncodedImage,
        external_attack: Option<f32>,
        offered: Offered,
    ) -> Result<Answer, Refusal> {
        let lane = self.lanes.set().lane(name.as_str());
        let lane = lane.ok_or_else(|| Refusal::UnknownLane { lane: name.clone() })?;
        let taken = lane.push(Encoded::new(frame.into_bytes()), external_attack, offered)?;
        Ok(Answer::FrameTaken { lane: name.clone(), taken })
    }
}
