//! Documents that repeat what the code says, compared with it.

use gatehouse::app::Config;
use gatehouse_base::{
    config::{Sources, load},
    telemetry::table,
};
use std::{fs, path::Path};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_example_configuration_can_be_used() {
    let folder = root().join("examples/config");
    let files: Vec<_> = fs::read_dir(&folder).expect("examples").map(|entry| entry.expect("entry").path()).collect();
    assert!(!files.is_empty());
    for file in files {
        let sources = Sources::file(&file).expect("readable");
        if let Err(mistakes) = load::<Config>(&sources) {
            panic!("{mistakes}");
        }
    }
}

#[test]
fn the_list_of_metrics_is_the_one_in_the_code() {
    let tables = [
        ("Process and store", gatehouse::app::METRICS),
        ("Certificate authorities", gatehouse_ca::METRICS),
        ("Accounts", gatehouse_accounts::METRICS),
        ("Mail", gatehouse_mail::METRICS),
        ("Foreign providers", gatehouse_openid::METRICS),
        ("Requests to other servers", gatehouse_outgoing::METRICS),
        ("Retention", gatehouse::app::RETENTION_METRICS),
        ("Connections", gatehouse_net::METRICS),
        ("HTTP", gatehouse_http::METRICS),
        ("CoAP", gatehouse_coap::METRICS),
    ];
    let sections: String = tables.iter().map(|(title, metrics)| format!("\n## {title}\n\n{}", table(metrics))).collect();
    let path = root().join("docs/metrics.md");
    let written = fs::read_to_string(&path).expect("docs/metrics.md");
    let listed = written.find("\n## ").map_or("", |start| &written[start..]);
    assert_eq!(listed, sections, "docs/metrics.md differs; its tables are to be:\n{sections}");
}

/// How many items each section of ASVS 5.0.0 has, from V6 to V10.
const ASVS: &[(&str, &[usize])] =
    &[("6", &[3, 12, 8, 6, 8, 4, 2, 4]), ("7", &[3, 4, 2, 5, 3, 2]), ("8", &[4, 4, 3, 2]), ("9", &[3, 4]), ("10", &[2, 3, 5, 16, 5, 2, 3])];

#[test]
fn every_item_of_asvs_is_told_once_and_every_test_that_shows_one_exists() {
    let page = fs::read_to_string(root().join("docs/asvs.md")).expect("docs/asvs.md");
    let rows: Vec<Vec<&str>> = page.lines().map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect();
    let rows: Vec<_> = rows.into_iter().filter(|row| row.len() == 5 && row[0].starts_with(|c: char| c.is_ascii_digit())).collect();
    let items = ASVS.iter().flat_map(|(chapter, sections)| {
        sections.iter().zip(1..).flat_map(move |(items, section)| (1..=*items).map(move |item| format!("{chapter}.{section}.{item}")))
    });
    assert_eq!(rows.iter().map(|row| row[0].to_owned()).collect::<Vec<_>>(), items.collect::<Vec<_>>());
    for row in rows {
        let (item, state, shown) = (row[0], row[3], row[4]);
        let tests: Vec<_> = shown.split('`').filter_map(|code| code.split_once(".rs::")).collect();
        for (file, test) in &tests {
            assert!(has_test(&root().join(format!("{file}.rs")), test), "{item} names the test {test}, which is not in {file}.rs");
        }
        let pages: Vec<_> = shown.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(page, _)| page).collect();
        assert!(pages.iter().all(|page| root().join("docs").join(page).exists()), "{item} names a page that is not there: {pages:?}");
        match state {
            "met" => assert!(!tests.is_empty() || !pages.is_empty(), "{item} is met, and nothing shows it"),
            "partly" | "no" | "n/a" => assert!(!shown.is_empty(), "{item} does not say why"),
            other => panic!("{item} has no state `{other}`"),
        }
    }
}

fn has_test(file: &Path, name: &str) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    let marked = |head: &str| head.trim_end().ends_with(']') && head.rsplit("\n\n").next().is_some_and(|last| last.contains("test"));
    ["fn", "async fn"].iter().any(|kind| text.split_once(&format!("\n{kind} {name}(")).is_some_and(|(head, _)| marked(head)))
        || ["fn", "async fn"].iter().any(|kind| text.split_once(&format!("\n    {kind} {name}(")).is_some_and(|(head, _)| marked(head)))
}
