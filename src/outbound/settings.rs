//! What the operator decides about calls to addresses that users give.

use std::path::PathBuf;
use std::time::Duration;

use super::address::Cidr;
use crate::settings::{Kind, Unit, list, optional, parsed, path, settings, within};

/// How many blocks may be allowed. A list longer than this is not written by hand.
const CIDRS_LEN_MAX: usize = 256;

settings! {
    /// Calls to URLs that users give: outbound webhooks and push subscriptions. They reach the public internet over
    /// https and nothing else, so that nobody can make this server call what only it can reach.
    pub struct Outbound {
        /// Private, loopback and other inner addresses that such URLs may reach all the same. Plain http is taken
        /// for these addresses only.
        allow_cidrs: Vec<Cidr> = Vec::new(), list(cidr(), CIDRS_LEN_MAX);
        /// A file of certificates in PEM that are trusted beside those of the system, for services with a certificate
        /// authority of their own.
        ca_file: Option<PathBuf> = None, optional(path(), "/etc/belfry/outbound-ca.pem");
        /// How long one call may take as a whole, from connecting to the last byte of the answer.
        timeout: Duration = Duration::from_secs(15),
            within(Unit::Seconds, Duration::from_millis(100)..=Duration::from_secs(60));
    }
}

fn cidr() -> Kind<Cidr> {
    parsed("a block of addresses, as 10.0.0.0/8 or fd00::/8", |text| text.parse().ok(), Cidr::to_string)
}
