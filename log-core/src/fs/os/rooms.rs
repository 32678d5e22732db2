//! Memory for large reads, used again.
//!
//! Floor 1 of log-core.
//!
//! Memory that is new to the process costs a read as much as the copy itself: the kernel clears and
//! maps each page at its first touch, and an allocator hands pieces of this size back to it as soon
//! as they are free. Twelve partitions fetched together cost the broker 1.6 times the CPU time so.
//!
//! Invariants
//! - A room belongs to one reader until the last `Bytes` of what was read is gone.
//! - Rooms that wait hold at most [`KEPT_BYTES_MAX`], and what no read has taken between two calls
//!   of [`Rooms::release_unused`] is given back.

use std::sync::Arc;

use bytes::{Buf as _, Bytes};

use crate::sync::{Mutex, lock};

/// Rooms that nobody uses at the moment.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    spare: Mutex<Spare>,
}

#[derive(Debug, Default)]
struct Spare {
    /// The one that was used last is at the end: its pages are likely to be in a cache.
    rooms: Vec<Vec<u8>>,
    /// What they hold, in bytes.
    bytes: usize,
    /// The fewest rooms that have waited since the last release.
    unused: usize,
}

impl Rooms {
    /// An empty vector for so many bytes of a file, or one that begins with a pad which is not part
    /// of them: a cached read is a copy page by page, and the kernel copies whole pages a third
    /// faster when source and destination are aligned alike.
    pub(super) fn take(&self, position: u64, len: usize) -> Vec<u8> {
        if len < ALIGNED_READ_BYTES_MIN {
            return Vec::with_capacity(len);
        }
        let capacity = len.saturating_add(PAGE_BYTES - 1);
        let mut room = lock(&self.spare).take(capacity).unwrap_or_default();
        room.reserve_exact(capacity);
        let wanted = usize::try_from(position % PAGE_BYTES as u64).unwrap_or(0);
        let pad = (PAGE_BYTES + wanted - room.as_ptr().addr() % PAGE_BYTES) % PAGE_BYTES;
        room.resize(pad, 0);
        room
    }

    /// What was read behind the pad. The room comes back when nobody holds any of it.
    pub(super) fn lend(self: &Arc<Self>, room: Vec<u8>, pad: usize) -> Bytes {
        let mut bytes = if (ROOM_BYTES_MIN..=ROOM_BYTES_MAX).contains(&room.capacity()) {
            let home = Arc::clone(self);
            Bytes::from_owner(Lent { room, home })
        } else {
            Bytes::from(room)
        };
        bytes.advance(pad);
        bytes
    }

    /// Gives back what was not taken since the last call.
    pub(super) fn release_unused(&self) {
        let released = lock(&self.spare).release_unused();
        // Not under the lock: the kernel takes its time.
        drop(released);
    }
}

impl Spare {
    /// The newest room that is large enough, and not much too large.
    fn take(&mut self, capacity: usize) -> Option<Vec<u8>> {
        let fits = capacity..=capacity.saturating_mul(4);
        let index = self
            .rooms
            .iter()
            .rposition(|room| fits.contains(&room.capacity()))?;
        let room = self.rooms.remove(index);
        self.bytes -= room.capacity();
        self.unused = self.unused.min(self.rooms.len());
        Some(room)
    }

    /// Takes a room in, or gives it back: then there are enough.
    fn put(&mut self, mut room: Vec<u8>) -> Option<Vec<u8>> {
        if self.bytes + room.capacity() > KEPT_BYTES_MAX {
            return Some(room);
        }
        room.clear();
        self.bytes += room.capacity();
        self.rooms.push(room);
        None
    }

    /// Those at the front have waited longest.
    fn release_unused(&mut self) -> Vec<Vec<u8>> {
        let released: Vec<Vec<u8>> = self.rooms.drain(..self.unused).collect();
        self.bytes -= released.iter().map(Vec::capacity).sum::<usize>();
        self.unused = self.rooms.len();
        released
    }
}

/// A room that somebody reads from.
struct Lent {
    room: Vec<u8>,
    home: Arc<Rooms>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.room
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let room = std::mem::take(&mut self.room);
        let refused = lock(&self.home.spare).put(room);
        drop(refused);
    }
}

/// Reads from this size on go to memory that lies on its page as the bytes lie on theirs.
const ALIGNED_READ_BYTES_MIN: usize = 64 << 10;

