use super::{PASSWORD, World, add, from, secret};
use crate::{AccountError, Confirming, Happening, links::LinkKind};
use gatehouse_types::Secret;
use std::time::Duration;

const NEW: &str = "ann@example.org";
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Asks for a new address; the link that changes, and the one that keeps.
async fn asked(world: &World) -> (Secret, Secret) {
    asked_for(world, "ann@example.com", NEW).await
}

/// The same for the change of one address to another.
async fn asked_for(world: &World, present: &str, new: &str) -> (Secret, Secret) {
    world.accounts.ask_for_address(world.ann.id, new, &secret(PASSWORD), &from("192.0.2.1")).await.expect("asked");
    let post = world.post().await;
    let find = |to: &str, kind| post.iter().filter(|letter| letter.to == to).find_map(|letter| letter.link(kind)).expect("a link");
    (find(new, LinkKind::ChangeAddress), find(present, LinkKind::KeepAddress))
}

/// Shows the link that changes, together with the password.
async fn changed(world: &World, link: &Secret) -> Result<(), AccountError> {
    world.accounts.change_address(link, Confirming::Password(&secret(PASSWORD)), &from("192.0.2.1")).await
}

#[tokio::test]
async fn an_address_changes_when_the_new_one_confirms_and_not_before() {
    let world = World::new().await;
    let here = from("192.0.2.1");
    let (change, _) = asked(&world).await;
    world.sign_in(&here).await;
    changed(&world, &change).await.expect("changed");
    assert!(matches!(changed(&world, &change).await, Err(AccountError::LinkOver)));
    assert!(matches!(world.refused("ann@example.com", PASSWORD, &here).await, crate::SignInError::Wrong));
    world.accounts.sign_in(NEW, &secret(PASSWORD), &here).await.expect("signed in");
    let happened = world.history().await;
    assert!(happened.iter().any(|happening| matches!(happening, Happening::AddressChanged { to, .. } if to.as_str() == NEW)));
    assert!(world.post().await.iter().any(|letter| letter.to == "ann@example.com" && letter.subject == "Your address was changed"));
}

#[tokio::test]
async fn the_old_address_takes_a_change_back_within_a_week_and_nobody_else_gets_it_meanwhile() {
    let world = World::new().await;
    let here = from("192.0.2.1");
    let (change, keep) = asked(&world).await;
    changed(&world, &change).await.expect("changed");
    let thief = world.accounts.sign_in(NEW, &secret(PASSWORD), &here).await.expect("signed in");
    let crate::SignedIn::Session(thief) = thief else { panic!("no second factor is on") };
    assert!(world.accounts.is_taken(&world.ann.email).await.expect("read"), "it is kept for Ann");
    world.post().await;
    world.pass(WEEK - Duration::from_secs(1));
    world.accounts.forget_ended().await.expect("forgotten");
    world.accounts.keep_address(&keep, &from("198.51.100.1")).await.expect("kept");
    assert!(world.accounts.session(&thief.secret).await.expect("read").is_none());
    assert_eq!(world.accounts.person(world.ann.id).await.expect("read").expect("there").email, world.ann.email);
    assert!(!world.accounts.is_taken(&NEW.parse().expect("address")).await.expect("read"));
    assert!(matches!(world.accounts.keep_address(&keep, &here).await, Err(AccountError::LinkOver)));
    let link = world.link("ann@example.com", LinkKind::Reset).await;
    let new = crate::NewPassword::new(secret("small boats float")).expect("good");
    world.accounts.reset_password(&link, &new, &here).await.expect("whoever took the account over knows the password");
}

#[tokio::test]
async fn the_old_address_prevents_a_change_that_was_not_made_yet() {
    let world = World::new().await;
    let here = from("192.0.2.1");
    let (change, keep) = asked(&world).await;
    world.accounts.keep_address(&keep, &here).await.expect("kept");
    assert!(matches!(changed(&world, &change).await, Err(AccountError::LinkOver)));
}

#[tokio::test]
async fn somebody_may_go_back_to_the_address_that_is_kept_for_them() {
    let world = World::new().await;
    let here = from("192.0.2.1");
    let (change, _) = asked(&world).await;
    changed(&world, &change).await.expect("changed");
    world.post().await;
    world.accounts.ask_for_address(world.ann.id, "ann@example.com", &secret(PASSWORD), &here).await.expect("asked");
    let back = world.link("ann@example.com", LinkKind::ChangeAddress).await;
    changed(&world, &back).await.expect("changed back");
    assert!(world.accounts.is_taken(&NEW.parse().expect("address")).await.expect("read"), "the other one is kept now");
}

#[tokio::test]
async fn after_a_week_the_old_address_is_free() {
    let world = World::new().await;
    let here = from("192.0.2.1");
    let (change, keep) = asked(&world).await;
    changed(&world, &change).await.expect("changed");
    world.pass(WEEK);
    assert!(matches!(world.accounts.keep_address(&keep, &here).await, Err(AccountError::LinkOver)));
    world.accounts.forget_ended().await.expect("forgotten");
    add(&world.accounts, "ann@example.com").await;
}

