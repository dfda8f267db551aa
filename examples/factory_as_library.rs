//! A production line in a few lines: make a factory in a temporary folder, make five devices, ship them, and check
//! the manifest as the customer does.
//!
//! `cargo run --example factory_as_library`

#![expect(clippy::print_stdout, reason = "it talks to whoever runs it")]

use gatehouse_base::{Clock, SystemClock, SystemRandom};
use gatehouse_ca::{
    StretchCost,
    unlock::{Key, Unlock},
};
use gatehouse_factory::{Against, BatchOrder, Bundle, Delivery, Factory, Manifest, Received, Settings, Surroundings, What};
use std::{error::Error, sync::Arc};

const SETTINGS: &str = r#"
manufacturer = "Example Devices"
provisioning = "coaps+tcp://dps.example.com:20030"
numbering = { prefix = "GH-" }

[line.line-1]
until = "2099-01-01T00:00:00Z"
budget = 1000
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let around = Surroundings { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) };
    // In earnest this key lies in a file elsewhere, or is a passphrase.
    let unlock = Unlock::Key(Key::generate(&SystemRandom));
    let settings = Settings::from_toml(SETTINGS)?;
    let mut factory = Factory::init(&folder.path().join("factory"), settings, &unlock, StretchCost::DEFAULT, around)?;

    factory.order("O-1".parse()?, "ACME".parse()?, 5)?;
    let order = BatchOrder {
        what: What::Count(5),
        line: None,
        order: Some("O-1".parse()?),
        out: folder.path().join("bundles"),
        // In earnest: `Delivery::Sealed(Recipient::from_pem(…)?)`.
        delivery: Delivery::DangerPlain,
    };
    let report = factory.batch(&order, &unlock, &mut |progress| println!("{} of {}", progress.done, progress.total))?;
    println!("batch {}: {} devices", report.batch, report.made);

    for entry in std::fs::read_dir(&order.out)? {
        for bundle in Bundle::read(&std::fs::read(entry?.path())?)? {
            let verdict = bundle.verify(&Against::Books(factory.books()), None, &SystemRandom, SystemClock.now())?;
            println!("{verdict}");
            assert!(verdict.passed());
        }
    }

    let shipment = factory.ship(&"O-1".parse()?, None, &unlock)?;
    let signed = Manifest::verify(&shipment.message, &factory.books().device_root()?, SystemClock.now())?;
    let received = Received::new("Example Devices".parse()?, "ACME".parse()?).accept(&signed)?;
    println!("the customer has manifest {} with {} devices", received.sequence(), signed.manifest().devices.len());
    println!("{}", factory.close_order(&"O-1".parse()?)?);
    Ok(())
}
