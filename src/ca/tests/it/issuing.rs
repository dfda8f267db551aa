use crate::{DAY, START, World};
use gatehouse_ca::{CertificateId, Fact, IssueError, Issuing, Order, Reason, Renewal, Seat, Standing};
use gatehouse_pki::{Anchors, Builtin, Certificate, Facts, KeyAlgorithm, Policy, Profile, Purpose, SignedCsr, SoftwareKey};
use gatehouse_store::Position;

fn verified(world: &World, leaf: &Certificate, chain: &[Certificate]) {
    let anchors = world.authority.anchors(world.seat()).into_iter().fold(Anchors::builder(), |all, one| all.anchor(one));
    let presented: Vec<&[u8]> = std::iter::once(leaf.der()).chain(chain.iter().map(Certificate::der)).collect();
    let now = gatehouse_base::Clock::now(&*world.clock);
    anchors.build().expect("anchors").verify(&presented, &Policy::new(Purpose::OcfDevice), now).expect("it verifies");
}

#[tokio::test]
async fn an_issued_certificate_is_recorded_and_verifies() {
    let world = World::new().await;
    let issued = world.identity(1).await.expect("issues");
    verified(&world, &issued.certificate, &issued.chain);
    let record = world.authority.record(&issued.id).await.expect("reads").expect("is recorded");
    assert_eq!(record.der(), issued.certificate.der());
    assert_eq!(record.authority, world.device_ca());
    assert_eq!(CertificateId::of(&issued.certificate), Some(issued.id.clone()));
    for found in [
        world.authority.records_by_key(&issued.certificate.public_key().fingerprint()).await.expect("reads"),
        world.authority.records_by_subject(&record.subject).await.expect("reads"),
        world.authority.records_by_serial(issued.id.serial()).await.expect("reads"),
    ] {
        assert_eq!(found, [(issued.id.clone(), record.clone())]);
    }
    let events = world.authority.facts(Position(1), 100).await.expect("reads");
    let told = events.iter().filter(|(_, _, fact)| matches!(fact, Fact::Issued { certificate, .. } if *certificate == issued.id));
    assert_eq!(told.count(), 1);
}

#[tokio::test]
async fn a_certificate_names_where_its_revocation_list_is() {
    let world = World::new().await;
    let issued = world.identity(1).await.expect("issues");
    let key_id = issued.chain[0].public_key().key_id();
    let points: Vec<&str> = issued.certificate.crl_distribution_points().collect();
    assert_eq!(points, [format!("https://gatehouse.example/crl/{key_id}.crl")]);
}

#[tokio::test]
async fn a_renewal_supersedes_and_the_old_one_stays_good_until_its_grace_ends() {
    let world = World::new().await;
    let first = world.identity(1).await.expect("issues");
    let second = world.identity(1).await.expect("renews");
    assert_eq!(second.supersedes, Some(first.id.clone()));
    let good_until = START + 7 * DAY;
    let standing = world.authority.standing(&first.id).await.expect("reads");
    assert_eq!(standing, Some(Standing::Superseded { by: second.id.clone(), good_until }));
    world.clock.advance(7 * DAY);
    assert!(world.authority.standing(&first.id).await.expect("reads").expect("known").is_good());
    world.clock.advance(std::time::Duration::from_millis(1));
    let standing = world.authority.standing(&first.id).await.expect("reads");
    assert_eq!(standing, Some(Standing::Revoked { at: good_until, reason: Reason::Superseded }));
    assert_eq!(world.authority.standing(&second.id).await.expect("reads"), Some(Standing::Current));
}

#[tokio::test]
async fn the_first_use_of_a_renewal_ends_the_one_before_it() {
    let world = World::new().await;
    let first = world.identity(1).await.expect("issues");
    let second = world.identity(1).await.expect("renews");
    world.authority.first_used(&first.id).await.expect("it renewed nothing");
    assert!(world.authority.standing(&first.id).await.expect("reads").expect("known").is_good());
    world.authority.first_used(&second.id).await.expect("notes it");
    let standing = world.authority.standing(&first.id).await.expect("reads");
    assert_eq!(standing, Some(Standing::Revoked { at: START, reason: Reason::Superseded }));
    let events = world.authority.facts(Position(1), 100).await.expect("reads").len();
    world.authority.first_used(&second.id).await.expect("a second use");
    assert_eq!(world.authority.facts(Position(1), 100).await.expect("reads").len(), events, "only the first use writes");
}

#[tokio::test]
async fn devices_do_not_supersede_each_other() {
    let world = World::new().await;
    let one = world.identity(1).await.expect("issues");
    let two = world.identity(2).await.expect("issues");
    assert_eq!(two.supersedes, None);
    assert_eq!(world.authority.standing(&one.id).await.expect("reads"), Some(Standing::Current));
}

#[tokio::test]
async fn an_expired_certificate_is_expired_and_is_not_superseded_any_more() {
    let world = World::new().await;
    let first = world.identity(1).await.expect("issues");
    world.clock.advance(366 * DAY);
    assert_eq!(world.authority.standing(&first.id).await.expect("reads"), Some(Standing::Expired));
    assert_eq!(world.identity(1).await.expect("issues again").supersedes, None);
}

#[tokio::test]
async fn many_renewals_at_once_leave_one_current_certificate() {
    let world = World::new().await;
    let renewals = (0..8).map(|_| world.identity(1));
    let mut issued = Vec::new();
    for result in futures(renewals).await {
        issued.push(result.expect("a conflict is tried again").id);
    }
    let mut current = 0;
    for id in &issued {
        current += usize::from(world.authority.standing(id).await.expect("reads") == Some(Standing::Current));
    }
    assert_eq!((issued.len(), current), (8, 1));
}

