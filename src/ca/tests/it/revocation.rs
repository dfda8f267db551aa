use crate::{DAY, HOUR, World};
use gatehouse_ca::{CertificateId, Crl, IssueError, Reason, RevokeError, Seat, Standing};
use gatehouse_pki::{Anchors, Certificate, CertificateList, KeyId, Policy, Purpose, Revocation, RevocationReason, Rule};
use std::sync::Arc;

fn issuer(world: &World) -> KeyId {
    world.authority.chain(world.device_ca()).expect("is there")[0].public_key().key_id()
}

fn list(world: &World) -> (Arc<Crl>, CertificateList) {
    let crl = world.authority.crl(&issuer(world)).expect("was published");
    let list = CertificateList::from_der(crl.der()).expect("our own reader takes it");
    (crl, list)
}

fn judge(world: &World, leaf: &Certificate) -> Result<(), Rule> {
    let anchors = world.authority.anchors(world.seat()).into_iter().fold(Anchors::builder(), |all, one| all.anchor(one));
    let anchors = anchors.revocation_list(list(world).1).build().expect("anchors");
    let policy = Policy { revocation: Revocation::Require, ..Policy::new(Purpose::OcfDevice) };
    let now = gatehouse_base::Clock::now(&*world.clock);
    anchors.verify(&[leaf.der()], &policy, now).map(drop).map_err(|rejection| rejection.rule())
}

#[tokio::test]
async fn a_revoked_certificate_is_on_the_next_list_with_its_reason_and_others_are_not() {
    let world = World::new().await;
    let (one, two) = (world.identity(1).await.expect("issues"), world.identity(2).await.expect("issues"));
    world.authority.publish().await.expect("publishes");
    let (first, _) = list(&world);
    assert_eq!((first.number, first.entries), (1, 0));
    assert_eq!(judge(&world, &one.certificate), Ok(()));
    world.authority.revoke(&one.id, Reason::AffiliationChanged).await.expect("revokes");
    assert_eq!(world.authority.publish().await.expect("publishes"), 1, "the lists of the others are still good");
    let (second, read) = list(&world);
    assert_eq!((second.number, second.entries), (2, 1));
    let entry = read.find(one.certificate.serial()).expect("is named");
    assert_eq!(entry.reason, RevocationReason::AffiliationChanged);
    assert_eq!(judge(&world, &one.certificate), Err(Rule::Revoked));
    assert_eq!(judge(&world, &two.certificate), Ok(()));
}

#[tokio::test]
async fn openssl_takes_the_list_and_finds_the_revoked_one() {
    let world = World::new().await;
    let one = world.identity(1).await.expect("issues");
    world.authority.revoke(&one.id, Reason::KeyCompromise).await.expect("revokes");
    world.authority.publish().await.expect("publishes");
    let crl = openssl::x509::X509Crl::from_der(list(&world).0.der()).expect("OpenSSL reads it");
    let chain = world.authority.chain(world.device_ca()).expect("is there");
    let ca = openssl::x509::X509::from_der(chain[0].der()).expect("OpenSSL reads it");
    assert!(crl.verify(&ca.public_key().expect("a key")).expect("a signature"));
    let leaf = openssl::x509::X509::from_der(one.certificate.der()).expect("OpenSSL reads it");
    assert!(matches!(crl.get_by_cert(&leaf), openssl::x509::CrlStatus::Revoked(_)));
}

#[tokio::test]
async fn the_running_authority_publishes_within_a_second_of_a_revocation() {
    let world = World::new().await;
    let one = world.identity(1).await.expect("issues");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = world.authority.clone();
    let task = tokio::spawn(async move { running.run(async { drop(stopped.await) }).await });
    // Another handle, as a second process on the same store: nobody wakes the first.
    let elsewhere = world.again().await;
    let begun = std::time::Instant::now();
    elsewhere.revoke(&one.id, Reason::Unspecified).await.expect("revokes");
    while world.authority.crl(&issuer(&world)).is_none_or(|crl| crl.entries == 0) {
        assert!(begun.elapsed() < std::time::Duration::from_secs(1), "a second has passed");
        tokio::task::yield_now().await;
    }
    drop(stop);
    task.await.expect("ends");
}

#[tokio::test]
async fn a_list_is_made_anew_when_half_of_its_time_has_passed() {
    let world = World::new().await;
    world.authority.publish().await.expect("publishes");
    world.clock.advance(12 * HOUR - std::time::Duration::from_millis(1));
    assert_eq!(world.authority.publish().await.expect("nothing is due"), 0);
    world.clock.advance(std::time::Duration::from_millis(1));
    assert_eq!(world.authority.publish().await.expect("publishes"), 3, "root, service and device authority");
    assert_eq!(list(&world).0.number, 2);
}

