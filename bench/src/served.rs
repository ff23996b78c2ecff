//! An appliance of its own for one measurement: the release binary, started on a free loopback port
//! with its audit in a throw-away folder, and killed when the measurement is over.
//!
//! What is not here: anything that changes how the appliance works. Only where it listens and where
//! its audit goes are set.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use portcullis::time::{Clock, SystemClock};

/// Pause between two questions whether the appliance is ready.
const POLL: Duration = Duration::from_millis(1);
/// Longest wait for an appliance to become ready, in microseconds.
const READY_US_MAX: u64 = 60_000_000;
/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A running appliance.
pub(crate) struct Served {
    process: Child,
    folder: PathBuf,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// From the start of the process to the first "ready".
    pub(crate) ready_us: u64,
}

impl Served {
    /// Starts `binary` and waits until `GET /readyz` says 200.
    ///
    /// # Errors
    /// When it does not start, ends, or is not ready in time; its own words are on standard error.
    pub(crate) fn start(binary: &Path, threads: usize) -> io::Result<Self> {
        let threads = threads.to_string();
        Self::start_with(binary, |command, folder| {
            command
                .arg("serve")
                .env("PORTCULLIS_AUDIT_PATH", folder.join("audit.jsonl"))
                .env("PORTCULLIS_ENGINE_THREADS", threads)
                .env("PORTCULLIS_LOG_LEVEL", "error");
            Ok(())
        })
    }

    /// Starts `binary` as `prepare` says, which is also given the throw-away folder; the address
    /// is set here.
    ///
    /// # Errors
    /// As [`Served::start`].
    pub(crate) fn start_with(
        binary: &Path,
        prepare: impl FnOnce(&mut Command, &Path) -> io::Result<()>,
    ) -> io::Result<Self> {
        let address = free_port()?;
        let folder = env::temp_dir().join(format!("portcullis-bench-{}", address.port()));
        fs::create_dir_all(&folder)?;
        let mut command = Command::new(binary);
        command.env("PORTCULLIS_SERVER_LISTEN", address.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        prepare(&mut command, &folder)?;
        let clock = SystemClock::start();
        let process = command.spawn()?;
        let mut served = Self { process, folder, address, ready_us: 0 };
        while !served.is_ready() {
            if let Some(status) = served.process.try_wait()? {
                return Err(io::Error::other(format!("{} ended: {status}", binary.display())));
            }
            if clock.monotonic_us() > READY_US_MAX {
                return Err(io::Error::other(format!("{} is not ready", binary.display())));
            }
            thread::park_timeout(POLL);
        }
        served.ready_us = clock.monotonic_us();
        Ok(served)
    }

    fn is_ready(&self) -> bool {
        ask(self.address, "GET", "/readyz", &[], &[]).is_ok_and(|answer| answer.status == 200)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // What fails here is a process that has ended or a folder that is gone: both are the aim.
        drop(self.process.kill());
        drop(self.process.wait());
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// A loopback port that nobody listened on a moment ago.
fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// An answer: its status and its body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Sends one request on a connection of its own, as the appliance has it (no buffer of a connection
/// outlives the request whose face it held), and reads the whole answer.
///
/// # Errors
/// When the peer goes away or does not speak HTTP/1.1 with a stated length.
pub(crate) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    exchange(address, &request(method, path, headers, body))
}

/// The bytes of one request, made once and sent often.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", body.len());
    let mut request = head.into_bytes();
    request.extend_from_slice(body);
    request
}

/// Sends the bytes of one request on a connection of its own and reads the whole answer.
///
/// # Errors
/// As [`ask`].
pub(crate) fn exchange(address: SocketAddr, request: &[u8]) -> io::Result<Answer> {
    speak(connect(address)?, request)
}

/// A connection of its own.
///
/// # Errors
/// What the system said.
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    Ok(stream)
}

/// Sends the bytes of one request over `stream` and reads the whole answer.
///
/// # Errors
/// As [`ask`].
pub(crate) fn speak(stream: impl Read + Write, request: &[u8]) -> io::Result<Answer> {
    let mut connection = Connection(BufReader::new(stream));
    connection.0.get_mut().write_all(request)?;
    connection.0.get_mut().flush()?;
    connection.answer()
}

/// What is read of an answer.
struct Connection<S>(BufReader<S>);

impl<S: Read> Connection<S> {
    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let foreign = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| foreign("no status line"))?;
        let mut length = None;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let header = line.split_once(':').ok_or_else(|| foreign("no header line"))?;
            if header.0.eq_ignore_ascii_case("content-length") {
                length = header.1.trim().parse::<usize>().ok();
            }
        }
        let mut body = vec![0; length.ok_or_else(|| foreign("no content-length"))?];
        self.0.read_exact(&mut body)?;
        Ok(Answer { status, body })
    }
}

/// The release binary beside this one.
///
/// # Errors
/// When it was not built.
pub(crate) fn release_binary() -> io::Result<PathBuf> {
    let path = env::current_exe()?.with_file_name("portcullis");
    if path.is_file() {
        return Ok(path);
    }
    Err(io::Error::other(format!("{} is not there: cargo build --release", path.display())))
}

/// Median of microseconds; the values are left in order.
pub(crate) fn median_us(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}
