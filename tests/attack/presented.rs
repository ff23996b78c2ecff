//! What a camera would see of a photograph that is held in front of it: printed, or on a screen.
//!
//! A simulation of what is easy to simulate (tone, raster, blur, moiré, glare, the edge of the
//! sheet or of the screen) with plain arithmetic and no randomness. It exercises the path of a
//! score from the camera's frame to the verdict. It is no attack instrument, and says nothing about
//! error rates.

#![allow(unreachable_pub, reason = "a private module of a test target")]

use std::f32::consts::{FRAC_1_SQRT_2, TAU};

use portcullis::types::{Frame, FrameView};

/// How a face is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// The photograph itself, in place of a living face.
    AsIs,
    /// On paper.
    Printed,
    /// On a screen.
    Replayed,
}

/// Share of the frame's width that the sheet's or screen's picture takes.
const PICTURE_SHARE: f32 = 0.62;
/// Width of the white margin of the sheet, and of the dark frame of the screen, in shares of the
/// frame's width.
const MARGIN_SHARE: f32 = 0.03;

/// The photograph as a camera sees it, in a frame of the photograph's own size.
pub fn presented(photograph: FrameView<'_>, how: Presented) -> Frame {
    let (w, h) = (photograph.width_px(), photograph.height_px());
    if how == Presented::AsIs {
        return Frame::new(photograph.pixels().to_vec(), w, h).expect("a whole picture");
    }
    let scene = Scene { photograph, how };
    let (width, height) = (w as usize, h as usize);
    let mut values = vec![0.0; width * height * 3];
    for (at, pixel) in values.chunks_exact_mut(3).enumerate() {
        let (x, y) = ((at % width) as f32, (at / width) as f32);
        pixel.copy_from_slice(&scene.light(x, y));
    }
    let sigma_px = if how == Presented::Printed { 1.2 } else { 0.8 };
    let blurred = blurred(&values, width, height, sigma_px);
    let pixels = blurred.iter().map(|value| value.round().clamp(0.0, 255.0) as u8).collect();
    Frame::new(pixels, w, h).expect("a whole picture")
}

struct Scene<'a> {
    photograph: FrameView<'a>,
    how: Presented,
}

impl Scene<'_> {
    /// What falls on the sensor at a place of the frame, before the lens blurs it.
    fn light(&self, x: f32, y: f32) -> [f32; 3] {
        let (w, h) = (self.photograph.width_px() as f32, self.photograph.height_px() as f32);
        // The same place relative to the picture's middle, in shares of the picture.
        let along = |at: f32, size: f32| (at - size / 2.0) / (size * PICTURE_SHARE) + 0.5;
        let (u, v) = (along(x, w), along(y, h));
        let beyond = |share: f32| (-share).max(share - 1.0).max(0.0) * PICTURE_SHARE;
        let outside = (beyond(u) * w).max(beyond(v) * h) / w;
        let glare = 40.0 * (-((u - 0.8).powi(2) + (v - 0.15).powi(2)) / 0.08).exp();
        match self.how {
            _ if outside > MARGIN_SHARE => background(x, y),
            Presented::Printed if outside > 0.0 => [228.0, 226.0, 218.0],
            Presented::Replayed if outside > 0.0 => [14.0, 14.0, 16.0],
            Presented::Printed => printed(self.colour(u, v), x, y).map(|value| value + glare / 3.0),
            Presented::AsIs | Presented::Replayed => {
                replayed(self.colour(u, v), x, y).map(|value| value + glare)
            }
        }
    }

    /// The photograph's colour at shares of its width and height, bilinearly.
    fn colour(&self, u: f32, v: f32) -> [f32; 3] {
        let (w, h) = (self.photograph.width_px() as usize, self.photograph.height_px() as usize);
        let place = |share: f32, size: usize| {
            let at = (share * size as f32 - 0.5).clamp(0.0, (size - 1) as f32);
            (at as usize, (at as usize + 1).min(size - 1), at.fract())
        };
        let ((x0, x1, fx), (y0, y1, fy)) = (place(u, w), place(v, h));
        [0, 1, 2].map(|colour| {
            let pixel =
                |x: usize, y: usize| f32::from(self.photograph.pixels()[(y * w + x) * 3 + colour]);
            let row = |y| (1.0 - fx) * pixel(x0, y) + fx * pixel(x1, y);
            (1.0 - fy) * row(y0) + fy * row(y1)
        })
    }
}

