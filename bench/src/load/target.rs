//! Where questions go: an address, spoken to plainly or through TLS.
//!
//! Beyond loopback an appliance serves nothing but TLS, so whoever measures a gate that is deployed
//! measures through it. Each question is on a connection of its own, as the appliance has it; its
//! handshake is part of its latency, and is short where the appliance hands out tickets, as it does
//! to a gate controller.

use std::{io, net::SocketAddr, path::Path, sync::Arc};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use crate::{
    Wrong,
    served::{Answer, connect, request, speak},
};

/// An appliance, or a peer, that is asked.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    tls: Option<Tls>,
}

#[derive(Debug, Clone)]
struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl From<SocketAddr> for Target {
    /// Plainly.
    fn from(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }
}

impl Target {
    /// Through TLS, trusting who is signed by one of the certificates in `ca` and has the name
    /// `name`, or without one the address.
    ///
    /// # Errors
    /// When `ca` holds no certificate, or `name` is none.
    pub(crate) fn trusting(
        address: SocketAddr,
        ca: &Path,
        name: Option<&str>,
    ) -> Result<Self, Wrong> {
        let refuse = |why: &dyn std::fmt::Display| format!("--ca {}: {why}", ca.display());
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_file_iter(ca).map_err(|error| refuse(&error))? {
            roots.add(root.map_err(|error| refuse(&error))?).map_err(|error| refuse(&error))?;
        }
        if roots.is_empty() {
            return Err(refuse(&"no certificate in PEM form").into());
        }
        let name = match name {
            None => ServerName::from(address.ip()),
            Some(name) => ServerName::try_from(name.to_owned())
                .map_err(|error| format!("--server-name {name}: {error}"))?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { address, tls: Some(Tls { config: Arc::new(config), name }) })
    }

    /// Sends the bytes of one request on a connection of its own and reads the whole answer.
    ///
    /// # Errors
    /// When the peer goes away, is not trusted, or does not speak HTTP/1.1 with a stated length.
    pub(crate) fn exchange(&self, request: &[u8]) -> io::Result<Answer> {
        let stream = connect(self.address)?;
        let Some(tls) = &self.tls else { return speak(stream, request) };
        let session = ClientConnection::new(Arc::clone(&tls.config), tls.name.clone());
        speak(StreamOwned::new(session.map_err(io::Error::other)?, stream), request)
    }

    /// As [`Self::exchange`], of a request that is made here.
    ///
    /// # Errors
    /// As [`Self::exchange`].
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        self.exchange(&request(method, path, headers, body))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{Read, Write},
        net::{Ipv4Addr, TcpListener},
        thread,
    };

    use base64::{Engine, engine::general_purpose::STANDARD};
    use ring::{
        rand::SystemRandom,
        signature::{Ed25519KeyPair, KeyPair},
    };
    use rustls::{
        ServerConfig, ServerConnection,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    };

    use super::*;

    /// One element of DER.
    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        let length = u8::try_from(body.len()).expect("a short one");
        let length = if length < 128 { vec![length] } else { vec![0x81, length] };
        [vec![tag], length, body].concat()
    }

    /// A key and a certificate of its own for 127.0.0.1.
    fn certified() -> (PrivateKeyDer<'static>, CertificateDer<'static>) {
        const ED25519: [u8; 5] = [0x06, 3, 0x2b, 0x65, 0x70];
        const COMMON_NAME: [u8; 5] = [0x06, 3, 0x55, 4, 3];
        const ALTERNATIVE_NAME: [u8; 5] = [0x06, 3, 0x55, 0x1d, 17];
        let secret = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("randomness");
        let pair = Ed25519KeyPair::from_pkcs8(secret.as_ref()).expect("just made");
        let algorithm = der(0x30, &[&ED25519]);
        let name = der(0x30, &[&COMMON_NAME, &der(0x0c, &[b"gate"])]);
        let name = der(0x30, &[&der(0x31, &[&name])]);
        let time = |text: &[u8]| der(0x17, &[text]);
        let validity = der(0x30, &[&time(b"250101000000Z"), &time(b"491231235959Z")]);
        let public = der(0x03, &[&[0], pair.public_key().as_ref()]);
        let address = der(0x30, &[&der(0x87, &[&[127, 0, 0, 1]])]);
        let extension = der(0x30, &[&ALTERNATIVE_NAME, &der(0x04, &[&address])]);
        let extensions = der(0xa3, &[&der(0x30, &[&extension])]);
        let (version, serial) = (der(0xa0, &[&[2, 1, 2]]), [2_u8, 1, 1]);
        let key = der(0x30, &[&algorithm, &public]);
        let parts: [&[u8]; 8] =
            [&version, &serial, &algorithm, &name, &validity, &name, &key, &extensions];
        let signed = der(0x30, &parts);
        let signature = der(0x03, &[&[0], pair.sign(&signed).as_ref()]);
        let certificate = der(0x30, &[&signed, &algorithm, &signature]);
        let secret = PrivatePkcs8KeyDer::from(secret.as_ref().to_vec());
        (secret.into(), certificate.into())
    }

    /// Answers one question through TLS; false when there was none that could be read.
    fn answers_one(listener: &TcpListener, config: Arc<ServerConfig>) -> bool {
        let (stream, _) = listener.accept().expect("a caller");
        let session = ServerConnection::new(config).expect("a session");
        let mut stream = StreamOwned::new(session, stream);
        let mut head = [0; 4096];
        if !stream.read(&mut head).is_ok_and(|held| head[..held].starts_with(b"GET /readyz ")) {
            return false;
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nready";
        stream.write_all(answer).and_then(|()| stream.flush()).is_ok()
    }

    #[test]
    fn who_is_trusted_is_asked_and_nobody_else() {
        let (key, certificate) = certified();
        let folder = std::env::temp_dir().join(format!("portcullis-tls-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let pem = |name: &str, certificate: &CertificateDer<'_>| {
            let text = STANDARD.encode(certificate);
            let text = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
            let path = folder.join(name);
            fs::write(&path, text).expect("written");
            path
        };
        let (ca, other) = (pem("ca.pem", &certificate), pem("other.pem", &certified().1));
        let empty = folder.join("empty.pem");
        fs::write(&empty, "nothing").expect("written");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a certificate with its key");
        let config = Arc::new(config);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        let asked = |target: Target| {
            thread::scope(|scope| {
                let server = scope.spawn(|| answers_one(&listener, Arc::clone(&config)));
                let answer = target.ask("GET", "/readyz", &[], &[]);
                let heard = server.join().expect("no panic");
                (heard, answer.map(|answer| (answer.status, answer.body)).ok())
            })
        };
        let trusting = |ca: &Path, name| Target::trusting(address, ca, name).expect("a target");
        assert_eq!(asked(trusting(&ca, None)), (true, Some((200, b"ready".to_vec()))));
        assert_eq!(asked(trusting(&other, None)), (false, None), "signed by somebody else");
        assert_eq!(asked(trusting(&ca, Some("elsewhere"))), (false, None), "another name");
        assert_eq!(asked(address.into()), (false, None), "it is not spoken to plainly");
        let why = Target::trusting(address, &empty, None).expect_err("no certificate");
        assert!(why.to_string().contains("empty.pem"), "{why}");
        fs::remove_dir_all(&folder).expect("removed");
    }
}
