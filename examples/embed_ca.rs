//! A certificate authority inside a program of one's own: keys sealed, certificates recorded, a revocation list.
//!
//! `cargo run --example embed_ca`

#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use gatehouse_base::{SystemClock, SystemRandom};
use gatehouse_ca::{
    Authority, InstancePlan, KeyHome, Keyring, Order, Reason, Renewal, RootCustody, Seat, Settings, StretchCost,
    unlock::{Key, Unlock},
};
use gatehouse_events::{Events, LocalBus};
use gatehouse_pki::{Builtin, Facts, KeyAlgorithm, Profile, SignedCsr, SoftwareKey};
use gatehouse_store::Store;
use std::{error::Error, sync::Arc};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A real program opens a store on a disk, and keeps the key-encryption key somewhere else: `KeySource::File`.
    let store = Store::memory()?;
    let unlock = Unlock::Key(Key::generate(&SystemRandom));
    let random = Arc::new(SystemRandom);
    let keyring = Keyring::create(store.clone(), &unlock, StretchCost::DEFAULT, random.clone()).await?;
    let events = Events::new(store, Arc::new(LocalBus::default()), Arc::new(keyring.clone()), random.clone());
    let authority = Authority::open(events, keyring, Arc::new(SystemClock), random, Settings::default()).await?;

    let here = KeyHome::Here(KeyAlgorithm::P256);
    let plan = InstancePlan { organisation: "Example".parse()?, root: RootCustody::Held(here.clone()), service: here };
    authority.init(&plan).await?;

    // The requester's key; usually only its request comes in: `Csr::from_pem(…)?.verify()?`.
    let key = SoftwareKey::generate(KeyAlgorithm::P256)?;
    let profile = Profile::builtin(Builtin::AgentClient);
    let facts = Facts::new().common_name("backup agent".parse()?);
    let csr = SignedCsr::for_key(&key)?;
    let issued = authority.issue(Order { seat: Seat::Service, profile: &profile, csr, facts, renewal: Renewal::Supersede }).await?;
    println!("issued   {} to {}, until {}", issued.id.serial_text(), issued.certificate.subject(), issued.certificate.not_after());

    authority.revoke(&issued.id, Reason::CessationOfOperation).await?;
    authority.publish().await?;
    let list = authority.crl(&issued.chain[0].public_key().key_id()).ok_or("every authority has a list")?;
    println!("revoked  list {} names {} certificate, next by {}", list.number, list.entries, list.next_update);
    Ok(())
}
