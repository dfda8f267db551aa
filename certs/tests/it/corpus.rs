//! Every chain that is kept in `good/` and `bad/`.

use crate::judge;
use gatehouse_certs::{chain::Keys, folder, verdict};
use std::collections::BTreeSet;

#[test]
fn pki_agrees_with_every_row_of_the_table() {
    let home = folder::home();
    let rows = verdict::read(include_str!("../../verdicts.toml")).expect("a well-formed table");
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let bundle = folder::read(&home.join(&row.chain)).expect("the chain is kept");
            let said = judge::word(&judge::ask(&bundle, &row.question));
            (said != row.verdict).then(|| format!("{}: must be {}, is {said} ({:?})", row.chain, row.verdict, row.question))
        })
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_chain_has_a_row_and_every_good_one_is_accepted_in_one() {
    let rows = verdict::read(include_str!("../../verdicts.toml")).expect("a well-formed table");
    let kept: BTreeSet<String> = folder::names(&folder::home()).expect("the corpus").into_iter().collect();
    let judged: BTreeSet<String> = rows.iter().map(|row| row.chain.clone()).collect();
    assert_eq!(kept, judged);
    let accepted: BTreeSet<String> = rows.iter().filter(|row| row.verdict == "accept").map(|row| row.chain.clone()).collect();
    assert_eq!(kept.iter().filter(|name| name.starts_with("good/") && !accepted.contains(*name)).count(), 0);
    assert!(kept.iter().filter(|name| name.starts_with("bad/")).count() >= 30);
}

#[test]
fn every_good_chain_has_the_key_of_its_leaf() {
    for name in folder::names(&folder::home()).expect("the corpus").iter().filter(|name| name.starts_with("good/")) {
        let leaf = openssl::x509::X509::from_der(&folder::read(&folder::home().join(name)).expect("the chain is kept").presented[0])
            .expect("a leaf");
        let pem = std::fs::read(folder::home().join(name).join("leaf-key.pem")).expect("the key is kept");
        let key = openssl::pkey::PKey::private_key_from_pem(&pem).expect("a key");
        assert!(leaf.public_key().expect("a key").public_eq(&key), "{name}");
    }
}

#[test]
fn the_kept_chains_are_those_that_the_command_makes() {
    let keys = Keys::load(&folder::home().join("keys")).expect("the keys are kept");
    for (name, made) in gatehouse_certs::corpus(&keys).expect("chains") {
        let kept = folder::read(&folder::home().join(&name)).expect("the chain is kept");
        // Signatures differ from time to time, and with them lengths by a byte or two; what is signed does not.
        let header = |der: &[u8]| match der[1] {
            short @ 0..=0x7f => (2, usize::from(short)),
            0x81 => (3, usize::from(der[2])),
            _ => (4, usize::from(u16::from_be_bytes([der[2], der[3]]))),
        };
        let signed = |der: &[u8]| -> Vec<u8> {
            let content = &der[header(der).0..];
            let (before, length) = header(content);
            content[..before + length].to_vec()
        };
        for (made, kept) in [(&made.presented, &kept.presented), (&made.anchors, &kept.anchors), (&made.intermediates, &kept.intermediates)]
        {
            assert_eq!(
                made.iter().map(|der| signed(der)).collect::<Vec<_>>(),
                kept.iter().map(|der| signed(der)).collect::<Vec<_>>(),
                "{name}"
            );
        }
    }
}
