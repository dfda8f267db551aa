//! Where OpenSSL says something else, and what RFC 5280 says about it.
//!
//! `docs/chain-verdicts.md` lists every such chain. It is written by
//! `GATEHOUSE_WRITE=1 cargo test -p gatehouse-certs --test it differences`, and the test fails when it is not up to date.

use crate::{judge, mutations};
use gatehouse_certs::{
    chain::{Bundle, Keys, Question, Revocation},
    folder, good, mutation, referee, verdict,
};
use gatehouse_pki::Rule;
use std::{collections::BTreeMap, env, fs, path::PathBuf};

/// A chain about which the two disagree.
struct Difference {
    name: String,
    ours: &'static str,
    theirs: Result<(), String>,
}

/// Asks OpenSSL as it can be asked about this chain.
fn openssl(bundle: &Bundle, question: &Question, files: &std::path::Path) -> Result<(), String> {
    let needs_command =
        question.revocation != Revocation::Ignore && !(bundle.lists.is_empty() && question.revocation == Revocation::WhenPresent);
    let answer = if needs_command { referee::run(bundle, question, files) } else { referee::ask(bundle, question) };
    answer.expect("OpenSSL can be asked")
}

fn differences() -> (usize, Vec<Difference>) {
    let home = folder::home();
    let keys = Keys::load(&home.join("keys")).expect("the keys are kept");
    let (bases, all) = (good::bases(&keys).expect("bases"), mutation::all());
    let files = tempfile::tempdir().expect("a folder");
    let kept = verdict::read(include_str!("../../verdicts.toml")).expect("a table").into_iter().map(|row| {
        let bundle = folder::read(&home.join(&row.chain)).expect("the chain is kept");
        (asked(&row.chain, &row.question), bundle, row.question)
    });
    let mutated = mutations::rows().into_iter().map(|row| {
        let question = bases.iter().find(|base| base.name == row.base).expect("a base").question;
        let bundle = mutation::make(&row, &bases, &all, &keys).expect("a chain");
        (row.key().replace('\t', " "), bundle, question)
    });
    let mut compared = 0;
    let mut found = Vec::new();
    for (at, (name, bundle, question)) in kept.chain(mutated).enumerate() {
        compared += 1;
        let ours = judge::word(&judge::ask(&bundle, &question));
        let theirs = openssl(&bundle, &question, &files.path().join(at.to_string()));
        if (ours == "accept") != theirs.is_ok() {
            found.push(Difference { name, ours, theirs });
        }
    }
    (compared, found)
}

/// The chain, and what is unusual in the question.
fn asked(chain: &str, question: &Question) -> String {
    let usual = Question::CLIENT;
    let mut words = vec![chain.to_owned()];
    if question.purpose != usual.purpose {
        words.push(format!("as {:?}", question.purpose).to_lowercase());
    }
    if question.at != usual.at {
        words.push(format!("in {}", question.at.year()));
    }
    if question.revocation != usual.revocation {
        words.push(format!("revocation {:?}", question.revocation).to_lowercase());
    }
    if question.accepts_expired_leaf {
        words.push("with expired leaf".to_owned());
    }
    if question.accepts_missing_key_ids {
        words.push("with missing key identifiers".to_owned());
    }
    if question.lead.is_some() {
        words.push("with lead".to_owned());
    }
    words.join(" ")
}

/// Why OpenSSL refuses what is good, by its own words; with the place in the RFC.
fn why_refused(difference: &Difference, reason: &str) -> Option<&'static str> {
    let is = |word: &str| difference.name.contains(word);
    Some(match reason {
        "certificate has expired" if is("expired leaf") => {
            "Gatehouse switch: expired leaves were asked to be accepted. OpenSSL knows only to ignore all times."
        }
        "certificate has expired" => "RFC 5280 §4.1.2.5: the validity runs through notAfter, inclusive. OpenSSL ends it a second earlier.",
        "CRL has expired" => {
            "RFC 5280 §5.1.2.5: the next list is issued by the time in nextUpdate. OpenSSL ends the list a second earlier."
        }
        "Missing Authority Key Identifier" | "Missing Subject Key Identifier" => {
            "RFC 5280 §4.2.1.1, §4.2.1.2, switched off on purpose: foreign makers left the identifiers out."
        }
        "unsuitable certificate purpose" if is("eku-any") => {
            "RFC 5280 §4.2.1.12: anyExtendedKeyUsage in a CA limits nothing. OpenSSL looks for the purpose itself."
        }
        "certificate signature failure" if is("namesake") => {
            "RFC 5280 §6.1 leaves building paths open: a second CA of the name is tried here, and OpenSSL stops at the first."
        }
        "self-signed certificate in certificate chain" if is("cross-signed") => {
            "RFC 5280 §6.1 leaves building paths open: the second cross-certificate is tried here, and OpenSSL stops at the first."
        }
        "unable to get certificate CRL" | "different CRL scope" => {
            "RFC 5280 §6.3 leaves to policy what becomes of a certificate without a list: these rows ask for lists where there are any."
        }
        _ => return None,
    })
}

