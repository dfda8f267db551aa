use super::{START, World, add, from};
use crate::{Happening, NewToken, Right, Role, Sources, TokenChange, TokenError, TokenInfo, api_token::TokenRefused};
use gatehouse_types::Secret;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

fn new() -> NewToken {
    NewToken { name: "deploy".to_owned(), rights: vec![Right::ReadMembers], sources: Sources::Any, expires: Some(START + DAY) }
}

async fn made(world: &World, new: NewToken) -> (TokenInfo, Secret) {
    world.accounts.make_token(&world.ann_at_home().await, new, &from("192.0.2.1")).await.expect("made")
}

#[tokio::test]
async fn a_token_acts_for_its_owner_with_what_it_was_given() {
    let world = World::new().await;
    let (info, text) = made(&world, new()).await;
    assert!(text.expose().starts_with(b"gth_"));
    let (id, grant) = world.accounts.token(&text, &from("192.0.2.1")).await.expect("good");
    assert_eq!((id, grant.person, grant.rights), (info.id, world.ann.id, vec![Right::ReadMembers]));
}

#[tokio::test]
async fn a_text_that_is_no_token_is_refused() {
    let world = World::new().await;
    let (_, text) = made(&world, new()).await;
    let text = crate::secret::text(&text);
    let last = if text.ends_with('a') { 'b' } else { 'a' };
    let other_ending = format!("{}{last}", &text[..text.len() - 1]);
    let other = made(&world, new()).await.1;
    let other = crate::secret::text(&other);
    let mixed = format!("{}{}", &text[..20], &other[20..]);
    for wrong in [text.to_uppercase(), other_ending, mixed, text[4..].to_owned(), format!("{text}a"), "gth_".to_owned(), String::new()] {
        let refused = world.accounts.token(&Secret::from(wrong.clone()), &from("192.0.2.1")).await;
        assert!(matches!(refused, Err(TokenRefused::Unknown)), "{wrong}");
    }
}

#[tokio::test]
async fn a_token_with_a_good_checksum_and_a_secret_that_is_not_its_own_is_refused() {
    let world = World::new().await;
    let (info, text) = made(&world, new()).await;
    let forged = crate::api_token::text_of(&info.id, &[7; 20]);
    assert_eq!(crate::secret::text(&forged).len(), crate::secret::text(&text).len());
    let refused = world.accounts.token(&forged, &from("192.0.2.1")).await;
    assert!(matches!(refused, Err(TokenRefused::Unknown)));
}

#[tokio::test]
async fn an_expired_and_a_revoked_token_are_refused_from_that_moment_on() {
    let world = World::new().await;
    let (info, text) = made(&world, NewToken { expires: None, ..new() }).await;
    let (_, ending) = made(&world, new()).await;
    world.pass(DAY - Duration::from_secs(1));
    assert!(world.accounts.token(&ending, &from("192.0.2.1")).await.is_ok());
    world.pass(Duration::from_secs(1));
    assert!(matches!(world.accounts.token(&ending, &from("192.0.2.1")).await, Err(TokenRefused::Unknown)));
    assert!(world.accounts.token(&text, &from("192.0.2.1")).await.is_ok());
    world.accounts.revoke_token(world.ann.id, &info.id.to_string(), &from("192.0.2.1")).await.expect("revoked");
    assert!(matches!(world.accounts.token(&text, &from("192.0.2.1")).await, Err(TokenRefused::Unknown)));
    assert_eq!(world.accounts.tokens(world.ann.id).await.expect("tokens").len(), 1);
}

#[tokio::test]
async fn a_token_from_another_network_is_refused_and_its_owner_sees_it() {
    let world = World::new().await;
    let (info, text) = made(&world, NewToken { sources: "127.0.0.0/8".parse().expect("sources"), ..new() }).await;
    assert!(world.accounts.token(&text, &from("127.0.0.1")).await.is_ok());
    let refused = world.accounts.token(&text, &from("192.0.2.1")).await;
    assert!(matches!(refused, Err(TokenRefused::Source { .. })));
    let token = info.id.to_string();
    let history = world.history().await;
    assert_eq!(history[0], Happening::TokenRefused { token: token.clone(), reason: "source".to_owned() });
    assert_eq!(history[1], Happening::TokenUsedFromNewNetwork { token });
    let change = TokenChange { sources: Some(Sources::Any), ..TokenChange::default() };
    world.accounts.change_token(&world.ann_at_home().await, &info.id.to_string(), change, &from("127.0.0.1")).await.expect("changed");
    assert!(world.accounts.token(&text, &from("192.0.2.1")).await.is_ok());
}

