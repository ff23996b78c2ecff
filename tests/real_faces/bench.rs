//! The library's parts put together by hand, as a test bench: one picture at a time, no pipeline.

#![allow(unreachable_pub, dead_code, reason = "a module of several test binaries")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use portcullis::{
    backend::{Backend, FACTORIES, Network, Wish},
    document::image,
    face::{
        Detector, Face, FaceRules, Quality,
        align::{self, ALIGNED_PX},
        quality, select,
    },
    model::{self, Calibration},
    ops::{
        fit,
        item::ItemMut,
        program::{ChannelOrder, Feed, Program, Shape},
        warp,
    },
    types::{Frame, Template},
};

/// Compute threads, where the backend takes any.
const THREADS: usize = 2;

/// What was seen in one photograph.
pub struct Seen {
    pub faces: Vec<Face>,
    pub face: Face,
    pub quality: Quality,
    pub embedding: Vec<f32>,
    pub template: Template,
}

/// Both networks on the fastest backend that is at hand.
pub struct Bench {
    folder: PathBuf,
    programs: [Program; 2],
    detector: Detector,
    detect: Box<dyn Network>,
    embed: Box<dyn Network>,
    calibration: Calibration,
}

impl Bench {
    pub fn new(folder: PathBuf, detector: &Path, embedder: &Path) -> Self {
        let load = |path: &Path, channels| {
            let bytes = fs::read(path).expect("a model file");
            model::load(&bytes, &path.to_string_lossy(), channels, None).expect("a default model")
        };
        let programs = [load(detector, ChannelOrder::Bgr), load(embedder, ChannelOrder::Rgb)];
        let backend = fastest();
        println!("backend: {}", backend.describe().name);
        let ready = |program| backend.load(program, 1).expect("a default model runs everywhere");
        let (detect, embed) = (ready(&programs[0]), ready(&programs[1]));
        let detector = Detector::for_program(&programs[0]).expect("YuNet");
        let calibration = Calibration::sface_128();
        Self { folder, programs, detector, detect, embed, calibration }
    }

    pub fn programs(&self) -> &[Program; 2] {
        &self.programs
    }

    /// One photograph, from its file to its template.
    pub fn see(&mut self, file: &str) -> Seen {
        let frame = self.photograph(file);
        let view = frame.view();
        self.detect.run(&[Feed::Fit { frame: view }]).expect("a frame runs");
        let mut faces = Vec::new();
        let outputs = |index: usize| self.detect.output(index, 0);
        self.detector.decode(&outputs, view.width_px(), view.height_px(), &mut faces);
        let face = select(&faces, view.width_px(), view.height_px(), &FaceRules::still())
            .unwrap_or_else(|fact| panic!("{file}: {fact:?}"));

        let to_frame = align::to_frame(&face.landmarks_px).expect("landmarks of a face");
        let shape = Shape { h: ALIGNED_PX, w: ALIGNED_PX, c: 3 };
        let mut aligned = vec![0.0; shape.len()];
        warp::warp(view, &to_frame, ChannelOrder::Rgb, &mut ItemMut::new(shape, &mut aligned));
        let quality = quality::measure(&face, &aligned);

        self.embed.run(&[Feed::Warp { frame: view, to_frame }]).expect("a face runs");
        let embedding = self.embed.output(0, 0).to_vec();
        let template = self.calibration.template(&embedding).expect("an embedding");
        Seen { faces, face, quality, embedding, template }
    }

    /// One photograph as the detector's input: NHWC, blue first.
    pub fn fitted(&self, file: &str) -> Vec<f32> {
        let program = &self.programs[0];
        let shape = program.shape(program.input);
        let mut values = vec![0.0; shape.len()];
        let frame = self.photograph(file);
        fit::fit(frame.view(), program.channels, &mut ItemMut::new(shape, &mut values));
        values
    }

    /// Faces in an input tensor, in its own pixels.
    pub fn detect_tensor(&mut self, values: &[f32]) -> Vec<Face> {
        let program = &self.programs[0];
        let Shape { h, w, .. } = program.shape(program.input);
        self.detect.run(&[Feed::Tensor(values)]).expect("a tensor runs");
        let mut faces = Vec::new();
        let outputs = |index: usize| self.detect.output(index, 0);
        self.detector.decode(&outputs, w as u32, h as u32, &mut faces);
        faces
    }

    fn photograph(&self, file: &str) -> Frame {
        let bytes = fs::read(self.folder.join(file)).expect("a photograph");
        image::decode(&bytes).unwrap_or_else(|problem| panic!("{file}: {problem}"))
    }
}

/// The CPU backend where this build and machine have it, else the reference.
fn fastest() -> Arc<dyn Backend> {
    let make = |name| {
        let factory = FACTORIES.iter().find(|factory| factory.name == name)?;
        (factory.make)(&Wish { threads: THREADS, adapter: "", by_name: true }).ok()
    };
    make("cpu").or_else(|| make("reference")).expect("the reference is always there")
}

/// Cosine of two vectors.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
