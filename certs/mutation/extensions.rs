//! Extensions (RFC 5280 §4.2).

use super::{
    Mutation,
    Places::{AboveCa, All, Anchor, Authorities, Below, Intermediates, Issuer, Leaf},
    WITHOUT_CONSTRAINTS, WITHOUT_HOSTS, WITHOUT_POLICIES, WITHOUT_REVOCATION, draft,
};
use crate::{
    Error,
    chain::Chain,
    der,
    draft::{self as make, Extension, id, ku, usage},
    good::{POLICY_A, directory, dns, mail, san, uri},
};

const ACCEPT: &str = "accept";

pub(super) fn all() -> Vec<Mutation> {
    [
        any(),
        key_ids(),
        key_usage(),
        basic_constraints(),
        extended_key_usage(),
        alternative_names(),
        name_constraints(),
        policies(),
        points(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn put(chain: &mut Chain, at: usize, extension: Extension) -> Result<(), Error> {
    chain.certificates[at].put(extension);
    Ok(())
}

fn take(chain: &mut Chain, at: usize, oid: &str) -> Result<(), Error> {
    chain.certificates[at].drop(oid);
    Ok(())
}

fn critical(chain: &mut Chain, at: usize, oid: &str, flag: &[u8]) -> Result<(), Error> {
    chain.certificates[at].find(oid).ok_or(Error::Row)?.critical = flag.to_vec();
    Ok(())
}

fn any() -> Vec<Mutation> {
    vec![
        draft("unknown", All, ACCEPT, |chain, at, _, _| put(chain, at, Extension::new(id::UNKNOWN, vec![1, 2, 3]))),
        draft("unknown-critical", All, "unknown-critical", |chain, at, _, _| {
            put(chain, at, Extension::critical(id::UNKNOWN, der::NULL.to_vec()))
        }),
        draft("issuer-alternative-name-critical", All, "unknown-critical", |chain, at, _, _| {
            put(chain, at, Extension::critical(id::IAN, der::sequence(&[&dns("ca.example.com")])))
        }),
        draft("authority-information-critical", All, "unknown-critical", |chain, at, _, _| {
            let access = der::sequence(&[&der::oid("1.3.6.1.5.5.7.48.1"), &uri("http://ocsp.example.com")]);
            put(chain, at, Extension::critical("1.3.6.1.5.5.7.1.1", der::sequence(&[&access])))
        }),
        draft("authority-information", All, ACCEPT, |chain, at, _, _| {
            let access = der::sequence(&[&der::oid("1.3.6.1.5.5.7.48.1"), &uri("http://ocsp.example.com")]);
            put(chain, at, Extension::new("1.3.6.1.5.5.7.1.1", der::sequence(&[&access])))
        }),
        draft("authority-information-empty", All, "extension", |chain, at, _, _| {
            put(chain, at, Extension::new("1.3.6.1.5.5.7.1.1", der::sequence(&[])))
        }),
        draft("authority-information-is-text", All, "encoding", |chain, at, _, _| {
            put(chain, at, Extension::new("1.3.6.1.5.5.7.1.1", der::utf8("http://ocsp.example.com")))
        }),
        draft("issuer-alternative-name-malformed", All, "alternative-name", |chain, at, _, _| {
            put(chain, at, Extension::new(id::IAN, der::sequence(&[&dns("not a host")])))
        }),
        draft("freshest-list-critical", All, "unknown-critical", |chain, at, _, _| {
            put(chain, at, Extension::critical("2.5.29.46", make::distribution_point("http://crl.example.com/d")))
        }),
        draft("certificate-type-critical", Leaf, "unknown-critical", |chain, at, _, _| {
            put(chain, at, Extension::critical("2.16.840.1.113730.1.1", der::named_bits(&[0])))
        }),
        draft("proxy-information-critical", Leaf, "unknown-critical", |chain, at, _, _| {
            let policy = der::sequence(&[&der::oid("1.3.6.1.5.5.7.21.1")]);
            put(chain, at, Extension::critical("1.3.6.1.5.5.7.1.14", der::sequence(&[&policy])))
        }),
        draft("order-changed", All, ACCEPT, |chain, at, _, chance| {
            let extensions = &mut chain.certificates[at].extensions;
            let by = 1 + chance.below(extensions.len() - 1);
            extensions.rotate_left(by);
            Ok(())
        })
        .times(2),
        draft("duplicate", All, "duplicate-extension", |chain, at, _, chance| {
            let extensions = &mut chain.certificates[at].extensions;
            let copy = extensions[chance.below(extensions.len())].clone();
            extensions.push(copy);
            Ok(())
        })
        .times(3),
        draft("duplicate-unknown", All, "duplicate-extension", |chain, at, _, _| {
            let extension = Extension::new(id::UNKNOWN, vec![1]);
            chain.certificates[at].extensions.extend([extension.clone(), extension]);
            Ok(())
        }),
        draft("critical-false-written-out", All, "encoding", |chain, at, _, _| critical(chain, at, id::SKI, &[1, 1, 0])),
        draft("critical-as-1", All, "encoding", |chain, at, _, _| critical(chain, at, id::KU, &[1, 1, 1])),
    ]
}

fn key_ids() -> Vec<Mutation> {
    fn aki(chain: &mut Chain, at: usize, parts: &[&[u8]]) -> Result<(), Error> {
        put(chain, at, Extension::new(id::AKI, der::sequence(parts)))
    }
    fn named(chain: &mut Chain, at: usize, serial: &[u8]) -> Result<(), Error> {
        let issuer = &chain.certificates[(at + 1).min(chain.certificates.len() - 1)];
        let (name, id) = (der::context(1, &directory(&issuer.issuer)), der::implicit(0, &issuer.key.id()?));
        let serial = if serial.is_empty() { issuer.serial[2..].to_vec() } else { serial.to_vec() };
        aki(chain, at, &[&id, &name, &der::implicit(2, &serial)])
    }
    vec![
        draft("ski-dropped", Leaf, ACCEPT, |chain, at, _, _| take(chain, at, id::SKI)),
        draft("ski-dropped", Authorities, "missing-key-id", |chain, at, _, _| take(chain, at, id::SKI)),
        draft("ski-other", Leaf, ACCEPT, |chain, at, _, _| put(chain, at, Extension::new(id::SKI, der::octets(&[7; 20])))),
        draft("ski-other", Authorities, "key-id-mismatch", |chain, at, _, _| {
            put(chain, at, Extension::new(id::SKI, der::octets(&[7; 20])))
        }),
        draft("ski-empty", All, "extension", |chain, at, _, _| put(chain, at, Extension::new(id::SKI, der::octets(&[])))),
        draft("ski-critical", All, "criticality", |chain, at, _, _| critical(chain, at, id::SKI, &der::TRUE)),
        draft("aki-dropped", Below, "missing-key-id", |chain, at, _, _| take(chain, at, id::AKI)),
        draft("aki-dropped", Anchor, ACCEPT, |chain, at, _, _| take(chain, at, id::AKI)),
        draft("aki-other", Below, "key-id-mismatch", |chain, at, _, _| aki(chain, at, &[&der::implicit(0, &[7; 20])])),
        draft("aki-other", Anchor, ACCEPT, |chain, at, _, _| aki(chain, at, &[&der::implicit(0, &[7; 20])])),
        draft("aki-without-key-id", Below, "missing-key-id", |chain, at, _, _| aki(chain, at, &[])),
        draft("aki-critical", All, "criticality", |chain, at, _, _| critical(chain, at, id::AKI, &der::TRUE)),
        draft("aki-with-issuer-and-serial", Below, ACCEPT, |chain, at, _, _| named(chain, at, &[])),
        draft("aki-with-other-serial", Below, "key-id-mismatch", |chain, at, _, _| named(chain, at, &[9])),
        draft("aki-with-issuer-only", All, "extension", |chain, at, _, _| {
            aki(chain, at, &[&der::context(1, &directory(&make::named("anybody")))])
        }),
        draft("aki-with-serial-only", All, "extension", |chain, at, _, _| aki(chain, at, &[&der::implicit(2, &[9])])),
        draft("aki-with-trailing-byte", All, "encoding", |chain, at, _, _| {
            chain.certificates[at].find(id::AKI).ok_or(Error::Row)?.value.push(0);
            Ok(())
        }),
    ]
}

fn key_usage() -> Vec<Mutation> {
    fn usage(chain: &mut Chain, at: usize, value: Vec<u8>) -> Result<(), Error> {
        put(chain, at, Extension::critical(id::KU, value))
    }
    vec![
        draft("ku-dropped", Leaf, ACCEPT, |chain, at, _, _| take(chain, at, id::KU)),
        draft("ku-dropped", Authorities, "not-cert-signer", |chain, at, _, _| take(chain, at, id::KU)),
        draft("ku-not-critical", All, ACCEPT, |chain, at, _, _| critical(chain, at, id::KU, &[])),
        draft("ku-sign-only", Leaf, ACCEPT, |chain, at, _, _| usage(chain, at, der::named_bits(&[ku::SIGN]))),
        draft("ku-sign-only", Authorities, "not-cert-signer", |chain, at, _, _| usage(chain, at, der::named_bits(&[ku::SIGN]))),
        draft("ku-agree-only", Leaf, "key-usage", |chain, at, _, _| usage(chain, at, der::named_bits(&[ku::AGREE]))),
        draft("ku-encipher-only", Leaf, "key-usage", |chain, at, _, _| usage(chain, at, der::named_bits(&[ku::ENCIPHER]))),
        draft("ku-certify-in-leaf", Leaf, "basic-constraints", |chain, at, _, _| {
            usage(chain, at, der::named_bits(&[ku::SIGN, ku::CERTIFY]))
        }),
        draft("ku-crl-only", Authorities, "not-cert-signer", |chain, at, _, _| usage(chain, at, der::named_bits(&[ku::CRL]))),
        draft("ku-certify-only", Authorities, ACCEPT, |chain, at, _, _| usage(chain, at, der::named_bits(&[ku::CERTIFY])))
            .with(WITHOUT_REVOCATION),
        draft("ku-certify-only", Authorities, "revocation-list-issuer", |chain, at, _, _| {
            usage(chain, at, der::named_bits(&[ku::CERTIFY]))
        })
        .with(&["revocation"]),
        draft("ku-nothing", All, "extension", |chain, at, _, _| usage(chain, at, der::named_bits(&[]))),
        draft("ku-without-content", All, "encoding", |chain, at, _, _| usage(chain, at, vec![3, 0])),
        draft("ku-zeros-written-out", Leaf, "encoding", |chain, at, _, _| usage(chain, at, vec![3, 2, 0, 0x88])),
        draft("ku-zeros-written-out", Authorities, "encoding", |chain, at, _, _| usage(chain, at, vec![3, 2, 0, 0x06])),
        draft("ku-bit-9", All, "extension", |chain, at, _, _| usage(chain, at, der::named_bits(&[ku::SIGN, 9]))),
        draft("ku-is-octets", All, "encoding", |chain, at, _, _| usage(chain, at, vec![4, 2, 0, 0x06])),
    ]
}

fn basic_constraints() -> Vec<Mutation> {
    fn constraints(chain: &mut Chain, at: usize, parts: &[&[u8]]) -> Result<(), Error> {
        put(chain, at, Extension::critical(id::BC, der::sequence(parts)))
    }
    vec![
        draft("bc-dropped", Leaf, ACCEPT, |chain, at, _, _| take(chain, at, id::BC)),
        draft("bc-dropped", Authorities, "basic-constraints", |chain, at, _, _| take(chain, at, id::BC)),
        draft("bc-not-ca", Authorities, "basic-constraints", |chain, at, _, _| constraints(chain, at, &[])),
        draft("bc-not-critical", Leaf, ACCEPT, |chain, at, _, _| critical(chain, at, id::BC, &[])),
        draft("bc-not-critical", Authorities, "not-ca", |chain, at, _, _| critical(chain, at, id::BC, &[])),
        draft("bc-false-written-out", Leaf, "encoding", |chain, at, _, _| constraints(chain, at, &[&[1, 1, 0]])),
        draft("bc-true-as-1", Authorities, "encoding", |chain, at, _, _| constraints(chain, at, &[&[1, 1, 1]])),
        draft("leaf-is-ca", Leaf, "leaf-is-ca", |chain, at, _, _| {
            put(chain, at, Extension::critical(id::KU, der::named_bits(&[ku::SIGN, ku::CERTIFY])))?;
            constraints(chain, at, &[&der::TRUE])
        }),
        draft("leaf-is-ca-without-use", Leaf, "leaf-is-ca", |chain, at, _, _| constraints(chain, at, &[&der::TRUE])),
        draft("path-length-in-leaf", Leaf, "basic-constraints", |chain, at, _, _| constraints(chain, at, &[&der::integer(&[0])])),
        draft("path-length-dropped", Authorities, ACCEPT, |chain, at, _, _| constraints(chain, at, &[&der::TRUE])),
        draft("path-length-zero", Issuer, ACCEPT, |chain, at, _, _| constraints(chain, at, &[&der::TRUE, &der::integer(&[0])])),
        draft("path-length-zero", AboveCa, "path-length", |chain, at, _, _| constraints(chain, at, &[&der::TRUE, &der::integer(&[0])])),
        draft("path-length-large", Authorities, ACCEPT, |chain, at, _, _| constraints(chain, at, &[&der::TRUE, &der::integer(&[0, 200])])),
        draft("path-length-negative", Authorities, "encoding", |chain, at, _, _| {
            constraints(chain, at, &[&der::TRUE, &der::integer(&[0xff])])
        }),
        draft("path-length-padded", Authorities, "encoding", |chain, at, _, _| {
            constraints(chain, at, &[&der::TRUE, &der::integer(&[0, 5])])
        }),
        draft("bc-with-more", All, "encoding", |chain, at, _, _| {
            let value = chain.certificates[at].find(id::BC).ok_or(Error::Row)?.value[2..].to_vec();
            constraints(chain, at, &[&value, &der::NULL])
        }),
    ]
}

fn extended_key_usage() -> Vec<Mutation> {
    fn usages(chain: &mut Chain, at: usize, usages: &[&str]) -> Result<(), Error> {
        put(chain, at, Extension::new(id::EKU, make::usage_list(usages)))
    }
    const WHAT_IS_ASKED: [&str; 3] = [usage::CLIENT, usage::SERVER, usage::OCF];
    vec![
        draft("eku-dropped", Leaf, "extended-key-usage", |chain, at, _, _| take(chain, at, id::EKU)),
        draft("eku-other", Leaf, "extended-key-usage", |chain, at, _, _| usages(chain, at, &[usage::CODE])),
        draft("eku-any-only", Leaf, "extended-key-usage", |chain, at, _, _| usages(chain, at, &[usage::ANY])),
        draft("eku-empty", All, "extension", |chain, at, _, _| usages(chain, at, &[])),
        draft("eku-all", Leaf, ACCEPT, |chain, at, _, _| usages(chain, at, &[WHAT_IS_ASKED.as_slice(), &[usage::CODE]].concat())),
        draft("eku-twice", Leaf, ACCEPT, |chain, at, _, _| usages(chain, at, &[WHAT_IS_ASKED, WHAT_IS_ASKED].concat())),
        draft("eku-critical", Leaf, ACCEPT, |chain, at, _, _| critical(chain, at, id::EKU, &der::TRUE)),
        draft("eku-limits-ca", Authorities, ACCEPT, |chain, at, _, _| usages(chain, at, &WHAT_IS_ASKED)),
        draft("eku-any-in-ca", Authorities, ACCEPT, |chain, at, _, _| usages(chain, at, &[usage::ANY])),
        draft("eku-other-in-ca", Authorities, "extended-key-usage", |chain, at, _, _| usages(chain, at, &[usage::CODE])),
        draft("eku-without-client", All, "extended-key-usage", |chain, at, _, _| usages(chain, at, &[usage::SERVER, usage::OCF])).with(&[
            "p256",
            "p256-long",
            "p384-long",
            "ed25519",
            "rsa2048",
            "partial",
            "ocf",
            "constrained",
            "policies",
            "revocation",
        ]),
        draft("eku-without-ocf", All, "extended-key-usage", |chain, at, _, _| usages(chain, at, &[usage::SERVER, usage::CLIENT]))
            .with(&["ocf"]),
        draft("eku-without-server", All, "extended-key-usage", |chain, at, _, _| usages(chain, at, &[usage::CLIENT])).with(&["server"]),
        draft("eku-oid-padded", All, "encoding", |chain, at, _, _| {
            put(chain, at, Extension::new(id::EKU, der::sequence(&[&der::element(6, &[0x2b, 0x80, 6, 1])])))
        }),
    ]
}

fn alternative_names() -> Vec<Mutation> {
    fn names(chain: &mut Chain, at: usize, names: &[Vec<u8>]) -> Result<(), Error> {
        put(chain, at, san(names))
    }
    vec![
        draft("san-host", Leaf, ACCEPT, |chain, at, _, _| names(chain, at, &[dns("host.example.com")])),
        draft("san-wildcard", Leaf, ACCEPT, |chain, at, _, _| names(chain, at, &[dns("*.example.com")])).with(WITHOUT_CONSTRAINTS),
        // It would stand for secret.example.com, which is excluded.
        draft("san-wildcard", Leaf, "name-constraints", |chain, at, _, _| names(chain, at, &[dns("*.example.com")])).with(&["constrained"]),
        draft("san-critical", Leaf, ACCEPT, |chain, at, _, _| {
            put(chain, at, Extension::critical(id::SAN, der::sequence(&[&dns("host.example.com")])))
        }),
        draft("san-uuid", Leaf, ACCEPT, |chain, at, _, _| names(chain, at, &[uri("uuid:00000000-0000-4000-8000-000000000003")]))
            .with(WITHOUT_CONSTRAINTS),
        draft("san-uuid", Leaf, "name-constraints", |chain, at, _, _| {
            names(chain, at, &[uri("uuid:00000000-0000-4000-8000-000000000003")])
        })
        .with(&["constrained"]),
        draft("san-other-name", Leaf, ACCEPT, |chain, at, _, _| {
            names(chain, at, &[der::context(0, &[der::oid("1.3.6.1.5.5.7.8.4"), der::context(0, &der::NULL)].concat())])
        }),
        draft("san-other-name-bare", Leaf, "encoding", |chain, at, _, _| {
            names(chain, at, &[der::context(0, &der::oid("1.3.6.1.5.5.7.8.4"))])
        }),
        draft("san-host-forbidden", Leaf, "name-constraints", |chain, at, _, _| names(chain, at, &[dns("host.example.org")]))
            .with(&["constrained"]),
        draft("san-host-excluded", Leaf, "name-constraints", |chain, at, _, _| names(chain, at, &[dns("a.secret.example.com")]))
            .with(&["constrained"]),
        draft("san-host-in-capitals", Leaf, "name-constraints", |chain, at, _, _| names(chain, at, &[dns("SECRET.Example.COM")]))
            .with(&["constrained"]),
        draft("san-mail-excluded", Leaf, "name-constraints", |chain, at, _, _| names(chain, at, &[mail("root@example.com")]))
            .with(&["constrained"]),
        draft("san-mail-forbidden", Leaf, "name-constraints", |chain, at, _, _| names(chain, at, &[mail("a@host.example.com")]))
            .with(&["constrained"]),
        draft("san-address-excluded", Leaf, "name-constraints", |chain, at, _, _| names(chain, at, &[der::implicit(7, &[10, 9, 1, 1])]))
            .with(&["constrained"]),
        draft("san-address-of-six", Leaf, "name-constraints", |chain, at, _, _| names(chain, at, &[der::implicit(7, &[0; 16])]))
            .with(&["constrained"]),
        draft("san-directory-forbidden", Leaf, "name-constraints", |chain, at, _, _| {
            names(chain, at, &[directory(&der::name(&[(der::ORGANISATION, "Somebody Else")]))])
        })
        .with(&["constrained"]),
        draft("san-uri-forbidden", Leaf, "name-constraints", |chain, at, _, _| names(chain, at, &[uri("https://example.com/")]))
            .with(&["constrained"]),
        draft("subject-forbidden", Leaf, "name-constraints", |chain, at, _, _| {
            chain.certificates[at].subject = der::name(&[(der::ORGANISATION, "Somebody Else"), (der::COMMON_NAME, "x")]);
            Ok(())
        })
        .with(&["constrained"]),
        draft("subject-mail-excluded", Leaf, "name-constraints", |chain, at, _, _| {
            let mail = der::attribute(der::EMAIL, &der::element(0x16, b"root@example.com"));
            chain.certificates[at].subject =
                der::sequence(&[&der::set(&[&der::attribute(der::ORGANISATION, &der::utf8("Gatehouse Test"))]), &der::set(&[&mail])]);
            Ok(())
        })
        .with(&["constrained"]),
        draft("subject-host-forbidden", Leaf, "name-constraints", |chain, at, _, _| {
            chain.certificates[at].drop(id::SAN);
            chain.certificates[at].subject = make::named("host.example.org");
            Ok(())
        })
        .with(&["constrained"]),
        draft("san-empty", Leaf, "alternative-name", |chain, at, _, _| names(chain, at, &[])),
        draft("san-host-space", Leaf, "alternative-name", |chain, at, _, _| names(chain, at, &[dns(" ")])),
        draft("san-host-empty", Leaf, "alternative-name", |chain, at, _, _| names(chain, at, &[dns("")])),
        draft("san-host-dot-before", Leaf, "alternative-name", |chain, at, _, _| names(chain, at, &[dns(".example.com")])),
        draft("san-host-dot-after", Leaf, "alternative-name", |chain, at, _, _| names(chain, at, &[dns("example.com.")])),
        draft("san-host-underscore", Leaf, "alternative-name", |chain, at, _, _| names(chain, at, &[dns("my_host.example.com")])),
        draft("san-host-nul", Leaf, "alternative-name", |chain, at, _, _| names(chain, at, &[dns("example.com\0.evil.org")])),
        draft("san-host-inner-star", Leaf, "alternative-name", |chain, at, _, _| names(chain, at, &[dns("a.*.example.com")])),
        draft("san-host-latin", Leaf, "encoding", |chain, at, _, _| names(chain, at, &[der::implicit(2, b"caf\xe9.example.com")])),
        draft("san-address-of-five", Leaf, "alternative-name", |chain, at, _, _| names(chain, at, &[der::implicit(7, &[1; 5])])),
        draft("san-address-with-mask", Leaf, "alternative-name", |chain, at, _, _| names(chain, at, &[der::implicit(7, &[1; 8])])),
        draft("san-mail-without-host", Leaf, "alternative-name", |chain, at, _, _| names(chain, at, &[mail("someone")])),
        draft("san-uri-relative", Leaf, "alternative-name", |chain, at, _, _| names(chain, at, &[uri("/somewhere")])),
        draft("san-unknown-form", Leaf, "encoding", |chain, at, _, _| names(chain, at, &[der::implicit(9, b"x")])),
        draft("san-is-null", Leaf, "encoding", |chain, at, _, _| put(chain, at, Extension::new(id::SAN, der::NULL.to_vec()))),
        draft("san-with-trailing-byte", Leaf, "encoding", |chain, at, _, _| {
            put(chain, at, Extension::new(id::SAN, [der::sequence(&[&dns("host.example.com")]), vec![0]].concat()))
        }),
    ]
}

fn name_constraints() -> Vec<Mutation> {
    fn permits(chain: &mut Chain, at: usize, bases: &[Vec<u8>]) -> Result<(), Error> {
        put(chain, at, Extension::critical(id::NC, make::name_constraints(bases, &[])))
    }
    fn excludes(chain: &mut Chain, at: usize, bases: &[Vec<u8>]) -> Result<(), Error> {
        put(chain, at, Extension::critical(id::NC, make::name_constraints(&[], bases)))
    }
    fn organisation(name: &str) -> Vec<u8> {
        directory(&der::name(&[(der::ORGANISATION, name)]))
    }
    vec![
        draft("nc-permits", Authorities, ACCEPT, |chain, at, _, _| permits(chain, at, &[organisation("Gatehouse Test")])),
        draft("nc-permits-in-capitals", Authorities, ACCEPT, |chain, at, _, _| permits(chain, at, &[organisation("GATEHOUSE  test ")])),
        draft("nc-permits-another", Authorities, "name-constraints", |chain, at, _, _| {
            permits(chain, at, &[organisation("Somebody Else")])
        }),
        draft("nc-excludes", Authorities, "name-constraints", |chain, at, _, _| excludes(chain, at, &[organisation("Gatehouse Test")])),
        draft("nc-excludes-in-capitals", Authorities, "name-constraints", |chain, at, _, _| {
            excludes(chain, at, &[organisation("GATEHOUSE  test ")])
        }),
        draft("nc-excludes-everybody", Authorities, "name-constraints", |chain, at, _, _| {
            excludes(chain, at, &[directory(&der::sequence(&[]))])
        }),
        draft("nc-excludes-another", Authorities, ACCEPT, |chain, at, _, _| excludes(chain, at, &[organisation("Somebody Else")])),
        draft("nc-about-hosts", Authorities, ACCEPT, |chain, at, _, _| permits(chain, at, &[dns("example.org")])).with(WITHOUT_HOSTS),
        draft("nc-about-hosts", Authorities, "name-constraints", |chain, at, _, _| permits(chain, at, &[dns("example.org")]))
            .with(&["server", "constrained"]),
        draft("nc-not-critical", Authorities, "criticality", |chain, at, _, _| {
            put(chain, at, Extension::new(id::NC, make::name_constraints(&[organisation("Gatehouse Test")], &[])))
        }),
        draft("nc-empty", Authorities, "name-constraint-form", |chain, at, _, _| permits(chain, at, &[])),
        draft("nc-empty-list", Authorities, "name-constraint-form", |chain, at, _, _| {
            put(chain, at, Extension::critical(id::NC, der::sequence(&[&der::context(0, &[])])))
        }),
        draft("nc-with-minimum", Authorities, "name-constraint-form", |chain, at, _, _| {
            let subtree = der::sequence(&[&organisation("Gatehouse Test"), &der::implicit(0, &[0])]);
            put(chain, at, Extension::critical(id::NC, der::sequence(&[&der::context(0, &subtree)])))
        }),
        draft("nc-with-maximum", Authorities, "name-constraint-form", |chain, at, _, _| {
            let subtree = der::sequence(&[&organisation("Gatehouse Test"), &der::implicit(1, &[9])]);
            put(chain, at, Extension::critical(id::NC, der::sequence(&[&der::context(0, &subtree)])))
        }),
        draft("nc-in-leaf", Leaf, "name-constraint-form", |chain, at, _, _| permits(chain, at, &[organisation("Gatehouse Test")])),
        draft("nc-registered-id", Authorities, "name-constraint-unsupported", |chain, at, _, _| {
            excludes(chain, at, &[der::implicit(8, &der::oid_content("1.2.3"))])
        }),
        draft("nc-host-with-dot", Authorities, "name-constraint-form", |chain, at, _, _| permits(chain, at, &[dns(".example.com")])),
        draft("nc-host-with-star", Authorities, "name-constraint-form", |chain, at, _, _| excludes(chain, at, &[dns("*.example.com")])),
        draft("nc-mask-with-holes", Authorities, "name-constraint-form", |chain, at, _, _| {
            excludes(chain, at, &[der::implicit(7, &[10, 0, 0, 0, 255, 0, 255, 0])])
        }),
        draft("nc-address-without-mask", Authorities, "name-constraint-form", |chain, at, _, _| {
            excludes(chain, at, &[der::implicit(7, &[10, 0, 0, 1])])
        }),
    ]
}

fn policies() -> Vec<Mutation> {
    const POLICIES: &[&str] = &["policies"];
    const ANY_POLICY: &str = "2.5.29.32.0";
    fn demand(chain: &mut Chain, at: usize, skip: u8) -> Result<(), Error> {
        put(chain, at, Extension::critical(id::PC, der::sequence(&[&der::implicit(0, &[skip])])))
    }
    vec![
        draft("policies-dropped", Below, "policy", |chain, at, _, _| take(chain, at, id::POLICIES)).with(POLICIES),
        draft("policies-critical", Below, ACCEPT, |chain, at, _, _| critical(chain, at, id::POLICIES, &der::TRUE)).with(POLICIES),
        draft("policies-not-mapped", Leaf, "policy", |chain, at, _, _| {
            put(chain, at, Extension::new(id::POLICIES, make::policies(&[POLICY_A])))
        })
        .with(POLICIES),
        draft("policies-any", Below, ACCEPT, |chain, at, _, _| put(chain, at, Extension::new(id::POLICIES, make::policies(&[ANY_POLICY]))))
            .with(POLICIES),
        draft("policies-twice", All, "extension", |chain, at, _, _| {
            put(chain, at, Extension::new(id::POLICIES, make::policies(&[POLICY_A, POLICY_A])))
        }),
        draft("policies-empty", All, "extension", |chain, at, _, _| put(chain, at, Extension::new(id::POLICIES, der::sequence(&[])))),
        draft("policies-given", All, ACCEPT, |chain, at, _, _| put(chain, at, Extension::new(id::POLICIES, make::policies(&[POLICY_A]))))
            .with(WITHOUT_POLICIES),
        draft("mapping-dropped", Issuer, "policy", |chain, at, _, _| take(chain, at, id::MAPPINGS)).with(POLICIES),
        draft("mapping-not-critical", Issuer, ACCEPT, |chain, at, _, _| critical(chain, at, id::MAPPINGS, &[])).with(POLICIES),
        draft("mapping-from-any", Intermediates, "policy-mapping", |chain, at, _, _| {
            let mapping = der::sequence(&[&der::oid(ANY_POLICY), &der::oid(POLICY_A)]);
            put(chain, at, Extension::critical(id::MAPPINGS, der::sequence(&[&mapping])))
        }),
        draft("mapping-to-any", Intermediates, "policy-mapping", |chain, at, _, _| {
            let mapping = der::sequence(&[&der::oid(POLICY_A), &der::oid(ANY_POLICY)]);
            put(chain, at, Extension::critical(id::MAPPINGS, der::sequence(&[&mapping])))
        }),
        draft("mapping-inhibited", AboveCa, "policy", |chain, at, _, _| {
            let both = der::sequence(&[&der::implicit(0, &[0]), &der::implicit(1, &[0])]);
            put(chain, at, Extension::critical(id::PC, both))
        })
        .with(POLICIES),
        draft("policy-demanded", Authorities, "policy", |chain, at, _, _| demand(chain, at, 0)).with(WITHOUT_POLICIES),
        draft("policy-demanded-by-leaf", Leaf, "policy", |chain, at, _, _| demand(chain, at, 0)).with(WITHOUT_POLICIES),
        // §6.1.5 (a) counts the leaf too.
        draft("policy-demanded-after-one", Issuer, "policy", |chain, at, _, _| demand(chain, at, 1)).with(WITHOUT_POLICIES),
        draft("policy-demanded-much-later", Authorities, ACCEPT, |chain, at, _, _| demand(chain, at, 9)).with(WITHOUT_POLICIES),
        draft("policy-constraints-not-critical", Authorities, "criticality", |chain, at, _, _| {
            put(chain, at, Extension::new(id::PC, der::sequence(&[&der::implicit(0, &[9])])))
        }),
        draft("policy-constraints-empty", Authorities, "extension", |chain, at, _, _| {
            put(chain, at, Extension::critical(id::PC, der::sequence(&[])))
        }),
        draft("any-policy-inhibited", Authorities, ACCEPT, |chain, at, _, _| {
            put(chain, at, Extension::critical(id::INHIBIT_ANY, der::integer(&[0])))
        }),
        draft("any-policy-inhibited-not-critical", Authorities, "criticality", |chain, at, _, _| {
            put(chain, at, Extension::new(id::INHIBIT_ANY, der::integer(&[0])))
        }),
        draft("any-policy-inhibited-negatively", Authorities, "encoding", |chain, at, _, _| {
            put(chain, at, Extension::critical(id::INHIBIT_ANY, der::integer(&[0xff])))
        }),
    ]
}

fn points() -> Vec<Mutation> {
    vec![
        draft("distribution-point", All, ACCEPT, |chain, at, _, _| {
            put(chain, at, Extension::new(id::CDP, make::distribution_point("http://crl.example.com/2")))
        }),
        draft("distribution-point-critical", All, ACCEPT, |chain, at, _, _| {
            put(chain, at, Extension::critical(id::CDP, make::distribution_point("http://crl.example.com/2")))
        }),
        draft("distribution-points-empty", All, "extension", |chain, at, _, _| put(chain, at, Extension::new(id::CDP, der::sequence(&[])))),
        draft("distribution-point-says-nothing", All, "extension", |chain, at, _, _| {
            put(chain, at, Extension::new(id::CDP, der::sequence(&[&der::sequence(&[])])))
        }),
        draft("distribution-point-of-text", All, "encoding", |chain, at, _, _| {
            put(chain, at, Extension::new(id::CDP, der::sequence(&[&der::utf8("http://crl.example.com/2")])))
        }),
    ]
}
