//! Records of certificates that ended long ago.

use crate::{DAY, World, name};
use gatehouse_ca::{Fact, IssueError, Reason, Standing};
use gatehouse_pki::{KeyAlgorithm, SoftwareKey};
use gatehouse_store::Position;

#[tokio::test]
async fn what_ended_long_ago_is_forgotten_and_what_is_still_needed_is_not() {
    let world = World::new().await;
    let stolen = SoftwareKey::generate(KeyAlgorithm::P256).expect("a key");
    let revoked = world.identity_for(1, &stolen).await.expect("issued");
    world.authority.revoke(&revoked.id, Reason::KeyCompromise).await.expect("revoked");
    let (old, renewed) = (world.identity(2).await.expect("issued"), world.identity(2).await.expect("renewed"));
    assert_eq!(renewed.supersedes, Some(old.id.clone()));
    let end = renewed.certificate.not_after();
    assert_eq!(world.authority.forget_records(end - DAY * 2).await.expect("forgotten"), 0);

    // Authorities live longer than what they sign, and stay.
    world.clock.set(end + DAY);
    let before = world.authority.records(None, 100).await.expect("records").len();
    assert_eq!(world.authority.forget_records(end + DAY).await.expect("forgotten"), 3);
    assert_eq!(world.authority.records(None, 100).await.expect("records").len(), before - 3);
    for gone in [&revoked, &old, &renewed] {
        assert_eq!(world.authority.record(&gone.id).await.expect("read"), None);
        let subject = gone.certificate.subject().to_string();
        assert_eq!(world.authority.records_by_subject(&subject).await.expect("read"), []);
        assert_eq!(world.authority.records_by_key(&gone.certificate.public_key().fingerprint()).await.expect("read"), []);
    }
    assert!(!world.authority.trusts_clock(), "the clock jumped");
    world.authority.halt("a test").await.expect("halted");
    world.authority.resume("a test").await.expect("the clock is accepted");
    assert!(world.authority.trusts_clock());

    // The revocation and the stolen key are remembered, and the device gets its next certificate.
    assert!(matches!(world.authority.standing(&revoked.id).await.expect("read"), Some(Standing::Revoked { .. })));
    assert!(matches!(world.identity_for(3, &stolen).await, Err(IssueError::CompromisedKey)));
    let next = world.identity(2).await.expect("issued");
    assert_eq!(next.supersedes, None);
    assert_eq!(world.authority.records_by_subject(&next.certificate.subject().to_string()).await.expect("read").len(), 1);
    assert!(next.certificate.subject().to_string().contains(&name(2).to_string()));
    world.authority.publish().await.expect("lists are made");
    let facts = world.authority.facts(Position::START, 100).await.expect("facts");
    assert!(facts.iter().any(|(.., fact)| *fact == Fact::RecordsForgotten { records: 3, ended_before: end + DAY }));
}
