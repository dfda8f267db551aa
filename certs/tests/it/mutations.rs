//! 2,000 good chains with one thing changed.

use crate::judge;
use gatehouse_certs::{
    chain::Keys,
    folder, good,
    mutation::{self, Row},
};

/// The rows of the committed table.
pub(crate) fn rows() -> Vec<Row> {
    include_str!("../../mutations.tsv").lines().map(|line| Row::parse(line).expect("a line of the table")).collect()
}

#[test]
fn pki_agrees_with_every_row_of_the_table_of_mutations() {
    let keys = Keys::load(&folder::home().join("keys")).expect("the keys are kept");
    let (bases, mutations) = (good::bases(&keys).expect("bases"), mutation::all());
    let mut wrong = Vec::new();
    for row in rows() {
        let bundle = mutation::make(&row, &bases, &mutations, &keys).expect("a chain");
        let question = bases.iter().find(|base| base.name == row.base).expect("a base").question;
        let said = judge::word(&judge::ask(&bundle, &question));
        let agrees = said == row.verdict || row.verdict == "refuse" && said != "accept";
        if !agrees {
            wrong.push(format!("{}: must be {}, is {said}", row.key().replace('\t', " "), row.verdict));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_table_is_the_one_that_the_definitions_give() {
    let keys = Keys::load(&folder::home().join("keys")).expect("the keys are kept");
    let rows = rows();
    assert_eq!(rows.len(), mutation::COUNT);
    assert_eq!(rows, mutation::table(&good::bases(&keys).expect("bases")));
}

#[test]
fn every_base_is_accepted_before_it_is_changed() {
    let keys = Keys::load(&folder::home().join("keys")).expect("the keys are kept");
    for base in good::bases(&keys).expect("bases") {
        assert_eq!(judge::word(&judge::ask(&base.chain.sign().expect("a chain"), &base.question)), "accept", "{}", base.name);
    }
}
