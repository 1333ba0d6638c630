//! Tar as one writer writes it: plain files in the `ustar` form, everything that says nothing set to zero.
//!
//! Owns that form, and a reader that takes no other spelling of the same files: what any `tar` would overlook (times, owners,
//! padding, what follows the end) would be bits that nobody vouches for. Does not own what the files mean.

use std::io::{self, Read, Write};

/// Bytes that everything is filled up to.
const BLOCK: usize = 512;
/// Bytes of the longest name.
const NAME: usize = 100;

/// A file that is no archive of ours, and where.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TarError {
    /// It could not be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It ends too soon.
    #[error("cut off")]
    Cut,
    /// Bytes that are never written.
    #[error("{0}")]
    Strange(&'static str),
}

/// Writes a file into an archive.
pub(crate) fn put(out: &mut impl Write, name: &str, bytes: &[u8]) -> io::Result<()> {
    let header =
        header(name, bytes.len()).ok_or_else(|| io::Error::other(format!("`{name}` is too long")))?;
    out.write_all(&header)?;
    out.write_all(bytes)?;
    out.write_all(&[0; BLOCK][..padding(bytes.len())])
}

/// Writes the end of an archive.
pub(crate) fn end(out: &mut impl Write) -> io::Result<()> {
    out.write_all(&[0; 2 * BLOCK])
}

/// The one header of a file of this name and length.
fn header(name: &str, length: usize) -> Option<[u8; BLOCK]> {
    let mut header = [0; BLOCK];
    header[..NAME].get_mut(..name.len())?.copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000600\0");
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    header[124..136].copy_from_slice(format!("{length:011o}\0").as_bytes().get(..12)?);
    header[136..148].copy_from_slice(b"00000000000\0");
    header[148..156].fill(b' ');
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[329..337].copy_from_slice(b"0000000\0");
    header[337..345].copy_from_slice(b"0000000\0");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Some(header)
}

fn padding(length: usize) -> usize {
    length.next_multiple_of(BLOCK) - length
}

/// A file out of an archive.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    /// Where its header begins.
    pub(crate) at: u64,
    pub(crate) bytes: Vec<u8>,
}

/// Reads an archive, one file after the other.
#[derive(Debug)]
pub(crate) struct Archive<R> {
    from: R,
    offset: u64,
    limit: usize,
}

impl<R: Read> Archive<R> {
    /// An archive none of whose files is longer than `limit` bytes.
    pub(crate) fn new(from: R, limit: usize) -> Archive<R> {
        Archive { from, offset: 0, limit }
    }

    /// How many bytes were read.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next file; `None` at the end, behind which there is nothing.
    pub(crate) fn next(&mut self) -> Result<Option<File>, TarError> {
        let at = self.offset;
        let found = self.take(BLOCK)?;
        if found.iter().all(|byte| *byte == 0) {
            return self.finish().map(|()| None);
        }
        let (name, length) = parse(&found).ok_or(TarError::Strange("no file of a bundle begins here"))?;
        if length > self.limit {
            return Err(TarError::Strange("a file larger than any in a bundle"));
        }
        let bytes = self.take(length)?;
        self.zeros(padding(length), "something is written between two files")?;
        Ok(Some(File { name, at, bytes }))
    }

    fn finish(&mut self) -> Result<(), TarError> {
        self.zeros(BLOCK, "the end is not the end")?;
        match self.from.by_ref().take(1).read_to_end(&mut Vec::new())? {
            0 => Ok(()),
            _ => Err(TarError::Strange("something follows the end")),
        }
    }

    fn zeros(&mut self, count: usize, otherwise: &'static str) -> Result<(), TarError> {
        let all = self.take(count)?.iter().all(|byte| *byte == 0);
        if all { Ok(()) } else { Err(TarError::Strange(otherwise)) }
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>, TarError> {
        // Grows with what is there, not with what is claimed.
        let mut bytes = Vec::new();
        let got = self.from.by_ref().take(count as u64).read_to_end(&mut bytes)?;
        self.offset += got as u64;
        if got == count { Ok(bytes) } else { Err(TarError::Cut) }
    }
}

/// Name and length out of a header that is spelled as we spell it.
fn parse(found: &[u8]) -> Option<(String, usize)> {
    let name = found.get(..NAME)?.split(|byte| *byte == 0).next()?;
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
    let length = std::str::from_utf8(found.get(124..135)?).ok()?;
    let length = usize::from_str_radix(length, 8).ok()?;
    (header(name, length)? == found).then(|| (name.to_owned(), length))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn archive() -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, "a/one", b"first").unwrap();
        put(&mut bytes, "two", &[7; 512]).unwrap();
        put(&mut bytes, "a/nothing", b"").unwrap();
        end(&mut bytes).unwrap();
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, TarError> {
        let mut archive = Archive::new(bytes, 600);
        let mut files = Vec::new();
        while let Some(file) = archive.next()? {
            files.push((file.name, file.bytes));
        }
        Ok(files)
    }

    #[test]
    fn what_was_put_in_comes_out_and_nothing_else_is_taken() {
        let bytes = archive();
        let files = read(&bytes).unwrap();
        assert_eq!(files[0], ("a/one".to_owned(), b"first".to_vec()));
        assert_eq!(files.len(), 3);
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).is_err(), "cut at {end}");
        }
        assert!(read(&[&bytes[..], b"\0"].concat()).is_err());
        let mut changed = bytes.clone();
        for bit in 0..bytes.len() * 8 {
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&changed).map_or(true, |found| found != files), "bit {bit}");
            changed[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_length_that_is_only_claimed_takes_no_memory() {
        let mut bytes = header("a", 0o77_777_777_777).unwrap().to_vec();
        assert!(matches!(read(&bytes), Err(TarError::Strange(_))));
        bytes = header("a", 600).unwrap().to_vec();
        assert!(matches!(read(&bytes), Err(TarError::Cut)));
        assert!(put(&mut Vec::new(), &"n".repeat(101), b"").is_err());
    }

    #[test]
    fn any_tar_unpacks_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("it.tar");
        std::fs::write(&path, archive()).unwrap();
        let tar = Command::new("tar").arg("-xf").arg(&path).arg("-C").arg(dir.path()).output().unwrap();
        assert!(tar.status.success() && tar.stderr.is_empty(), "{tar:?}");
        assert_eq!(std::fs::read(dir.path().join("a/one")).unwrap(), b"first");
        assert_eq!(std::fs::read(dir.path().join("two")).unwrap(), [7; 512]);
        assert_eq!(std::fs::read(dir.path().join("a/nothing")).unwrap(), b"");
    }
}