/// Polls all of them together.
async fn futures<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.map(Box::pin).map(Some).collect();
    let mut done: Vec<T> = Vec::new();
    std::future::poll_fn(move |context| {
        for slot in &mut all {
            if let Some(one) = slot
                && let std::task::Poll::Ready(value) = one.as_mut().poll(context)
            {
                done.push(value);
                *slot = None;
            }
        }
        if all.iter().all(Option::is_none) { std::task::Poll::Ready(std::mem::take(&mut done)) } else { std::task::Poll::Pending }
    })
    .await
}

#[tokio::test]
async fn a_compromised_key_gets_no_certificate_again_and_another_one_does() {
    let world = World::new().await;
    let key = SoftwareKey::generate(KeyAlgorithm::P256).expect("a key");
    let issued = world.identity_for(1, &key).await.expect("issues");
    world.authority.revoke(&issued.id, Reason::KeyCompromise).await.expect("revokes");
    assert!(matches!(world.identity_for(1, &key).await, Err(IssueError::CompromisedKey)));
    assert!(matches!(world.identity_for(2, &key).await, Err(IssueError::CompromisedKey)));
    assert!(world.identity(1).await.is_ok());
}

#[tokio::test]
async fn a_key_whose_certificate_was_revoked_for_another_reason_may_come_back() {
    let world = World::new().await;
    let key = SoftwareKey::generate(KeyAlgorithm::P256).expect("a key");
    let issued = world.identity_for(1, &key).await.expect("issues");
    world.authority.revoke(&issued.id, Reason::CessationOfOperation).await.expect("revokes");
    assert!(world.identity_for(1, &key).await.is_ok());
}

#[tokio::test]
async fn the_root_signs_no_leaves_and_no_seat_signs_authorities() {
    let world = World::new().await;
    let client = Facts::new().common_name("agent".parse().expect("a name"));
    let ca = client.clone().organisation("Acme".parse().expect("a name"));
    assert!(matches!(order(&world, Seat::Root, client.clone()).await, Err(IssueError::WrongSeat(_))));
    assert!(matches!(order_of(&world, Seat::Service, Builtin::CustomerIntermediate, ca).await, Err(IssueError::WrongSeat(_))));
    assert!(order(&world, Seat::Service, client).await.is_ok());
    let missing = order(&world, Seat::Service, Facts::new()).await;
    assert!(matches!(missing, Err(IssueError::Refused(_))), "{missing:?}");
}

#[tokio::test]
async fn certificates_beside_each_other_are_all_current() {
    let world = World::new().await;
    let facts = Facts::new().common_name("agent".parse().expect("a name"));
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(order(&world, Seat::Service, facts.clone()).await.expect("issues").id);
    }
    for id in ids {
        assert_eq!(world.authority.standing(&id).await.expect("reads"), Some(Standing::Current));
    }
}

#[tokio::test]
async fn a_leaf_below_an_intermediate_ends_together_with_it() {
    let world = World::with(Issuing::Through).await;
    let mut turns = std::collections::BTreeSet::new();
    for month in 0..24 {
        let issued = world.identity(month).await.expect("issues");
        verified(&world, &issued.certificate, &issued.chain);
        assert_eq!(issued.chain.len(), 2);
        assert_eq!(issued.certificate.not_after(), issued.chain[0].not_after(), "month {month}");
        let left = issued.certificate.not_after().since(gatehouse_base::Clock::now(&*world.clock));
        assert!(left >= 182 * DAY, "{left:?}");
        turns.insert(issued.authority.turn);
        world.clock.advance(30 * DAY);
    }
    assert!((3..=5).contains(&turns.len()), "an intermediate serves about half a year: {turns:?}");
}

#[tokio::test]
async fn a_shorter_lifetime_gets_an_intermediate_of_its_own() {
    let world = World::with(Issuing::Through).await;
    world.identity(1).await.expect("issues");
    let key = SoftwareKey::generate(KeyAlgorithm::P256).expect("a key");
    let (profile, csr) = (Profile::builtin(Builtin::OcfIdentity), SignedCsr::for_key(&key).expect("it signs"));
    let facts = Facts::new().device(crate::name(2)).lifetime(10 * DAY);
    let order = Order { seat: world.seat(), profile: &profile, csr, facts, renewal: Renewal::Supersede };
    let issued = world.authority.issue(order).await.expect("issues");
    assert_eq!(issued.certificate.not_after(), START + 10 * DAY);
    assert_eq!(issued.chain[0].not_after(), START + 10 * DAY);
}

/// A client certificate from some seat.
pub(crate) async fn order(world: &World, seat: Seat, facts: Facts) -> Result<gatehouse_ca::Issued, IssueError> {
    order_of(world, seat, Builtin::AgentClient, facts).await
}

async fn order_of(world: &World, seat: Seat, builtin: Builtin, facts: Facts) -> Result<gatehouse_ca::Issued, IssueError> {
    let key = SoftwareKey::generate(KeyAlgorithm::P256).expect("a key");
    let (profile, csr) = (Profile::builtin(builtin), SignedCsr::for_key(&key).expect("it signs"));
    world.authority.issue(Order { seat, profile: &profile, csr, facts, renewal: Renewal::Beside }).await
}
