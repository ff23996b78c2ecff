//! From a request's bytes to a form: read within limits, typed by content type, unknown fields
//! refused.
//!
//! The whole body is read before anything is parsed: a picture is needed whole, and a slow caller
//! holds a buffer, never a frame slot.

use std::{future::poll_fn, pin::Pin, time::Duration};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{DefaultBodyLimit, FromRequest, Multipart, Request},
    http::{HeaderMap, HeaderValue, header},
};
use base64::{DecodeError, Engine, engine::general_purpose};
use serde::Deserialize;

use super::{Api, door::Known, problem::Problem};
use crate::{
    command::EncodedImage,
    limits::{BODY_MS_MAX, DRAIN_MS_MAX},
    types::Caller,
};

/// Header that carries a request's own deadline.
pub const DEADLINE_HEADER: &str = "portcullis-deadline-ms";

/// Capacity that is set aside for a body before its first byte; a caller's promise of more is not
/// believed until it is kept.
const BODY_BYTES_FIRST: usize = 64 * 1024;

/// A request that passed the door: who, until when, and the form it filled in.
#[derive(Debug)]
pub struct Incoming {
    /// Who.
    pub callers: Vec<Caller>,
    /// Its own deadline, in milliseconds.
    pub deadline_ms: Option<u64>,
    /// What it sent.
    pub form: Form,
}

/// What a request sent.
pub enum Form {
    /// `application/json`.
    Json(Vec<u8>),
    /// `multipart/form-data`.
    Multipart(Fields),
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Json(body) => write!(f, "Json({} bytes)", body.len()),
            Self::Multipart(fields) => write!(f, "Multipart({} fields)", fields.0.len()),
        }
    }
}

impl FromRequest<Api> for Incoming {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let accepted = accept(&parts.headers, &parts.extensions, api.body_bytes);
        let (callers, deadline_ms, kind) = match accepted {
            Ok(accepted) => accepted,
            Err(problem) => {
                drain(&parts.headers, body, api.body_bytes).await;
                return Err(problem);
            }
        };
        let body = read(&parts.headers, body, api.body_bytes).await?;
        let form = match kind {
            Kind::Json => Form::Json(body),
            Kind::Multipart => Form::Multipart(Fields::read(&parts.headers, body).await?),
        };
        Ok(Self { callers, deadline_ms, form })
    }
}

enum Kind {
    Json,
    Multipart,
}

type Accepted = (Vec<Caller>, Option<u64>, Kind);

fn accept(
    headers: &HeaderMap,
    extensions: &axum::http::Extensions,
    body_bytes: usize,
) -> Result<Accepted, Problem> {
    let callers = callers(extensions)?;
    let deadline_ms = deadline_ms(headers)?;
    let kind = kind(headers.get(header::CONTENT_TYPE))?;
    promised_within(headers, body_bytes)?;
    Ok((callers, deadline_ms, kind))
}

/// Refuses a body that is announced to be larger than one may be.
pub(super) fn promised_within(headers: &HeaderMap, body_bytes: usize) -> Result<(), Problem> {
    let is_larger = promised(headers).is_some_and(|promised| promised > body_bytes as u64);
    if is_larger { Err(too_large(body_bytes)) } else { Ok(()) }
}

/// Who calls, as the door found out.
pub(super) fn callers(extensions: &axum::http::Extensions) -> Result<Vec<Caller>, Problem> {
    let known = extensions.get::<Known>().map(|Known(callers)| callers.clone());
    known.ok_or_else(|| Problem::new("FAULT", "a route stands outside the door"))
}

/// The request's own deadline, where it names one.
pub(super) fn deadline_ms(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(DEADLINE_HEADER) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    number.map(Some).ok_or_else(|| {
        let detail = "Portcullis-Deadline-Ms must be a whole number of milliseconds";
        Problem::new("DEADLINE_INVALID", detail)
    })
}

fn kind(content_type: Option<&HeaderValue>) -> Result<Kind, Problem> {
    let text = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(Kind::Json);
    }
    if essence.eq_ignore_ascii_case("multipart/form-data") {
        return Ok(Kind::Multipart);
    }
    let found = if essence.is_empty() { "no content type" } else { essence };
    let found: String = found.chars().take(80).collect();
    let detail = format!("{found}: send application/json or multipart/form-data");
    Err(Problem::new("CONTENT_TYPE_UNSUPPORTED", detail))
}

