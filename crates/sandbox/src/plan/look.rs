//! What stands where on the host, as a plan is made from it.
//!
//! Owns looking, and which paths can be spoken of at all. Does not own what becomes of them.

use super::Standing;
use std::path::{Component, Path};

/// Reads what stands at a path of the host, without following a final link.
#[must_use]
pub fn look_at_host(path: &Path) -> Option<Standing> {
    let found = std::fs::symlink_metadata(path).ok()?;
    if found.is_symlink() {
        let text = std::fs::read_link(path).ok()?;
        return Some(Standing::Link { text, leads_to: std::fs::canonicalize(path).ok() });
    }
    Some(if found.is_dir() { Standing::Directory } else { Standing::File })
}

/// Whether every part of the path is plain: absolute, without `.` or `..`.
#[must_use]
pub fn is_plain(path: &Path) -> bool {
    path.is_absolute()
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}
