//! What the kernel really gives: a cell is made, prepared like a run's, read back, and thrown away.
//!
//! Owns the trial. Nothing is started in it: the agent's process stands before its first instruction when it ends. Does not
//! own what a cell is (`sandbox`), or what its answer means (`doctor`).

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use policy::{Confinement, Enforcement};
use sandbox::plan::{Order, Stage};
use sandbox::{Cell, JailError, Plan};

use crate::workspace::remove_folder;

/// What came of the trial.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Measured {
    /// What a cell has here, as it was read back from inside.
    pub enforcement: Option<Enforcement>,
    /// Why there is no cell, or why the first had to do without something.
    pub refused: Vec<Refused>,
    /// The last cell had an overlay on the file system of the state folder.
    pub overlay: bool,
    /// The last cell had a terminal.
    pub terminal: bool,
    /// The kernel's Landlock, asked without a cell; 0 is none.
    pub landlock_abi: u32,
}

/// What the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What was to be done; `None` is making the namespaces.
    pub step: Option<String>,
    /// What the kernel said.
    pub because: String,
    /// Its number for that, where it is known.
    pub errno: Option<i32>,
}

impl Refused {
    fn of(error: &JailError) -> Refused {
        let source = |source: &io::Error| (source.to_string(), source.raw_os_error());
        match error {
            JailError::NoNamespaces(because) => {
                let (because, errno) = source(because);
                Refused { step: None, because, errno }
            }
            JailError::Step { step, because } => {
                Refused { step: Some(step.clone()), because: because.clone(), errno: None }
            }
            JailError::Lost(because) => {
                let (because, errno) = source(because);
                Refused { step: Some("hear from the cell".to_owned()), because, errno }
            }
            other => {
                Refused { step: Some("finish the trial".to_owned()), because: other.to_string(), errno: None }
            }
        }
    }
}

/// Tries it: with everything, and where that fails without an overlay, without a terminal, without both.
///
/// To be called while this process has one thread.
///
/// # Errors
/// The state folder cannot be written.
pub fn measure(state: &Path, home: &Path) -> io::Result<Measured> {
    let mut measured = Measured { landlock_abi: sandbox::landlock_abi(), ..Measured::default() };
    for (overlay, terminal) in [(true, true), (false, true), (true, false), (false, false)] {
        let place = Place::make(state)?;
        match attempt(&place, home, overlay, terminal) {
            Ok(enforcement) => {
                measured.enforcement = Some(enforcement);
                (measured.overlay, measured.terminal) = (overlay, terminal);
                break;
            }
            Err(error) => {
                let refused = Refused::of(&error);
                let hopeless = refused.step.is_none();
                if !measured.refused.contains(&refused) {
                    measured.refused.push(refused);
                }
                if hopeless {
                    break;
                }
            }
        }
    }
    Ok(measured)
}

fn attempt(place: &Place, home: &Path, overlay: bool, terminal: bool) -> Result<Enforcement, JailError> {
    let cell = Cell::spawn()?;
    let workspace = place.0.join("lower");
    let stage = if overlay {
        Stage::Overlay { lower: workspace.clone(), upper: place.0.join("upper"), work: place.0.join("work") }
    } else {
        Stage::Copy { from: workspace.clone() }
    };
    let system = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc"].map(PathBuf::from);
    let asked = Confinement {
        read: system.into_iter().chain([workspace.clone()]).collect(),
        write: vec![workspace.clone()],
        ..Confinement::default()
    };
    let order = Order {
        folder: workspace.clone(),
        workspace,
        stage,
        home: home.to_owned(),
        caches: Vec::new(),
        files: Vec::new(),
        over: Vec::new(),
        carrier: None,
        ports: vec![9317],
        program: "/bin/true".into(),
        argv: vec!["true".into()],
        env: Vec::new(),
        terminal: [terminal; 3],
        evidence: ledger::Evidence::Full,
    };
    let unplanned = |error: sandbox::plan::PlanError| JailError::Step {
        step: "plan the trial".into(),
        because: error.to_string(),
    };
    let plan = Plan::new(&asked, &order, &sandbox::plan::look_at_host).map_err(unplanned)?;
    Ok(cell.prepare(&plan)?.enforcement().clone())
}

/// A folder for the trial beneath the state folder; gone with this value.
#[derive(Debug)]
struct Place(PathBuf);

impl Place {
    fn make(state: &Path) -> io::Result<Place> {
        let own = format!("doctor-{}", std::process::id());
        let place = Place(state.join(own));
        // What another process of this number left when it was killed.
        place.clear();
        for folder in [&place.0, &place.0.join("lower"), &place.0.join("upper"), &place.0.join("work")] {
            DirBuilder::new().mode(0o700).create(folder)?;
        }
        Ok(place)
    }

    /// What cannot be removed does no harm.
    fn clear(&self) {
        // The overlay leaves folders that are closed even to their owner.
        let _ = remove_folder(&self.0);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clear();
    }
}
