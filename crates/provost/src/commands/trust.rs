//! `provost trust`: let a repository's own policy allow, too.

use super::DONE;
use crate::cli::Trust;
use crate::failure::Failure;
use crate::folders::Folders;
use crate::layers;
use crate::render::Out;
use crate::task;

pub(super) fn trust(order: &Trust, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let here = std::env::current_dir().map_err(|error| Failure::of(&error))?;
    let (workspace, _) = task::place(order.dir.as_deref(), &here, &folders.home)?;
    let (state, digest) = if order.revoke {
        let was = layers::distrust(&folders, &workspace)?;
        (if was { "no longer trusted" } else { "was not trusted" }, None)
    } else {
        ("trusted as it stands", Some(layers::trust(&folders, &workspace)?))
    };
    if out.human() {
        out.line(format!("{}: {state}", workspace.join(layers::REPO).display()));
        if digest.is_some() {
            out.line("A change to it takes the trust away until you say it again.");
        }
    } else {
        out.json(&serde_json::json!({ "workspace": workspace.display().to_string(), "state": state, "digest": digest }));
    }
    Ok(DONE)
}
