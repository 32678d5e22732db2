//! What the tests share: a broker with a TLS listener, and a client that does TLS by itself.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use highwater_broker::Broker;
use highwater_broker::clock::VirtualClock;
use highwater_broker::config::BrokerConfig;
use highwater_proto::clock::Wall;
use highwater_proto::kafka::messages::api_versions::ApiVersionsRequest;
use highwater_proto::kafka::{ApiKey, ApiRequest, Response, SIZE_BYTES};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::certs::{Authority, Files, Issued};
use crate::logs;

/// A broker with a TLS listener and one without, its files and its clock.
pub(crate) struct Rig {
    pub(crate) broker: Broker,
    pub(crate) clock: VirtualClock,
    pub(crate) address: SocketAddr,
    pub(crate) plain: SocketAddr,
    pub(crate) authority: Authority,
    pub(crate) files: Files,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A broker with further settings.
    pub(crate) fn with(set: impl FnOnce(&mut BrokerConfig)) -> Self {
        logs::collect();
        let authority = Authority::new("test authority");
        let files = Files::new(&authority.issue("localhost"), &authority);
        let mut config = BrokerConfig {
            ssl_certificate_location: files.text("certificate.pem"),
            ssl_key_location: files.text("key.pem"),
            ssl_ca_location: files.text("ca.pem"),
            ..BrokerConfig::default()
        };
        set(&mut config);
        // 2023-11-14.
        let clock = VirtualClock::new(Wall(1_700_000_000_000));
        let broker = Broker::builder()
            .config(config)
            .clock(Arc::new(clock.clone()))
            .listen_kafka("127.0.0.1:0,protocol=SSL".parse().unwrap())
            .listen_kafka("PLAIN=127.0.0.1:0".parse().unwrap())
            .start()
            .unwrap();
        let addresses = broker.bootstrap_servers();
        let (address, plain) = addresses.split_once(',').unwrap();
        let (address, plain) = (address.parse().unwrap(), plain.parse().unwrap());
        Self {
            broker,
            clock,
            address,
            plain,
            authority,
            files,
        }
    }

    /// A connection after its handshake.
    pub(crate) fn client(&self) -> Client {
        self.try_client(None).unwrap()
    }

    /// A connection that has done one request, with a certificate of its own if there is one.
    pub(crate) fn try_client(&self, shown: Option<&Issued>) -> std::io::Result<Client> {
        let mut client = Client::begin(self.address, client_config(&self.authority, shown));
        client.ask()?;
        Ok(client)
    }

    /// A connection that has sent so many bytes of a hello, and then sends nothing more.
    pub(crate) fn stalled(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = connect(self.address);
        stream.write_all(bytes).unwrap();
        stream
    }
}

pub(crate) fn client_config(authority: &Authority, shown: Option<&Issued>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    match shown {
        None => builder.with_no_client_auth(),
        Some(issued) => {
            let chain = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![chain], key).unwrap()
        }
    }
}

/// A client over TLS.
pub(crate) struct Client {
    pub(crate) stream: StreamOwned<ClientConnection, TcpStream>,
    lines_before: usize,
}

impl Client {
    pub(crate) fn begin(address: SocketAddr, config: ClientConfig) -> Self {
        let lines_before = logs::count();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        Self {
            stream: StreamOwned::new(tls, connect(address)),
            lines_before,
        }
    }

    /// A request and its answer.
    pub(crate) fn ask(&mut self) -> std::io::Result<()> {
        let request = ApiVersionsRequest::default().into_request();
        let frame = request.encode_frame(0, 7, None).unwrap().into_bytes();
        self.stream.write_all(&frame)?;
        let mut size = [0; SIZE_BYTES];
        self.stream.read_exact(&mut size)?;
        let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
        self.stream.read_exact(&mut answer)?;
        let (id, response) = Response::decode_frame(ApiKey::ApiVersions, 0, answer.into()).unwrap();
        assert_eq!(id, 7);
        assert!(matches!(response, Response::ApiVersions(answer) if answer.error_code == 0));
        Ok(())
    }

    /// The certificate that the broker has shown.
    pub(crate) fn seen(&self) -> Vec<u8> {
        self.stream.conn.peer_certificates().unwrap()[0].to_vec()
    }

    /// What the broker has logged about this connection, once it has logged something.
    pub(crate) fn line(&self) -> String {
        line_about(&self.stream.sock, self.lines_before)
    }
}

/// The first line about a connection.
pub(crate) fn line_about(stream: &TcpStream, lines_before: usize) -> String {
    let name = format!("client={}", stream.local_addr().unwrap());
    until(|| !logs::lines_with(&name, lines_before).is_empty());
    logs::lines_with(&name, lines_before).remove(0)
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Whether the broker closes the connection without a byte.
pub(crate) fn is_closed_silently(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(count) => count == 0,
        // What was sent and not read makes the end a reset.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => true,
        Err(error) => panic!("neither closed nor answered: {error}"),
    }
}

/// Moves the clock on by seconds until the connection is closed; gives how many it took.
pub(crate) fn closed_after(rig: &Rig, stream: &mut TcpStream, seconds_max: u32) -> Option<u32> {
    stream
        .set_read_timeout(Some(Duration::from_millis(2)))
        .unwrap();
    (1..=seconds_max).find(|_| {
        rig.clock.advance(Duration::from_secs(1));
        match stream.read(&mut [0; 1]) {
            Ok(count) => count == 0,
            Err(error) => match error.kind() {
                ErrorKind::ConnectionReset => true,
                ErrorKind::WouldBlock | ErrorKind::TimedOut => false,
                _ => panic!("{error}"),
            },
        }
    })
}

/// Lets other threads run until it is so; gives up after long, so that a defect is a failure.
pub(crate) fn until(is_so: impl Fn() -> bool) {
    for _ in 0..20_000_000_u64 {
        if is_so() {
            return;
        }
        std::thread::yield_now();
    }
    panic!("it never came to be");
}

/// In real time: far more than a test takes, so that it only ends one that fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// The beginning of a record with a hello of 512 bytes.
pub(crate) const HELLO_BEGUN: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
