//! Promise: a permitted name leads nowhere that a name must not lead, whoever answers for it.

use std::net::IpAddr;

use admission::{Denial, Dial, Permit};
use ledger::Body;
use ledger::event::Resolved;
use proptest::prelude::*;

use crate::common::{Line, connect};

fn addresses(found: &[&str]) -> Vec<IpAddr> {
    found.iter().map(|address| address.parse().unwrap()).collect()
}

fn dial(line: &Line, endpoint: &str, found: &[&str]) -> Result<Permit<Dial>, Denial> {
    line.admission.admit(connect(endpoint)).wait().permit().unwrap().at(&addresses(found))
}

fn dialled(line: &Line, endpoint: &str, found: &[&str]) -> Vec<String> {
    let permit = dial(line, endpoint, found).unwrap();
    permit.of().addresses().iter().map(ToString::to_string).collect()
}

fn last_resolved(line: &Line) -> (Resolved, Option<u64>) {
    line.admission.barrier().unwrap();
    let event = line.events().pop().unwrap();
    let Body::Resolved(resolved) = event.body else { panic!("{event:?}") };
    (resolved, event.cause)
}

#[test]
fn open_addresses_pass_in_their_order_and_are_recorded() {
    let line = Line::start(false);
    let found = ["93.184.216.34", "2606:4700::1111", "93.184.216.34"];
    assert_eq!(dialled(&line, "allowed.example:443", &found), ["93.184.216.34:443", "[2606:4700::1111]:443"]);
    let (resolved, cause) = last_resolved(&line);
    assert_eq!(resolved.allowed, ["93.184.216.34", "2606:4700::1111"]);
    assert_eq!((resolved.endpoint.as_str(), cause), ("allowed.example:443", Some(2)));
}

#[test]
fn a_name_that_leads_inside_is_refused_and_recorded() {
    let line = Line::start(false);
    for inside in
        ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1", "64:ff9b::7f00:1"]
    {
        let denial = dial(&line, "allowed.example:443", &[inside]).unwrap_err();
        assert_eq!(denial.reasons[0].rule, "address");
        let (resolved, _) = last_resolved(&line);
        assert!(resolved.allowed.is_empty());
        assert_eq!(resolved.refused.len(), 1);
    }
    assert!(dial(&line, "allowed.example:443", &[]).is_err());
}

#[test]
fn of_a_mixed_answer_only_what_passes_is_dialled() {
    let line = Line::start(false);
    let found = ["10.0.0.1", "93.184.216.34", "169.254.169.254"];
    assert_eq!(dialled(&line, "allowed.example:443", &found), ["93.184.216.34:443"]);
    let (resolved, _) = last_resolved(&line);
    assert_eq!(resolved.refused.len(), 2);
}

#[test]
fn policy_that_speaks_of_the_address_itself_is_heard() {
    let line = Line::start(false);
    // A rule that names the private address opens it; a rule that forbids an open address closes it.
    assert_eq!(dialled(&line, "allowed.example:443", &["10.1.2.3"]), ["10.1.2.3:443"]);
    let denial = dial(&line, "allowed.example:443", &["93.184.216.66"]).unwrap_err();
    assert!(denial.to_string().contains("no-such-address"), "{denial}");
}

#[test]
fn a_name_leads_into_a_network_where_its_own_rule_says_so() {
    let line = Line::start(false);
    for inside in ["10.9.9.9", "198.18.0.7", "203.0.113.80", "127.0.0.8", "fd00::1", "100.65.0.1"] {
        let found = dialled(&line, "in-house.example:443", &[inside]);
        assert_eq!(found.len(), 1, "{inside}");
    }
    // What a network holds beside the computers of people is meant only by its own address; and a rule that forbids one does.
    for closed in
        ["100.100.100.200", "fd00:ec2::254", "192.168.0.1", "127.0.0.1", "203.0.113.81", "93.184.216.66"]
    {
        assert!(dial(&line, "in-house.example:443", &[closed]).is_err(), "{closed}");
    }
    // It is this name alone that leads there.
    assert!(dial(&line, "allowed.example:443", &["10.9.9.9"]).is_err());
    assert!(line.admission.admit(connect("10.9.9.9:443")).wait().permit().is_err());
}

#[test]
fn an_address_that_was_asked_for_leads_to_itself_and_nowhere_else() {
    let line = Line::start(false);
    assert_eq!(dialled(&line, "10.1.2.3:443", &["10.1.2.3"]), ["10.1.2.3:443"]);
    assert!(dial(&line, "10.1.2.3:443", &["10.1.2.4"]).is_err());
    assert!(dial(&line, "10.1.2.3:443", &["93.184.216.34"]).is_err());
}

#[test]
fn localhost_leads_to_this_host_and_nowhere_else() {
    let line = Line::start(false);
    assert_eq!(dialled(&line, "localhost:8080", &["::1", "127.0.0.1"]), ["[::1]:8080", "127.0.0.1:8080"]);
    assert!(dial(&line, "localhost:8080", &["10.0.0.1"]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However an address inside is written within an IPv6 address, it is not dialled.
    #[test]
    fn no_spelling_of_an_inner_address_passes(last in any::<[u8; 3]>(), net in 0_usize..4, spelling in 0_usize..4) {
        let v4 = std::net::Ipv4Addr::new([10, 127, 0, 224][net], last[0], last[1], last[2]);
        let [a, b, c, d] = v4.octets().map(u16::from);
        let (high, low) = (a << 8 | b, c << 8 | d);
        let v6 = match spelling {
            0 => v4.to_ipv6_mapped(),
            1 => std::net::Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            2 => std::net::Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            _ => std::net::Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
        };
        prop_assert!(admission::address::guarded(v6.into()).is_some(), "{}", v6);
        prop_assert!(admission::address::guarded(v4.into()).is_some(), "{}", v4);
    }
}
