//! `provost allow` and `provost deny`: a person's answer to an ask of any run, from any terminal.

use serde_json::json;

use super::{DONE, open};
use crate::cli::{Allow, Deny};
use crate::desk::callers::{self, Named};
use crate::desk::words::{Reply, Said, extent};
use crate::failure::Failure;
use crate::folders::Folders;
use crate::render::{Out, clean, count};

pub(super) fn allow(order: &Allow, out: Out) -> Result<u8, Failure> {
    let for_ms = order.lasts.map(|lasts| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX));
    let bounded = for_ms.is_some() || order.uses.is_some();
    // A time or a count says that it is meant for more than once.
    let scope =
        order.scope.map(|scope| scope.word().to_owned()).or_else(|| bounded.then(|| "run".to_owned()));
    let (id, why, uses) = (order.id.clone(), order.why.clone(), order.uses);
    answer(Said { id, allow: true, scope, for_ms, uses, why, ..Said::default() }, out)
}

pub(super) fn deny(order: &Deny, out: Out) -> Result<u8, Failure> {
    answer(Said { id: order.id.clone(), allow: false, why: order.why.clone(), ..Said::default() }, out)
}

fn answer(said: Said, out: Out) -> Result<u8, Failure> {
    said.scope().map_err(Failure::new)?;
    let folders = Folders::find()?;
    let (host, dead) = open(&folders, "allow")?;
    dead.iter().for_each(|run| callers::clear(&host, run));
    if !said.allow
        && said.why.is_none()
        && matches!(callers::standings(&host)?.find(&said.id), Ok(Named::Ask(_)))
    {
        return Err(Failure::new("the agent is not told why").hint(format!(
            "say what it should do instead: provost deny {} --why \"use the mirror\"",
            said.id
        )));
    }
    let (named, reply) = callers::answer(&host, said)?;
    match out.human() {
        true => told(out, &named, &reply),
        false => {
            let (id, run, text) = match &named {
                Named::Ask(ask) => (&ask.id, &ask.asker.run, &ask.text),
                Named::Grant(grant) => (&grant.id, &grant.asker.run, &grant.selector),
            };
            out.json(&json!({ "id": id, "run": run, "text": text, "done": reply.done, "grant": reply.gave }));
        }
    }
    Ok(DONE)
}

fn told(out: Out, named: &Named, reply: &Reply) {
    let what = match named {
        Named::Ask(ask) => format!("{} (run {})", clean(&ask.text), ask.asker.run),
        Named::Grant(grant) => format!("{} (run {})", clean(&grant.selector), grant.asker.run),
    };
    let done = reply.done.as_deref().unwrap_or_default();
    out.line(match done {
        "counted" => format!("said yes to {what}; another person must agree too"),
        "revoked" => {
            let used =
                reply.used.map_or_else(String::new, |used| format!("; it was used {}", count(used, "time")));
            format!("taken back: {what}{used}")
        }
        done => format!("{done}  {what}"),
    });
    if let Some(grant) = &reply.gave {
        out.line(format!("    holds for {}", clean(&extent(grant))));
        out.line(format!("    provost deny {}    takes it back", grant.id));
    }
}
