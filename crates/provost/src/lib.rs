//! The binary: it launches and speaks.
//!
//! Read `run` first: it is the story of a run, and every room is used there in order. `cli` is what can be typed,
//! `commands` one file a verb, `render` the only printing, `failure` what a command fails with. Around the run: `task`
//! (what is asked), `layers` (which policy), `agents`, `toolchains`, `secrets`, `store` and `logins` (what the inside gets), `view` (how it
//! looks), `workspace` (stage, change, land), `epilogue` (a run taken up again), `desk` (where people are asked), `walk` (a review on a terminal) and
//! `editor` (the person's own), `inside` (what answers at the door).
#![forbid(unsafe_code)]

pub mod agents;
pub mod certificates;
pub mod cli;
pub mod commands;
pub mod demand;
pub mod demo;
pub mod desk;
pub mod doctor;
pub mod editor;
pub mod epilogue;
pub mod failure;
pub mod folders;
pub mod inside;
pub mod layers;
pub mod logins;
pub mod mend;
pub mod proxy;
pub mod registries;
pub mod render;
pub mod run;
pub mod secrets;
pub mod starter;
pub mod store;
pub mod task;
pub mod toolchains;
pub mod vault;
pub mod view;
pub mod walk;
pub mod workspace;
