//! Where programs inside learn whom to ask for names: `/etc/resolv.conf`, wherever the host has it.
//!
//! Owns which file that is and what it says. Does not own who answers (the gateway).

use super::{Bytes, Standing, Step};
use crate::caller::named;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

/// Where every resolver looks.
const CONFIGURATION: &str = "/etc/resolv.conf";

/// The step that names whoever answers at `at`. Where the host has no such file, programs ask the usual address by themselves.
pub(super) fn step(at: SocketAddrV4, look: &dyn Fn(&Path) -> Option<Standing>) -> Option<Step> {
    let content = Bytes::from(&format!("# Names are answered by Provost.\nnameserver {}\n", at.ip()));
    match look(Path::new(CONFIGURATION))? {
        Standing::File => Some(Step::Over { at: CONFIGURATION.into(), content }),
        Standing::Directory => None,
        // The file is made where the link leads: its own place may be private, or not shown at all.
        Standing::Link { text, leads_to } => {
            let target = leads_to.unwrap_or_else(|| within_etc(&text));
            Some(Step::Over { at: target.as_path().into(), content })
        }
    }
}

fn within_etc(text: &Path) -> PathBuf {
    named(Path::new("/etc"), text)
}
