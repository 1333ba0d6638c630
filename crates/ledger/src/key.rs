//! The host's key on disk, and the state directory's privacy.
//!
//! Owns that the key comes into being whole or not at all, once however many processes want it, and that nobody but its
//! owner can read it. Does not own what it signs.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::chance::chance;
use crate::hex;
use crate::host::HostError;
use crate::note::Signer;
use crate::run::HOST_KEY;

/// The host's key at `path`; made if it is not there, unless something was signed by it already.
pub(crate) fn host_key(path: &Path, in_use: bool) -> Result<Signer, HostError> {
    if let Some(key) = read(path)? {
        return Ok(key);
    }
    if in_use {
        return Err(HostError::KeyGone(path.to_owned()));
    }
    let key = Signer::generate_named_by_key(HOST_KEY).map_err(HostError::Randomness)?;
    place(path, &key).map_err(|because| HostError::Io { path: path.to_owned(), because })?;
    // Another process may have been first: then the key is theirs.
    read(path)?.ok_or_else(|| HostError::KeyGone(path.to_owned()))
}

/// Writes a key under a name of its own and gives it the real name only if nobody has it.
fn place(path: &Path, key: &Signer) -> io::Result<()> {
    let own = path.with_extension(hex::encode(&chance::<8>()?));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&own)?;
    let linked = file
        .write_all(format!("{}\n", key.to_secret_text()).as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&own, path));
    fs::remove_file(&own)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn read(path: &Path) -> Result<Option<Signer>, HostError> {
    let failed = |because| HostError::Io { path: path.to_owned(), because };
    let mut open = OpenOptions::new();
    let file = match open.read(true).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let found = file.metadata().map_err(failed)?;
    let (uid, mode) = (found.uid(), found.mode() & 0o7777);
    if uid != rustix::process::getuid().as_raw() || mode & 0o077 != 0 {
        return Err(HostError::Exposed { path: path.to_owned(), uid, mode });
    }
    let text = io::read_to_string(file).map_err(failed)?;
    let key = Signer::from_secret_text(text.trim_end());
    key.map(Some).map_err(|because| HostError::Key { path: path.to_owned(), because })
}

/// Takes from a directory of ours what others may do with it; refuses one that is another's.
pub(crate) fn close_to_others(dir: &Path) -> Result<(), HostError> {
    let failed = |because| HostError::Io { path: dir.to_owned(), because };
    let found = fs::metadata(dir).map_err(failed)?;
    let (uid, mode) = (found.uid(), found.mode() & 0o7777);
    if uid != rustix::process::getuid().as_raw() {
        return Err(HostError::Exposed { path: dir.to_owned(), uid, mode });
    }
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(failed)
    }
}
