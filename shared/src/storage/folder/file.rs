//! The file of an object: content, attributes as JSON, the length of that JSON (32 bits, big-endian), and a mark.
//! Content and attributes share a file so that neither exists without the other.

use crate::storage::{Attributes, Error, Kind};
use std::{fs::File, io, os::unix::fs::FileExt};

const MARK: &[u8; 8] = b"%object\n";
/// The length and the mark, in bytes.
const END: u64 = 12;
/// The longest attributes, in bytes: GCS and S3 take less.
const LIMIT: usize = 64 << 10;

/// Writes the end of a file whose content has `size` bytes, and syncs the file to the disk.
pub fn seal(file: &File, size: u64, attributes: &Attributes) -> Result<(), Error> {
    let mut end = serde_json::to_vec(attributes).map_err(|error| Error::new(Kind::Other, error))?;
    let length = u32::try_from(end.len()).ok().filter(|_| end.len() <= LIMIT);
    let length = length.ok_or_else(|| Error::new(Kind::Invalid, "attributes have 64 KiB at most"))?;
    end.extend(length.to_be_bytes());
    end.extend(MARK);
    let sealed = file
        .set_len(size)
        .and_then(|()| file.write_all_at(&end, size))
        .and_then(|()| file.sync_data());
    Ok(sealed?)
}

/// The size of the content, and the attributes.
pub fn unseal(file: &File) -> Result<(u64, Attributes), Error> {
    let corrupt = || Error::new(Kind::Corrupt, "the file of an object ends early");
    let whole = file.metadata()?.len();
    let mut end = [0; END as usize];
    file.read_exact_at(&mut end, whole.checked_sub(END).ok_or_else(corrupt)?)?;
    let (length, mark) = end.split_at(4);
    let length = u32::from_be_bytes(length.try_into().map_err(|_| corrupt())?) as usize;
    let size = whole.checked_sub(END + length as u64);
    let size = size.filter(|_| mark == MARK && length <= LIMIT).ok_or_else(corrupt)?;
    let mut attributes = vec![0; length];
    file.read_exact_at(&mut attributes, size)?;
    let attributes = serde_json::from_slice(&attributes).map_err(|error| Error::new(Kind::Corrupt, error))?;
    Ok((size, attributes))
}

/// A file in place of a folder, or a symbolic link, is `Forbidden`: neither is followed.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => Kind::NotFound,
            io::ErrorKind::AlreadyExists => Kind::AlreadyExists,
            io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory => Kind::Forbidden,
            _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => Kind::Forbidden,
            _ => Kind::Other,
        };
        Self::new(kind, error)
    }
}
