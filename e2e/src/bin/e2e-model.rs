//! The scripted model server by hand: `e2e-model --script FILE --port PORT`. Every request is printed as a line of JSON.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use e2e::doubles::model::{ModelServer, Script};
use std::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("e2e-model: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), Box<dyn Error>> {
    let mut script = None;
    let mut port = 0;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or("usage: e2e-model --script FILE [--port PORT]")?;
        match word.as_str() {
            "--script" => script = Some(Script::parse(&std::fs::read_to_string(value)?)?),
            "--port" => port = value.parse()?,
            other => return Err(format!("no option is called `{other}`").into()),
        }
    }
    let server = ModelServer::start_on(port, script.ok_or("no --script given")?, |exchange| {
        println!("{}", exchange.line());
    })?;
    eprintln!("listening at {}", server.url());
    server.wait();
    Ok(())
}