fn promised(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(body_bytes: usize) -> Problem {
    Problem::new("BODY_TOO_LARGE", format!("a request body has at most {body_bytes} bytes"))
}

async fn next(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    loop {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        match frame.map(|frame| frame.into_data().ok()) {
            Ok(Some(bytes)) => return Some(Ok(bytes)),
            Ok(None) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

pub(super) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    most: usize,
) -> Result<Vec<u8>, Problem> {
    let mut whole = Vec::with_capacity(BODY_BYTES_FIRST.min(most));
    let reading = async {
        while let Some(bytes) = next(&mut body).await {
            let bytes = bytes.map_err(|_| {
                Problem::new("BODY_INCOMPLETE", "the connection ended before the body did")
            })?;
            if whole.len() + bytes.len() > most {
                return Err(too_large(most));
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(())
    };
    let ended = tokio::time::timeout(Duration::from_millis(BODY_MS_MAX), reading).await;
    match ended {
        Ok(Ok(())) => Ok(whole),
        Ok(Err(problem)) => {
            drain(headers, body, most).await;
            Err(problem)
        }
        Err(_) => {
            let detail = format!("the body did not arrive within {BODY_MS_MAX} ms");
            Err(Problem::new("BODY_TOO_SLOW", detail))
        }
    }
}

/// Reads and throws away what is left of a refused body, within limits: a caller that is still
/// sending would otherwise see a reset connection in place of the answer. One that waits for
/// `100 Continue` sends nothing, and is answered at once.
pub(super) async fn drain(headers: &HeaderMap, mut body: Body, body_bytes: usize) {
    if headers.contains_key(header::EXPECT) {
        return;
    }
    let most = body_bytes.saturating_mul(4);
    let draining = async {
        let mut seen = 0_usize;
        while let Some(Ok(bytes)) = next(&mut body).await {
            seen = seen.saturating_add(bytes.len());
            if seen > most {
                break;
            }
        }
    };
    // Whether it ended or ran out of time, the answer leaves now.
    let _ended = tokio::time::timeout(Duration::from_millis(DRAIN_MS_MAX), draining).await;
}

/// Parses JSON; unknown members are refused by the type.
pub(super) fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let category = match error.classify() {
            serde_json::error::Category::Io | serde_json::error::Category::Eof => "ends early",
            serde_json::error::Category::Syntax => "is not well formed",
            serde_json::error::Category::Data => "is not what this endpoint takes",
        };
        Problem::new("JSON_INVALID", format!("the JSON {category} at {place}: {}", cause(&error)))
    })
}

/// serde's message without the value it met, which may be a piece of a face.
fn cause(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    match text.split_once("invalid type: ").or_else(|| text.split_once("invalid value: ")) {
        Some((_, rest)) => {
            let expected = rest.rsplit_once("expected ").map_or("another type", |(_, last)| last);
            format!("expected {expected}")
        }
        None => text.chars().take(200).collect(),
    }
}

/// Decodes base64 (the standard alphabet, padding optional); `field` is for the message.
pub(super) fn base64(field: &str, text: &str) -> Result<Vec<u8>, Problem> {
    const LENIENT: general_purpose::GeneralPurpose = general_purpose::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        general_purpose::GeneralPurposeConfig::new()
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
    );
    LENIENT.decode(text).map_err(|error| {
        let hint = if text.starts_with("data:") {
            "leave out the data URL's prefix"
        } else {
            "use the standard alphabet without line breaks"
        };
        let place = match error {
            DecodeError::InvalidByte(at, _) => format!("wrong character at position {at}"),
            DecodeError::InvalidLastSymbol { offset, .. } => {
                format!("wrong last character at position {offset}")
            }
            DecodeError::InvalidLength(length) => format!("cut off at position {length}"),
            DecodeError::InvalidPadding => {
                format!("wrong padding at position {}", text.trim_end_matches('=').len())
            }
        };
        Problem::new("BASE64_INVALID", format!("{field} is not base64: {place}; {hint}"))
    })
}

/// The fields of a multipart form, in their order.
pub struct Fields(Vec<(String, Vec<u8>)>);

impl Fields {
    async fn read(headers: &HeaderMap, body: Vec<u8>) -> Result<Self, Problem> {
        let invalid = |error: &dyn std::fmt::Display| {
            Problem::new("MULTIPART_INVALID", format!("the form does not parse: {error}"))
        };
        let mut request = Request::new(Body::from(body));
        *request.headers_mut() = headers.clone();
        DefaultBodyLimit::disable().apply(&mut request); // the body is here, within its own limit
        let mut form =
            Multipart::from_request(request, &()).await.map_err(|error| invalid(&error))?;
        let mut fields = Vec::new();
        while let Some(field) =
            form.next_field().await.map_err(|error| invalid(&error.body_text()))?
        {
            let Some(name) = field.name().map(str::to_owned) else {
                return Err(invalid(&"a part has no name"));
            };
            let value = field.bytes().await.map_err(|error| invalid(&error.body_text()))?;
            fields.push((name, value.to_vec()));
        }
        Ok(Self(fields))
    }

    /// Refuses a field outside `known`.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => {
                let name: String = name.chars().take(40).collect();
                let detail = format!("unknown field `{name}`; fields are {}", known.join(", "));
                Err(Problem::new("MULTIPART_INVALID", detail))
            }
            None => Ok(()),
        }
    }

    /// Every picture of that name.
    pub(super) fn images(&mut self, name: &str) -> Vec<EncodedImage> {
        self.files(name).into_iter().map(EncodedImage::new).collect()
    }

    /// Every file of that name, in the order of the form.
    pub(super) fn files(&mut self, name: &str) -> Vec<Vec<u8>> {
        let taken = self.0.iter_mut().filter(|(held, _)| held == name);
        taken.map(|(_, value)| std::mem::take(value)).collect()
    }

    /// The one picture of that name.
    pub(super) fn image(&mut self, name: &str) -> Result<EncodedImage, Problem> {
        let mut images = self.images(name);
        match (images.len(), images.pop()) {
            (1, Some(image)) => Ok(image),
            (held, _) => {
                let detail = format!("{held} fields `{name}`; exactly one is needed");
                Err(Problem::new("MULTIPART_INVALID", detail))
            }
        }
    }

    /// The text of a field that may be absent.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        let invalid = |why: &str| Problem::new("MULTIPART_INVALID", format!("`{name}` {why}"));
        let mut values = self.0.iter().filter(|(held, _)| held == name);
        let Some((_, value)) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(invalid("stands more than once"));
        }
        std::str::from_utf8(value).map(|text| Some(text.trim())).map_err(|_| invalid("is not text"))
    }

    /// A field parsed from its text.
    pub(super) fn parsed<T: std::str::FromStr>(
        &self,
        name: &str,
        what: &str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let invalid = |_| Problem::new("FIELD_INVALID", format!("`{name}` must be {what}"));
        text.parse().map(Some).map_err(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_errors_name_the_position() {
        assert_eq!(base64("probe.image", "AAEC").expect("three bytes"), [0, 1, 2]);
        assert_eq!(base64("probe.image", "AAE").expect("no padding"), [0, 1]);
        let problem = base64("probe.image", "AA*C").expect_err("a star");
        assert_eq!(problem.code(), "BASE64_INVALID");
        for (text, expected) in [("AA*C", "position 2"), ("A", "position 1"), ("data:x", "prefix")]
        {
            let shown = format!("{:?}", base64("f", text).expect_err(text));
            assert!(shown.contains(expected), "{shown}");
        }
    }

    #[test]
    fn json_errors_do_not_quote_what_they_met() {
        #[derive(Debug, Deserialize)]
        struct Wanted {
            #[serde(rename = "number")]
            _number: u32,
        }
        let problem = json::<Wanted>(br#"{"number": "c2VjcmV0IGZhY2U="}"#).expect_err("text");
        let shown = format!("{problem:?}");
        assert!(!shown.contains("c2Vj") && shown.contains("expected u32"), "{shown}");
    }
}
