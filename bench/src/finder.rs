//! Finds a face with the library alone and cuts the photograph out around it, as a gate's camera
//! frames a traveller: what every measurement through HTTP sends.

use std::{error::Error, fs, ops::Range, path::Path};

use jpeg_encoder::{ColorType, Encoder};
use portcullis::{
    backend::{Backend, Network, cpu::Cpu},
    document::image,
    face::{Detector, Face, FaceRules, select},
    model::{self, defaults},
    ops::program::{ChannelOrder, Feed, Program},
    types::{Frame, FrameView},
};

/// Size of the photographs.
pub(crate) const WIDTH_PX: usize = 640;
pub(crate) const HEIGHT_PX: usize = 480;
/// Height of a photograph in heights of its face.
const FACES_PER_HEIGHT: f32 = 2.0;
/// Their JPEG quality, as cameras write it.
const JPEG_QUALITY: u8 = 90;
/// The detector's input: what the appliance's default configuration uses.
const DETECT_PX: usize = 640;

/// A default model of the cache folder, as a program.
///
/// # Errors
/// When it was not fetched, or does not lower.
pub(crate) fn default_program(
    cache: &Path,
    model: &defaults::DefaultModel,
    channels: ChannelOrder,
    input_px: Option<[usize; 2]>,
) -> Result<Program, Box<dyn Error>> {
    let path = cache.join("models").join(model.file);
    let bytes = fs::read(&path)
        .map_err(|error| format!("{}: {error}: portcullis models fetch", path.display()))?;
    Ok(model::load(&bytes, model.file, channels, input_px)?)
}

/// The detector, by itself.
pub(crate) struct Finder {
    detector: Detector,
    detect: Box<dyn Network>,
    /// What a usable face is.
    pub(crate) rules: FaceRules,
}

impl Finder {
    /// Loads the default detector.
    ///
    /// # Errors
    /// When the model was not fetched, or does not load.
    pub(crate) fn load(cache: &Path, threads: usize) -> Result<Self, Box<dyn Error>> {
        let input_px = Some([DETECT_PX, DETECT_PX]);
        let finder = default_program(cache, &defaults::DETECTOR, ChannelOrder::Bgr, input_px)?;
        Ok(Self {
            detector: Detector::for_program(&finder)?,
            detect: Cpu::new(threads)?.load(&finder, 1)?,
            rules: FaceRules::still(),
        })
    }

    /// The one usable face of `frame`.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn find(&mut self, frame: &Frame) -> Result<Face, Box<dyn Error>> {
        let view = frame.view();
        self.detect.run(&[Feed::Fit { frame: view }])?;
        let mut faces = Vec::new();
        let outputs = |index: usize| self.detect.output(index, 0);
        self.detector.decode(&outputs, view.width_px(), view.height_px(), &mut faces);
        select(&faces, view.width_px(), view.height_px(), &self.rules)
            .map_err(|fact| format!("no usable face: {fact:?}").into())
    }

    /// The stated size cut out around the face of `photo`, as a JPEG file.
    ///
    /// # Errors
    /// When the file does not decode, or shows no usable face.
    pub(crate) fn photograph(&mut self, photo: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
        let bytes = fs::read(photo).map_err(|error| format!("{}: {error}", photo.display()))?;
        let frame = image::decode(&bytes)?;
        let view = frame.view();
        let [left, top, width, height] = self.find(&frame)?.rect_px;
        let step = height * FACES_PER_HEIGHT / HEIGHT_PX as f32;
        let first_x = left + (width - step * WIDTH_PX as f32) / 2.0;
        let first_y = top + (height - step * HEIGHT_PX as f32) / 2.0;
        let mut pixels = Vec::with_capacity(WIDTH_PX * HEIGHT_PX * 3);
        for y in 0..HEIGHT_PX {
            let rows = covered(first_y + y as f32 * step, step, view.height_px());
            for x in 0..WIDTH_PX {
                let columns = covered(first_x + x as f32 * step, step, view.width_px());
                pixels.extend(mean(view, &rows, &columns));
            }
        }
        let mut file = Vec::new();
        let (width, height) = (u16::try_from(WIDTH_PX)?, u16::try_from(HEIGHT_PX)?);
        Encoder::new(&mut file, JPEG_QUALITY).encode(&pixels, width, height, ColorType::Rgb)?;
        Ok(file)
    }
}

/// A rectangle of the source under one target pixel; what reaches outside the picture is cut off.
fn covered(from: f32, step: f32, size: u32) -> Range<usize> {
    let inside = |at: f32| at.clamp(0.0, size as f32) as usize;
    inside(from)..inside(from + step.max(1.0))
}

/// The mean colour of a rectangle; grey where there is no picture.
fn mean(frame: FrameView<'_>, rows: &Range<usize>, columns: &Range<usize>) -> [u8; 3] {
    let area = rows.len() * columns.len();
    if area == 0 {
        return [128; 3];
    }
    let mut sums = [0_usize; 3];
    for row in rows.clone() {
        for column in columns.clone() {
            let at = (row * frame.width_px() as usize + column) * 3;
            for (sum, &value) in sums.iter_mut().zip(&frame.pixels()[at..at + 3]) {
                *sum += usize::from(value);
            }
        }
    }
    sums.map(|sum| u8::try_from(sum / area).unwrap_or(u8::MAX))
}

/// A multipart form with `files` and `texts`: its kind and its body.
pub(crate) fn form(files: &[(&str, &[u8])], texts: &[(&str, &str)]) -> (String, Vec<u8>) {
    const BOUNDARY: &str = "portcullis-bench-0b9c1a";
    let mut body = Vec::new();
    for (name, photo) in files {
        let head = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"; \
             filename=\"{name}.jpg\"\r\ncontent-type: image/jpeg\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(photo);
        body.extend_from_slice(b"\r\n");
    }
    for (name, text) in texts {
        let part = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n"
        );
        body.extend_from_slice(part.as_bytes());
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={BOUNDARY}"), body)
}