#[tokio::test]
async fn somebody_elses_address_is_answered_like_any_other_and_never_becomes_ones_own() {
    let world = World::new().await;
    let here = from("192.0.2.1");
    add(&world.accounts, "ben@example.com").await;
    world.accounts.ask_for_address(world.ann.id, "ben@example.com", &secret(PASSWORD), &here).await.expect("answered");
    let post = world.post().await;
    assert!(post.iter().any(|letter| letter.to == "ben@example.com" && letter.subject == "You have an account already"), "{post:?}");
    assert!(post.iter().all(|letter| letter.link(LinkKind::ChangeAddress).is_none()));
    let (change, _) = asked(&world).await;
    add(&world.accounts, NEW).await;
    assert!(matches!(changed(&world, &change).await, Err(AccountError::AddressTaken)));
}

#[tokio::test]
async fn a_change_takes_the_password_and_another_address() {
    let world = World::new().await;
    let here = from("192.0.2.1");
    let ask = async |to: &str, password: &str| world.accounts.ask_for_address(world.ann.id, to, &secret(password), &here).await;
    assert!(matches!(ask(NEW, "small boats float").await, Err(AccountError::Wrong)));
    assert!(matches!(ask("ANN@example.com", PASSWORD).await, Err(AccountError::SameAddress)));
    assert!(matches!(ask("nobody", PASSWORD).await, Err(AccountError::Email(_))));
    assert!(world.post().await.is_empty());
}

#[tokio::test]
async fn nobody_gets_an_account_with_somebody_elses_address_by_having_them_press_a_button() {
    let world = World::new().await;
    let here = from("192.0.2.1");
    let (link, _) = asked(&world).await;
    let ben = add(&world.accounts, "ben@example.com").await;
    let show = async |by: Confirming<'_>| world.accounts.change_address(&link, by, &here).await;
    assert!(matches!(show(Confirming::Session(ben.id)).await, Err(AccountError::LinkOver)));
    assert!(matches!(show(Confirming::Password(&secret("small boats float"))).await, Err(AccountError::Wrong)));
    assert_eq!(world.accounts.person(world.ann.id).await.expect("read").expect("there").email, world.ann.email);
    show(Confirming::Session(world.ann.id)).await.expect("changed");
}

#[tokio::test]
async fn a_new_password_ends_the_change_that_the_old_one_asked_for() {
    let world = World::new().await;
    let here = from("192.0.2.1");
    let new = crate::NewPassword::new(secret("small boats float")).expect("good");
    let show = async |link: &Secret| world.accounts.change_address(link, Confirming::Session(world.ann.id), &here).await;
    let (link, _) = asked(&world).await;
    world.accounts.change_password(world.ann.id, &secret(PASSWORD), &new, &here).await.expect("changed");
    assert!(matches!(show(&link).await, Err(AccountError::LinkOver)));
    world.accounts.ask_for_address(world.ann.id, NEW, &secret("small boats float"), &here).await.expect("asked");
    let link = world.link(NEW, LinkKind::ChangeAddress).await;
    world.accounts.reset(&world.ann.email, &new).await.expect("reset");
    assert!(matches!(show(&link).await, Err(AccountError::LinkOver)));
}

#[tokio::test]
async fn whoever_took_an_account_over_does_not_come_back_by_a_link_of_that_time() {
    let world = World::new().await;
    let here = from("203.0.113.7");
    let (link, anns) = asked_for(&world, "ann@example.com", "thief@example.net").await;
    changed(&world, &link).await.expect("changed");
    let (_, thiefs) = asked_for(&world, "thief@example.net", "thief@example.org").await;
    world.accounts.keep_address(&anns, &here).await.expect("kept");
    assert!(matches!(world.accounts.keep_address(&thiefs, &here).await, Err(AccountError::LinkOver)));
    assert_eq!(world.accounts.person(world.ann.id).await.expect("read").expect("there").email, world.ann.email);
    assert!(matches!(world.refused("ann@example.com", PASSWORD, &here).await, crate::SignInError::Wrong), "the thief knows it");
}

#[tokio::test]
async fn no_number_of_changes_pushes_the_way_back_out() {
    let world = World::new().await;
    let (link, anns) = asked(&world).await;
    changed(&world, &link).await.expect("changed");
    let mut changes = 1;
    let wait = loop {
        let next = format!("thief@{changes}.example.net");
        match world.accounts.ask_for_address(world.ann.id, &next, &secret(PASSWORD), &from("192.0.2.1")).await {
            Ok(()) => changed(&world, &world.link(&next, LinkKind::ChangeAddress).await).await.expect("changed"),
            Err(AccountError::Wait { wait }) => break wait,
            Err(other) => panic!("{other}"),
        }
        changes += 1;
        world.pass(Duration::from_secs(3600));
    };
    assert_eq!(changes, 10);
    assert!(wait <= WEEK && wait > WEEK - Duration::from_secs(24 * 3600), "{wait:?}");
    world.accounts.keep_address(&anns, &from("198.51.100.1")).await.expect("kept");
}

#[tokio::test]
async fn a_free_address_is_answered_like_a_taken_one_however_many_letters_went_there() {
    let world = World::new().await;
    let ben = add(&world.accounts, "ben@example.com").await;
    for person in [ben.id, ben.id, ben.id, ben.id, ben.id, world.ann.id] {
        world.accounts.ask_for_address(person, NEW, &secret(PASSWORD), &from("192.0.2.1")).await.expect("asked");
    }
    let post = world.post().await;
    assert_eq!(post.iter().filter(|letter| letter.to == NEW).count(), 5, "the sixth did not go out");
}
