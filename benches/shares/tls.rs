//! What TLS costs: records of 1 KiB over loopback through our client, with TLS against without it,
//! two brokers in turns. Both sides share the cores, so a byte is encrypted and decrypted on them.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use highwater::broker::config::BrokerConfig;
use highwater::{ClientConfig, ConsumerConfig, SecurityProtocol, StartAt};

use super::kit::load::RECORD_BYTES;
use super::kit::run::{Run, Target, Unit, rate};
use super::limits::PIECE_BYTES;
use super::wire::{Rig, TOPIC};

type Failure = Box<dyn Error>;

pub(crate) fn measure(run: &mut Run) -> Result<(), Failure> {
    let (folder, plain_folder) = (run.folder("tls")?, run.folder("tls-plain")?);
    let files = run.folder("tls-files")?;
    let issued = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
    let certificate = files.put("certificate.pem", &issued.cert.pem())?;
    let key = files.put("key.pem", &issued.signing_key.serialize_pem())?;

    let config = BrokerConfig {
        ssl_certificate_location: certificate.clone(),
        ssl_key_location: key,
        ..BrokerConfig::default()
    };
    let client = ClientConfig::new()
        .security_protocol(SecurityProtocol::Ssl)
        .ssl_ca_location(certificate);
    let listener = format!("{HOST}:0,protocol=SSL");
    let encrypted = Rig::dialing(folder.path(), config, &listener, client)?;
    let plain = Rig::new(plain_folder.path())?;

    let count = run.scale(128 << 10, 256);
    for (batch_bytes, what) in [
        (PIECE_BYTES, "produce over TLS, batch.size 32 KiB"),
        (256 << 10, "the same, batch.size 256 KiB"),
    ] {
        let turns = run.turns(
            || encrypted.send_records(run, count, 1, batch_bytes),
            || plain.send_records(run, count, 1, batch_bytes),
        )?;
        run.share(what, Unit::Rate, turns, WITHOUT, TARGET);
    }
    let turns = run.turns(
        || consume(run, &encrypted, count),
        || consume(run, &plain, count),
    )?;
    run.share("consume over TLS", Unit::Rate, turns, WITHOUT, TARGET);
    Ok(())
}

/// Bytes a second of records that are stored already.
fn consume(run: &Run, rig: &Rig, count: usize) -> Result<f64, Failure> {
    rig.with_records(count, || {
        let work = async {
            let mut consumer = rig.client.consumer(ConsumerConfig::default());
            let start = run.now().mono;
            consumer.assign_topic(TOPIC, StartAt::Earliest).await?;
            let mut left = count;
            while left > 0 {
                let records = consumer.poll(POLL_MAX).await?;
                let values = records.iter().filter_map(|record| record.value.as_ref());
                let bytes: usize = values.map(Bytes::len).sum();
                if records.is_empty() || bytes != records.len() * RECORD_BYTES {
                    return Err(format!("{left} records are missing or wrong").into());
                }
                left = left.saturating_sub(records.len());
            }
            let seconds = run.now().mono.since(start).as_secs_f64();
            Ok::<_, Failure>(rate(count * RECORD_BYTES, seconds))
        };
        rig.runtime.block_on(work)
    })
}

const HOST: &str = "127.0.0.1";
const WITHOUT: &str = "without TLS";
/// The specification's: 60 % of the throughput without it.
const TARGET: Target = Target::AtLeast(0.6);
const POLL_MAX: Duration = Duration::from_secs(10);
