//! Anomalies of the records: what stands where, what is missing, what nobody sent.

use super::contract::Contract;
use super::index::Index;
use super::index::Sent;
use super::index::Version;
use super::report::Anomaly;
use super::report::Report;
use super::types::History;
use super::types::Outcome;
use super::types::Role;

/// Looks at every version and every send.
pub(super) fn check(
    history: &History,
    index: &Index,
    contract: &Contract<'_>,
    report: &mut Report,
) {
    let records = Records {
        history,
        index,
        contract,
    };
    for (partition, table) in (0..).zip(&index.tables) {
        let versions = table.versions();
        for same in versions.chunk_by(|(one, _), (other, _)| one == other) {
            let offset = same[0].0;
            for (at, (_, version)) in same.iter().enumerate() {
                let place = (partition, offset);
                records.origin(place, version, report);
                records.stays(place, version, same.len() == 1, report);
                for (_, other) in &same[at + 1..] {
                    records.two_values(place, [version, other], report);
                }
            }
        }
    }
    for (number, offset) in &index.twice {
        records.twice(&index.sends[*number as usize], *offset, report);
    }
}

struct Records<'a> {
    history: &'a History,
    index: &'a Index,
    contract: &'a Contract<'a>,
}

impl Records<'_> {
    /// never-sent, G1a.
    fn origin(&self, (partition, offset): (u32, u64), version: &Version, report: &mut Report) {
        if !version.is_read {
            return;
        }
        let Some(sent) = self.sent(version) else {
            return report.count(Anomaly::NeverSent, false, || {
                format!(
                    "{} at {offset} of {} was never sent there",
                    version.value,
                    self.name(partition)
                )
            });
        };
        let operation = &self.history.operations[sent.operation as usize];
        if operation.result == Outcome::Fail {
            report.count(Anomaly::G1a, false, || {
                format!(
                    "{} was read at {offset} of {}; its send at {} us had failed",
                    version.value,
                    self.name(partition),
                    operation.start_us
                )
            });
        } else if version.first_us < operation.start_us {
            report.count(Anomaly::NeverSent, false, || {
                format!(
                    "{} was read at {offset} of {} at {} us, and sent at {} us",
                    version.value,
                    self.name(partition),
                    version.first_us,
                    operation.start_us
                )
            });
        }
    }

    /// lost-write, unseen, phantom-read.
    fn stays(&self, place: (u32, u64), version: &Version, is_alone: bool, report: &mut Report) {
        let (partition, offset) = place;
        let sent = self.sent(version);
        let table = &self.index.tables[partition as usize];
        let anomaly = match version.is_read {
            _ if sent.is_some_and(|sent| sent.is_read) && !version.is_read => return,
            false if table.highest_read >= Some(offset) => Anomaly::LostWrite,
            false => Anomaly::Unseen,
            true => Anomaly::PhantomRead,
        };
        let is_told_by_drain = matches!(anomaly, Anomaly::Unseen | Anomaly::PhantomRead);
        // A phantom whose offset has another value is told as two values.
        let is_phantom_replaced = anomaly == Anomaly::PhantomRead && !is_alone;
        if version.is_drained || is_phantom_replaced || is_told_by_drain && !self.index.is_drained {
            return;
        }
        let is_excused = self.contract.may_vanish(place, version, sent);
        report.count(anomaly, is_excused, || {
            let what = match anomaly {
                Anomaly::PhantomRead => "was read by a consumer and not by the drain",
                Anomaly::Unseen => "was acknowledged and not read by the drain",
                _ => "was acknowledged and never read, though higher offsets were",
            };
            format!(
                "{} at {offset} of {} {what}",
                version.value,
                self.name(partition)
            )
        });
    }

    /// inconsistent-offsets.
    fn two_values(&self, place: (u32, u64), [one, other]: [&Version; 2], report: &mut Report) {
        let [first, second] = [(one, self.sent(one)), (other, self.sent(other))];
        let is_excused = self.contract.may_replace(place, first, other)
            || self.contract.may_replace(place, second, one);
        report.count(Anomaly::InconsistentOffsets, is_excused, || {
            format!(
                "offset {} of {} has {} and {}",
                place.1,
                self.name(place.0),
                one.value,
                other.value
            )
        });
    }

    /// duplicate.
    fn twice(&self, sent: &Sent, offset: u64, report: &mut Report) {
        let first_at = sent.first_at.unwrap_or_default();
        let may_vanish = |offset| {
            let mut versions = self.index.tables[sent.partition as usize].at(offset);
            let place = (sent.partition, offset);
            versions
                .find(|version| version.value == sent.value)
                .is_some_and(|it| self.contract.may_vanish(place, it, Some(sent)))
        };
        let is_sent_again =
            self.contract.role(sent) != Role::Idempotent && self.contract.was_disturbed(sent);
        let is_excused = is_sent_again || may_vanish(first_at) || may_vanish(offset);
        report.count(Anomaly::Duplicate, is_excused, || {
            format!(
                "{} stands at {first_at} and at {offset} of {}",
                sent.value,
                self.name(sent.partition)
            )
        });
    }

    fn sent(&self, version: &Version) -> Option<&Sent> {
        version
            .sent
            .map(|number| &self.index.sends[number as usize])
    }

    fn name(&self, partition: u32) -> &str {
        &self.history.partitions[partition as usize].name
    }
}
