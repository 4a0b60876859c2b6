//! Which addresses belong to the public internet, and which only to somebody's inside.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A block of addresses, as `10.0.0.0/8` or `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Whether an address is in the block. An IPv4 address inside an IPv6 one is looked for by [`embedded`] before.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.checked_shr(32 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.checked_shr(128 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = ();

    /// An address alone is a block of one. Bits behind the prefix must be zero: `10.1.2.3/8` is a slip of the pen,
    /// and what was meant by it cannot be known.
    fn from_str(text: &str) -> Result<Cidr, ()> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let network: IpAddr = address.parse().map_err(|_| ())?;
        let bits: u8 = if network.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().map_err(|_| ())?,
            Some(_) => return Err(()),
            None => bits,
        };
        let host_bits_are_zero = match network {
            IpAddr::V4(v4) => v4.to_bits().checked_shl(u32::from(prefix)).unwrap_or(0) == 0,
            IpAddr::V6(v6) => v6.to_bits().checked_shl(u32::from(prefix)).unwrap_or(0) == 0,
        };
        (prefix <= bits && host_bits_are_zero).then_some(Cidr { network, prefix }).ok_or(())
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// What is special about an address that the public internet does not lead to, so that "is …" is a sentence; `None`
/// for a public one. By the registries of IANA (RFC 6890), and what cloud providers answer machines at.
pub fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

/// The IPv4 address that packets to this one end up at: mapped (`::ffff:0:0/96`) and compatible (`::/96`) ones, those
/// of NAT64 (RFC 6052), 6to4 (RFC 3056) and Teredo (RFC 4380).
pub fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let last = |s: [u16; 8]| v4(s[6], s[7]);
    match address.segments() {
        s @ ([0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..]) => {
            Some(last(s))
        }
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        s @ [0, 0, 0, 0, 0, 0, ..] => Some(last(s)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        // Teredo hides the client's address by flipping its bits.
        s @ [0x2001, 0, ..] => Some(v4(!s[6], !s[7])),
        _ => None,
    }
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [169, 254, 169, 254] | [100, 100, 100, 200] | [168, 63, 129, 16] | [192, 0, 0, 192] => {
            Some("a cloud provider's metadata address")
        }
        [0, ..] => Some("an unspecified address"),
        [127, ..] => Some("a loopback address"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some("a private address"),
        [100, 64..=127, ..] => Some("a carrier's inner address"),
        [169, 254, ..] => Some("a link-local address"),
        [192, 0, 0 | 2, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] => {
            Some("a reserved address")
        }
        [224..=239, ..] => Some("a multicast address"),
        [255, 255, 255, 255] => Some("the broadcast address"),
        [240..=255, ..] => Some("a reserved address"),
        _ => None,
    }
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    if let Some(inner) = embedded(IpAddr::V6(address)) {
        return special_v4(inner);
    }
    match address.segments() {
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => {
            Some("a cloud provider's metadata address")
        }
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("an unspecified address"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("a loopback address"),
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Some("a private address"),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        // Protocol assignments, of which only Teredo, seen above, leads anywhere; and two blocks for documents.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some("a reserved address"),
        [0x2000..=0x3fff, ..] => None,
        // All else is outside of what has been given out (RFC 4291, section 2.4), local NAT64 (RFC 8215) among it.
        _ => Some("a reserved address"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn what_is_not_public_is_known_by_its_kind() {
        for (address, kind) in [
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("10.0.0.1", "private"),
            ("100.64.0.1", "carrier"),
            ("100.127.255.255", "carrier"),
            ("100.100.100.200", "metadata"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("168.63.129.16", "metadata"),
            ("169.254.169.254", "metadata"),
            ("169.254.1.1", "link-local"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.0.0.1", "reserved"),
            ("192.0.0.192", "metadata"),
            ("192.0.2.1", "reserved"),
            ("192.88.99.1", "reserved"),
            ("192.168.1.1", "private"),
            ("198.18.0.1", "reserved"),
            ("198.51.100.1", "reserved"),
            ("203.0.113.1", "reserved"),
            ("224.0.0.1", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::7f00:1", "loopback"),
            ("::ffff:10.0.0.1", "private"),
            ("::ffff:169.254.169.254", "metadata"),
            ("::ffff:0:127.0.0.1", "loopback"),
            ("64:ff9b::a00:1", "private"),
            ("64:ff9b::a9fe:a9fe", "metadata"),
            ("64:ff9b:1::1", "reserved"),
            ("100::1", "reserved"),
            ("2001::1", "reserved"),
            ("2001:0:1:2:3:4:f5ff:fffe", "private"),
            ("2001:db8::1", "reserved"),
            ("2002:a00:1::", "private"),
            ("2002:7f00:1::1", "loopback"),
            ("3fff::1", "reserved"),
            ("4000::1", "reserved"),
            ("5f00::1", "reserved"),
            ("fc00::1", "private"),
            ("fd00:ec2::254", "metadata"),
            ("fd20:ce::254", "metadata"),
            ("fe80::1", "link-local"),
            ("fec0::1", "private"),
            ("ff02::1", "multicast"),
        ] {
            let found = special(ip(address)).unwrap_or("public");
            assert!(found.contains(kind), "{address} is {found}, not {kind}");
        }
    }

    #[test]
    fn what_is_public_is_not_special() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450::1",
            "3ffe::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::1",
        ] {
            assert_eq!(special(ip(address)), None, "{address}");
        }
    }

    #[test]
    fn a_block_is_read_and_shown_alike() {
        for text in ["10.0.0.0/8", "127.0.0.1/32", "0.0.0.0/0", "fd00::/8", "::1/128", "::/0"] {
            assert_eq!(text.parse::<Cidr>().map(|cidr| cidr.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("10.1.2.3".parse::<Cidr>().map(|cidr| cidr.to_string()).as_deref(), Ok("10.1.2.3/32"));
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for text in
            ["", "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/8", "10/8", "::/129", "fd00::1/8", "10.0.0.0/+8"]
        {
            assert_eq!(text.parse::<Cidr>(), Err(()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_inner_address_stays_inside_however_it_is_wrapped(bits: u32) {
            let inner = Ipv4Addr::from_bits(bits);
            let (high, low) = ((bits >> 16) as u16, bits as u16);
            let wrapped = [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
                Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, 1, 2, 3, 4, !high, !low),
            ];
            for address in wrapped {
                prop_assert_eq!(special(IpAddr::V6(address)), special(IpAddr::V4(inner)), "{}", address);
            }
        }

        #[test]
        fn a_block_holds_what_agrees_with_it_as_far_as_its_prefix(network: u32, prefix in 0u8..=32, other: u32) {
            let kept = (u64::from(u32::MAX) << (32 - u32::from(prefix))) as u32;
            let network = network & kept;
            let cidr: Cidr = format!("{}/{prefix}", Ipv4Addr::from_bits(network)).parse().expect("a block");
            let held = cidr.contains(IpAddr::V4(Ipv4Addr::from_bits(other)));
            prop_assert_eq!(held, other & kept == network);
            prop_assert!(cidr.contains(IpAddr::V4(Ipv4Addr::from_bits(network | other & !kept))));
        }

        #[test]
        fn what_the_standard_library_calls_inner_is_special(bits: u32) {
            let a = Ipv4Addr::from_bits(bits);
            let inner = a.is_private() || a.is_loopback() || a.is_link_local() || a.is_multicast()
                || a.is_broadcast() || a.is_documentation() || a.is_unspecified();
            prop_assert!(!inner || special(IpAddr::V4(a)).is_some());
        }
    }
}