#[tokio::test]
async fn a_list_from_a_future_that_was_called_off_is_made_anew() {
    let world = World::new().await;
    let one = world.identity(1).await.expect("issues");
    let start = gatehouse_base::Clock::now(&*world.clock);
    world.clock.set(start + 400 * DAY);
    world.authority.revoke(&one.id, Reason::Unspecified).await.expect("revokes");
    world.authority.publish().await.expect("publishes");
    world.clock.set(start + HOUR);
    world.authority.publish().await.expect("publishes");
    let (crl, read) = list(&world);
    assert_eq!((crl.number, crl.this_update), (2, start + HOUR));
    assert!(read.entries()[0].time <= crl.this_update, "no entry lies after its list");
}

#[tokio::test]
async fn a_crash_between_revocation_and_list_is_made_good_at_the_next_start() {
    let world = World::new().await;
    let one = world.identity(1).await.expect("issues");
    world.authority.publish().await.expect("publishes");
    world.authority.revoke(&one.id, Reason::Unspecified).await.expect("revokes");
    let restarted = World { authority: world.again().await, ..world };
    assert_eq!(list(&restarted).0.entries, 0, "the old list is served until the new one is made");
    restarted.authority.upkeep().await.expect("works");
    assert_eq!(list(&restarted).0.entries, 1);
}

#[tokio::test]
async fn two_publishers_never_give_out_one_number_twice() {
    let world = World::new().await;
    let elsewhere = world.again().await;
    let mut numbers = Vec::new();
    for device in 0..6 {
        let issued = world.identity(device).await.expect("issues");
        world.authority.revoke(&issued.id, Reason::Unspecified).await.expect("revokes");
        let (one, two) = tokio::join!(world.authority.publish(), elsewhere.publish());
        one.expect("publishes");
        two.expect("publishes");
        let (here, there) = (list(&world).0, elsewhere.crl(&issuer(&world)).expect("was published"));
        assert_eq!(here.number, there.number);
        assert_eq!(here.der(), there.der(), "one number names one list");
        numbers.push(here.number);
    }
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
}

#[tokio::test]
async fn an_entry_leaves_the_lists_a_while_after_its_certificate_expired() {
    let world = World::new().await;
    let one = world.identity(1).await.expect("issues");
    world.authority.revoke(&one.id, Reason::Unspecified).await.expect("revokes");
    world.clock.advance(365 * DAY + HOUR);
    world.authority.publish().await.expect("publishes");
    assert_eq!(list(&world).0.entries, 1, "it is on one list after it expired");
    world.clock.advance(2 * DAY);
    world.authority.publish().await.expect("publishes");
    assert_eq!(list(&world).0.entries, 0);
    let standing = world.authority.standing(&one.id).await.expect("reads");
    assert!(matches!(standing, Some(Standing::Revoked { .. })), "the record remembers");
}

#[tokio::test]
async fn a_superseded_certificate_is_listed_when_its_grace_has_ended() {
    let world = World::new().await;
    let first = world.identity(1).await.expect("issues");
    world.identity(1).await.expect("renews");
    world.authority.upkeep().await.expect("works");
    assert_eq!(list(&world).0.entries, 0);
    world.clock.advance(7 * DAY + HOUR);
    world.authority.upkeep().await.expect("works");
    let entry = list(&world).1;
    assert_eq!(entry.find(first.certificate.serial()).expect("is named").reason, RevocationReason::Superseded);
    assert_eq!(world.authority.end_graces().await.expect("works"), 0, "nothing is left to end");
}

#[tokio::test]
async fn a_second_revocation_and_an_unknown_certificate_are_refused() {
    let world = World::new().await;
    let one = world.identity(1).await.expect("issues");
    world.authority.revoke(&one.id, Reason::KeyCompromise).await.expect("revokes");
    let again = world.authority.revoke(&one.id, Reason::Unspecified).await;
    assert!(matches!(again, Err(RevokeError::Already { reason: Reason::KeyCompromise, .. })), "{again:?}");
    let unknown: CertificateId = format!("{}:77", issuer(&world)).parse().expect("an id");
    assert!(matches!(world.authority.revoke(&unknown, Reason::Unspecified).await, Err(RevokeError::Unknown(_))));
}

#[tokio::test]
async fn a_revoked_service_authority_is_on_the_roots_list_and_signs_nothing_until_it_is_rolled_over() {
    let world = World::new().await;
    let service = world.authority.chain(gatehouse_ca::CaId::new(Seat::Service, 1)).expect("is there");
    let id = CertificateId::of(&service[0]).expect("it names its issuer");
    world.authority.revoke(&id, Reason::CaCompromise).await.expect("revokes");
    world.authority.publish().await.expect("publishes");
    let crl = world.authority.crl(&service[1].public_key().key_id()).expect("was published");
    assert_eq!(crl.entries, 1);
    let agent = gatehouse_pki::Facts::new().common_name("agent".parse().expect("a name"));
    let refused = crate::issuing::order(&world, Seat::Service, agent.clone()).await;
    assert!(matches!(refused, Err(IssueError::CannotSign { .. })), "{refused:?}");
    world.authority.roll_over(Seat::Service, &crate::HERE).await.expect("rolls over");
    assert!(crate::issuing::order(&world, Seat::Service, agent).await.is_ok());
}