#[tokio::test]
async fn the_last_use_is_told_and_written_no_more_than_once_a_minute() {
    let world = World::new().await;
    let (_, text) = made(&world, new()).await;
    let commits = async || world.accounts.events.store().snapshot().await.expect("snapshot").version().0;
    world.accounts.token(&text, &from("192.0.2.1")).await.expect("good");
    let before = commits().await;
    for _ in 0..10 {
        world.pass(Duration::from_secs(5));
        world.accounts.token(&text, &from("192.0.2.7")).await.expect("good");
    }
    assert_eq!(commits().await, before);
    world.pass(Duration::from_secs(10));
    world.accounts.token(&text, &from("192.0.2.7")).await.expect("good");
    let used = world.accounts.tokens(world.ann.id).await.expect("tokens")[0].used.expect("used");
    assert_eq!((used.at, used.address), (START + Duration::from_secs(60), from("192.0.2.7").address));
}

#[tokio::test]
async fn a_token_is_never_allowed_more_than_its_maker() {
    let world = World::new().await;
    let home = world.ann_at_home().await;
    let viewer = crate::Member { role: Role::Viewer, ..home };
    for rights in [vec![Right::ManageMembers], vec![]] {
        let refused = world.accounts.make_token(&viewer, NewToken { rights, ..new() }, &from("192.0.2.1")).await;
        assert!(matches!(refused, Err(TokenError::Rights { .. })));
    }
    let (info, _) = world.accounts.make_token(&viewer, new(), &from("192.0.2.1")).await.expect("made");
    let change = TokenChange { rights: Some(vec![Right::ManageMembers]), ..TokenChange::default() };
    let raised = world.accounts.change_token(&viewer, &info.id.to_string(), change, &from("192.0.2.1")).await;
    assert!(matches!(raised, Err(TokenError::Rights { .. })));
    let past = world.accounts.make_token(&home, NewToken { expires: Some(START), ..new() }, &from("192.0.2.1")).await;
    assert!(matches!(past, Err(TokenError::Expired)));
}

#[tokio::test]
async fn somebody_elses_token_is_neither_changed_nor_revoked() {
    let world = World::new().await;
    let (info, text) = made(&world, new()).await;
    let ben = add(&world.accounts, "ben@example.com").await;
    let id = info.id.to_string();
    assert!(matches!(world.accounts.revoke_token(ben.id, &id, &from("192.0.2.1")).await, Err(TokenError::Unknown)));
    assert!(matches!(world.accounts.revoke_token(world.ann.id, "nonsense", &from("192.0.2.1")).await, Err(TokenError::Unknown)));
    assert!(world.accounts.token(&text, &from("192.0.2.1")).await.is_ok());
}

#[tokio::test]
async fn a_token_is_changed_in_the_organisation_that_it_acts_in_and_in_no_other_of_its_owner() {
    let world = World::new().await;
    let (info, _) = made(&world, new()).await;
    let home = world.ann_at_home().await;
    let other = world.accounts.add_organisation(world.ann.id, "Acme").await.expect("made");
    let there = crate::Member::of(world.ann.id, other.id, Role::Owner).lately(true);
    let more = TokenChange { rights: Some(vec![Right::ManageMembers]), ..TokenChange::default() };
    let id = info.id.to_string();
    let raised = world.accounts.change_token(&there, &id, more.clone(), &from("192.0.2.1")).await;
    assert!(matches!(raised, Err(TokenError::Unknown)), "who is mightier elsewhere would raise it: {raised:?}");
    world.accounts.change_token(&home, &id, more, &from("192.0.2.1")).await.expect("at home");
}

#[tokio::test]
async fn two_tokens_that_are_made_at_the_same_moment_do_not_pass_the_bound() {
    let world = World::new().await;
    for _ in 0..99 {
        made(&world, new()).await;
    }
    let (home, here) = (world.ann_at_home().await, from("192.0.2.1"));
    world.meeting.of_two();
    let (one, two) = tokio::join!(world.accounts.make_token(&home, new(), &here), world.accounts.make_token(&home, new(), &here));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    assert!([one.err(), two.err()].iter().flatten().all(|error| matches!(error, TokenError::TooMany)));
    assert_eq!(world.accounts.tokens(world.ann.id).await.expect("tokens").len(), 100);
}

#[tokio::test]
async fn refusals_of_a_token_from_elsewhere_are_written_no_more_than_once_a_minute() {
    let world = World::new().await;
    let (_, text) = made(&world, NewToken { sources: "127.0.0.0/8".parse().expect("sources"), ..new() }).await;
    let told = async || world.history().await.iter().filter(|happening| matches!(happening, Happening::TokenRefused { .. })).count();
    for at in 0..12_u8 {
        let refused = world.accounts.token(&text, &from(&format!("192.0.2.{at}"))).await;
        assert!(matches!(refused, Err(TokenRefused::Source { .. })));
        world.pass(Duration::from_secs(5));
    }
    assert_eq!(told().await, 1);
    assert!(world.accounts.token(&text, &from("192.0.2.1")).await.is_err());
    assert_eq!(told().await, 2);
    assert!(world.accounts.token(&text, &from("127.0.0.1")).await.is_ok());
}
