//! Real files, through the operating system.
//!
//! Floor 1 of log-core. This is the only file of the product with `unsafe` code: the system calls
//! that std does not have.
//!
//! Invariants
//! - Each function is safe to call with any argument; what upholds that stands at its block.

#![expect(
    unsafe_code,
    reason = "system calls and file maps that std does not have"
)]

mod disk;
mod mapped;
mod rooms;

pub use disk::OsFs;

#[cfg(unix)]
mod sys {
    use std::fs::{DirBuilder, File, OpenOptions, symlink_metadata};
    use std::io::{self, ErrorKind, IoSlice};
    use std::mem::MaybeUninit;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
    use std::path::Path;

    pub(super) fn dir_builder() -> DirBuilder {
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        builder
    }

    /// std adds `O_CLOEXEC`.
    pub(super) fn options() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
        options
    }

    pub(super) fn write_some_at(
        file: &File,
        position: u64,
        parts: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let position = libc::off_t::try_from(position)
            .map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
        let count = libc::c_int::try_from(parts.len().min(IOV_MAX));
        let count = count.expect("IOV_MAX fits");
        // SAFETY: std documents that an `IoSlice` has the layout of an `iovec`, `count` of them
        // are alive for the call, and the kernel only reads through them.
        let written =
            unsafe { libc::pwritev(file.as_raw_fd(), parts.as_ptr().cast(), count, position) };
        usize::try_from(written).map_err(|_| io::Error::last_os_error())
    }

    /// Gives a file blocks behind its end, without making it longer.
    #[cfg(target_os = "linux")]
    pub(super) fn set_blocks_aside(file: &File, position: u64, bytes: u64) -> io::Result<()> {
        let too_large = |_| io::Error::from(ErrorKind::FileTooLarge);
        let position = libc::off_t::try_from(position).map_err(too_large)?;
        let bytes = libc::off_t::try_from(bytes).map_err(too_large)?;
        let keep_size = libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: a call with a descriptor that is open while `file` is borrowed; no memory.
        match unsafe { libc::fallocate(file.as_raw_fd(), keep_size, position, bytes) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn set_blocks_aside(_: &File, _: u64, _: u64) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    /// Appends what one call reads, at most `len` bytes. Their room is not filled with zeros first:
    /// that would cost a quarter of the rate of a cached read.
    pub(super) fn read_some_at(
        file: &File,
        position: u64,
        len: usize,
        into: &mut Vec<u8>,
    ) -> io::Result<usize> {
        let position = libc::off_t::try_from(position)
            .map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
        let len = len.min(READ_BYTES_MAX);
        into.reserve(len);
        let room = into.spare_capacity_mut().as_mut_ptr();
        // SAFETY: the room has at least `len` bytes, and the kernel writes no more than that.
        let read = unsafe { libc::pread(file.as_raw_fd(), room.cast(), len, position) };
        let read = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
        // SAFETY: the kernel has written the first `read` bytes behind the vector's end.
        unsafe { into.set_len(into.len() + read) };
        Ok(read)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the seam to the real disk"
    )]
    pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
        let flags = libc::O_NOFOLLOW | libc::O_DIRECTORY;
        options()
            .read(true)
            .custom_flags(flags)
            .open(dir)?
            .sync_all()
    }

    #[cfg(target_os = "linux")]
    pub(super) fn drop_cached_pages(file: &File) -> io::Result<()> {
        // SAFETY: a call with a descriptor that is open while `file` is borrowed; no memory.
        match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) } {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn drop_cached_pages(_file: &File) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn free_bytes(dir: &Path) -> io::Result<u64> {
        let stat = statvfs(dir)?;
        // The fields are narrower on other systems.
        Ok((stat.f_bavail as u64).saturating_mul(stat.f_frsize as u64))
    }

    pub(super) fn total_bytes(dir: &Path) -> io::Result<u64> {
        let stat = statvfs(dir)?;
        Ok((stat.f_blocks as u64).saturating_mul(stat.f_frsize as u64))
    }

    fn statvfs(dir: &Path) -> io::Result<libc::statvfs> {
        let path = std::ffi::CString::new(dir.as_os_str().as_bytes())?;
        let mut stat = MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: the path ends in a zero byte and the kernel writes one `statvfs` at most.
        if unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so it filled every field.
        Ok(unsafe { stat.assume_init() })
    }

    /// A data directory that others may change, or that is only a link, is refused.
    pub(super) fn expect_private(dir: &Path) -> io::Result<()> {
        let metadata = symlink_metadata(dir)?;
        let wrong = if metadata.is_symlink() {
            "it is a symbolic link; name the directory that it leads to"
        } else if metadata.permissions().mode() & 0o002 != 0 {
            "every user may write to it; run chmod o-w"
        } else {
            return Ok(());
        };
        Err(io::Error::new(ErrorKind::PermissionDenied, wrong))
    }

    /// Maps a file that [`OpenMode::Mapped`](crate::fs::OpenMode::Mapped) was asked for.
    #[cfg(target_os = "linux")]
    pub(super) fn map_sealed(file: &File) -> io::Result<memmap2::Mmap> {
        // SAFETY: the mode is for sealed files: nobody writes or cuts them while the map lives.
        // Their directory is private to this user and locked, and removing the file leaves the
        // map valid. That the disk cannot read a page is found by whoever brings it in first.
        unsafe { memmap2::Mmap::map(file) }
    }

    /// Whether a file can only change through this machine's kernel.
    #[cfg(target_os = "linux")]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "magic numbers have 32 bits"
    )]
    pub(super) fn is_local(file: &File) -> io::Result<bool> {
        let mut stat = MaybeUninit::<libc::statfs>::uninit();
        // SAFETY: the descriptor is open and the kernel writes one `statfs` at most.
        if unsafe { libc::fstatfs(file.as_raw_fd(), stat.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so it filled every field.
        let kind = unsafe { stat.assume_init() }.f_type as u32;
        Ok(!REMOTE.contains(&kind))
    }

    /// NFS, SMB, CIFS, SMB2, FUSE and 9P, by their magic numbers in `linux/magic.h`.
    #[cfg(target_os = "linux")]
    const REMOTE: [u32; 6] = [
        0x6969,
        0x517B,
        0xFF53_4D42,
        0xFE53_4D42,
        0x6573_5546,
        0x0102_1997,
    ];

    /// The most slices that one call takes on Linux and macOS.
    const IOV_MAX: usize = 1024;

    /// One call takes no more than this on some systems; the rest comes by the next call.
    const READ_BYTES_MAX: usize = 1 << 30;
}

#[cfg(windows)]
mod sys {
    use std::fs::{DirBuilder, File, OpenOptions};
    use std::io::{self, IoSlice};
    use std::os::windows::ffi::OsStrExt as _;
    use std::os::windows::fs::FileExt as _;
    use std::path::Path;

    pub(super) fn dir_builder() -> DirBuilder {
        DirBuilder::new()
    }

    pub(super) fn options() -> OpenOptions {
        OpenOptions::new()
    }

    pub(super) fn write_some_at(
        file: &File,
        position: u64,
        parts: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        file.seek_write(&parts[0], position)
    }

    pub(super) fn read_some_at(
        file: &File,
        position: u64,
        len: usize,
        into: &mut Vec<u8>,
    ) -> io::Result<usize> {
        let start = into.len();
        into.resize(start + len, 0);
        let read = file.seek_read(&mut into[start..], position);
        into.truncate(start + read.as_ref().map_or(0, |count| *count));
        read
    }

    /// NTFS keeps names in its own journal; there is nothing to call.
    pub(super) fn sync_dir(_dir: &Path) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn set_blocks_aside(_: &File, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn drop_cached_pages(_file: &File) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn free_bytes(dir: &Path) -> io::Result<u64> {
        space(dir).map(|(free, _)| free)
    }

    pub(super) fn total_bytes(dir: &Path) -> io::Result<u64> {
        space(dir).map(|(_, total)| total)
    }

    /// What is free for this user, and what the disk has in all.
    fn space(dir: &Path) -> io::Result<(u64, u64)> {
        let path: Vec<u16> = dir.as_os_str().encode_wide().chain([0]).collect();
        let (mut free, mut total) = (0, 0);
        let null = std::ptr::null_mut();
        // SAFETY: the path ends in a zero, both numbers live through the call, and the null
        // pointer means that the last answer is not wanted.
        let found =
            unsafe { GetDiskFreeSpaceExW(path.as_ptr(), &raw mut free, &raw mut total, null) };
        match found {
            0 => Err(io::Error::last_os_error()),
            _ => Ok((free, total)),
        }
    }

    /// Access lists are the administrator's.
    pub(super) fn expect_private(_dir: &Path) -> io::Result<()> {
        Ok(())
    }

    unsafe extern "system" {
        fn GetDiskFreeSpaceExW(
            dir: *const u16,
            free: *mut u64,
            total: *mut u64,
            total_free: *mut u64,
        ) -> i32;
    }
}
