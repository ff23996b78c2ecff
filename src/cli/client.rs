//! A caller of a running appliance: HTTP/1.1 over one socket per request, as small as it can be.
//!
//! Plain HTTP only: the command line speaks to the appliance of its own machine. Beyond loopback
//! the appliance wants TLS, and integrators bring their own client.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use serde_json::Value;

use super::tell::{Ink, Tell};
use crate::config::Config;

/// Time to reach the appliance.
const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// Time to wait for an answer: beyond the longest deadline there is.
const ANSWER_WAIT: Duration = Duration::from_secs(70);
/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// What separates the parts of a form; its letters occur in no JPEG or PNG by design of chance.
const BOUNDARY: &str = "portcullis-f29b6f0a4cf54a0f8c1c6a7be1a1f4d3";

/// Which appliance.
#[derive(Args)]
pub(super) struct Address {
    /// The running appliance; without it, the configured one (server.listen).
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// File that holds the bearer token, where the appliance wants one.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Why the appliance did not do it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// The address is not one.
    #[error("{url} is not an address such as http://127.0.0.1:8460; https is not spoken here")]
    Url {
        /// As written.
        url: String,
    },
    /// The token cannot be read.
    #[error("the token file {path} cannot be read: {why}")]
    Token {
        /// The file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// Nobody listens.
    #[error("no appliance answers at {address}: {why}; start one with `portcullis serve`")]
    Unreachable {
        /// Where.
        address: String,
        /// What the system said.
        why: String,
    },
    /// What came back is not HTTP, or not JSON.
    #[error("{address} did not answer as an appliance does: {why}")]
    Answer {
        /// Where.
        address: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A problem document.
    #[error("{title}: {detail} ({code})")]
    Problem {
        /// Its code.
        code: String,
        /// Its title.
        title: String,
        /// Its detail.
        detail: String,
    },
}

/// A multipart form that grows.
pub(super) struct Form(Vec<u8>);

impl Form {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn text(self, name: &str, value: &str) -> Self {
        self.part(name, "", value.as_bytes())
    }

    pub(super) fn file(self, name: &str, bytes: &[u8]) -> Self {
        self.part(name, "; filename=\"image\"", bytes)
    }

    fn part(mut self, name: &str, file: &str, bytes: &[u8]) -> Self {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n"
        );
        self.0.extend_from_slice(head.as_bytes());
        self.0.extend_from_slice(bytes);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        self.0
    }
}

/// Speaks to one appliance.
pub(super) struct Client {
    address: String,
    token: Option<String>,
}

impl Client {
    pub(super) fn new(address: &Address, config: &Config) -> Result<Self, ClientError> {
        let url = match &address.server {
            Some(url) => url.clone(),
            None => format!("http://{}", config.server.listen),
        };
        let host = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let host = host.filter(|host| !host.is_empty() && !host.contains('/'));
        let Some(host) = host else { return Err(ClientError::Url { url }) };
        let token = match &address.token_file {
            None => None,
            Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
                ClientError::Token { path: path.display().to_string(), why: error.to_string() }
            })?),
        };
        let token = token.map(|text| text.trim().to_owned());
        Ok(Self { address: host.to_owned(), token })
    }

    /// A client of the appliance at `address`, without a token.
    pub(super) fn at(address: SocketAddr) -> Self {
        Self { address: address.to_string(), token: None }
    }

    pub(super) fn post_form(&self, path: &str, form: Form) -> Result<Value, ClientError> {
        self.ask("POST", path, &format!("multipart/form-data; boundary={BOUNDARY}"), &form.end())
    }

    pub(super) fn post_json(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.ask("POST", path, "application/json", body.to_string().as_bytes())
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.ask("GET", path, "application/json", b"")
    }

    pub(super) fn delete(&self, path: &str) -> Result<Value, ClientError> {
        self.ask("DELETE", path, "application/json", b"")
    }

    fn ask(&self, verb: &str, path: &str, kind: &str, body: &[u8]) -> Result<Value, ClientError> {
        let answer = self.exchange(verb, path, kind, body).map_err(|error| {
            ClientError::Unreachable { address: self.address.clone(), why: error.to_string() }
        })?;
        let wrong = |why| ClientError::Answer { address: self.address.clone(), why };
        let (status, body) = split(&answer).map_err(wrong)?;
        let document = match body {
            [] => Value::Null,
            body => serde_json::from_slice(body).map_err(|_| wrong("the body is not JSON"))?,
        };
        if (200..300).contains(&status) {
            return Ok(document);
        }
        let text = |key: &str| document[key].as_str().unwrap_or_default().to_owned();
        Err(ClientError::Problem {
            code: text("code"),
            title: text("title"),
            detail: text("detail"),
        })
    }

    fn exchange(&self, verb: &str, path: &str, kind: &str, body: &[u8]) -> io::Result<Vec<u8>> {
        let found = self.address.to_socket_addrs()?.next();
        let address = found.ok_or_else(|| io::Error::other("the name has no address"))?;
        let mut stream = TcpStream::connect_timeout(&address, CONNECT_WAIT)?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        stream.set_nodelay(true)?;
        let token = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n"));
        let head = format!(
            "{verb} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\n{}\r\n",
            self.address,
            body.len(),
            token.unwrap_or_default()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// Status and body of an answer that came whole, because the connection was closed after it.
fn split(answer: &[u8]) -> Result<(u16, &[u8]), &'static str> {
    const END: &[u8] = b"\r\n\r\n";
    let at = answer.windows(END.len()).position(|window| window == END);
    let at = at.ok_or("the head does not end")?;
    let head = std::str::from_utf8(&answer[..at]).map_err(|_| "the head is not text")?;
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    let status = status.and_then(|digits| digits.parse().ok()).ok_or("no HTTP/1.1 status")?;
    if head.to_ascii_lowercase().contains("transfer-encoding:") {
        return Err("the answer comes in chunks");
    }
    Ok((status, &answer[at + END.len()..]))
}

/// Outcome and reasons of a decision document.
pub(super) fn tell_verdict(answer: &Value, tell: Tell) {
    let none = Vec::new();
    let outcome = answer["outcome"].as_str().unwrap_or_default();
    for reason in answer["reasons"].as_array().unwrap_or(&none) {
        let (text, code) = (reason["text"].as_str(), reason["code"].as_str());
        tell.line(format!(
            "{} {} ({})",
            tell.ink(Ink::Bold, outcome),
            text.unwrap_or_default(),
            code.unwrap_or_default()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_plain_http() {
        let client = |url: &str| {
            let address = Address { server: Some(url.to_owned()), token_file: None };
            Client::new(&address, &Config::default())
        };
        assert_eq!(client("http://127.0.0.1:1/").expect("an address").address, "127.0.0.1:1");
        for url in ["https://127.0.0.1:1", "127.0.0.1:1", "http://", "http://127.0.0.1/v1"] {
            assert!(matches!(client(url), Err(ClientError::Url { .. })), "{url}");
        }
    }

    #[test]
    fn answers_are_split_and_nonsense_is_refused() {
        let answer = b"HTTP/1.1 204 No Content\r\nA: b\r\n\r\n";
        assert_eq!(split(answer), Ok((204, &b""[..])));
        assert_eq!(split(b"HTTP/1.1 200 OK\r\n\r\nbody"), Ok((200, &b"body"[..])));
        assert!(split(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
        assert!(split(b"HTTP/1.1 200 OK\r\n").is_err());
    }
}
