//! What is sent and read, and what runs it: the same for every broker and both clients.

use crate::Failure;

/// What a pass sends, or reads.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// How many records.
    pub(crate) records: usize,
    /// The bytes of a record's value.
    pub(crate) record_bytes: usize,
    /// They are dealt to the partitions in turn.
    pub(crate) partitions: i32,
    /// `batch.size`.
    pub(crate) batch_size: usize,
    /// `linger.ms`.
    pub(crate) linger_ms: u64,
}

impl Load {
    /// The partition of the record with this number.
    pub(crate) const fn partition(&self, number: usize) -> i32 {
        (number % self.partitions.unsigned_abs() as usize) as i32
    }

    /// What a topic holds then: a producer's first records come before those that are measured.
    pub(crate) const fn stored(&self) -> usize {
        self.records + self.partitions.unsigned_abs() as usize
    }

    /// Records and bytes of each, for the meter.
    pub(crate) const fn size(&self) -> (usize, usize) {
        (self.records, self.record_bytes)
    }
}

/// How records are sent.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// As fast as they are taken.
    Flood,
    /// By so many callers who each wait for their own.
    Callers(usize),
}

/// The measured part of a pass: all that takes long once, as connecting, is done before it, and
/// what it holds is dropped after it.
pub(crate) struct Ready<'a>(Box<dyn FnMut() -> Result<(), Failure> + 'a>);

impl<'a> Ready<'a> {
    pub(crate) fn new(work: impl FnMut() -> Result<(), Failure> + 'a) -> Self {
        Self(Box::new(work))
    }

    /// Does it, once.
    pub(crate) fn go(&mut self) -> Result<(), Failure> {
        (self.0)()
    }
}

/// A client that can run it.
pub(crate) trait Peer {
    /// As tables name it.
    fn name(&self) -> &'static str;

    /// Has a record stored in each partition; then, measured, sends all as fast as they are taken,
    /// and waits until all are stored.
    fn produce<'a>(&'a self, topic: &'a str, load: &'a Load) -> Result<Ready<'a>, Failure>;

    /// Has a record stored in each partition; then, measured, sends all from so many callers, each
    /// of whom waits until its record is stored before it sends the next.
    fn await_each<'a>(
        &'a self,
        topic: &'a str,
        load: &'a Load,
        callers: usize,
    ) -> Result<Ready<'a>, Failure>;

    /// Waits for the first records; then, measured, reads so many from the starts of the
    /// partitions.
    fn consume<'a>(&'a self, topic: &'a str, load: &'a Load) -> Result<Ready<'a>, Failure>;
}

/// Sends in one of the ways.
pub(crate) fn send<'a>(
    peer: &'a dyn Peer,
    topic: &'a str,
    load: &'a Load,
    way: Way,
) -> Result<Ready<'a>, Failure> {
    match way {
        Way::Flood => peer.produce(topic, load),
        Way::Callers(count) => peer.await_each(topic, load, count),
    }
}
