//! onnxruntime in a process of its own; bench/peers/ort.py says what is spoken.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{fail::Failure, talk::Talk};

/// What is run there.
pub(crate) struct Setting<'a> {
    pub(crate) python: &'a Path,
    pub(crate) model: &'a Path,
    pub(crate) threads: usize,
    pub(crate) batch: usize,
    pub(crate) size_px: [usize; 2],
    /// NCHW.
    pub(crate) input: &'a [f32],
}

/// A running peer; dropping it ends it.
pub(crate) struct Peer {
    talk: Talk,
    /// Its version.
    pub(crate) version: String,
    /// Values of each output, all items, in the model's order.
    pub(crate) outputs: Vec<Vec<f32>>,
}

impl Peer {
    /// Starts it and reads what it computed.
    pub(crate) fn start(setting: &Setting<'_>) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("portcullis-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| Failure::File(folder.clone(), error))?;
        let started = Self::start_in(setting, &folder);
        // What remains are random pictures; a folder that cannot be removed harms nothing.
        let _ = fs::remove_dir_all(&folder);
        started
    }

    fn start_in(setting: &Setting<'_>, folder: &Path) -> Result<Self, Failure> {
        let [input, outputs] = ["input.f32", "outputs.f32"].map(|name| folder.join(name));
        let bytes: Vec<u8> = setting.input.iter().flat_map(|value| value.to_le_bytes()).collect();
        fs::write(&input, bytes).map_err(|error| Failure::File(input.clone(), error))?;
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers/ort.py");
        let mut talk = Talk::start(
            Command::new(setting.python)
                .arg(script)
                .args(["--threads", &setting.threads.to_string()])
                .args(["--batch", &setting.batch.to_string()])
                .args(["--height", &setting.size_px[0].to_string()])
                .args(["--width", &setting.size_px[1].to_string()])
                .arg("--model")
                .arg(setting.model)
                .arg("--input")
                .arg(&input)
                .arg("--outputs")
                .arg(&outputs),
        )?;
        let ready = talk.answer("ready")?;
        let version = ready.first().cloned().unwrap_or_default();
        let mut peer = Self { talk, version, outputs: Vec::new() };
        let values = read_values(&outputs)?;
        let mut rest = values.as_slice();
        for len in &ready[1..] {
            let len: usize = len.parse().map_err(|_| Failure::Peer(format!("{len}: no size")))?;
            let (one, after) = rest
                .split_at_checked(len)
                .ok_or_else(|| Failure::Peer("its outputs are shorter than it said".to_owned()))?;
            peer.outputs.push(one.to_vec());
            rest = after;
        }
        Ok(peer)
    }

    /// Nanoseconds of each of `runs` runs.
    pub(crate) fn time(&mut self, runs: usize) -> Result<Vec<u64>, Failure> {
        self.talk.say(&format!("time {runs}"))?;
        self.talk.numbers("times")
    }
}

fn read_values(path: &Path) -> Result<Vec<f32>, Failure> {
    let bytes = fs::read(path).map_err(|error| Failure::File(path.to_owned(), error))?;
    let value = |bytes: &[u8]| {
        let mut four = [0; 4];
        four.copy_from_slice(bytes);
        f32::from_le_bytes(four)
    };
    Ok(bytes.chunks_exact(4).map(value).collect())
}