/// A table in soft light.
fn background(x: f32, y: f32) -> [f32; 3] {
    let grain = 6.0 * (x * 0.31 + (y * 0.043).sin() * 5.0).sin();
    [126.0 + grain, 104.0 + grain, 84.0 + grain]
}

/// Ink on paper: no deep black, no full white, warm, and a screen of dots at 45 degrees.
fn printed(colour: [f32; 3], x: f32, y: f32) -> [f32; 3] {
    let dots = wave((x + y) * FRAC_1_SQRT_2, 3.4) * wave((x - y) * FRAC_1_SQRT_2, 3.4);
    let paper = [1.0, 0.985, 0.94];
    [0, 1, 2].map(|at| (38.0 + colour[at] * 0.7 + 9.0 * dots) * paper[at])
}

/// Light of a screen: lifted blacks, cool, stripes of its primaries, and the slow colour fringes
/// that they make with the sensor's own grid.
fn replayed(colour: [f32; 3], x: f32, y: f32) -> [f32; 3] {
    let light = [0.95, 1.0, 1.1];
    [0, 1, 2].map(|at| {
        let shift = at as f32 / 3.0;
        let stripes = wave(0.996 * x + 0.087 * y + shift * 2.6, 2.6);
        let fringes = wave(0.94 * x + 0.34 * y + shift * 37.0, 37.0);
        (22.0 + colour[at] * 0.86) * light[at] * (1.0 + 0.16 * stripes + 0.07 * fringes)
    })
}

fn wave(at: f32, period: f32) -> f32 {
    (at * TAU / period).cos()
}

/// A Gaussian blur, along rows and then along columns, repeating the edge.
fn blurred(values: &[f32], w: usize, h: usize, sigma_px: f32) -> Vec<f32> {
    let reach = (3.0 * sigma_px).ceil() as usize;
    let weight = |at: usize| {
        let from = at as f32 - reach as f32;
        (-from * from / (2.0 * sigma_px * sigma_px)).exp()
    };
    let weights: Vec<f32> = (0..=2 * reach).map(weight).collect();
    let sum: f32 = weights.iter().sum();
    let pass = |values: &[f32], across: bool| -> Vec<f32> {
        let mut out = vec![0.0; values.len()];
        for (at, value) in out.iter_mut().enumerate() {
            let (place, colour) = (at / 3, at % 3);
            let (x, y) = (place % w, place / w);
            let near = weights.iter().enumerate().map(|(step, weight)| {
                let moved =
                    |from: usize, size: usize| (from + step).saturating_sub(reach).min(size - 1);
                let (x, y) = if across { (moved(x, w), y) } else { (x, moved(y, h)) };
                values[(y * w + x) * 3 + colour] * weight
            });
            *value = near.sum::<f32>() / sum;
        }
        out
    };
    pass(&pass(values, true), false)
}

/// The photograph with no edge longer than `edge_px`, by a whole factor; each pixel is a mean.
pub fn reduced(photograph: FrameView<'_>, edge_px: u32) -> Frame {
    let (w, h) = (photograph.width_px(), photograph.height_px());
    let factor = w.max(h).div_ceil(edge_px);
    let (out_w, out_h) = (w / factor, h / factor);
    let mut pixels = Vec::with_capacity((out_w * out_h * 3) as usize);
    for (y, x) in (0..out_h).flat_map(|y| (0..out_w).map(move |x| (y, x))) {
        for colour in 0..3 {
            let places = (0..factor).flat_map(|dy| (0..factor).map(move |dx| (dy, dx)));
            let sum: u32 = places
                .map(|(dy, dx)| {
                    let at = ((y * factor + dy) * w + x * factor + dx) * 3 + colour;
                    u32::from(photograph.pixels()[at as usize])
                })
                .sum();
            pixels.push((sum / (factor * factor)) as u8);
        }
    }
    Frame::new(pixels, out_w, out_h).expect("a whole picture")
}
