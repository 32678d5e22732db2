//! `highwater health`: asks a running broker whether it is ready, where there is no shell to do it.
//!
//! Floor 2 of cli.
//!
//! Invariants
//! - It ends within the time that was given, whatever the other side does.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use highwater_broker::clock::SystemClock;
use highwater_proto::clock::Clock as _;

use crate::cli::args::HealthArgs;
use crate::cli::failure::Failure;
use crate::cli::output;

/// Runs the command.
pub(crate) fn run(args: &HealthArgs) -> Result<(), Failure> {
    let address = &args.address;
    let answer = ask(args).map_err(|error| {
        let why = match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => "no answer came in time".to_owned(),
            _ => error.to_string(),
        };
        Failure::Failed(format!(
            "the broker at {address} cannot be asked: {why}; is it started with --http {address}?"
        ))
    })?;
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default().trim();
    match answer.split(' ').nth(1) {
        Some("200") => output::text(&format!("{body}\n")),
        Some("503") => Err(Failure::Failed(format!(
            "the broker at {address} is not ready: {body}"
        ))),
        _ => Err(Failure::Failed(format!(
            "what answers at {address} is no broker's HTTP"
        ))),
    }
}

/// The whole answer, head and all.
fn ask(args: &HealthArgs) -> std::io::Result<String> {
    let clock = SystemClock::new();
    let end = clock
        .now()
        .mono
        .plus(Duration::from_millis(args.timeout_ms));
    let left = || match end.since(clock.now().mono) {
        Duration::ZERO => Err(std::io::Error::from(ErrorKind::TimedOut)),
        left => Ok(left),
    };
    let mut found = (args.address.host.as_str(), args.address.port).to_socket_addrs()?;
    let place = found.next().ok_or(ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&place, left()?)?;
    stream.set_write_timeout(Some(left()?))?;
    let head = "GET /health/ready HTTP/1.1\r\nhost: highwater\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while answer.len() < ANSWER_BYTES_MAX {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut piece)? {
            0 => break,
            read => answer.extend_from_slice(&piece[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Far more than a broker says.
const ANSWER_BYTES_MAX: usize = 16 << 10;
