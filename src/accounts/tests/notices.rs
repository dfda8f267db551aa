use super::{PASSWORD, World, add, from, secret};
use crate::{NewPassword, Role, Visitor};

async fn subjects(world: &World) -> Vec<(String, String)> {
    world.post().await.into_iter().map(|letter| (letter.to, letter.subject)).collect()
}

#[tokio::test]
async fn a_sign_in_from_a_new_network_or_program_is_told_once() {
    let world = World::new().await;
    world.sign_in(&from("192.0.2.1")).await;
    assert!(subjects(&world).await.is_empty(), "the first one is no news");
    world.sign_in(&from("192.0.2.99")).await;
    assert!(subjects(&world).await.is_empty(), "the same network and program");
    world.sign_in(&from("203.0.113.7")).await;
    assert_eq!(subjects(&world).await, [("ann@example.com".to_owned(), "A sign-in from a new place".to_owned())]);
    world.sign_in(&from("203.0.113.7")).await;
    assert!(subjects(&world).await.is_empty());
    world.sign_in(&Visitor::new(from("192.0.2.1").address, "another browser")).await;
    assert_eq!(subjects(&world).await.len(), 1);
}

#[tokio::test]
async fn letters_about_sign_ins_can_be_switched_off_and_those_about_credentials_not() {
    let world = World::new().await;
    world.sign_in(&from("192.0.2.1")).await;
    world.accounts.want_sign_in_mail(world.ann.id, false).await.expect("switched");
    world.sign_in(&from("203.0.113.7")).await;
    assert!(subjects(&world).await.is_empty());
    let new = NewPassword::new(secret("small boats float")).expect("good");
    world.accounts.change_password(world.ann.id, &secret(PASSWORD), &new, &from("192.0.2.1")).await.expect("changed");
    assert_eq!(subjects(&world).await[0].1, "Your password was changed");
}

#[tokio::test]
async fn a_second_factor_and_its_recovery_codes_are_told_of() {
    let world = World::new().await;
    let (_, codes) = super::second_factor::enrolled(&world).await;
    assert_eq!(subjects(&world).await[0].1, "Codes are asked for");
    let here = from("192.0.2.1");
    world.accounts.disable_second_factor(&world.ann_lately(), &crate::Proof::Recovery(codes[0].clone()), &here).await.expect("taken off");
    assert_eq!(subjects(&world).await[0].1, "Codes are not asked for any more");
}

#[tokio::test]
async fn a_reset_at_the_console_is_told_to_the_owners_of_every_organisation() {
    let world = World::new().await;
    let home = world.ann_at_home().await;
    let ben = add(&world.accounts, "ben@example.com").await;
    let batch = world.accounts.with_member(gatehouse_store::Batch::new(), home.organisation, ben.id, Role::Viewer).expect("a batch");
    world.accounts.events.commit(batch).await.expect("committed");
    let new = NewPassword::new(secret("small boats float")).expect("good");
    world.accounts.reset(&ben.email, &new).await.expect("reset");
    let mut told = subjects(&world).await;
    told.sort();
    let expected = [("ann@example.com", "An account was reset"), ("ben@example.com", "Your account was reset")];
    assert_eq!(told, expected.map(|(to, subject)| (to.to_owned(), subject.to_owned())));
}

#[tokio::test]
async fn nothing_waits_for_a_letter_that_cannot_be_written() {
    let world = World::new().await;
    world.sign_in(&from("192.0.2.1")).await;
    for network in 0..9 {
        world.sign_in(&from(&format!("203.0.{network}.7"))).await;
    }
    assert_eq!(subjects(&world).await.len(), 5, "no more than so many of one kind an hour");
    let silent = world.accounts.clone().with_mail(None);
    silent.sign_in("ann@example.com", &secret(PASSWORD), &from("198.51.100.1")).await.expect("signed in");
}
