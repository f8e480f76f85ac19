use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Networks by their prefixes, such as `127.0.0.0/8,::1/128`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

/// Prefixes of IPv4 that are not the public Internet.
const V4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    // Multicast, reserved, broadcast.
    ([224, 0, 0, 0], 3),
];

/// Prefixes within `2000::/3`, the global unicast space, that are not public: what lies outside of it never is.
const V6: &[([u16; 3], u32)] = &[
    // Teredo and other protocol assignments.
    ([0x2001, 0, 0], 23),
    ([0x2001, 0xdb8, 0], 32),
    // 6to4 carries an IPv4 address.
    ([0x2002, 0, 0], 16),
    ([0x3fff, 0, 0], 20),
];

/// Whether the address is one of the public Internet. An IPv4 address mapped into IPv6 is judged as what it is; other ways of carrying one (NAT64, 6to4, Teredo, compatible) are refused.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => v6(address),
    }
}

fn v4(address: Ipv4Addr) -> bool {
    let bits = u32::from(address);
    !V4.iter()
        .any(|(network, length)| (bits ^ u32::from_be_bytes(*network)) >> (32 - length) == 0)
}

fn v6(address: Ipv6Addr) -> bool {
    let bits = u128::from(address);
    let starts = |network: [u16; 3], length: u32| {
        let [a, b, c] = network;
        let network = u128::from(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0));
        (bits ^ network) >> (128 - length) == 0
    };
    starts([0x2000, 0, 0], 3) && !V6.iter().any(|(network, length)| starts(*network, *length))
}

// === impl Networks ===

impl Networks {
    /// Reads prefixes that stand between commas. `None`: one of them is none.
    pub fn parse(text: &str) -> Option<Self> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(|part| part.parse().ok()).collect::<Option<_>>().map(Self)
    }

    /// Whether one of them has the address.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_public_internet_is_public() {
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
            "4000::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    #[test]
    fn neighbours_of_refused_networks_are_public() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2003::1",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
            "3ffe:ffff::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn networks_are_read_and_judge_mapped_addresses_as_what_they_are() {
        let networks = Networks::parse("127.0.0.0/8, ::1/128").unwrap();
        assert!(networks.contain("127.0.0.9".parse().unwrap()));
        assert!(networks.contain("::ffff:127.0.0.9".parse().unwrap()));
        assert!(networks.contain("::1".parse().unwrap()));
        assert!(!networks.contain("10.0.0.1".parse().unwrap()));
        assert_eq!(Networks::parse("127.0.0.1"), None);
        assert_eq!(Networks::parse(""), Some(Networks::default()));
    }
}
