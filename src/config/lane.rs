//! `[[lane]]`: one camera and one gate each.

use std::{collections::BTreeSet, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::{
    limits::{
        DEADLINE_MS_MAX, FRAME_EDGE_PX_MAX, FRAME_PIXELS_MAX, LANE_RATE_MAX,
        LANE_SILENCE_MS_DEFAULT, LANES_MAX,
    },
    types::LaneId,
};

/// `[[lane]]`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LaneKeys {
    /// Its name, as it stands in paths of the API.
    pub name: String,
    /// Where its frames come from.
    pub source: SourceName,
    /// Source `directory`: the folder.
    #[serde(default)]
    pub directory: PathBuf,
    /// Source `directory`: photographs per second.
    #[serde(default = "LaneKeys::frames_per_second_default")]
    pub frames_per_second: f64,
    /// Source `command`: the program and its arguments; no shell reads them.
    #[serde(default)]
    pub command: Vec<String>,
    /// Source `command`: what the program writes.
    #[serde(default)]
    pub format: FormatName,
    /// Format `rgb24`: width of a frame in pixels.
    #[serde(default)]
    pub width_px: u32,
    /// Format `rgb24`: height of a frame in pixels.
    #[serde(default)]
    pub height_px: u32,
    /// Source `command`: time without a frame after which the program is started anew.
    #[serde(default = "LaneKeys::silence_ms_default")]
    pub silence_ms: u64,
    /// Time that a request at this lane may take when it names no deadline; 0 for
    /// limits.deadline_ms.
    #[serde(default)]
    pub deadline_ms: u64,
    /// The presentation attack detector outside this appliance whose result comes with each frame;
    /// empty for none.
    #[serde(default)]
    pub external_detector: String,
}

/// Where a lane's frames come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceName {
    /// A gate controller pushes them.
    Http,
    /// A folder of photographs.
    Directory,
    /// A program.
    Command,
}

/// What a program writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FormatName {
    /// JPEG pictures, one after the other.
    #[default]
    Mjpeg,
    /// Packed 8-bit RGB frames.
    Rgb24,
}

impl LaneKeys {
    fn frames_per_second_default() -> f64 {
        10.0
    }

    fn silence_ms_default() -> u64 {
        LANE_SILENCE_MS_DEFAULT
    }

    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key, value: String, why: &str| {
            let why = format!("lane {}: {why}", self.name);
            Err(ConfigError::Value { key, value, why })
        };
        if let Err(error) = self.name.parse::<LaneId>() {
            return refuse("lane.name", self.name.clone(), &error.to_string());
        }
        let (is_directory, is_command) =
            (self.source == SourceName::Directory, self.source == SourceName::Command);
        if is_directory == self.directory.as_os_str().is_empty() {
            let why = "the source directory needs it, and no other source has one";
            return refuse("lane.directory", self.directory.display().to_string(), why);
        }
        if !(self.frames_per_second > 0.0 && self.frames_per_second <= LANE_RATE_MAX) {
            let why = format!("above 0 and at most {LANE_RATE_MAX}");
            return refuse("lane.frames_per_second", self.frames_per_second.to_string(), &why);
        }
        let names_program = self.command.first().is_some_and(|program| !program.is_empty());
        if is_command != names_program {
            let why = "the source command needs a program and its arguments as a list, and no \
                       other source has one";
            // What stands in a command may be a camera's password: it is not repeated.
            return refuse("lane.command", format!("[{} words]", self.command.len()), why);
        }
        self.check_frame()?;
        for (key, held) in
            [("lane.deadline_ms", self.deadline_ms), ("lane.silence_ms", self.silence_ms)]
        {
            if held > DEADLINE_MS_MAX || (held == 0 && key == "lane.silence_ms") {
                return refuse(key, held.to_string(), &format!("at most {DEADLINE_MS_MAX}"));
            }
        }
        Ok(())
    }

    fn check_frame(&self) -> Result<(), ConfigError> {
        let (width_px, height_px) = (self.width_px, self.height_px);
        let is_raw = self.source == SourceName::Command && self.format == FormatName::Rgb24;
        let edges = 1..=FRAME_EDGE_PX_MAX;
        let pixels = u64::from(width_px) * u64::from(height_px);
        let fits = edges.contains(&width_px)
            && edges.contains(&height_px)
            && pixels <= FRAME_PIXELS_MAX as u64;
        if (is_raw && fits) || (!is_raw && pixels == 0) {
            return Ok(());
        }
        let why = format!(
            "lane {}: the format rgb24 needs width_px and height_px of a frame of at most \
             {FRAME_PIXELS_MAX} pixels, and no other format has them",
            self.name
        );
        let value = format!("{width_px} x {height_px}");
        Err(ConfigError::Value { key: "lane.width_px", value, why })
    }
}

