//! Name constraints (RFC 5280 §4.2.1.10): which names a CA, and every CA below it, may give.

use super::budget::Budget;
use crate::{
    certificate::Certificate,
    distinguished_name::DistinguishedName,
    extensions::NameConstraints,
    general_name::{self, GeneralName, Star, Subtree},
    oid::attribute,
    rule::Rule,
};
use std::net::IpAddr;

/// Holds every name of a certificate against the constraints of one CA above it.
pub(super) fn check(constraints: &NameConstraints, certificate: &Certificate, is_leaf: bool, budget: &mut Budget) -> Result<(), Rule> {
    let subject = certificate.subject();
    let alternatives = certificate.subject_alternative_names();
    for name in alternatives {
        let name = match name {
            GeneralName::Email(mailbox) => Name::Email(mailbox),
            GeneralName::Dns(host) => Name::Dns(host),
            GeneralName::Directory(name) => Name::Directory(name),
            GeneralName::Uri(uri) => Name::Uri(uri),
            GeneralName::Ip(address) => Name::Ip(*address),
            // No constraint of these forms is accepted in a CA, so none can forbid them.
            GeneralName::Other(_) => continue,
        };
        judge(constraints, &name, budget)?;
    }
    if !subject.is_empty() {
        judge(constraints, &Name::Directory(subject), budget)?;
    }
    // The place for mailboxes before there were alternative names.
    for mailbox in subject.values(attribute::EMAIL_ADDRESS) {
        judge(constraints, &mailbox.as_deref().map_or(Name::UnclearMail, Name::Email), budget)?;
    }
    if is_leaf && !alternatives.iter().any(|name| matches!(name, GeneralName::Dns(_))) {
        for common_name in subject.values(attribute::COMMON_NAME).flatten() {
            if let Some(name) = host_in_common_name(&common_name) {
                judge(constraints, &name, budget)?;
            }
        }
    }
    Ok(())
}

