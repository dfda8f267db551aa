use super::{PASSWORD, World, from, secret};
use crate::{AccountError, Confirming, Happening, NewPassword, SignedIn, links::LinkKind};
use std::{sync::atomic::Ordering, time::Duration};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn password() -> NewPassword {
    NewPassword::new(secret(PASSWORD)).expect("good")
}

impl World {
    async fn register(&self, email: &str) -> Result<(), AccountError> {
        self.accounts.register(email, "Ben", &password(), &from("203.0.113.7")).await
    }

    async fn version(&self) -> u64 {
        self.accounts.events.store().snapshot().await.expect("snapshot").version().0
    }

    /// What something costs: passwords computed, and writes.
    pub(super) async fn cost(&self, work: impl Future<Output = ()>) -> (usize, u64) {
        let before = (self.accounts.passwords.computed.load(Ordering::Relaxed), self.version().await);
        work.await;
        (self.accounts.passwords.computed.load(Ordering::Relaxed) - before.0, self.version().await - before.1)
    }
}

#[tokio::test]
async fn registering_costs_and_answers_the_same_whether_somebody_has_the_address_or_not() {
    let world = World::new().await;
    let known = world.cost(async { world.register("ANN@example.com").await.expect("answered") }).await;
    // Letters of the same moment go out in any order.
    world.pass(Duration::from_millis(1));
    let unknown = world.cost(async { world.register("ben@example.com").await.expect("answered") }).await;
    assert_eq!((known, unknown), ((1, 1), (1, 1)));
    let post = world.post().await;
    let told: Vec<_> = post.iter().map(|letter| (letter.to.as_str(), letter.subject.as_str())).collect();
    assert_eq!(told, [("ANN@example.com", "You have an account already"), ("ben@example.com", "Confirm your address")]);
    assert!(post[0].link(LinkKind::Confirm).is_none());
    world.sign_in(&from("192.0.2.1")).await;
}

#[tokio::test]
async fn an_address_is_confirmed_by_its_link_once_and_by_the_accounts_owner_only() {
    let world = World::new().await;
    world.register("ben@example.com").await.expect("registered");
    let link = world.link("ben@example.com", LinkKind::Confirm).await;
    let here = from("203.0.113.7");
    let (right, wrong) = (secret(PASSWORD), secret("small boats float"));
    let confirm = |by| world.accounts.confirm_address(&link, by, &here);
    assert!(matches!(confirm(Confirming::Session(world.ann.id)).await, Err(AccountError::LinkOver)));
    assert!(matches!(confirm(Confirming::Password(&wrong)).await, Err(AccountError::Wrong)));
    let other = world.accounts.confirm_address(&secret("abc"), Confirming::Password(&secret(PASSWORD)), &here).await;
    assert!(matches!(other, Err(AccountError::LinkOver)));
    assert!(matches!(world.accounts.reset_password(&link, &password(), &here).await, Err(AccountError::LinkOver)), "another kind");
    confirm(Confirming::Password(&right)).await.expect("confirmed");
    assert!(matches!(confirm(Confirming::Password(&right)).await, Err(AccountError::LinkOver)));
    let ben = world.accounts.people(None, 10).await.expect("people").into_iter().find(|person| person.name == "Ben").expect("there");
    assert!(ben.confirmed);
    assert!(matches!(world.accounts.resend_confirmation(ben.id).await, Err(AccountError::Confirmed)));
    let history = world.accounts.history(ben.id, None, 10).await.expect("history");
    assert_eq!(history[0].happening, Happening::AddressConfirmed);
}

