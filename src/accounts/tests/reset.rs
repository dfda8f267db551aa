use super::{PASSWORD, World, from, secret};
use crate::{AccountError, Happening, NewPassword, SignInError, SignedIn, links::LinkKind};
use gatehouse_mail::Outbox;
use std::time::Duration;

const NEW: &str = "small boats float";

fn new_password() -> NewPassword {
    NewPassword::new(secret(NEW)).expect("good")
}

#[tokio::test]
async fn asking_costs_and_answers_the_same_whether_somebody_has_the_address_or_not() {
    let world = World::new().await;
    // The first write about somebody makes their key as well.
    world.sign_in(&from("192.0.2.1")).await;
    let stranger = from("203.0.113.7");
    let ask = |email: &'static str| async { world.accounts.forgot_password(email, &stranger).await.expect("answered") };
    let known = world.cost(ask("Ann@example.com")).await;
    let unknown = world.cost(ask("nobody@example.com")).await;
    assert_eq!((known, unknown), ((0, 1), (0, 1)));
    let post = world.post().await;
    assert!(post.len() == 1 && post[0].to == "ann@example.com" && post[0].subject == "Set a new password", "{post:?}");
    assert_eq!(world.history().await[0], Happening::PasswordResetAsked);
}

#[tokio::test]
async fn when_no_letter_can_go_out_the_answer_and_the_writes_stay_the_same() {
    let world = World::new().await;
    world.sign_in(&from("192.0.2.1")).await;
    let stranger = |number: usize| from(&format!("203.0.113.{number}"));
    for number in 0..5 {
        world.accounts.forgot_password("ann@example.com", &stranger(number)).await.expect("answered");
    }
    world.post().await;
    world.pass(Duration::from_secs(60));
    let ninth = stranger(9);
    let throttled = world.cost(async { world.accounts.forgot_password("ann@example.com", &ninth).await.expect("answered") }).await;
    assert_eq!(throttled, (0, 1));
    assert!(world.post().await.is_empty());
}

#[tokio::test]
async fn the_link_sets_a_password_once_ends_all_sessions_and_voids_the_other_links() {
    let world = World::new().await;
    let here = from("192.0.2.1");
    let session = world.sign_in(&here).await;
    for _ in 0..2 {
        world.accounts.forgot_password("ann@example.com", &here).await.expect("answered");
    }
    let links: Vec<_> = world.post().await.iter().map(|letter| letter.link(LinkKind::Reset).expect("a link")).collect();
    world.accounts.reset_password(&links[1], &new_password(), &here).await.expect("set");
    for used in &links {
        assert!(matches!(world.accounts.reset_password(used, &new_password(), &here).await, Err(AccountError::LinkOver)));
    }
    assert!(world.accounts.session(&session.secret).await.expect("read").is_none());
    assert!(matches!(world.refused("ann@example.com", PASSWORD, &here).await, SignInError::Wrong));
    let signed_in = world.accounts.sign_in("ann@example.com", &secret(NEW), &here).await;
    assert!(matches!(signed_in, Ok(SignedIn::Session(_))));
    assert!(world.history().await.contains(&Happening::PasswordReset));
    assert_eq!(world.post().await[0].subject, "Your password was changed");
}

#[tokio::test]
async fn a_password_that_was_changed_voids_the_links_for_another_one() {
    let world = World::new().await;
    let here = from("192.0.2.1");
    world.accounts.forgot_password("ann@example.com", &here).await.expect("answered");
    let link = world.link("ann@example.com", LinkKind::Reset).await;
    world.accounts.change_password(world.ann.id, &secret(PASSWORD), &new_password(), &here).await.expect("changed");
    assert!(matches!(world.accounts.reset_password(&link, &new_password(), &here).await, Err(AccountError::LinkOver)));
}

#[tokio::test]
async fn the_link_is_good_for_half_an_hour_and_a_refused_password_does_not_use_it_up() {
    let world = World::new().await;
    let here = from("192.0.2.1");
    world.accounts.forgot_password("ann@example.com", &here).await.expect("answered");
    let link = world.link("ann@example.com", LinkKind::Reset).await;
    world.pass(Duration::from_secs(1799));
    assert!(world.accounts.link(LinkKind::Reset, &link).await.expect("read").is_some());
    world.pass(Duration::from_secs(1));
    assert!(matches!(world.accounts.reset_password(&link, &new_password(), &here).await, Err(AccountError::LinkOver)));
    assert_eq!(world.accounts.forget_ended_links().await.expect("forgotten"), 1);
}

#[tokio::test]
async fn a_second_factor_is_asked_for_after_a_reset_as_before() {
    let world = World::new().await;
    let here = from("192.0.2.1");
    super::second_factor::enrolled(&world).await;
    world.post().await;
    world.accounts.forgot_password("ann@example.com", &here).await.expect("answered");
    let link = world.link("ann@example.com", LinkKind::Reset).await;
    world.accounts.reset_password(&link, &new_password(), &here).await.expect("set");
    let signed_in = world.accounts.sign_in("ann@example.com", &secret(NEW), &here).await;
    assert!(matches!(signed_in, Ok(SignedIn::SecondFactor(_))));
}

#[tokio::test]
async fn a_password_that_thieves_have_is_refused_and_everybody_else_goes_on() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, NEW.as_bytes());
    let line: String = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    std::fs::write(file.path(), format!("{line}:3\n")).expect("written");
    let path = file.path().to_owned();
    let world = World::with(|config| config.password.breached = Some(path)).await;
    let here = from("192.0.2.1");
    let refused = world.accounts.change_password(world.ann.id, &secret(PASSWORD), &new_password(), &here).await;
    assert!(matches!(refused, Err(SignInError::Refused(crate::PasswordRefused::Breached))), "{refused:?}");
    drop(file);
    world.accounts.change_password(world.ann.id, &secret(PASSWORD), &new_password(), &here).await.expect("the list went away");
}

#[tokio::test]
async fn without_mail_or_an_address_of_our_own_nothing_is_promised() {
    let world = World::with(|config| config.issuer = None).await;
    let nowhere = world.accounts.forgot_password("ann@example.com", &from("192.0.2.1")).await;
    assert!(matches!(nowhere, Err(AccountError::Mail(crate::MailError::NoAddress))));
    let mute = world.accounts.clone().with_mail(None::<Outbox>).forgot_password("ann@example.com", &from("192.0.2.1")).await;
    assert!(matches!(mute, Err(AccountError::Mail(crate::MailError::Off))));
}
