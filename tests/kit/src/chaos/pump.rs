//! One connection through the proxy: both ways, byte by byte where it matters.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::{Mishap, Shared, Trick, Way};

/// Which connection of which conversation it is.
pub(super) struct Wire {
    pub(super) shared: Arc<Shared>,
    pub(super) talk: u64,
    pub(super) connection: usize,
}

impl Wire {
    /// Carries bytes until both ends have closed, or the connection is cut.
    pub(super) async fn carry(self, client: TcpStream, broker: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_broker, to_broker) = broker.into_split();
        let swallow = watch::Sender::new(false);
        let out = self.pump(Way::ToBroker, from_client, to_broker, &swallow);
        let back = self.pump(Way::ToClient, from_broker, to_client, &swallow);
        tokio::try_join!(out, back).map(drop)
    }

    async fn pump(
        &self,
        way: Way,
        mut source: OwnedReadHalf,
        mut target: OwnedWriteHalf,
        swallow: &watch::Sender<bool>,
    ) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        let (mut position, mut is_split) = (0, false);
        loop {
            let count = source.read(&mut buffer).await?;
            let chunk = buffer.get(..count).unwrap_or_default();
            self.note(way, count);
            if *swallow.borrow() {
                if chunk.is_empty() {
                    return self.silence().await;
                }
                continue;
            }
            if chunk.is_empty() {
                return target.shutdown().await;
            }
            let mut left = chunk;
            while !left.is_empty() {
                let (until, mishap) = self.next_mishap(way, position, left.len());
                let (before, rest) = left.split_at(until);
                pass_on(&mut target, before, is_split).await?;
                position += u64::try_from(until).unwrap_or(0);
                left = rest;
                match mishap.map(|mishap| mishap.trick) {
                    None => {}
                    Some(Trick::Cut) => return Err(io::ErrorKind::ConnectionAborted.into()),
                    Some(Trick::Delay(time)) => {
                        let clock = &self.shared.clock;
                        clock.sleep_until(clock.now().mono.plus(time)).await;
                    }
                    Some(Trick::Split) => is_split = true,
                    Some(Trick::Swallow) => {
                        swallow.send_replace(true);
                        break;
                    }
                }
            }
        }
    }

    /// Bytes up to the next mishap, and which one that is; it has happened then.
    fn next_mishap(&self, way: Way, position: u64, count: usize) -> (usize, Option<Mishap>) {
        let mut talk = self.shared.talk();
        if talk.number != self.talk {
            return (count, None);
        }
        let offset = |mishap: &Mishap| {
            let offset = mishap.byte.checked_sub(position)?;
            usize::try_from(offset).ok().filter(|it| *it < count)
        };
        let mine = |mishap: &&Mishap| mishap.connection == self.connection && mishap.way == way;
        let next = talk.mishaps.iter().filter(mine);
        let next = next.filter_map(|mishap| Some((offset(mishap)?, *mishap)));
        match next.min_by_key(|(offset, _)| *offset) {
            Some((offset, mishap)) => {
                talk.mishaps.retain(|other| *other != mishap);
                talk.struck += 1;
                (offset, Some(mishap))
            }
            None => (count, None),
        }
    }

    fn note(&self, way: Way, count: usize) {
        let mut talk = self.shared.talk();
        if talk.number != self.talk {
            return;
        }
        if let Some([to_broker, to_client]) = talk.lengths.get_mut(self.connection) {
            let length = match way {
                Way::ToBroker => to_broker,
                Way::ToClient => to_client,
            };
            *length += u64::try_from(count).unwrap_or(0);
        }
    }

    /// One end has closed, and the other end does not hear of it.
    async fn silence(&self) -> io::Result<()> {
        std::future::pending().await
    }
}

async fn pass_on(target: &mut OwnedWriteHalf, bytes: &[u8], is_split: bool) -> io::Result<()> {
    if !is_split {
        return target.write_all(bytes).await;
    }
    for byte in bytes.chunks(1) {
        target.write_all(byte).await?;
        // The other end gets a chance to read it by itself.
        tokio::task::yield_now().await;
    }
    Ok(())
}

const CHUNK_BYTES: usize = 16 * 1024;
