//! When providers are asked, and when they are not.

use super::{World, code, secret};
use gatehouse_testkit::provider::SigningKey;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_provider_is_asked_once_while_what_it_said_is_fresh() {
    let world = World::new().await;
    let token = world.provider.sign(&world.claims(json!({})));
    for _ in 0..20 {
        assert_eq!(code(world.access(&token).await), "good");
    }
    assert_eq!(world.provider.fetches(), (1, 1));
}

#[tokio::test]
async fn many_who_need_the_keys_at_the_same_moment_wait_for_one_fetch() {
    let world = World::new().await;
    let token = world.provider.sign(&world.claims(json!({})));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (directory, issuer, token) = (world.directory.clone(), world.issuer(), secret(&token));
        tasks.spawn(async move { directory.signed(&issuer, &token).await.is_ok() });
    }
    assert!(tasks.join_all().await.into_iter().all(|good| good));
    assert_eq!(world.provider.fetches(), (1, 1));
}

#[tokio::test]
async fn a_flood_of_unknown_keys_has_a_provider_asked_once_in_a_pause() {
    let world = World::new().await;
    let good = world.provider.sign(&world.claims(json!({})));
    assert_eq!(code(world.access(&good).await), "good");
    for round in 1..=3 {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..100 {
            let stranger = SigningKey::new(&format!("unknown-{round}-{number}"));
            let token = secret(&stranger.sign("at+jwt", &world.claims(json!({}))));
            let (directory, issuer) = (world.directory.clone(), world.issuer());
            tasks.spawn(async move { code(directory.signed(&issuer, &token).await) });
        }
        assert!(tasks.join_all().await.into_iter().all(|refused| refused == "token-key"));
        // The first round comes right after the first fetch.
        assert_eq!(world.provider.fetches(), (round, round));
        assert_eq!(code(world.access(&good).await), "good");
        world.pass(Duration::from_secs(31));
    }
}

#[tokio::test]
async fn a_new_key_is_known_after_a_pause_at_most_and_an_old_one_is_forgotten_with_it() {
    let world = World::new().await;
    let old = world.provider.sign(&world.claims(json!({})));
    assert_eq!(code(world.access(&old).await), "good");
    let next = SigningKey::new("k2");
    world.provider.publish_keys(&[&next]);
    let new = next.sign("at+jwt", &world.claims(json!({})));
    assert_eq!(code(world.access(&new).await), "token-key", "asked a moment ago");
    world.pass(Duration::from_secs(31));
    assert_eq!(code(world.access(&new).await), "good");
    assert_eq!(code(world.access(&old).await), "token-key");
}

#[tokio::test]
async fn what_is_stale_is_used_and_fetched_behind_and_what_is_too_old_is_not() {
    let world = World::new().await;
    let lasting = world.claims(json!({ "exp": world.clock_secs() + 1_000_000 }));
    let token = world.provider.sign(&lasting);
    assert_eq!(code(world.access(&token).await), "good");
    world.pass(Duration::from_secs(601));
    assert_eq!(code(world.access(&token).await), "good");
    world.directory.settled().await;
    assert_eq!(world.provider.fetches(), (2, 2), "behind");

    world.provider.go_away();
    world.pass(Duration::from_secs(601));
    for _ in 0..10 {
        assert_eq!(code(world.access(&token).await), "good");
        world.directory.settled().await;
    }
    assert_eq!(world.provider.fetches(), (3, 2), "once in a pause");
    world.pass(Duration::from_secs(23 * 3600));
    assert_eq!(code(world.access(&token).await), "good");
    world.directory.settled().await;
    world.pass(Duration::from_secs(3600));
    for _ in 0..10 {
        assert_eq!(code(world.access(&token).await), "provider-status");
    }
    assert_eq!(world.provider.fetches().0, 5, "once in a pause");

    world.provider.publish(|_| {});
    world.provider.publish_keys(&[&world.provider.key]);
    world.pass(Duration::from_secs(31));
    assert_eq!(code(world.access(&token).await), "good");
}

#[tokio::test]
async fn a_test_asks_now_and_tells_what_is_wrong() {
    let world = World::new().await;
    assert_eq!(world.directory.probe(&world.issuer()).await.expect("good").keys, 1);
    world.provider.answer("/keys", 200, &json!({ "keys": [] }));
    let refused = world.directory.probe(&world.issuer()).await.expect_err("no keys");
    assert_eq!(gatehouse_base::Fault::code(&refused), "provider-keys");
    let token = world.provider.sign(&world.claims(json!({})));
    assert_eq!(code(world.access(&token).await), "good", "what was good stays");
}

#[tokio::test]
async fn only_so_many_providers_are_remembered() {
    let world = World::new().await;
    let token = world.provider.sign(&world.claims(json!({})));
    assert_eq!(code(world.access(&token).await), "good");
    world.pass(Duration::from_secs(1));
    for number in 0..1000 {
        let issuer = world.provider.url(&format!("/{number}")).parse().expect("an issuer");
        world.directory.touch(&issuer);
    }
    assert_eq!(world.directory.remembered(), 1000);
    assert_eq!(code(world.access(&token).await), "good");
    assert_eq!(world.provider.fetches(), (2, 2), "it was forgotten");
}