/// The unit in which the kernel caches files; with larger pages less is gained and nothing lost.
const PAGE_BYTES: usize = 4096;

/// A smaller room is not worth keeping: an allocator does.
const ROOM_BYTES_MIN: usize = ALIGNED_READ_BYTES_MIN;

/// A larger room is taken too seldom: `max.partition.fetch.bytes` is 1 MiB.
const ROOM_BYTES_MAX: usize = 4 << 20;

/// Twelve partitions of 1 MiB, and what is on its way to a second reader.
const KEPT_BYTES_MAX: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// What reading `len` bytes from `position` on gives; each is `value`.
    fn read(rooms: &Arc<Rooms>, position: u64, len: usize, value: u8) -> Bytes {
        let mut room = rooms.take(position, len);
        let pad = room.len();
        room.resize(pad + len, value);
        rooms.lend(room, pad)
    }

    fn kept(rooms: &Rooms) -> (usize, usize) {
        let spare = lock(&rooms.spare);
        let bytes = spare.rooms.iter().map(Vec::capacity).sum();
        assert_eq!(spare.bytes, bytes);
        (spare.rooms.len(), bytes)
    }

    #[test]
    fn a_room_is_used_again_only_after_its_last_reader_is_gone() {
        let rooms = Arc::new(Rooms::default());
        let first = read(&rooms, 0, 100_000, 1);
        let slice = first.slice(50_000..50_010);
        let place = first.as_ptr();
        drop(first);
        let second = read(&rooms, 0, 100_000, 2);
        assert_ne!(second.as_ptr(), place);
        assert_eq!(slice[..], [1; 10]);
        drop(slice);
        let third = read(&rooms, 0, 99_000, 3);
        assert_eq!(third.as_ptr(), place);
        assert_eq!(third[..], [3; 99_000]);
        assert_eq!(second[..], [2; 100_000]);
    }

    #[test]
    fn a_read_is_aligned_in_a_room_that_had_another_alignment() {
        let rooms = Arc::new(Rooms::default());
        for position in [0, 1, 4095, 8192, 77] {
            let bytes = read(&rooms, position, 100_000, 4);
            let page = PAGE_BYTES as u64;
            assert_eq!(bytes.as_ptr().addr() as u64 % page, position % page);
            assert_eq!(bytes.len(), 100_000);
            drop(bytes);
            assert_eq!(kept(&rooms).0, 1);
        }
    }

    #[test]
    fn what_waits_is_bounded_and_what_is_small_or_large_does_not_wait() {
        let rooms = Arc::new(Rooms::default());
        let many: Vec<Bytes> = (0..20).map(|_| read(&rooms, 0, 1 << 20, 5)).collect();
        drop(many);
        let (count, bytes) = kept(&rooms);
        assert_eq!(count, 15);
        assert!(bytes <= KEPT_BYTES_MAX);
        let rooms = Arc::new(Rooms::default());
        for len in [0, 1, ALIGNED_READ_BYTES_MIN - 1, ROOM_BYTES_MAX + 1] {
            drop(read(&rooms, 0, len, 6));
            assert_eq!(kept(&rooms), (0, 0), "{len}");
        }
    }

    #[test]
    fn a_read_takes_a_room_of_about_its_size_and_leaves_others() {
        let rooms = Arc::new(Rooms::default());
        drop(read(&rooms, 0, 1 << 20, 7));
        let small = read(&rooms, 0, 70_000, 8);
        assert_eq!(kept(&rooms).0, 1, "the large one");
        drop(small);
        let _large = read(&rooms, 0, 600_000, 9);
        let (count, bytes) = kept(&rooms);
        assert!(count == 1 && bytes < 100_000, "the small one");
    }

    #[test]
    fn what_was_not_taken_between_two_releases_is_given_back() {
        let rooms = Arc::new(Rooms::default());
        let three = [1, 2, 3].map(|value| read(&rooms, 0, 100_000, value));
        drop(three);
        rooms.release_unused();
        assert_eq!(kept(&rooms).0, 3);
        // Two at a time are taken.
        drop([4, 5].map(|value| read(&rooms, 0, 100_000, value)));
        rooms.release_unused();
        assert_eq!(kept(&rooms).0, 2);
        rooms.release_unused();
        assert_eq!(kept(&rooms), (0, 0));
    }
}
