//! The register's ending: where it is, and which runs are not sealed yet, so that an entry, and looking for runs that died,
//! cost the same however many there are.
//!
//! Owns a small file beside the segments, derived from them and believed only as far as the last checkpoint bears it out: the
//! subtree roots in it must have the root that the host signed. Whatever does not fit, and it is as if there were no such
//! file. It is never synced: what a crash leaves of it does not fit. No checkpoint bears out which runs are open: that is
//! a hint where to look first, and nothing is verified by it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::frame::{self, Kind};
use crate::hex;
use crate::note::{Checkpoint, Verifier};
use crate::scan::{self, Place, segment_path};
use crate::tree::Tree;

/// The first line of the file.
const FIRST_LINE: &str = "provost.register-ending/v2";
/// Bytes that the last checkpoint takes at most.
const TAIL: usize = 4096;

/// Where a log ends: the place of its last checkpoint, the end of that, and the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) checkpoint: Place,
    pub(crate) end: Place,
    pub(crate) tree: Tree,
}

fn path(dir: &Path) -> PathBuf {
    dir.join("ending")
}

/// Writes down where the log in `dir` ends, and which runs are open then.
pub(crate) fn save(dir: &Path, ending: &Ending, open: &[String]) -> io::Result<()> {
    let Place { segment, offset } = ending.checkpoint;
    let peaks: Vec<String> = ending.tree.peaks().iter().map(|peak| hex::encode(peak)).collect();
    let (size, open, peaks) = (ending.tree.size(), open.join(" "), peaks.join("\n"));
    let text = format!("{FIRST_LINE}\n{segment} {offset} {size}\n{open}\n{peaks}\n");
    // Written over what is there: a file that is emptied first goes to the disk when it is closed (ext4 and others), and this
    // one is worth no wait.
    let file = File::options().write(true).create(true).truncate(false).open(path(dir))?;
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(text.len() as u64)
}

/// Where the log in `dir` ends and which runs are open, if what was written down of that is borne out by a checkpoint that
/// `host` signed and behind which there is nothing.
pub(crate) fn load(dir: &Path, host: &Verifier) -> Option<(Ending, Vec<String>)> {
    let (checkpoint, tree, open) = parse(&fs::read_to_string(path(dir)).ok()?)?;
    if scan::segments(dir).ok()?.last() != Some(&checkpoint.segment) {
        return None;
    }
    let file = File::open(segment_path(dir, checkpoint.segment)).ok()?;
    let mut tail = vec![0; TAIL];
    let got = file.read_at(&mut tail, checkpoint.offset).ok()?;
    let (kind, note, took) = frame::take(&tail[..got]).ok()?;
    let said = Checkpoint::parse(host.open(std::str::from_utf8(note).ok()?).ok()?).ok()?;
    let fits =
        kind == Kind::Checkpoint && took == got && said.size == tree.size() && said.root == tree.root();
    let end = Place { offset: checkpoint.offset + took as u64, ..checkpoint };
    fits.then_some((Ending { checkpoint, end, tree }, open))
}

fn parse(text: &str) -> Option<(Place, Tree, Vec<String>)> {
    let mut lines = text.strip_prefix(FIRST_LINE)?.strip_prefix('\n')?.lines();
    let mut numbers = lines.next()?.split(' ').map(|number| number.parse::<u64>().ok());
    let (segment, offset, size) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let open = lines.next()?.split_whitespace().map(str::to_owned).collect();
    let peaks = lines.map(|line| hex::decode(line)?.try_into().ok()).collect::<Option<Vec<_>>>()?;
    let place = Place { segment: segment.try_into().ok()?, offset };
    Some((place, Tree::of_peaks(size, peaks)?, open))
}