/// Whether every lane can be run, and none has another's name.
pub(super) fn check(lanes: &[LaneKeys]) -> Result<(), ConfigError> {
    if lanes.len() > LANES_MAX {
        let why = format!("an appliance has at most {LANES_MAX} lanes");
        return Err(ConfigError::Value { key: "lane", value: lanes.len().to_string(), why });
    }
    let mut names = BTreeSet::new();
    for lane in lanes {
        lane.check()?;
        if !names.insert(lane.name.as_str()) {
            let why = "two lanes have this name".to_owned();
            return Err(ConfigError::Value { key: "lane.name", value: lane.name.clone(), why });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, ConfigError};

    fn check(text: &str) -> Result<(), ConfigError> {
        let text = format!("[site]\nevaluation_lanes = true\n{text}");
        Config::parse(&text, "a.toml").expect("known keys").check()
    }

    #[test]
    fn each_source_is_given_what_it_needs_and_nothing_else() {
        for text in [
            "name = \"a\"\nsource = \"http\"\nexternal_detector = \"vendor-x\"\ndeadline_ms = 500",
            "name = \"a\"\nsource = \"directory\"\ndirectory = \"/faces\"\nframes_per_second = 2.5",
            "name = \"a\"\nsource = \"command\"\ncommand = [\"ffmpeg\", \"-i\", \"x\"]",
            "name = \"a\"\nsource = \"command\"\ncommand = [\"cam\"]\nformat = \"rgb24\"\n\
             width_px = 1280\nheight_px = 720",
        ] {
            assert_eq!(check(&format!("[[lane]]\n{text}\n")), Ok(()), "{text}");
        }
        for (text, key) in [
            ("name = \"A\"\nsource = \"http\"", "lane.name"),
            ("name = \"a\"\nsource = \"http\"\ndirectory = \"/faces\"", "lane.directory"),
            ("name = \"a\"\nsource = \"directory\"", "lane.directory"),
            ("name = \"a\"\nsource = \"command\"", "lane.command"),
            ("name = \"a\"\nsource = \"http\"\ncommand = [\"cam\"]", "lane.command"),
            ("name = \"a\"\nsource = \"http\"\nframes_per_second = 0.0", "lane.frames_per_second"),
            ("name = \"a\"\nsource = \"http\"\ndeadline_ms = 60001", "lane.deadline_ms"),
            ("name = \"a\"\nsource = \"http\"\nsilence_ms = 0", "lane.silence_ms"),
            (
                "name = \"a\"\nsource = \"command\"\ncommand = [\"cam\"]\nformat = \"rgb24\"",
                "lane.width_px",
            ),
            (
                "name = \"a\"\nsource = \"command\"\ncommand = [\"cam\"]\nwidth_px = 4\n\
                 height_px = 4",
                "lane.width_px",
            ),
        ] {
            match check(&format!("[[lane]]\n{text}\n")) {
                Err(ConfigError::Value { key: found, .. }) => assert_eq!(found, key, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn names_differ_and_a_command_is_not_repeated() {
        let one = "[[lane]]\nname = \"a\"\nsource = \"http\"\n";
        assert!(check(&one.repeat(2)).is_err_and(|error| error.to_string().contains("two lanes")));
        let many: String = (0..33).map(|at| one.replace("\"a\"", &format!("\"a{at}\""))).collect();
        assert!(check(&many).is_err_and(|error| error.to_string().contains("at most 32")));
        let told = "name = \"a\"\nsource = \"http\"\ncommand = [\"cam\", \"rtsp://u:secret@c\"]";
        let error = check(&format!("[[lane]]\n{told}\n")).expect_err("not its key");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
