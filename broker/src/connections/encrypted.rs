//! A connection over TLS after its handshake, with the face of a plain socket.
//!
//! Floor 2 of broker, behind the feature `tls`.
//!
//! Invariants
//! - An idle connection holds no buffer of its own.
//! - What was received and is not yet decrypted is at most [`READ_BYTES`], what waits to be sent at
//!   most [`PENDING_BYTES_MAX`]: both sides push back as a plain socket does.
//! - The lock is held for the work of one call and never waited for: one task has both halves.

use std::io::{self, BufRead, IoSlice, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BufMut, BytesMut};
use rustls::ServerConnection;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// An encrypted connection.
pub(crate) struct Encrypted {
    stream: TcpStream,
    state: Mutex<State>,
}

struct State {
    tls: ServerConnection,
    /// Received, and not yet given to `tls`.
    arrived: BytesMut,
    /// Decrypted, and not yet read.
    plain_bytes: usize,
    /// The other side sends nothing more.
    is_ended: bool,
}

impl Encrypted {
    /// A connection whose handshake is done.
    pub(super) fn new(stream: TlsStream<TcpStream>) -> io::Result<Self> {
        let (stream, mut tls) = stream.into_inner();
        tls.set_buffer_limit(Some(PENDING_BYTES_MAX));
        let mut state = State {
            tls,
            arrived: BytesMut::new(),
            plain_bytes: 0,
            is_ended: false,
        };
        // A request may have come with the last message of the handshake.
        state.decrypt()?;
        let state = Mutex::new(state);
        Ok(Self { stream, state })
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        let is_ready = {
            let state = self.state();
            state.plain_bytes > 0 || !state.arrived.is_empty() || state.is_ended
        };
        if is_ready {
            return Ok(());
        }
        self.stream.readable().await
    }

    pub(super) fn try_read_buf(&self, buffer: &mut impl BufMut) -> io::Result<usize> {
        let mut state = self.state();
        loop {
            let count = state.take_plain(buffer)?;
            if count > 0 || !buffer.has_remaining_mut() || state.is_ended {
                return Ok(count);
            }
            if state.arrived.is_empty() {
                self.receive(&mut state)?;
            } else if let Err(error) = state.decrypt() {
                // The alert that says so: a courtesy, if there is room for it.
                drop(self.flush(&mut state));
                return Err(error);
            }
        }
    }

    /// Reads what the socket has.
    fn receive(&self, state: &mut State) -> io::Result<()> {
        state.arrived.reserve(READ_BYTES);
        let mut room = (&mut state.arrived).limit(READ_BYTES);
        match self.stream.try_read_buf(&mut room) {
            Ok(0) => {
                state.is_ended = true;
                state.arrived = BytesMut::new();
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => {
                state.arrived = BytesMut::new();
                Err(error)
            }
        }
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        self.stream.writable().await
    }

    pub(super) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.state();
        // What was taken before leaves before.
        self.flush(&mut state)?;
        let count = state.tls.writer().write_vectored(slices)?;
        match self.flush(&mut state) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(count),
        }
    }

    pub(super) fn holds_back(&self) -> bool {
        self.state().tls.wants_write()
    }

    pub(super) fn try_flush(&self) -> io::Result<()> {
        self.flush(&mut self.state())
    }

    fn flush(&self, state: &mut State) -> io::Result<()> {
        while state.tls.wants_write() {
            match state.tls.write_tls(&mut Socket(&self.stream)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says that nothing more comes, if there is room for it.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.tls.send_close_notify();
        drop(self.flush(&mut state));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic within rustls ends the task, and with it the connection.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Decrypts some of what was received.
    fn decrypt(&mut self) -> io::Result<()> {
        if !self.arrived.is_empty() {
            let mut rest = &self.arrived[..];
            let count = self.tls.read_tls(&mut rest)?;
            self.arrived.advance(count);
        }
        if self.arrived.is_empty() {
            self.arrived = BytesMut::new();
        }
        let seen = self.tls.process_new_packets();
        let seen = seen.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.plain_bytes = seen.plaintext_bytes_to_read();
        self.is_ended |= seen.peer_has_closed();
        Ok(())
    }

    /// Hands out what is decrypted.
    fn take_plain(&mut self, buffer: &mut impl BufMut) -> io::Result<usize> {
        let mut taken = 0;
        while self.plain_bytes > 0 && buffer.has_remaining_mut() {
            let mut reader = self.tls.reader();
            let chunk = reader.fill_buf()?;
            let count = chunk.len().min(buffer.remaining_mut());
            buffer.put_slice(&chunk[..count]);
            reader.consume(count);
            self.plain_bytes -= count;
            taken += count;
        }
        Ok(taken)
    }
}

/// What the socket takes at once.
struct Socket<'a>(&'a TcpStream);

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One read of the socket: a record of TLS, and its frame.
const READ_BYTES: usize = 16 * 1024 + 256;
/// Encrypted bytes that wait for the socket.
const PENDING_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Arc;
    use std::sync::mpsc::sync_channel;

    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// Both sides of TLS with a certificate that signs itself.
    fn sides() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
        let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = own.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (Arc::new(server), Arc::new(client))
    }

    #[tokio::test]
    async fn what_the_socket_does_not_take_is_held_back_and_goes_out_later() {
        let (server, client) = sides();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (go, may_read) = sync_channel::<()>(1);
        let reading = tokio::task::spawn_blocking(move || {
            let name = ServerName::try_from("localhost").unwrap();
            let tls = ClientConnection::new(client, name).unwrap();
            let mut stream = StreamOwned::new(tls, std::net::TcpStream::connect(address).unwrap());
            stream.conn.complete_io(&mut stream.sock).unwrap();
            may_read.recv().unwrap();
            // The end is said: a connection that is cut would be an error.
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            bytes.len()
        });
        let (stream, _) = listener.accept().await.unwrap();
        let stream = TlsAcceptor::from(server).accept(stream).await.unwrap();
        let wire = Encrypted::new(stream).unwrap();
        let chunk = [7; READ_BYTES];
        let mut taken = 0;
        while let Ok(count) = wire.try_write_vectored(&[IoSlice::new(&chunk)]) {
            taken += count;
        }
        assert!(wire.holds_back());
        go.send(()).unwrap();
        while wire.holds_back() {
            wire.writable().await.unwrap();
            if let Err(error) = wire.try_flush() {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            }
        }
        wire.close();
        drop(wire);
        assert_eq!(reading.await.unwrap(), taken);
    }
}
