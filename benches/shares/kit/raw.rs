//! Loops of system calls and of nothing else: what Highwater is held against.

#![expect(
    clippy::disallowed_methods,
    reason = "the benches measure the disk itself"
)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::run::{Run, rate};

/// A new file that is read and written.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(path)
}

/// Bytes a second of `write()` in pieces, to one growing file.
pub(crate) fn write_loop(run: &Run, path: &Path, piece: &[u8], count: usize) -> io::Result<f64> {
    let mut file = create(path)?;
    let (seconds, written) = run.seconds(|| (0..count).try_for_each(|_| file.write_all(piece)));
    written?;
    std::fs::remove_file(path)?;
    Ok(rate(count * piece.len(), seconds))
}

/// Bytes a second of reads in pieces from a cached file, into one buffer.
pub(crate) fn pread_loop(
    run: &Run,
    file: &File,
    piece_bytes: usize,
    count: usize,
) -> io::Result<f64> {
    let mut buffer = vec![0; piece_bytes];
    let (seconds, read) = run.seconds(|| {
        (0..count).try_for_each(|i| file.read_exact_at(&mut buffer, (i * piece_bytes) as u64))
    });
    read?;
    std::hint::black_box(&buffer);
    Ok(rate(count * piece_bytes, seconds))
}

/// Seconds of a commit: a write to each of the files, then a sync of each.
pub(crate) fn commit(run: &Run, files: &mut [File], piece: &[u8]) -> io::Result<f64> {
    let (seconds, done) = run.seconds(|| {
        files
            .iter_mut()
            .try_for_each(|file| file.write_all(piece))?;
        files.iter().try_for_each(|file| file.sync_data())
    });
    done?;
    Ok(seconds)
}

/// Bytes a second over a loopback connection, a thread at each end.
pub(crate) fn stream(run: &Run, piece_bytes: usize, count: usize) -> io::Result<f64> {
    let (mut near, far) = pair()?;
    let total = piece_bytes * count;
    let (seconds, sent) = run.seconds(|| {
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || drain(far, piece_bytes, total));
            let piece = vec![7; piece_bytes];
            let sent = (0..count).try_for_each(|_| near.write_all(&piece));
            sent.and_then(|()| {
                reader
                    .join()
                    .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
            })
        })
    });
    sent?;
    Ok(rate(total, seconds))
}

fn drain(mut far: TcpStream, piece_bytes: usize, total: usize) -> io::Result<()> {
    let mut buffer = vec![0; piece_bytes];
    let mut left = total;
    while left > 0 {
        let read = far.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left = left.saturating_sub(read);
    }
    Ok(())
}

/// Seconds of a request of so many bytes over loopback and its short answer, several of them on
/// their way at a time: what any protocol has to do that is answered.
pub(crate) fn request(run: &Run, bytes: usize, ahead: usize, count: usize) -> io::Result<f64> {
    let (mut near, mut far) = pair()?;
    let (seconds, done) = run.seconds(|| {
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut request = vec![0; bytes];
                while far.read_exact(&mut request).is_ok() && far.write_all(&ANSWER).is_ok() {}
            });
            let (request, mut answer) = (vec![7; bytes], ANSWER);
            let done = (0..count + ahead).try_for_each(|index| {
                if index < count {
                    near.write_all(&request)?;
                }
                if index >= ahead {
                    near.read_exact(&mut answer)?;
                }
                Ok(())
            });
            // The other thread ends with the connection.
            drop(near);
            done
        })
    });
    done.map(|()| seconds / count as f64)
}

/// Seconds of a byte to another thread over loopback, and back.
pub(crate) fn round_trip(run: &Run, count: usize) -> io::Result<f64> {
    let (mut near, mut far) = pair()?;
    let (seconds, done) = run.seconds(|| {
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut byte = [0];
                while far.read_exact(&mut byte).is_ok() && far.write_all(&byte).is_ok() {}
            });
            let mut byte = [0];
            let done = (0..count).try_for_each(|_| {
                near.write_all(&byte)?;
                near.read_exact(&mut byte)
            });
            // The other thread ends with the connection.
            drop(near);
            done
        })
    });
    done?;
    Ok(seconds / count as f64)
}

/// About as long as the answer to a Produce request.
const ANSWER: [u8; 64] = [0; 64];

fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    Ok((near, far))
}
