//! The receiver's end: one request over one connection, answered or not.
//!
//! Over TLS the certificates of the deployer's own authority are trusted, and no others: the
//! receiver stands on the site's own network, where no public authority vouches for anybody.
//! Without TLS it is this machine itself; the profile is refused otherwise.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, InvalidDnsNameError, ServerName, pem::PemObject},
};

use super::Event;
use crate::{
    limits::{WEBHOOK_ANSWER_MS, WEBHOOK_CONNECT_MS},
    profile::Address,
    register::RegisterError,
    time::Clock,
};

/// Bytes of an answer that tell its status: `HTTP/1.1 204`.
const STATUS_BYTES: usize = 12;

/// Why there is no receiver. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    /// TLS, and nobody to trust.
    #[error(
        "events.webhook is spoken to by TLS: set site.webhook_ca to who signed its certificate"
    )]
    CaMissing,
    /// The file is not usable.
    #[error("site.webhook_ca = {path}: {why}")]
    Ca {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// Not a name that a certificate could bear.
    #[error("events.webhook: {0}")]
    Name(#[from] InvalidDnsNameError),
}

/// Why an event was not taken. It will be sent again.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// Nobody was reached, or nobody who could be trusted.
    #[error("no connection: {0}")]
    Unreachable(io::Error),
    /// The connection ended, or stood still.
    #[error("no answer: {0}")]
    Silent(io::Error),
    /// Something answered that is no HTTP.
    #[error("the answer is not HTTP/1.1")]
    Unreadable,
    /// It does not want it.
    #[error("answered with status {0}")]
    Refused(u16),
    /// The queue cannot be read.
    #[error(transparent)]
    Queue(#[from] RegisterError),
}

/// Who is told.
pub struct Receiver {
    address: Address,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Receiver {
    /// The receiver at `address`; over TLS it is trusted for a certificate that `ca` signed.
    ///
    /// # Errors
    /// [`ReceiverError`].
    pub fn new(address: Address, ca: Option<&Path>) -> Result<Self, ReceiverError> {
        if !address.is_secure {
            return Ok(Self { address, tls: None });
        }
        let path = ca.ok_or(ReceiverError::CaMissing)?;
        let refuse = |why: String| ReceiverError::Ca { path: path.display().to_string(), why };
        let name = ServerName::try_from(address.host.clone())?;
        let mut roots = RootCertStore::empty();
        let trusted = CertificateDer::pem_file_iter(path);
        for certificate in trusted.map_err(|error| refuse(error.to_string()))? {
            let certificate = certificate.map_err(|error| refuse(error.to_string()))?;
            roots.add(certificate).map_err(|error| refuse(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(refuse("no certificate in PEM form".to_owned()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| refuse(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { address, tls: Some((Arc::new(config), name)) })
    }

    /// Sends `event` once; `Ok` when the receiver said that it has it.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn post(&self, event: &Event, clock: &dyn Clock) -> Result<(), NotTaken> {
        let socket = self.connect().map_err(NotTaken::Unreachable)?;
        let request = self.request(event);
        let status = match &self.tls {
            None => exchange(socket, &request, clock),
            Some((config, name)) => {
                let session = ClientConnection::new(Arc::clone(config), name.clone());
                let session = session.map_err(io::Error::other).map_err(NotTaken::Unreachable)?;
                exchange(StreamOwned::new(session, socket), &request, clock)
            }
        };
        match status? {
            200..=299 => Ok(()),
            other => Err(NotTaken::Refused(other)),
        }
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let mut failed = io::Error::other("its name has no address");
        for place in (self.address.host.as_str(), self.address.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&place, Duration::from_millis(WEBHOOK_CONNECT_MS)) {
                Ok(socket) => {
                    let wait = Some(Duration::from_millis(WEBHOOK_ANSWER_MS));
                    socket.set_read_timeout(wait)?;
                    socket.set_write_timeout(wait)?;
                    socket.set_nodelay(true)?;
                    return Ok(socket);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn request(&self, event: &Event) -> Vec<u8> {
        let body = serde_json::to_vec(event).expect("an event is plain values");
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nIdempotency-Key: {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address.path,
            self.address.authority(),
            event.event,
            body.len()
        );
        [head.into_bytes(), body].concat()
    }
}

/// The status of the answer to `request`. The rest of the answer is of no interest.
fn exchange(
    mut stream: impl Read + Write,
    request: &[u8],
    clock: &dyn Clock,
) -> Result<u16, NotTaken> {
    let until_us = clock.monotonic_us().saturating_add(WEBHOOK_ANSWER_MS.saturating_mul(1_000));
    stream.write_all(request).and_then(|()| stream.flush()).map_err(NotTaken::Silent)?;
    let (mut answer, mut held) = ([0; STATUS_BYTES], 0);
    while let Some(rest) = answer.get_mut(held..).filter(|rest| !rest.is_empty()) {
        // One that answers a byte at a time does not hold this thread for ever.
        if clock.monotonic_us() > until_us {
            return Err(NotTaken::Silent(io::ErrorKind::TimedOut.into()));
        }
        match stream.read(rest) {
            Ok(0) => return Err(NotTaken::Silent(io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => held = held.saturating_add(read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(NotTaken::Silent(error)),
        }
    }
    status(&answer).ok_or(NotTaken::Unreadable)
}

fn status(answer: &[u8; STATUS_BYTES]) -> Option<u16> {
    let digits = answer.strip_prefix(b"HTTP/1.1 ").or(answer.strip_prefix(b"HTTP/1.0 "))?;
    let is_number = digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{time::SimulatedClock, types::TransactionId};

    /// A receiver that says `answer`, a few bytes at a time.
    struct Said {
        answer: &'static [u8],
        heard: Vec<u8>,
    }

    impl Read for Said {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.answer.len().min(buffer.len()).min(5);
            buffer[..read].copy_from_slice(&self.answer[..read]);
            self.answer = &self.answer[read..];
            Ok(read)
        }
    }

    impl Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.heard.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn told(answer: &'static [u8]) -> Result<u16, NotTaken> {
        exchange(Said { answer, heard: Vec::new() }, b"POST", &SimulatedClock::at(0))
    }

    #[test]
    fn the_status_is_all_that_is_read_of_an_answer() {
        assert_eq!(told(b"HTTP/1.1 204 No Content\r\n").expect("a status"), 204);
        assert_eq!(told(b"HTTP/1.0 503 Busy\r\n").expect("a status"), 503);
        assert!(matches!(told(b"SSH-2.0-OpenSSH"), Err(NotTaken::Unreadable)));
        assert!(matches!(told(b"HTTP/1.1 +20 "), Err(NotTaken::Unreadable)));
        assert!(matches!(told(b"HTTP/1.1 2"), Err(NotTaken::Silent(_))));
    }

    #[test]
    fn a_request_bears_the_events_name_and_no_line_of_somebody_elses() {
        let address = Address::parse(&format!("http:{}[::1]:8/in?key=7", "//")).expect("one");
        let receiver = Receiver::new(address, None).expect("no TLS");
        let event = Event::admission(TransactionId::from_bytes([7; 16]), (5, "gate-1"), None);
        let request = String::from_utf8(receiver.request(&event)).expect("text");
        let (head, body) = request.split_once("\r\n\r\n").expect("a head");
        let key = format!("Idempotency-Key: {}", "07".repeat(16));
        let expected = ["POST /in?key=7 HTTP/1.1", "Host: [::1]:8", "Connection: close", &key];
        assert_eq!(head.lines().take(4).collect::<Vec<_>>(), expected);
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
    }

    #[test]
    fn ra_2_tls_needs_somebody_to_trust() {
        let address = Address::parse(&format!("https:{}events.internal/in", "//")).expect("one");
        let refused = Receiver::new(address.clone(), None).err().expect("nobody");
        assert!(refused.to_string().contains("site.webhook_ca"), "{refused}");
        let file = tempfile::NamedTempFile::new().expect("a file");
        let refused = Receiver::new(address, Some(file.path())).err().expect("nobody in it");
        assert!(refused.to_string().contains("no certificate"), "{refused}");
    }
}
