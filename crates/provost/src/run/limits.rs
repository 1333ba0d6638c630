//! How much of the machine a run may use, from all that says so: the policy, flags, and the machine itself.
//!
//! Owns what flags mean and what is built in. Does not own holding it (`sandbox`).

use std::fs;

use policy::{Limit, Limits, Tier};

use crate::task::Task;

/// The flag that limits the time.
const TIMEOUT: &str = "--timeout";
/// The flag that limits anything.
const LIMIT: &str = "--limit";

/// Adds to the policy's limits what flags say, and what holds where nobody says anything.
pub(crate) fn complete(limits: &mut Limits, task: &Task) {
    if let Some(time) = task.timeout {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
        limits.narrow(Limit::Time, ms, TIMEOUT);
    }
    for (limit, most) in &task.limits {
        limits.narrow(*limit, *most, LIMIT);
    }
    // Without a view of its own nothing tells what is the run's: there it is only refused, where a policy asks for it.
    if task.tier == Tier::Namespaces
        && limits.get(Limit::Memory).is_none()
        && let Some(most) = of_machine(&fs::read_to_string("/proc/meminfo").unwrap_or_default())
    {
        limits.narrow(Limit::Memory, most, sandbox::BUILT_IN);
    }
}

/// Seven eighths of the machine's memory, swap included: nothing that a machine can do at all needs more.
fn of_machine(meminfo: &str) -> Option<u64> {
    let kib = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let whole = kib("MemTotal:")?.checked_add(kib("SwapTotal:").unwrap_or_default())?.checked_mul(1024)?;
    Some(whole - whole / 8).filter(|most| *most > 0)
}

/// Reads `--limit NAME=AMOUNT`.
pub(crate) fn read(text: &str) -> Result<(Limit, u64), String> {
    let names = || Limit::ALL.map(Limit::word).join(", ");
    let (name, amount) = text.split_once('=').ok_or("it has no `=`, as in `memory=4GiB`")?;
    let limit = Limit::named(name).ok_or_else(|| format!("`{name}` is no limit; there are {}", names()))?;
    let most = limit.read(amount).map_err(|error| format!("{error}: {}", error.hint()))?;
    Ok((limit, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_read_as_a_policy_is() {
        assert_eq!(read("memory=4GiB"), Ok((Limit::Memory, 4 << 30)));
        assert_eq!(read("processes=512"), Ok((Limit::Processes, 512)));
        for wrong in ["memory", "memory=4GB", "memery=4GiB", "time=0s", "=", ""] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_machine_keeps_something_for_itself() {
        assert_eq!(of_machine("MemTotal:   8192 kB\nSwapTotal: 0 kB\n"), Some(7 << 20));
        assert_eq!(of_machine("MemTotal: 4096 kB\nSwapTotal: 4096 kB\n"), Some(7 << 20));
        assert_eq!((of_machine(""), of_machine("MemTotal: 0 kB")), (None, None));
    }
}
