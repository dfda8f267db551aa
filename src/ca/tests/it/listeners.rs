use crate::{DAY, HERE, World};
use gatehouse_ca::{CertificateId, IssueError, ListenerCertificate, Presented, Reason, Seat, ServerRole};
use gatehouse_pki::{Anchors, Certificate, Policy, Purpose};

fn api(hosts: &[&str]) -> ListenerCertificate {
    let hosts = hosts.iter().map(|host| host.parse().expect("a host")).collect();
    ListenerCertificate { listener: "https".to_owned(), role: ServerRole::Api, hosts }
}

fn serial(presented: &Presented) -> Vec<u8> {
    presented.chain[0].serial().as_bytes().to_vec()
}

fn verifies(world: &World, presented: &Presented) {
    let anchors = world.authority.anchors(Seat::Root).into_iter().fold(Anchors::builder(), |all, one| all.anchor(one));
    let chain: Vec<&[u8]> = presented.chain.iter().map(Certificate::der).collect();
    let now = gatehouse_base::Clock::now(&*world.clock);
    anchors.build().expect("anchors").verify(&chain, &Policy::new(Purpose::Server), now).expect("it verifies");
    assert_eq!(presented.signer.public_key(), presented.chain[0].public_key());
}

#[tokio::test]
async fn a_listener_gets_a_chain_that_verifies_and_keeps_it() {
    let world = World::new().await;
    let wanted = api(&["gatehouse.example", "192.0.2.7"]);
    let first = world.authority.listener_certificate(&wanted).await.expect("issues");
    assert_eq!(first.chain.len(), 2, "the root is not sent");
    verifies(&world, &first);
    let again = world.again().await.listener_certificate(&wanted).await.expect("is kept");
    assert_eq!(serial(&again), serial(&first));
}

#[tokio::test]
async fn every_sort_of_server_gets_its_profile() {
    let world = World::new().await;
    for role in [ServerRole::Api, ServerRole::Provisioning, ServerRole::Hub(crate::name(1))] {
        let wanted = ListenerCertificate { listener: format!("{role:?}"), role, ..api(&["gatehouse.example"]) };
        verifies(&world, &world.authority.listener_certificate(&wanted).await.expect("issues"));
    }
}

#[tokio::test]
async fn a_certificate_is_renewed_with_a_new_key_when_two_thirds_of_its_life_have_passed() {
    let world = World::new().await;
    let wanted = api(&["gatehouse.example"]);
    let first = world.authority.listener_certificate(&wanted).await.expect("issues");
    world.clock.advance(59 * DAY);
    assert_eq!(serial(&world.authority.listener_certificate(&wanted).await.expect("is kept")), serial(&first));
    world.clock.advance(2 * DAY);
    let second = world.authority.listener_certificate(&wanted).await.expect("renews");
    verifies(&world, &second);
    assert_ne!(second.chain[0].public_key(), first.chain[0].public_key());
    let keys = world.authority.keyring().list().await.expect("lists");
    assert_eq!(keys.iter().filter(|key| key.purpose == "listener/https").count(), 1, "the old key is gone");
}

#[tokio::test]
async fn other_hosts_a_revocation_and_a_roll_over_renew_at_once() {
    let world = World::new().await;
    let first = world.authority.listener_certificate(&api(&["gatehouse.example"])).await.expect("issues");
    let wanted = api(&["gatehouse.example", "other.example"]);
    let second = world.authority.listener_certificate(&wanted).await.expect("renews");
    assert_ne!(serial(&second), serial(&first));
    let id = CertificateId::of(&second.chain[0]).expect("it names its issuer");
    world.authority.revoke(&id, Reason::KeyCompromise).await.expect("revokes");
    let third = world.authority.listener_certificate(&wanted).await.expect("renews");
    assert_ne!(serial(&third), serial(&second));
    world.authority.roll_over(Seat::Service, &HERE).await.expect("rolls over");
    let fourth = world.authority.listener_certificate(&wanted).await.expect("renews");
    assert_ne!(fourth.chain[1], third.chain[1]);
    verifies(&world, &fourth);
}

#[tokio::test]
async fn while_issuing_is_halted_the_old_certificate_is_shown_on_until_it_ends() {
    let world = World::new().await;
    let wanted = api(&["gatehouse.example"]);
    let first = world.authority.listener_certificate(&wanted).await.expect("issues");
    world.authority.halt("an audit").await.expect("halts");
    world.clock.advance(80 * DAY);
    assert_eq!(serial(&world.authority.listener_certificate(&wanted).await.expect("is shown on")), serial(&first));
    world.clock.advance(11 * DAY);
    let ended = world.authority.listener_certificate(&wanted).await;
    assert!(matches!(ended, Err(IssueError::Halted { .. })), "{ended:?}");
}
