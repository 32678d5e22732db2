//! The native protocol over TLS: the same frames, the same certificates.

use std::io::{Read, Write};

use bytes::Bytes;
use highwater_broker::config::ClientAuth;
use highwater_proto::native::frame::{self, SIZE_BYTES};
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;
use highwater_proto::native::v1::{self, subscribe::Start};

use crate::certs::Issued;
use crate::rig::{Client, Rig, client_config, connect, is_closed_silently, line_about};

/// Sends a request and reads the next frame.
fn ask(client: &mut Client, call: Call, body: &[u8]) -> std::io::Result<(Answer, Bytes)> {
    let request = v1::Request {
        correlation: 1,
        call: Some(call),
    };
    let first = frame::encode(&request, body.len()).unwrap();
    client.stream.write_all(&[&first[..], body].concat())?;
    receive(client)
}

fn receive(client: &mut Client) -> std::io::Result<(Answer, Bytes)> {
    let mut prefix = [0; SIZE_BYTES];
    client.stream.read_exact(&mut prefix)?;
    let mut bytes = vec![0; frame::frame_size(prefix, 1 << 30).unwrap()];
    client.stream.read_exact(&mut bytes)?;
    let (response, body) = frame::decode_response(bytes.into()).unwrap();
    Ok((response.answer.unwrap(), body))
}

fn hello() -> Call {
    Call::Hello(v1::Hello {
        version_max: 1,
        client_id: "test".to_owned(),
    })
}

/// A client that was welcomed, and where it was told that Kafka is spoken.
fn welcomed(
    rig: &Rig,
    address: std::net::SocketAddr,
    shown: Option<&Issued>,
) -> std::io::Result<(Client, String)> {
    let mut client = Client::begin(address, client_config(&rig.authority, shown));
    match ask(&mut client, hello(), b"")? {
        (Answer::Welcome(welcome), _) => Ok((client, welcome.bootstrap_servers)),
        other => panic!("{other:?}"),
    }
}

fn listening(rig: &Rig) -> std::net::SocketAddr {
    let address = rig.broker.listen_native("127.0.0.1:0,protocol=SSL");
    address.unwrap().to_string().parse().unwrap()
}

#[test]
fn frames_go_over_tls_and_large_ones_come_back() {
    let rig = Rig::new();
    let address = listening(&rig);
    let (mut client, servers) = welcomed(&rig, address, None).unwrap();
    assert_eq!(servers, rig.address.to_string(), "those that are encrypted");
    let topic = highwater_broker::service::topics::NewTopic {
        name: "t".to_owned(),
        ..Default::default()
    };
    let call = highwater_broker::service::topics::CreateTopicsCall {
        topics: vec![topic],
        validate_only: false,
    };
    let service = rig.broker.service().clone();
    let created = rig
        .broker
        .block_on(async move { service.create_topics(call).await });
    created.unwrap().remove(0).result.unwrap();
    let produce = Call::Produce(v1::Produce {
        topic: "t".to_owned(),
        ..v1::Produce::default()
    });
    let large = {
        let codec = highwater_proto::compress::Codec::None;
        let mut builder = highwater_proto::batch_builder::BatchBuilder::new(codec);
        let value = vec![b'x'; 900_000];
        builder.append(0, None, Some(&value), &[]).unwrap();
        builder.build().unwrap()
    };
    for _ in 0..4 {
        let (answer, _) = ask(&mut client, produce.clone(), &large).unwrap();
        assert!(matches!(answer, Answer::Produced(_)), "{answer:?}");
    }
    let subscribe = Call::Subscribe(v1::Subscribe {
        topic: "t".to_owned(),
        start: Some(Start::Earliest(true)),
        credit_bytes: u32::MAX,
        ..v1::Subscribe::default()
    });
    let (_, mut body) = ask(&mut client, subscribe, b"").unwrap();
    let mut seen = body.len();
    while seen < 4 * large.len() {
        body = receive(&mut client).unwrap().1;
        seen += body.len();
    }
    assert_eq!(body[61..], large[61..]);
}

#[test]
fn who_speaks_in_plain_gets_no_byte_and_is_named() {
    let rig = Rig::new();
    let mut plain = connect(listening(&rig));
    plain.write_all(&[0, 0, 0, 4, 1, 0, 0, 0]).unwrap();
    assert!(is_closed_silently(&mut plain));
    let line = line_about(&plain, 0);
    assert!(line.contains("on a TLS listener"), "{line}");
    let address = rig.broker.listen_native("127.0.0.1:0").unwrap();
    let address = address.to_string().parse().unwrap();
    assert!(welcomed(&rig, address, None).is_err());
}

#[test]
fn a_required_certificate_is_the_principal_and_without_one_nobody_comes_in() {
    let rig = Rig::with(|config| config.ssl_client_auth = ClientAuth::Required);
    let address = listening(&rig);
    assert!(welcomed(&rig, address, None).is_err());
    let billing = rig.authority.issue("billing");
    let (mut client, _) = welcomed(&rig, address, Some(&billing)).unwrap();
    // A frame that is none: the line about it names who has sent it.
    client.stream.write_all(&[0, 0, 0, 4, 9, 0, 0, 0]).unwrap();
    let line = client.line();
    assert!(line.contains("principal=CN=billing,O=Highwater"), "{line}");
}
