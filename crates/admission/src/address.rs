//! What an address must be before it is dialled.
//!
//! Pure. A name was judged before it was looked up; whoever answers for that name chooses the addresses. So an address that
//! leads somewhere a name must not lead is refused, unless policy speaks of that very address. Owns the list of such places.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ledger::event::RefusedAddress;
use policy::{Action, Decision, Endpoint, Host, Policy, Reason};

/// Addresses, judged.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) allowed: Vec<IpAddr>,
    pub(crate) refused: Vec<RefusedAddress>,
}

/// Judges the addresses that a permitted action's endpoint led to.
pub(crate) fn judge(
    policy: &Policy,
    (permitted, endpoint): (&Action, &Endpoint),
    found: &[IpAddr],
) -> Judged {
    let mut judged = Judged::default();
    for address in found.iter().copied().map(plain) {
        match refusal(policy, (permitted, endpoint), address) {
            None if judged.allowed.contains(&address) => {}
            None => judged.allowed.push(address),
            Some(because) => judged.refused.push(RefusedAddress { address: address.to_string(), because }),
        }
    }
    judged
}

/// Why this address may not be dialled for that endpoint.
fn refusal(policy: &Policy, (permitted, endpoint): (&Action, &Endpoint), address: IpAddr) -> Option<String> {
    let by_rule = |reasons: &[Reason]| reasons.iter().find(|reason| reason.rule != "default").cloned();
    let asked_for_itself = match &endpoint.host {
        Host::Ip(named) if plain(*named) == address => true,
        Host::Ip(_) => return Some("not the address that was asked for".to_owned()),
        Host::Name(name) => name == "localhost" && address.is_loopback(),
    };
    if asked_for_itself {
        // It was judged as such. But where everything is open because no rule speaks of it, what is guarded stays so.
        return match policy.decide(&Action::Connect(endpoint.clone()), &[]) {
            Decision::Allow { reasons } if by_rule(&reasons).is_none() => guarded(address).map(str::to_owned),
            Decision::Allow { .. } | Decision::Ask { .. } | Decision::Deny { .. } => None,
        };
    }
    let itself = Action::Connect(Endpoint { host: Host::Ip(address), port: endpoint.port });
    match policy.decide(&itself, &[]) {
        Decision::Allow { reasons } if by_rule(&reasons).is_some() => None,
        Decision::Allow { .. } => closed(policy, permitted, address),
        Decision::Ask { reasons, .. } | Decision::Deny { reasons } => match by_rule(&reasons) {
            Some(rule) if guarded(address).is_none() || led(policy, permitted, address) => {
                Some(format!("rule `{}` forbids the address itself", rule.rule))
            }
            _ => closed(policy, permitted, address),
        },
    }
}

/// Why a name must not lead there, unless a rule says that this one may.
fn closed(policy: &Policy, permitted: &Action, address: IpAddr) -> Option<String> {
    guarded(address).filter(|_| !led(policy, permitted, address)).map(str::to_owned)
}

/// Whether a rule lets the name lead to this address. A network that it names stands for what people have as networks of their own;
/// this machine, metadata services and their like are meant only where they are named one by one.
fn led(policy: &Policy, permitted: &Action, address: IpAddr) -> bool {
    let named = policy.leads_to(permitted, address);
    named.iter().any(|network| network.prefix_len() == network.max_prefix_len() || is_network(address))
}

/// Whether such an address is one of a network that people build: private, shared, or meant for documentation or benchmarks.
fn is_network(address: IpAddr) -> bool {
    guarded(address).is_some_and(|what| NETWORKS.contains(&what))
}

const PRIVATE: &str = "a private network";
const SHARED: &str = "a carrier's shared network";
const DOCUMENTATION: &str = "an address for documentation";
const BENCHMARKS: &str = "a network for benchmarks";
const NETWORKS: [&str; 4] = [PRIVATE, SHARED, DOCUMENTATION, BENCHMARKS];

/// The address itself, where it is written inside another.
pub fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Why a name must not lead to this address; `None` where it may.
pub fn guarded(address: IpAddr) -> Option<&'static str> {
    match plain(address) {
        IpAddr::V4(v4) => guarded_v4(v4),
        IpAddr::V6(v6) => guarded_v6(v6),
    }
}

fn guarded_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [169, 254, 169, 254] | [169, 254, 170, 2] | [168, 63, 129, 16] | [100, 100, 100, 200] => {
            Some("a cloud's metadata service")
        }
        [0, ..] => Some("this network"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some(PRIVATE),
        [127, ..] => Some("this host"),
        [169, 254, ..] => Some("a link-local address"),
        [100, 64..=127, ..] => Some(SHARED),
        [192, 0, 0, _] => Some("an address of the protocols"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some(DOCUMENTATION),
        [192, 88, 99, _] => Some("a 6to4 relay"),
        [198, 18..=19, ..] => Some(BENCHMARKS),
        [224..=239, ..] => Some("a multicast address"),
        [255, 255, 255, 255] => Some("the broadcast address"),
        [240..=255, ..] => Some("a reserved address"),
        _ => None,
    }
}

fn guarded_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("no address"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("this host"),
        // NAT64 and 6to4 lead to the IPv4 address written within.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => guarded_v4(v4(high, low)),
        [0x2002, high, low, ..] => guarded_v4(v4(high, low)),
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Some("a cloud's metadata service"),
        [0xfc00..=0xfdff, ..] => Some(PRIVATE),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some(DOCUMENTATION),
        [0x2001, 0..=0x1ff, ..] => Some("an address of the protocols"),
        [0x2000..=0x3fff, ..] => None,
        _ => Some("not an address of the open network"),
    }
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> Option<&'static str> {
        guarded(text.parse().unwrap())
    }

    #[test]
    fn addresses_of_the_open_network_pass() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "93.184.216.34",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "169.253.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:4860::8888",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "::ffff:8.8.8.8",
        ] {
            assert_eq!(reason(text), None, "{text}");
        }
    }

    #[test]
    fn addresses_a_name_must_not_lead_to_are_guarded() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.0.1",
            "169.254.169.254",
            "169.254.170.2",
            "168.63.129.16",
            "100.64.0.1",
            "100.127.255.255",
            "100.100.100.200",
            "192.0.0.192",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::8.8.8.8",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001::1",
            "2001:0:1:2::",
            "2001:10::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "4000::1",
        ] {
            assert!(reason(text).is_some(), "{text}");
        }
    }

    #[test]
    fn an_address_within_another_is_taken_out() {
        assert_eq!(plain("::ffff:1.2.3.4".parse().unwrap()), "1.2.3.4".parse::<IpAddr>().unwrap());
        assert_eq!(plain("::1".parse().unwrap()), "::1".parse::<IpAddr>().unwrap());
    }
}
