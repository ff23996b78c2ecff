//! `portcullis erase --gallery NAME ID`: removes a subject from a running appliance.

use clap::Args;

use super::{Ended, Outcome, Scene, client};
use crate::types::{GalleryId, SubjectId};

/// Whom.
#[derive(Args)]
pub(super) struct Arguments {
    /// The subject's id, as `enrol` printed it.
    subject: String,
    /// The gallery.
    #[arg(long, value_name = "NAME")]
    gallery: String,
    #[command(flatten)]
    server: client::Address,
}

pub(super) fn run(arguments: &Arguments, scene: &Scene<'_>) -> Outcome {
    let gallery: GalleryId = arguments.gallery.parse()?;
    let subject: SubjectId = arguments.subject.parse()?;
    let server = client::Client::new(&arguments.server, &scene.config)?;
    let path = format!("/v1/galleries/{gallery}/subjects/{subject}?purpose=evaluation");
    let receipt = server.delete(&path)?;
    if scene.tell.json {
        scene.tell.document(&receipt);
    } else {
        scene.tell.line(format!("erased {subject} from {gallery}; no search holds it any more"));
        scene.tell.line(format!(
            "receipt: transaction {}, generation {}, keys up to epoch {} destroyed by the {} \
             custodian",
            receipt["transaction"].as_str().unwrap_or_default(),
            receipt["generation"],
            receipt["epochDestroyed"],
            receipt["custodian"].as_str().unwrap_or_default()
        ));
    }
    Ok(Ended::Done)
}
