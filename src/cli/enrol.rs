//! `portcullis enrol --gallery NAME IMAGE…`: adds a subject to a running appliance.
//!
//! Galleries live in the appliance, so this verb speaks to one; it starts none of its own, whose
//! gallery would be gone with the process.

use std::path::PathBuf;

use clap::Args;

use super::{Ended, Outcome, Scene, client, local};
use crate::types::{GalleryId, SubjectId};

/// Files and options.
#[derive(Args)]
pub(super) struct Arguments {
    /// Photographs of one person, 1 to 4 JPEG, JPEG 2000 or PNG files.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The gallery.
    #[arg(long, value_name = "NAME")]
    gallery: String,
    /// Make the gallery first where it is not there.
    #[arg(long)]
    create: bool,
    /// The subject's id, 32 hexadecimal digits; without it, a random one is printed.
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// A group such as a flight.
    #[arg(long, value_name = "NUMBER")]
    group: Option<u32>,
    /// First second (UTC) at which the subject may not be found any more.
    #[arg(long, value_name = "SECONDS")]
    expiry: Option<i64>,
    #[command(flatten)]
    server: client::Address,
}

pub(super) fn run(arguments: &Arguments, scene: &Scene<'_>) -> Outcome {
    let gallery: GalleryId = arguments.gallery.parse()?;
    let server = client::Client::new(&arguments.server, &scene.config)?;
    let mut form = client::Form::new().text("purpose", "evaluation");
    if let Some(subject) = &arguments.subject {
        form = form.text("subject", &subject.parse::<SubjectId>()?.to_string());
    }
    if let Some(group) = arguments.group {
        form = form.text("group", &group.to_string());
    }
    if let Some(expiry) = arguments.expiry {
        form = form.text("expiry", &expiry.to_string());
    }
    for path in &arguments.images {
        form = form.file("image", local::image(path)?.bytes());
    }
    if arguments.create {
        create(&server, &gallery)?;
    }
    let answer = server.post_form(&format!("/v1/galleries/{gallery}/subjects"), form)?;
    if scene.tell.json {
        scene.tell.document(&answer);
    } else {
        let subject = answer["subject"].as_str().unwrap_or_default();
        let generation = &answer["generation"];
        scene.tell.line(format!("enrolled {subject} in {gallery}, generation {generation}"));
        scene.tell.line(format!("erase it with: portcullis erase --gallery {gallery} {subject}"));
    }
    Ok(Ended::Done)
}

fn create(server: &client::Client, gallery: &GalleryId) -> Result<(), super::Failure> {
    let body = serde_json::json!({ "gallery": gallery.as_str(), "purpose": "evaluation" });
    match server.post_json("/v1/galleries", &body) {
        Err(client::ClientError::Problem { code, .. }) if code == "GALLERY_EXISTS" => Ok(()),
        other => Ok(other.map(drop)?),
    }
}
