//! What counting costs: produce over loopback with `metrics.recording.level` INFO against OFF, two
//! brokers in turns. Small batches, since what is counted is counted for each request and batch.

use std::error::Error;

use highwater_broker::config::{BrokerConfig, Recording};

use super::kit::load;
use super::kit::run::{Run, Target, Unit};
use super::limits::PIECE_BYTES;
use super::wire::Rig;

pub(crate) fn measure(run: &mut Run) -> Result<(), Box<dyn Error>> {
    let (folder, off_folder) = (run.folder("metrics")?, run.folder("metrics-off")?);
    let on = Rig::new(folder.path())?;
    let off = BrokerConfig {
        metrics_recording_level: Recording::Off,
        ..BrokerConfig::default()
    };
    let off = Rig::with(off_folder.path(), off)?;
    for (batch_bytes, count, what) in [
        (SMALL_BYTES, 100_000, "produce over loopback, 2 KiB batches"),
        (PIECE_BYTES, 4096, "the same, 32 KiB batches"),
    ] {
        let batch = load::batch(batch_bytes)?;
        let count = run.scale(count, 32);
        let turns = run.turns(
            || on.send_frames(run, &batch, count),
            || off.send_frames(run, &batch, count),
        )?;
        run.share(
            what,
            Unit::Rate,
            turns,
            "metrics off",
            Target::AtLeast(0.99),
        );
    }
    Ok(())
}

const SMALL_BYTES: usize = 2 << 10;
