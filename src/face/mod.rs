//! Faces in a frame: found, judged, aligned. Pure arithmetic over a detector's outputs.

/// A face as the detector gives it, in pixels of the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// Left, top, width, height; may reach outside the frame.
    pub rect_px: [f32; 4],
    /// Image-left eye, image-right eye, nose tip, image-left and image-right mouth corner.
    pub landmarks_px: [[f32; 2]; 5],
    /// Detector confidence in [0, 1].
    pub confidence: f32,
}

/// What is told about the face that was used. No pixel, no template.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaceReport {
    /// The face.
    pub face: Face,
    /// Its quality measures.
    pub quality: Quality,
}

/// Quality measures of one face; each names its ISO/IEC 29794-5 counterpart.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Quality {
    /// Distance between the eyes in pixels (inter-eye distance).
    pub inter_eye_px: f32,
    /// Variance of the Laplacian over the aligned face (sharpness).
    pub sharpness: f32,
    /// Mean luminance of the aligned face in [0, 1] (under- / over-exposure).
    pub luminance_mean: f32,
    /// Share of aligned pixels that are nearly black or white, in [0, 1] (dynamic range).
    pub clipped_share: f32,
    /// Estimated from landmarks, degrees (pose, yaw); positive towards the image's right.
    pub yaw_deg: f32,
    /// Estimated from landmarks, degrees (pose, pitch); positive downwards.
    pub pitch_deg: f32,
    /// Estimated from landmarks, degrees (pose, roll); positive clockwise.
    pub roll_deg: f32,
}
