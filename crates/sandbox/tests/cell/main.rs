//! The cell on a real kernel: real programs, confined, watched, let go.
//!
//! Every case is a process of its own, because a cell is made before any thread starts. As root each case runs a
//! second time as an ordinary user. Owns: running cases. Does not own: what they promise (the files beside this).

#[cfg(test)]
mod asked;
#[cfg(test)]
mod carried;
#[cfg(test)]
mod closed;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod dying;
#[cfg(test)]
mod held;
#[cfg(test)]
mod judged;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod programs;
#[cfg(test)]
mod runner;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod seen;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod starts;
#[cfg(test)]
mod traced;
#[cfg(test)]
mod view;

#[cfg(test)]
fn main() -> std::process::ExitCode {
    runner::run(
        &[
            starts::CASES,
            view::CASES,
            sockets::CASES,
            closed::CASES,
            carried::CASES,
            judged::CASES,
            asked::CASES,
            held::CASES,
            commands::CASES,
            programs::CASES,
            traced::CASES,
            seen::CASES,
            dying::CASES,
            limits::CASES,
        ],
        &[dying::PARTS, held::PARTS].concat(),
    )
}

#[cfg(not(test))]
fn main() {}
