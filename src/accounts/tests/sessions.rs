use super::{World, add, from, secret};
use crate::{Named, NamedError};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_session_ends_when_it_is_not_used_and_goes_on_when_it_is() {
    let world = World::new().await;
    let session = world.sign_in(&from("192.0.2.1")).await;
    for _ in 0..3 {
        world.pass(HOUR * 11);
        assert!(world.accounts.session(&session.secret).await.expect("read").is_some());
    }
    world.pass(HOUR * 12);
    assert!(world.accounts.session(&session.secret).await.expect("read").is_none());
}

#[tokio::test]
async fn a_session_ends_after_its_lifetime_however_it_is_used() {
    let world = World::new().await;
    let session = world.sign_in(&from("192.0.2.1")).await;
    for _ in 0..16 {
        world.pass(HOUR * 10);
        assert!(world.accounts.session(&session.secret).await.expect("read").is_some());
    }
    world.pass(HOUR * 8);
    assert!(world.accounts.session(&session.secret).await.expect("read").is_none());
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_their_owner_only() {
    let world = World::new().await;
    let (first, second) = (world.sign_in(&from("192.0.2.1")).await, world.sign_in(&from("2001:db8::1")).await);
    let (present, _) = world.accounts.session(&second.secret).await.expect("read").expect("goes on");
    let sessions = world.accounts.sessions(world.ann.id, Some(present)).await.expect("sessions");
    assert_eq!(sessions.iter().filter(|session| session.present).count(), 1);
    assert_eq!(sessions.len(), 2);
    let other = sessions.iter().find(|session| !session.present).expect("the first");
    let ben = add(&world.accounts, "ben@example.com").await;
    let foreign = world.accounts.end_session(ben.id, &other.id, &from("192.0.2.1")).await;
    assert!(matches!(foreign, Err(NamedError::Unknown(Named::Session))));
    assert!(world.accounts.session(&first.secret).await.expect("read").is_some());
    world.accounts.end_session(world.ann.id, &other.id, &from("192.0.2.1")).await.expect("ended");
    assert!(world.accounts.session(&first.secret).await.expect("read").is_none());
    assert!(world.accounts.session(&second.secret).await.expect("read").is_some());
}

#[tokio::test]
async fn what_is_kept_of_a_session_does_not_open_it() {
    let world = World::new().await;
    let session = world.sign_in(&from("192.0.2.1")).await;
    let (id, _) = world.accounts.session(&session.secret).await.expect("read").expect("goes on");
    assert!(world.accounts.session(&secret(&id.to_string())).await.expect("read").is_none());
    assert!(session.secret.expose().len() >= 52, "256 bits in base 32");
}

#[tokio::test]
async fn the_one_not_used_for_longest_makes_room_for_the_next() {
    let world = World::new().await;
    let first = world.sign_in(&from("192.0.2.1")).await;
    for _ in 0..50 {
        world.pass(Duration::from_secs(1));
        world.sign_in(&from("192.0.2.1")).await;
    }
    assert!(world.accounts.session(&first.secret).await.expect("read").is_none());
    assert_eq!(world.accounts.sessions(world.ann.id, None).await.expect("sessions").len(), 50);
}

#[tokio::test]
async fn what_is_over_is_forgotten_and_what_goes_on_is_not() {
    let world = World::new().await;
    world.sign_in(&from("192.0.2.1")).await;
    world.pass(HOUR * 12);
    let present = world.sign_in(&from("192.0.2.1")).await;
    // The one that was over made room when the next began.
    assert_eq!(world.accounts.forget_ended().await.expect("forgotten"), 0);
    assert!(world.accounts.session(&present.secret).await.expect("read").is_some());
    world.pass(HOUR * 12);
    assert_eq!(world.accounts.forget_ended().await.expect("forgotten"), 1);
    assert!(world.accounts.sessions(world.ann.id, None).await.expect("sessions").is_empty());
}
