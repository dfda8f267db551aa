//! Whether a certificate is for the host that was asked for (RFC 6125 §6, RFC 9525 §6).
//!
//! Only subject alternative names count; a common name was never meant for this. Whether the chain is good is judged by
//! `gatehouse-pki` before.

use gatehouse_pki::{Certificate, GeneralName};
use gatehouse_wire::coap::uri::Host;

/// Whether one of the certificate's names is that of the host.
pub(crate) fn is_for(certificate: &Certificate, host: &Host) -> bool {
    certificate.subject_alternative_names().iter().any(|name| match (name, host) {
        (GeneralName::Dns(pattern), Host::Name(name)) => matches(pattern, name),
        (GeneralName::Ip(named), Host::Address(address)) => named == address,
        _ => false,
    })
}

/// The names of a certificate, for the message that refuses it.
pub(crate) fn list(certificate: &Certificate) -> String {
    let names = certificate.subject_alternative_names().iter().filter_map(|name| match name {
        GeneralName::Dns(name) => Some(name.clone()),
        GeneralName::Ip(address) => Some(address.to_string()),
        _ => None,
    });
    let names: Vec<String> = names.take(MOST_LISTED).collect();
    if names.is_empty() { format!("no host ({})", certificate.subject()) } else { names.join(", ") }
}

/// RFC 6125 §6.4.3: a star stands for the whole of the first label, and only for that.
fn matches(pattern: &str, name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    match pattern.strip_prefix("*.") {
        Some(parent) => {
            let below = name.split_once('.');
            below.is_some_and(|(label, rest)| !label.is_empty() && rest.contains('.') && rest.eq_ignore_ascii_case(parent))
        }
        None => pattern.eq_ignore_ascii_case(name),
    }
}

/// A certificate may have thousands.
const MOST_LISTED: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_compared_without_case_and_without_the_dot_of_the_root() {
        assert!(matches("Device.Example", "device.example"));
        assert!(matches("device.example", "device.example."));
        assert!(!matches("device.example", "other.device.example"));
        assert!(!matches("device.example", "evice.example"));
    }

    #[test]
    fn a_star_stands_for_one_label_below_a_domain() {
        assert!(matches("*.site.example", "pump.site.example"));
        for name in ["site.example", "a.pump.site.example", ".site.example", "pump.other.example"] {
            assert!(!matches("*.site.example", name), "{name}");
        }
        assert!(!matches("*.example", "pump.example"), "a star below a top-level domain");
    }
}