#[tokio::test]
async fn a_link_is_good_for_a_day_and_can_be_sent_again() {
    let world = World::new().await;
    world.register("ben@example.com").await.expect("registered");
    let old = world.link("ben@example.com", LinkKind::Confirm).await;
    world.pass(DAY);
    let here = from("203.0.113.7");
    let late = world.accounts.confirm_address(&old, Confirming::Password(&secret(PASSWORD)), &here).await;
    assert!(matches!(late, Err(AccountError::LinkOver)));
    let SignedIn::Session(session) = world.accounts.sign_in("ben@example.com", &secret(PASSWORD), &here).await.expect("signed in") else {
        panic!("no second factor is on")
    };
    for _ in 0..5 {
        world.accounts.resend_confirmation(session.person).await.expect("sent");
    }
    let often = world.accounts.resend_confirmation(session.person).await;
    assert!(matches!(often, Err(AccountError::Mail(_))), "{often:?}");
    let new = world.post().await[4].link(LinkKind::Confirm).expect("a link");
    world.accounts.confirm_address(&new, Confirming::Session(session.person), &here).await.expect("confirmed");
}

#[tokio::test]
async fn an_account_that_nobody_confirms_goes_and_its_address_is_free_again() {
    let world = World::new().await;
    world.register("ben@example.com").await.expect("registered");
    world.pass(DAY * 7 - Duration::from_secs(1));
    world.accounts.forget_ended().await.expect("forgotten");
    assert_eq!(world.accounts.people(None, 10).await.expect("people").len(), 2);
    world.pass(Duration::from_secs(1));
    world.accounts.forget_ended().await.expect("forgotten");
    assert_eq!(world.accounts.people(None, 10).await.expect("people").len(), 1);
    world.post().await;
    world.register("ben@example.com").await.expect("registered");
    assert_eq!(world.post().await[0].subject, "Confirm your address");
}

#[tokio::test]
async fn what_is_refused_is_refused_for_every_address() {
    let closed = World::with(|config| config.registration = false).await;
    assert!(matches!(closed.register("ben@example.com").await, Err(AccountError::RegistrationOff)));
    let world = World::new().await;
    for email in ["", "nobody", "a@b\r\nBcc: c@d"] {
        assert!(matches!(world.register(email).await, Err(AccountError::Email(_))), "{email:?}");
    }
    let name = world.accounts.register("ben@example.com", "\n", &password(), &from("203.0.113.7")).await;
    assert!(matches!(name, Err(AccountError::Name)));
    let mute = World::new().await;
    let mute_accounts = mute.accounts.clone().with_mail(None);
    let silent = mute_accounts.register("ben@example.com", "Ben", &password(), &from("203.0.113.7")).await;
    assert!(matches!(silent, Err(AccountError::Mail(_))));
}

#[tokio::test]
async fn whoever_has_letters_sent_to_others_is_slowed_down() {
    let world = World::new().await;
    let mut waits = 0;
    for _ in 0..6 {
        waits += usize::from(matches!(world.register("ben@example.com").await, Err(AccountError::Wait { .. })));
    }
    assert_eq!(waits, 2);
    assert!(world.post().await.len() <= 5);
    world.sign_in(&from("203.0.113.7")).await;
}

#[tokio::test]
async fn so_many_accounts_wait_for_their_confirmation_and_everybody_is_told_the_same_then() {
    let world = World::with(|config| config.unconfirmed = 2).await;
    world.register("ben@example.com").await.expect("registered");
    world.register("ann@example.com").await.expect("answered, and there is no second account");
    world.register("cleo@example.com").await.expect("registered");
    for email in ["dora@example.com", "ann@example.com", "ben@example.com"] {
        let full = world.register(email).await;
        assert!(matches!(full, Err(AccountError::RegistrationFull)), "{email}: {full:?}");
    }
    let link = world.link("ben@example.com", LinkKind::Confirm).await;
    let password = secret(PASSWORD);
    world.accounts.confirm_address(&link, Confirming::Password(&password), &from("203.0.113.7")).await.expect("confirmed");
    world.register("dora@example.com").await.expect("there is room again");
    assert_eq!(world.accounts.forget_unconfirmed().await.expect("counted"), 0);
    assert!(matches!(world.register("emil@example.com").await, Err(AccountError::RegistrationFull)), "counted anew");
    world.pass(DAY * 7);
    assert_eq!(world.accounts.forget_unconfirmed().await.expect("forgotten"), 2);
    world.register("emil@example.com").await.expect("there is room again");
}
