//! `provost ledger export`: one file with all a stranger needs.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ledger::{ExportError, Exported, Host, RunId};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde_json::json;

use super::super::{DONE, find};
use crate::cli::Export;
use crate::failure::Failure;
use crate::folders::Folders;
use crate::layers::hex;
use crate::render::{Out, clean, count};

pub(super) fn export(order: &Export, out: Out) -> Result<u8, Failure> {
    let host = Folders::find()?.open()?;
    let run = find(&host, order.run.as_deref())?.run;
    let shown = clean(&order.out.display().to_string());
    let exported = write(&host, &run, order).map_err(|error| match error {
        ExportError::Write(because) if because.kind() == io::ErrorKind::AlreadyExists => {
            Failure::new(format!("`{shown}` is there already")).hint("--force writes over it")
        }
        error => Failure::from(error).during(format!("could not export run {run} to `{shown}`")),
    })?;
    let (events, root) = (count(exported.events, "event"), hex(&exported.root));
    if out.human() {
        let open = if exported.sealed { "" } else { "; it is not sealed and may go on" };
        out.line(format!("exported run {run}, {events}, root {root}, to {shown}{open}"));
        out.aside(format!(
            "on another machine: provost ledger verify {shown} --host-key '{}'",
            host.verifier()
        ));
        out.aside("give the key apart from the file; the file holds every path and argument of the run");
    } else {
        let (file, key) = (order.out.display().to_string(), host.verifier().to_string());
        out.json(&json!({
            "run": run.as_str(), "events": exported.events, "root": root, "sealed": exported.sealed,
            "file": file, "host_key": key,
        }));
    }
    Ok(DONE)
}

/// Writes beside the place and moves there: whole or not at all.
fn write(host: &Host, run: &RunId, order: &Export) -> Result<Exported, ExportError> {
    if !order.force && order.out.symlink_metadata().is_ok() {
        return Err(ExportError::Write(io::ErrorKind::AlreadyExists.into()));
    }
    let beside = beside(&order.out);
    let open = File::options().write(true).create_new(true).mode(0o600).open(&beside);
    let mut file = BufWriter::new(open.map_err(ExportError::Write)?);
    let done = host.export(run, &mut file).and_then(|exported| {
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(ExportError::Write)?;
        settle(&beside, &order.out, order.force).map_err(ExportError::Write)?;
        Ok(exported)
    });
    if done.is_err() {
        // What failed is said; what is left beside is ours and of no use.
        let _ = fs::remove_file(&beside);
    }
    done
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

fn settle(from: &Path, to: &Path, over: bool) -> io::Result<()> {
    if over {
        return fs::rename(from, to);
    }
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot: nothing was there a moment ago.
        Err(Errno::INVAL | Errno::NOSYS) => fs::rename(from, to),
        moved => Ok(moved?),
    }
}
