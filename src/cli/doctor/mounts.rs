//! The file systems of this machine, as Linux lists them in `/proc/self/mountinfo`.
//!
//! Floor 6 of cli. Pure: text in, values out.

use std::path::{Path, PathBuf};

/// A mounted file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where it is mounted.
    pub(super) point: PathBuf,
    /// Its device, as MAJOR:MINOR.
    pub(super) device: String,
    /// `ext4`, `tmpfs`, `nfs4` and so on.
    pub(super) kind: String,
    /// What is mounted: a device, a server.
    pub(super) source: String,
    /// The options of the mount and of the file system.
    pub(super) options: Vec<String>,
}

/// The mount that a path, which is absolute and without links, lies on.
pub(super) fn mount_of(path: &Path, mountinfo: &str) -> Option<Mount> {
    let mounts = mountinfo.lines().filter_map(parse);
    // Of two at the same place the later one hides the earlier one.
    mounts
        .filter(|mount| path.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.as_os_str().len())
}

/// `36 35 98:0 /root /point rw,noatime shared:1 - ext4 /dev/sda rw,data=ordered`.
fn parse(line: &str) -> Option<Mount> {
    let (ours, theirs) = line.split_once(" - ")?;
    let ours: Vec<&str> = ours.split(' ').collect();
    let theirs: Vec<&str> = theirs.split(' ').collect();
    let (device, point, of_mount) = (ours.get(2)?, ours.get(4)?, ours.get(5)?);
    let (kind, source) = (theirs.first()?, theirs.get(1)?);
    let of_system = theirs.get(2).copied().unwrap_or_default();
    let options = of_mount.split(',').chain(of_system.split(','));
    Some(Mount {
        point: PathBuf::from(unescaped(point)),
        device: (*device).to_owned(),
        kind: (*kind).to_owned(),
        source: unescaped(source),
        options: options.map(str::to_owned).collect(),
    })
}

/// Spaces and their like are written as a backslash and three octal digits.
fn unescaped(text: &str) -> String {
    let mut rest = text;
    let mut out = String::with_capacity(text.len());
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let code = after
            .get(..3)
            .and_then(|code| u8::from_str_radix(code, 8).ok());
        match code {
            Some(byte) if byte.is_ascii() => {
                out.push(char::from(byte));
                rest = &after[3..];
            }
            _ => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
23 22 0:22 / /srv rw - tmpfs none rw,size=64k
24 22 0:30 / /srv rw,noatime - xfs /dev/vdb rw
25 22 0:31 / /srv/a\\040b rw master:2 - nfs4 host:/x\\134y rw,soft
a line of another kind
";

    #[test]
    fn the_longest_and_the_latest_mount_holds_a_path() {
        let found = |path| mount_of(Path::new(path), MOUNTS).unwrap();
        assert_eq!(found("/var/lib").kind, "ext4");
        assert_eq!(found("/srvx").kind, "ext4");
        assert_eq!(found("/srv/data").source, "/dev/vdb");
        let remote = found("/srv/a b/c");
        assert_eq!(
            (&*remote.kind, &*remote.source, &*remote.device),
            ("nfs4", "host:/x\\y", "0:31")
        );
        assert_eq!(remote.options, ["rw", "rw", "soft"]);
        assert_eq!(mount_of(Path::new("relative"), MOUNTS), None);
    }
}
