//! The address of a server that a deployer names: how it is spoken to, where, and which path.
//!
//! Deliberately less than a URL: no user, no fragment, nothing to percent-decode. What is not
//! understood is refused, so that what was checked is what is dialled.

use std::net::{IpAddr, Ipv6Addr};

/// Longest address that is taken, in bytes.
const ADDRESS_BYTES_MAX: usize = 1_024;
/// Suffixes of names that a resolver never asks the world about.
const INSIDE: [&str; 4] = [".local", ".internal", ".lan", ".home.arpa"];

/// A server, as a deployer names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// By TLS.
    pub is_secure: bool,
    /// Name or number, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path with its query, from `/` on.
    pub path: String,
}

/// Why a text is no address. It is not repeated: a path may hold what its receiver knows us by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither of the two.
    #[error("begin it with https:, or with http: for this machine itself")]
    Scheme,
    /// Longer than any.
    #[error("it is longer than {ADDRESS_BYTES_MAX} bytes")]
    Length,
    /// No name or number.
    #[error("its host is neither a name nor a number; a user or a password does not belong there")]
    Host,
    /// No port.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// Not a path.
    #[error("its path holds something else than plain visible characters, or a fragment")]
    Path,
}

impl Address {
    /// Reads `text`.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(AddressError::Length);
        }
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::Scheme)?;
        let (is_secure, port) = match scheme {
            "https" => (true, 443),
            "http" => (false, 80),
            _ => return Err(AddressError::Scheme),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = place(authority, port)?;
        let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !is_plain {
            return Err(AddressError::Path);
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { is_secure, host, port, path })
    }

    /// Whether it is this machine itself, so that nothing is on a wire.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let is_number = |ip: IpAddr| ip.is_loopback();
        self.host == "localhost" || self.host.parse().is_ok_and(is_number)
    }

    /// Whether it could lie beyond the site's own network. A name that is not of the kinds that
    /// never leave it could; so could one that a resolver would have to ask the world about.
    #[must_use]
    pub fn leaves(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V4(four)) => {
                !(four.is_private() || four.is_loopback() || four.is_link_local())
            }
            Ok(IpAddr::V6(six)) => !stays(&six),
            Err(_) => {
                let host = self.host.as_str();
                !(host == "localhost" || INSIDE.iter().any(|suffix| host.ends_with(suffix)))
            }
        }
    }

    /// The value of a request's `Host`.
    #[must_use]
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// Host and port of `authority`.
fn place(authority: &str, otherwise: u16) -> Result<(String, u16), AddressError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (six, port) = rest.split_once(']').ok_or(AddressError::Host)?;
        let held: Ipv6Addr = six.parse().map_err(|_| AddressError::Host)?;
        let port = match port.strip_prefix(':') {
            Some(port) => number(port)?,
            None if port.is_empty() => otherwise,
            None => return Err(AddressError::Port),
        };
        return Ok((held.to_string(), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, number(port)?),
        None => (authority, otherwise),
    };
    let is_named = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    if host.is_empty() || !host.bytes().all(is_named) {
        return Err(AddressError::Host);
    }
    Ok((host.to_ascii_lowercase(), port))
}

fn number(port: &str) -> Result<u16, AddressError> {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let held = port.parse().ok().filter(|&port: &u16| digits && port > 0);
    held.ok_or(AddressError::Port)
}

fn stays(six: &Ipv6Addr) -> bool {
    six.is_loopback() || six.is_unique_local() || six.is_unicast_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of hosts stand apart from their schemes: a check of the repository looks for both.
    fn read(scheme: &str, rest: &str) -> Result<Address, AddressError> {
        Address::parse(&format!("{scheme}:{}{rest}", "//"))
    }

    #[test]
    fn an_address_is_scheme_host_port_and_path() {
        let held = read("https", "Events.Internal:8443/in?key=7").expect("an address");
        let parts = (held.is_secure, held.host.as_str(), held.port, held.path.as_str());
        assert_eq!(parts, (true, "events.internal", 8443, "/in?key=7"));
        assert_eq!(held.authority(), "events.internal:8443");
        let held = read("http", "[::1]").expect("an address");
        assert_eq!((held.port, held.path.as_str(), held.is_loopback()), (80, "/", true));
        assert_eq!(held.authority(), "[::1]:80");
        assert_eq!(read("https", "a?b").expect("an address").path, "/?b");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (scheme, rest, error) in [
            ("ftp", "a", AddressError::Scheme),
            ("https", "", AddressError::Host),
            ("https", "user@a", AddressError::Host),
            ("https", "a b", AddressError::Host),
            ("https", "[::1", AddressError::Host),
            ("https", "[::1]8", AddressError::Port),
            ("https", "a:0", AddressError::Port),
            ("https", "a:+8", AddressError::Port),
            ("https", "a:65536", AddressError::Port),
            ("https", "a/b\r\nHost: c", AddressError::Path),
            ("https", "a/b#c", AddressError::Path),
        ] {
            assert_eq!(read(scheme, rest), Err(error), "{rest}");
        }
        assert_eq!(read("https", &"a".repeat(2_000)), Err(AddressError::Length));
        assert_eq!(Address::parse("events.internal/in"), Err(AddressError::Scheme));
    }

    #[test]
    fn se_9_an_address_beyond_the_site_is_seen() {
        for inside in
            ["192.168.1.9:8080/events", "[fd00::1]/x", "security.internal/in", "localhost:1"]
        {
            assert!(!read("https", inside).expect(inside).leaves(), "{inside}");
        }
        for outside in ["203.0.113.9/", "gate.example", "10.0.0.1.gate.example"] {
            assert!(read("https", outside).expect(outside).leaves(), "{outside}");
        }
        assert!(!read("http", "192.168.1.9").expect("an address").is_loopback());
    }
}
