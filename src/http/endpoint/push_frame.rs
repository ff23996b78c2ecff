//! `POST /v1/lanes/{lane}/frames`.

use axum::{
    Json,
    extract::{FromRequest, Path, Request, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
};

use crate::{
    command::Answer,
    http::{
        Api,
        answer::FrameTakenAnswer,
        body::{self, Incoming},
        problem::{Problem, ProblemDocument},
        request::{self, PushFrameBody, PushFrameForm},
        unexpected,
    },
    meter::Offered,
    types::Caller,
};

/// Header with the attack score of a frame that is sent as it is.
const SCORE_HEADER: &str = "portcullis-attack-score";

/// A frame that came in. It is counted before its first byte is read, and whatever refuses it from
/// here on settles it in the account.
pub(in crate::http) struct Pushed {
    offered: Offered,
    sent: Sent,
}

/// What a controller sent: a form, or the picture itself with the rest in query and header.
enum Sent {
    /// JSON or multipart.
    Form(Incoming),
    /// The picture itself.
    Picture(Heading, Vec<u8>),
}

/// What stands above a picture that is sent as it is.
struct Heading {
    callers: Vec<Caller>,
    deadline_ms: Option<u64>,
    purpose: Option<String>,
    attack_score: Option<f32>,
}

impl FromRequest<Api> for Pushed {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let offered = Offered::new(&api.meter);
        Ok(Self { offered, sent: Sent::from_request(request, api).await? })
    }
}

impl FromRequest<Api> for Sent {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        if !is_picture(request.headers()) {
            return Incoming::from_request(request, api).await.map(Self::Form);
        }
        let (parts, body) = request.into_parts();
        let heading = match Heading::read(&parts, api) {
            Ok(heading) => heading,
            Err(problem) => {
                body::drain(&parts.headers, body, api.body_bytes).await;
                return Err(problem);
            }
        };
        let picture = body::read(&parts.headers, body, api.body_bytes).await?;
        Ok(Self::Picture(heading, picture))
    }
}

fn is_picture(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split('/').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("image")
}

impl Heading {
    fn read(parts: &Parts, api: &Api) -> Result<Self, Problem> {
        body::promised_within(&parts.headers, api.body_bytes)?;
        Ok(Self {
            callers: body::callers(&parts.extensions)?,
            deadline_ms: body::deadline_ms(&parts.headers)?,
            purpose: super::query(parts.uri.query().unwrap_or_default())?.purpose,
            attack_score: attack_score(&parts.headers)?,
        })
    }
}

fn attack_score(headers: &HeaderMap) -> Result<Option<f32>, Problem> {
    let Some(value) = headers.get(SCORE_HEADER) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    number.map(Some).ok_or_else(|| {
        Problem::new("FIELD_INVALID", "Portcullis-Attack-Score must be a number from 0 to 1")
    })
}

/// Hand a frame of a lane over; the newest one counts.
///
/// Answered when the lane has it, not when it has been judged. Without a traveller at the lane it
/// is let go at once (`kept` is false). The picture may also be sent as it is, with `?purpose=` in
/// the query and an external detector's score in the header Portcullis-Attack-Score.
#[utoipa::path(
    post,
    path = "/v1/lanes/{lane}/frames",
    tag = "lanes",
    params(
        ("lane" = String, Path, description = "The lane's name in the configuration."),
        ("purpose" = Option<String>, Query, description = "Why; for a picture sent as it is."),
        ("Portcullis-Attack-Score" = Option<f32>, Header,
            description = "The external detector's score; for a picture sent as it is."),
    ),
    request_body(content(
        (PushFrameBody<'_> = "application/json"),
        (PushFrameForm = "multipart/form-data"),
        (Vec<u8> = "image/jpeg"),
        (Vec<u8> = "image/png")
    )),
    responses(
        (status = 202, description = "The lane has it.", body = FrameTakenAnswer),
        (status = "default", description = "A problem document.",
            body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn push_frame(
    State(api): State<Api>,
    Path(lane): Path<String>,
    pushed: Pushed,
) -> Result<(StatusCode, Json<FrameTakenAnswer>), Problem> {
    let lane = request::lane_id(&lane)?;
    let Pushed { offered, sent } = pushed;
    let (callers, deadline_ms, asked) = match sent {
        Sent::Form(Incoming { callers, deadline_ms, form }) => {
            (callers, deadline_ms, request::push_frame(lane, form, offered)?)
        }
        Sent::Picture(heading, picture) => {
            let Heading { callers, deadline_ms, purpose, attack_score } = heading;
            let purpose = purpose.as_deref();
            let asked = request::push_picture(lane, picture, purpose, attack_score, offered)?;
            (callers, deadline_ms, asked)
        }
    };
    match api.execute(callers, deadline_ms, asked).await? {
        Answer::FrameTaken { lane, taken } => {
            Ok((StatusCode::ACCEPTED, Json(FrameTakenAnswer::new(&lane, taken))))
        }
        _ => Err(unexpected()),
    }
}
