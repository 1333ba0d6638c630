//! Addresses that stand for names, so that programs which know nothing of proxies can say where they want to go.
//!
//! Owns which address stands for which name: for the whole run, and never for another name. They lie in a network that is for
//! tests of equipment and leads nowhere; a name is looked up when it is dialled, and not before.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, PoisonError};

/// The address before the first that stands for a name. Those below it in their network are the inside's own.
const BEFORE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 255);
/// Names of a run that get an address; the next get none.
const MOST: usize = 16_384;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct StandIns(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    places: HashMap<String, usize>,
    names: Vec<String>,
}

impl StandIns {
    /// The address of a canonical name; none where the run has used them all.
    pub(crate) fn address(&self, name: &str) -> Option<Ipv4Addr> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = known.places.get(name) {
            return Some(at(*place));
        }
        let place = known.names.len();
        if place >= MOST {
            return None;
        }
        known.names.push(name.to_owned());
        known.places.insert(name.to_owned(), place);
        Some(at(place))
    }

    /// The name that an address stands for.
    pub(crate) fn name(&self, address: IpAddr) -> Option<String> {
        let IpAddr::V4(address) = address else { return None };
        let place = u32::from(address).checked_sub(u32::from(BEFORE) + 1)?;
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.names.get(usize::try_from(place).ok()?).cloned()
    }
}

fn at(place: usize) -> Ipv4Addr {
    let place = u32::try_from(place).unwrap_or(u32::MAX);
    Ipv4Addr::from(u32::from(BEFORE).saturating_add(1).saturating_add(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stands_for_one_name_and_no_other() {
        let table = StandIns::default();
        let first = table.address("a.example").unwrap();
        let second = table.address("b.example").unwrap();
        assert_ne!(first, second);
        assert_eq!(table.address("a.example"), Some(first));
        assert_eq!(table.name(first.into()).as_deref(), Some("a.example"));
        assert_eq!(table.name(second.into()).as_deref(), Some("b.example"));
        for other in ["198.18.0.1", "198.18.0.255", "198.18.1.2", "198.20.0.0", "127.0.0.1", "::1"] {
            assert_eq!(table.name(other.parse().unwrap()), None, "{other}");
        }
    }

    #[test]
    fn when_all_are_used_no_address_is_given_again() {
        let table = StandIns::default();
        let all: std::collections::HashSet<Ipv4Addr> =
            (0..MOST).map(|name| table.address(&format!("n{name}.example")).unwrap()).collect();
        assert_eq!(all.len(), MOST);
        assert!(all.iter().all(|address| address.octets()[..2] == [198, 18]), "beyond the network");
        assert_eq!(table.address("one-more.example"), None);
        assert!(table.address("n0.example").is_some());
    }
}