/// A name in the form in which constraints are about it.
enum Name<'a> {
    Email(&'a str),
    Dns(&'a str),
    Directory(&'a DistinguishedName),
    Uri(&'a str),
    Ip(IpAddr),
    /// A mailbox in characters that cannot be compared.
    UnclearMail,
}

/// How a name lies to a subtree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// The subtree is about another form of names.
    OtherForm,
    Outside,
    Inside,
    /// It cannot be said, so it is not permitted by the subtree, and it is excluded by it.
    Unclear,
}

fn judge(constraints: &NameConstraints, name: &Name<'_>, budget: &mut Budget) -> Result<(), Rule> {
    budget.comparisons(constraints.permitted.len() + constraints.excluded.len())?;
    let mut permitted =
        constraints.permitted.iter().map(|subtree| relation(name, subtree)).filter(|relation| *relation != Relation::OtherForm).peekable();
    // Without a subtree of its form every name is permitted.
    if permitted.peek().is_some() && !permitted.any(|relation| relation == Relation::Inside) {
        return Err(Rule::NameConstraints);
    }
    let excludes = |subtree| matches!(relation(name, subtree), Relation::Inside | Relation::Unclear);
    if constraints.excluded.iter().any(excludes) { Err(Rule::NameConstraints) } else { Ok(()) }
}

fn relation(name: &Name<'_>, subtree: &Subtree) -> Relation {
    match (name, subtree) {
        (Name::Email(mailbox), Subtree::Email(base)) => email(mailbox, base),
        (Name::UnclearMail, Subtree::Email(_)) => Relation::Unclear,
        (Name::Dns(host), Subtree::Dns(base)) => dns(host, base),
        (Name::Directory(name), Subtree::Directory(base)) => directory(name, base),
        (Name::Uri(uri), Subtree::Uri(base)) => uri_host(uri, base),
        (Name::Ip(address), Subtree::V4 { .. } | Subtree::V6 { .. }) => ip(*address, subtree),
        _ => Relation::OtherForm,
    }
}

/// A mailbox lies in a mailbox when they are equal, in a host when it is there, and in `.host` when it is below.
fn email(mailbox: &str, base: &str) -> Relation {
    let Some((local, host)) = general_name::split_mailbox(mailbox) else { return Relation::Unclear };
    match general_name::split_mailbox(base) {
        Some((base_local, base_host)) if host.eq_ignore_ascii_case(base_host) => match local {
            _ if local == base_local => Relation::Inside,
            // The part before the @ has case, and many hosts do not care.
            _ if local.eq_ignore_ascii_case(base_local) => Relation::Unclear,
            _ => Relation::Outside,
        },
        Some(_) => Relation::Outside,
        None => host_or_below(host, base),
    }
}

/// A host lies in a host when it is that or below. A wildcard lies inside when all that it stands for does, and
/// it cannot be said when only some of it does.
fn dns(host: &str, base: &str) -> Relation {
    let Some(parent) = host.strip_prefix("*.") else {
        return inside_if(is_at_or_below(host, base));
    };
    if is_at_or_below(parent, base) {
        Relation::Inside
    } else if is_at_or_below(base, parent) {
        Relation::Unclear
    } else {
        Relation::Outside
    }
}

fn directory(name: &DistinguishedName, base: &DistinguishedName) -> Relation {
    let (name, base) = (name.folded(), base.folded());
    if name.is_below(&base) {
        Relation::Inside
    } else if name.may_be_below(&base) {
        Relation::Unclear
    } else {
        Relation::Outside
    }
}

/// The host of a URI lies in a host when it is that, and in `.host` when it is below. A URI without a host name, or
/// with an address, must be refused when there is any constraint on URIs.
fn uri_host(uri: &str, base: &str) -> Relation {
    match general_name::uri_host(uri) {
        Some(host) if general_name::is_host(host, Star::Refused) && host.parse::<IpAddr>().is_err() => host_or_below(host, base),
        _ => Relation::Unclear,
    }
}

/// Addresses of the other family lie outside of every network of this one.
fn ip(address: IpAddr, network: &Subtree) -> Relation {
    inside_if(match (address, network) {
        (IpAddr::V4(address), Subtree::V4 { network, mask }) => address.to_bits() & mask == *network,
        (IpAddr::V6(address), Subtree::V6 { network, mask }) => address.to_bits() & mask == *network,
        _ => false,
    })
}

/// `.host` is everything below, `host` is that one only.
fn host_or_below(host: &str, base: &str) -> Relation {
    inside_if(match base.strip_prefix('.') {
        Some(parent) => is_at_or_below(host, parent) && host.len() > parent.len(),
        None => host.eq_ignore_ascii_case(base),
    })
}

fn is_at_or_below(host: &str, base: &str) -> bool {
    let (host, base) = (host.as_bytes(), base.as_bytes());
    if base.is_empty() {
        return true;
    }
    let Some(start) = host.len().checked_sub(base.len()) else { return false };
    host[start..].eq_ignore_ascii_case(base) && (start == 0 || host[start - 1] == b'.')
}

fn inside_if(inside: bool) -> Relation {
    if inside { Relation::Inside } else { Relation::Outside }
}

/// What a common name would be taken for by software that looks for hosts there. A name without a dot is none: that
/// is what people and devices are called.
fn host_in_common_name(common_name: &str) -> Option<Name<'_>> {
    if let Ok(address) = common_name.parse() {
        return Some(Name::Ip(address));
    }
    let bare = common_name.strip_suffix('.').unwrap_or(common_name);
    // Underscores are no part of host names, and looked up all the same.
    (bare.contains('.') && general_name::is_host(&bare.replace('_', "x"), Star::Accepted)).then_some(Name::Dns(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lies(name: &Name<'_>, subtree: &Subtree) -> &'static str {
        match relation(name, subtree) {
            Relation::OtherForm => "other",
            Relation::Outside => "outside",
            Relation::Inside => "inside",
            Relation::Unclear => "unclear",
        }
    }

    #[test]
    fn host_names_lie_at_or_below_their_constraint() {
        for (host, base, expected) in [
            ("host.example.com", "host.example.com", "inside"),
            ("my.host.example.com", "host.example.com", "inside"),
            ("MY.Host.Example.COM", "host.example.com", "inside"),
            ("bighost.example.com", "host.example.com", "outside"),
            ("example.com", "host.example.com", "outside"),
            ("anything", "", "inside"),
            ("*.example.com", "example.com", "inside"),
            ("*.example.com", "host.example.com", "unclear"),
            ("*.example.com", "example.org", "outside"),
        ] {
            assert_eq!(lies(&Name::Dns(host), &Subtree::Dns(base.into())), expected, "{host} in {base}");
        }
    }

    #[test]
    fn mailboxes_lie_in_a_mailbox_a_host_or_below_a_host() {
        for (mailbox, base, expected) in [
            ("root@example.com", "root@example.com", "inside"),
            ("root@EXAMPLE.com", "root@example.com", "inside"),
            ("Root@example.com", "root@example.com", "unclear"),
            ("user@example.com", "root@example.com", "outside"),
            ("user@example.com", "example.com", "inside"),
            ("user@host.example.com", "example.com", "outside"),
            ("user@host.example.com", ".example.com", "inside"),
            ("user@example.com", ".example.com", "outside"),
            ("user@badexample.com", ".example.com", "outside"),
            ("no mailbox", "example.com", "unclear"),
        ] {
            assert_eq!(lies(&Name::Email(mailbox), &Subtree::Email(base.into())), expected, "{mailbox} in {base}");
        }
        assert_eq!(lies(&Name::UnclearMail, &Subtree::Email("example.com".into())), "unclear");
    }

    #[test]
    fn uris_lie_where_their_host_does() {
        for (uri, base, expected) in [
            ("http://host.example.com/x", "host.example.com", "inside"),
            ("http://my.host.example.com/", "host.example.com", "outside"),
            ("http://my.host.example.com:80/", ".example.com", "inside"),
            ("http://example.com/", ".example.com", "outside"),
            ("http://a@example.com@evil.example/", "example.com", "outside"),
            ("http://10.0.0.1/", "example.com", "unclear"),
            ("http://[::1]/", "example.com", "unclear"),
            ("uuid:1234", "example.com", "unclear"),
        ] {
            assert_eq!(lies(&Name::Uri(uri), &Subtree::Uri(base.into())), expected, "{uri} in {base}");
        }
    }

    #[test]
    fn addresses_lie_in_networks_of_their_family() {
        let ten = Subtree::V4 { network: 10 << 24, mask: 255 << 24 };
        let all = Subtree::V6 { network: 0, mask: 0 };
        for (address, network, expected) in [
            ("10.9.8.7", &ten, "inside"),
            ("11.0.0.1", &ten, "outside"),
            ("::ffff:10.0.0.1", &ten, "outside"),
            ("10.0.0.1", &all, "outside"),
            ("::1", &all, "inside"),
        ] {
            assert_eq!(lies(&Name::Ip(address.parse().expect("an address")), network), expected, "{address}");
        }
        assert_eq!(lies(&Name::Dns("10.0.0.1"), &ten), "other");
    }

    #[test]
    fn common_names_are_hosts_when_they_look_like_hosts() {
        let looks = |name: &str| match host_in_common_name(name) {
            Some(Name::Dns(host)) => host.to_owned(),
            Some(Name::Ip(address)) => address.to_string(),
            _ => "-".to_owned(),
        };
        for (name, expected) in [
            ("host.example.com", "host.example.com"),
            ("host.example.com.", "host.example.com"),
            ("my_host.example.com", "my_host.example.com"),
            ("*.example.com", "*.example.com"),
            ("10.0.0.1", "10.0.0.1"),
            ("::1", "::1"),
            ("SN0042", "-"),
            ("uuid:00000000-0000-0000-0000-000000000000", "-"),
            ("Acme Inc.", "-"),
        ] {
            assert_eq!(looks(name), expected);
        }
    }
}
