use super::{PASSWORD, World, add, from, secret};
use crate::{Happening, NewPassword, PersonError, SignInError, SignedIn};
use std::time::Duration;

#[tokio::test]
async fn the_right_password_begins_a_session_and_it_is_written_down() {
    let world = World::new().await;
    let session = world.sign_in(&from("192.0.2.1")).await;
    assert_eq!(world.accounts.session(&session.secret).await.expect("read").map(|(_, person)| person), Some(world.ann.id));
    assert_eq!(world.history().await, [Happening::SignedIn { second_factor: false }]);
    let entry = &world.accounts.history(world.ann.id, None, 1).await.expect("history")[0];
    assert_eq!((entry.address, entry.agent.as_str()), (Some(from("192.0.2.1").address), "browser"));
}

#[tokio::test]
async fn addresses_differ_in_more_than_case() {
    let world = World::new().await;
    assert!(matches!(world.accounts.sign_in(" Ann@EXAMPLE.com", &secret(PASSWORD), &from("192.0.2.1")).await, Ok(SignedIn::Session(_))));
    let password = NewPassword::new(secret(PASSWORD)).expect("good");
    let new = crate::NewPerson { email: "ANN@example.com".parse().expect("address"), name: "Ann".to_owned(), password, operator: false };
    assert!(matches!(world.accounts.add_person(new).await, Err(PersonError::Taken { .. })));
}

#[tokio::test]
async fn a_stranger_cannot_tell_a_wrong_password_from_an_unknown_address() {
    let world = World::new().await;
    let mut answers = Vec::new();
    for email in ["ann@example.com", "nobody@example.com", "not an address"] {
        answers.push(world.refused(email, "wrong horse", &from("192.0.2.1")).await.to_string());
    }
    answers.dedup();
    assert_eq!(answers, ["the address or the password is wrong"]);
}

#[tokio::test]
async fn a_refusal_costs_one_write_whether_somebody_has_the_address_or_not() {
    let world = World::new().await;
    // The first write about somebody makes their key as well.
    world.sign_in(&from("192.0.2.1")).await;
    let mut writes = Vec::new();
    for email in ["ann@example.com", "nobody@example.com"] {
        let before = world.accounts.events.store().snapshot().await.expect("snapshot").version().0;
        world.refused(email, "wrong horse", &from("192.0.2.1")).await;
        writes.push(world.accounts.events.store().snapshot().await.expect("snapshot").version().0 - before);
    }
    assert_eq!(writes[0], writes[1], "{writes:?}");
}

#[tokio::test]
async fn guessing_is_slowed_down_and_the_right_password_waits_like_any_other() {
    let world = World::new().await;
    let guesser = from("203.0.113.9");
    for _ in 0..4 {
        assert!(matches!(world.refused("ann@example.com", "wrong horse", &guesser).await, SignInError::Wrong));
    }
    assert!(matches!(world.refused("ann@example.com", PASSWORD, &guesser).await, SignInError::Wait { .. }));
    world.sign_in(&from("192.0.2.1")).await;
    world.pass(Duration::from_secs(2));
    world.sign_in(&guesser).await;
}

#[tokio::test]
async fn many_guesses_at_the_same_moment_are_not_one() {
    let world = World::new().await;
    let guesser = from("203.0.113.9");
    let wrong = secret("wrong horse");
    let guess = || world.accounts.sign_in("ann@example.com", &wrong, &guesser);
    let answers: [_; 8] = tokio::join!(guess(), guess(), guess(), guess(), guess(), guess(), guess(), guess()).into();
    let waits = answers.iter().filter(|answer| matches!(answer, Err(SignInError::Wait { .. }))).count();
    assert_eq!(waits, 4);
}

#[tokio::test]
async fn invented_addresses_are_slowed_down_like_real_ones() {
    let world = World::new().await;
    let guesser = from("203.0.113.9");
    for _ in 0..4 {
        assert!(matches!(world.refused("nobody@example.com", "wrong horse", &guesser).await, SignInError::Wrong));
    }
    assert!(matches!(world.refused("nobody@example.com", "wrong horse", &guesser).await, SignInError::Wait { .. }));
    assert!(matches!(world.refused("somebody@example.com", "wrong horse", &guesser).await, SignInError::Wrong));
}

#[tokio::test]
async fn a_changed_password_ends_every_session_and_gives_a_new_one() {
    let world = World::new().await;
    let here = from("192.0.2.1");
    let (old, other) = (world.sign_in(&here).await, world.sign_in(&here).await);
    let new = NewPassword::new(secret("small boats float")).expect("good");
    let wrong = world.accounts.change_password(world.ann.id, &secret("wrong horse"), &new, &here).await;
    assert!(matches!(wrong, Err(SignInError::Wrong)));
    assert!(world.accounts.session(&old.secret).await.expect("read").is_some());
    let session = world.accounts.change_password(world.ann.id, &secret(PASSWORD), &new, &here).await.expect("changed");
    for ended in [old, other] {
        assert!(world.accounts.session(&ended.secret).await.expect("read").is_none());
    }
    assert!(world.accounts.session(&session.secret).await.expect("read").is_some());
    assert!(matches!(world.refused("ann@example.com", PASSWORD, &here).await, SignInError::Wrong));
}

#[tokio::test]
async fn a_reset_lets_in_with_the_new_password_only_and_is_told_to_its_owner() {
    let world = World::new().await;
    let session = world.sign_in(&from("192.0.2.1")).await;
    let new = NewPassword::new(secret("small boats float")).expect("good");
    world.accounts.reset(&world.ann.email, &new).await.expect("reset");
    assert!(world.accounts.session(&session.secret).await.expect("read").is_none());
    assert!(matches!(world.refused("ann@example.com", PASSWORD, &from("192.0.2.1")).await, SignInError::Wrong));
    assert!(world.history().await.contains(&Happening::ResetByOperator));
    let unknown = world.accounts.reset(&"ben@example.com".parse().expect("address"), &new).await;
    assert!(matches!(unknown, Err(PersonError::Unknown { .. })));
}

#[tokio::test]
async fn the_history_is_read_in_pages_from_the_newest_back() {
    let world = World::new().await;
    for _ in 0..3 {
        world.sign_in(&from("192.0.2.1")).await;
    }
    let newest = world.accounts.history(world.ann.id, None, 2).await.expect("history");
    assert_eq!(newest.iter().map(|entry| entry.number).collect::<Vec<_>>(), [3, 2]);
    let older = world.accounts.history(world.ann.id, Some(2), 2).await.expect("history");
    assert_eq!(older.iter().map(|entry| entry.number).collect::<Vec<_>>(), [1]);
    assert!(world.accounts.history(world.ann.id, Some(1), 2).await.expect("history").is_empty());
    let ben = add(&world.accounts, "ben@example.com").await;
    assert!(world.accounts.history(ben.id, None, 2).await.expect("history").is_empty());
}
