//! Who is alerted: takes what Prometheus sends to an Alertmanager, and hands it over.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use serde_json::Value;

/// What was sent about one alert.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) summary: String,
    /// Until when it is to be taken for true, in UTC: some minutes from now while it fires, the
    /// moment of its end when it is over.
    pub(crate) ends_at: String,
}

pub(crate) struct Alertmanager {
    pub(crate) address: SocketAddr,
    sent: Receiver<Sent>,
}

impl Alertmanager {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, sent) = sync_channel(64);
        let serving = std::thread::Builder::new().spawn(move || {
            // It ends with the process, or when nobody listens to it any more.
            while let Ok((stream, _)) = listener.accept() {
                if take(stream, &sender).is_none() {
                    return;
                }
            }
        });
        drop(serving.unwrap());
        Self { address, sent }
    }

    /// The next that is sent.
    pub(crate) fn next(&self) -> Sent {
        let sent = self.sent.recv_timeout(PATIENCE);
        sent.expect("Prometheus sends an alert")
    }
}

/// Reads one request and answers it; nothing once nobody listens.
fn take(stream: TcpStream, sender: &SyncSender<Sent>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    reader.get_mut().write_all(answer.as_bytes()).unwrap();
    let alerts: Value = serde_json::from_slice(&body).unwrap();
    for alert in alerts.as_array().unwrap() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let sent = Sent {
            name: text(&alert["labels"]["alertname"]),
            group: text(&alert["labels"]["group"]),
            summary: text(&alert["annotations"]["summary"]),
            ends_at: text(&alert["endsAt"]),
        };
        sender.send(sent).ok()?;
    }
    Some(())
}

/// How long one alert is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
