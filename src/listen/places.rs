//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// The places that there are. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Places {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    taken_max: usize,
    taken_per_ip_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// One connection's place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    ip: IpAddr,
}

impl Places {
    pub(super) fn new(taken_max: usize, taken_per_ip_max: usize) -> Places {
        Places { shared: Arc::new(Shared { taken_max, taken_per_ip_max, taken: Mutex::default() }) }
    }

    pub(super) fn take(&self, ip: IpAddr) -> Option<Place> {
        let ip = network(ip);
        let mut taken = self.shared.taken.lock();
        let from_here = taken.by_ip.get(&ip).copied().unwrap_or(0);
        if taken.all >= self.shared.taken_max || from_here >= self.shared.taken_per_ip_max {
            return None;
        }
        taken.all += 1;
        taken.by_ip.insert(ip, from_here + 1);
        drop(taken);
        Some(Place { places: self.clone(), ip })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.shared.taken.lock();
        taken.all -= 1;
        if let Some(from_here) = taken.by_ip.get_mut(&self.ip) {
            *from_here -= 1;
            if *from_here == 0 {
                taken.by_ip.remove(&self.ip);
            }
        }
    }
}

/// An IPv6 customer owns a /64 at least, so that is what counts as one address.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_every_place() {
        let places = Places::new(3, 2);
        let (one, other): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let first = places.take(one);
        let second = places.take(one);
        assert!(first.is_some() && second.is_some() && places.take(one).is_none());
        let third = places.take(other);
        assert!(third.is_some() && places.take(other).is_none());
        drop(first);
        assert!(places.take(one).is_some());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let places = Places::new(3, 1);
        let _place = places.take("2001:db8::1".parse().unwrap());
        assert!(places.take("2001:db8::2".parse().unwrap()).is_none());
        assert!(places.take("2001:db8:0:1::1".parse().unwrap()).is_some());
    }
}
