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