/// The document, and what it cannot explain.
fn document(compared: usize, found: &[Difference]) -> (String, Vec<String>) {
    let mut refused: BTreeMap<Rule, Vec<&str>> = BTreeMap::new();
    let mut accepted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut unexplained = Vec::new();
    for difference in found {
        match (&difference.theirs, Rule::from_code(difference.ours)) {
            (Ok(()), Some(rule)) => refused.entry(rule).or_default().push(&difference.name),
            (Err(reason), None) => match why_refused(difference, reason) {
                Some(why) => accepted.entry(why).or_default().push(&difference.name),
                None => unexplained.push(format!("{}: {reason}", difference.name)),
            },
            _ => unexplained.push(format!("{}: {}", difference.name, difference.ours)),
        }
    }
    let names =
        |names: &[&str]| names.iter().map(|name| format!("`{}`", name.strip_suffix(" 0").unwrap_or(name))).collect::<Vec<_>>().join(", ");
    let refusals: usize = refused.values().map(Vec::len).sum();
    let mut text = format!(
        "# Where OpenSSL says something else\n\n\
         {compared} questions about chains (every row of `certs/verdicts.toml` and `certs/mutations.tsv`) were put to Gatehouse and to\n\
         `openssl verify -x509_strict -partial_chain -purpose …` of OpenSSL 3.0. Gatehouse gives the verdict of the tables in all of them.\n\
         The {} in which OpenSSL does not are listed here. This page is written by\n\
         `GATEHOUSE_WRITE=1 cargo test -p gatehouse-certs --test it differences`, and a test keeps it true.\n\n\
         A name is a chain of `certs/good` or `certs/bad` with what is unusual in the question, or the good chain, the certificate, the\n\
         mutation and its variant.\n\n\
         ## Refused by Gatehouse, accepted by OpenSSL ({refusals})\n",
        found.len()
    );
    for (rule, chains) in &refused {
        text +=
            &format!("\n### {}: {}\n\n`{}`, {} chains: {}.\n", rule.section(), rule.sentence(), rule.code(), chains.len(), names(chains));
    }
    text += &format!("\n## Accepted by Gatehouse, refused by OpenSSL ({})\n", found.len() - refusals);
    for (why, chains) in &accepted {
        text += &format!("\n{why}\n\n{} chains: {}.\n", chains.len(), names(chains));
    }
    (text, unexplained)
}

#[test]
fn every_difference_to_openssl_is_listed_with_its_section() {
    if !::openssl::version::version().starts_with("OpenSSL 3.0.") {
        println!("skipped: the document is about OpenSSL 3.0, and this is {}", ::openssl::version::version());
        return;
    }
    let (compared, found) = differences();
    let (text, unexplained) = document(compared, &found);
    assert_eq!(unexplained, Vec::<String>::new());
    let path: PathBuf = folder::home().join("../docs/chain-verdicts.md");
    if env::var_os("GATEHOUSE_WRITE").is_some() {
        fs::write(&path, &text).expect("the document can be written");
    }
    let written = fs::read_to_string(&path).expect("the document is there");
    let changed: Vec<(&str, &str)> = written.lines().zip(text.lines()).filter(|(before, now)| before != now).take(3).collect();
    assert!(changed.is_empty() && written == text, "docs/chain-verdicts.md is out of date: {changed:?}");
}

#[test]
fn openssl_says_the_same_inside_the_process_and_as_a_command() {
    let home = folder::home();
    let keys = Keys::load(&home.join("keys")).expect("the keys are kept");
    let (bases, all) = (good::bases(&keys).expect("bases"), mutation::all());
    let files = tempfile::tempdir().expect("a folder");
    let mut asked = 0;
    for (at, row) in mutations::rows().iter().enumerate().step_by(17) {
        let base = bases.iter().find(|base| base.name == row.base).expect("a base");
        let bundle = mutation::make(row, &bases, &all, &keys).expect("a chain");
        if !bundle.lists.is_empty() || bundle.presented.is_empty() {
            continue;
        }
        let inside = referee::ask(&bundle, &base.question).expect("OpenSSL can be asked");
        let command = referee::run(&bundle, &base.question, &files.path().join(at.to_string())).expect("the command runs");
        assert_eq!(inside.is_ok(), command.is_ok(), "{}: {inside:?}, {command:?}", row.key());
        asked += 1;
    }
    assert!(asked > 80, "{asked} chains");
}
