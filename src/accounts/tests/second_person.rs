//! What is done to everybody, by one person or by two.

use super::{
    PASSWORD, World,
    doors::{Door, OURS},
    from, secret,
};
use crate::{
    Config, Deed, DeedError, DeedKind, Fact, Happening, NamedError, NewPassword, NewPerson, Outcome, SteppedUp, Visitor, WaitingDeed,
};
use axum::http::{StatusCode, header};
use gatehouse_ca::Issuance;
use gatehouse_types::{OrganisationId, PersonId};
use serde_json::json;
use std::time::Duration;

const HALT: DeedKind = DeedKind::Halt;

fn here() -> Visitor {
    from("192.0.2.1")
}

fn halt() -> Deed {
    Deed::Halt { note: "a key leaked".to_owned() }
}

async fn operator(world: &World, email: &str) -> SteppedUp {
    let password = NewPassword::new(secret(PASSWORD)).expect("good");
    let new = NewPerson { email: email.parse().expect("an address"), name: email.to_owned(), password, operator: true };
    SteppedUp::pretended(world.accounts.add_person(new).await.expect("added").id)
}

/// A world in which halting takes two, with two operators in it.
async fn two() -> (World, SteppedUp, SteppedUp) {
    let world = World::with(|config| config.second_person = vec![HALT]).await;
    let (first, second) = (operator(&world, "first@example.com").await, operator(&world, "second@example.com").await);
    (world, first, second)
}

async fn asked(world: &World, by: &SteppedUp) -> WaitingDeed {
    match world.accounts.act(by, halt(), &here()).await.expect("asked") {
        Outcome::Waits(waiting) => waiting,
        Outcome::Done => panic!("it is done"),
    }
}

async fn is_halted(world: &World) -> bool {
    matches!(world.accounts.issuance().await.expect("read"), Issuance::Halted { .. })
}

async fn newest(world: &World, person: PersonId) -> Happening {
    world.accounts.history(person, None, 1).await.expect("history").remove(0).happening
}

#[tokio::test]
async fn one_person_halts_and_resumes_where_nobody_else_is_asked_for() {
    let world = World::new().await;
    let by = operator(&world, "first@example.com").await;
    assert_eq!(world.accounts.act(&by, halt(), &here()).await.expect("done"), Outcome::Done);
    assert!(is_halted(&world).await);
    let deed = "halt the issue of certificates (a key leaked)".to_owned();
    assert_eq!(newest(&world, by.person).await, Happening::DeedDone { deed });
    assert_eq!(world.accounts.act(&by, Deed::Resume, &here()).await.expect("done"), Outcome::Done);
    assert!(!is_halted(&world).await);
    let told: Vec<Fact> = world.facts().await;
    assert!(told.contains(&Fact::DeedDone { kind: HALT, person: by.person, second: None }), "{told:?}");
}

#[tokio::test]
async fn a_second_person_approves_what_the_first_asked_for() {
    let (world, first, second) = two().await;
    world.post().await;
    let waiting = asked(&world, &first).await;
    assert!(!is_halted(&world).await);
    let post = world.post().await;
    assert_eq!(post.iter().map(|letter| letter.to.as_str()).collect::<Vec<_>>(), ["second@example.com"], "{post:?}");
    assert_eq!(world.accounts.waiting_deeds().await.expect("read"), std::slice::from_ref(&waiting));
    let own = world.accounts.approve_deed(&first, &waiting.id, &here()).await;
    assert!(matches!(own, Err(DeedError::SamePerson)), "{own:?}");
    assert!(!is_halted(&world).await);
    world.accounts.approve_deed(&second, &waiting.id, &here()).await.expect("approved");
    assert!(is_halted(&world).await);
    assert!(world.accounts.waiting_deeds().await.expect("read").is_empty());
    assert_eq!(world.post().await.iter().map(|letter| letter.to.clone()).collect::<Vec<_>>(), ["first@example.com"]);
    let told: Vec<Fact> = world.facts().await;
    for fact in [
        Fact::DeedAsked { kind: HALT, person: first.person },
        Fact::DeedDone { kind: HALT, person: first.person, second: Some(second.person) },
        Fact::DeedAnswered { kind: HALT, person: second.person, approved: true },
    ] {
        assert!(told.contains(&fact), "{fact:?} in {told:?}");
    }
    let again = world.accounts.approve_deed(&second, &waiting.id, &here()).await;
    assert!(matches!(again, Err(DeedError::Unknown)), "{again:?}");
    // What is not named takes one.
    assert_eq!(world.accounts.act(&first, Deed::Resume, &here()).await.expect("done"), Outcome::Done);
}

#[tokio::test]
async fn what_was_rejected_taken_back_or_waited_for_an_hour_is_not_done() {
    let (world, first, second) = two().await;
    let rejected = asked(&world, &first).await;
    world.accounts.reject_deed(&second, &rejected.id, &here()).await.expect("rejected");
    let taken_back = asked(&world, &first).await;
    world.accounts.reject_deed(&first, &taken_back.id, &here()).await.expect("taken back");
    let late = asked(&world, &first).await;
    world.pass(Duration::from_secs(3600));
    for id in [&rejected.id, &taken_back.id, &late.id, "nonsense", ""] {
        let answer = world.accounts.approve_deed(&second, id, &here()).await;
        assert!(matches!(answer, Err(DeedError::Unknown)), "{answer:?}");
        assert!(matches!(world.accounts.reject_deed(&second, id, &here()).await, Err(DeedError::Unknown)));
    }
    assert!(!is_halted(&world).await && world.accounts.waiting_deeds().await.expect("read").is_empty());
    assert_eq!(world.accounts.forget_ended_deeds().await.expect("forgotten"), 1);
    let in_time = asked(&world, &first).await;
    world.pass(Duration::from_secs(3599));
    world.accounts.approve_deed(&second, &in_time.id, &here()).await.expect("approved");
    assert!(is_halted(&world).await);
}

#[tokio::test]
async fn whoever_runs_the_installation_no_more_asks_for_nothing() {
    let (world, first, second) = two().await;
    let waiting = asked(&world, &first).await;
    world.accounts.remove_account(&first, &secret(PASSWORD), &here()).await.expect("gone");
    let answer = world.accounts.approve_deed(&second, &waiting.id, &here()).await;
    assert!(matches!(answer, Err(DeedError::Unknown)), "{answer:?}");
    assert!(!is_halted(&world).await);
}

#[tokio::test]
async fn only_so_much_waits_and_notes_are_short() {
    let (world, first, _) = two().await;
    for _ in 0..100 {
        asked(&world, &first).await;
    }
    assert!(matches!(world.accounts.act(&first, halt(), &here()).await, Err(DeedError::TooMany)));
    for note in ["", " ", &"x".repeat(201), "a\u{7}b"] {
        let noted = world.accounts.act(&first, Deed::Halt { note: note.to_owned() }, &here()).await;
        assert!(matches!(noted, Err(DeedError::Note)), "{note:?}");
    }
    let nowhere = Deed::SuspendOrganisation { organisation: OrganisationId::from_random([7; 16]) };
    let unknown = world.accounts.act(&first, nowhere, &here()).await;
    assert!(matches!(unknown, Err(DeedError::Suspension(NamedError::Unknown(crate::Named::Organisation)))), "{unknown:?}");
}

#[test]
fn nobody_else_is_asked_for_unless_it_is_said() {
    assert!(Config::default().second_person.is_empty());
}

#[tokio::test]
async fn over_the_door_operators_are_asked_again_and_nobody_else_comes_in() {
    let door = Door::with(|config| config.second_person = vec![HALT, DeedKind::SuspendOrganisation]).await;
    let cookie = door.cookie().await;
    let ann = [("cookie", cookie.as_str()), OURS];
    let home = door.world.ann_at_home().await.organisation;
    let suspend = format!("/v1/instance/organisations/{home}/suspend");
    let note = json!({ "note": "a key leaked" });
    let all = [
        ("/v1/instance/authority/halt", note.clone()),
        ("/v1/instance/authority/resume", json!({})),
        (suspend.as_str(), json!({})),
        ("/v1/instance/requests/00/approve", json!({})),
        ("/v1/instance/requests/00/reject", json!({})),
    ];
    for (path, body) in &all {
        let answer = door.post(path, &ann, body.clone()).await;
        assert_eq!((answer.status, &answer.body["code"]), (StatusCode::FORBIDDEN, &json!("forbidden")), "{path}");
    }
    for path in ["/v1/instance/authority", "/v1/instance/requests"] {
        assert_eq!(door.get(path, &ann).await.status, StatusCode::FORBIDDEN);
    }
    let mut cookies = Vec::new();
    for email in ["first@example.com", "second@example.com"] {
        operator(&door.world, email).await;
        let signed_in = door.post("/v1/sign-in", &[], json!({ "email": email, "password": PASSWORD })).await;
        cookies.push(signed_in.headers[header::SET_COOKIE].to_str().expect("text").split(';').next().expect("a pair").to_owned());
    }
    let [first, second] = [[("cookie", cookies[0].as_str()), OURS], [("cookie", cookies[1].as_str()), OURS]];
    let waiting = door.post("/v1/instance/authority/halt", &first, note.clone()).await;
    assert_eq!((waiting.status, &waiting.body["deed"]), (StatusCode::ACCEPTED, &json!("halt")), "{}", waiting.body);
    let stopping = door.post(&suspend, &first, json!({})).await;
    assert_eq!(stopping.status, StatusCode::ACCEPTED, "{}", stopping.body);
    let listed = door.get("/v1/instance/requests", &second).await;
    assert_eq!(listed.body.as_array().map(Vec::len), Some(2), "{}", listed.body);
    let approve = format!("/v1/instance/requests/{}/approve", waiting.body["id"].as_str().expect("an id"));
    assert_eq!(door.post(&approve, &first, json!({})).await.body["code"], "second-person-needed");

    door.world.pass(Duration::from_secs(300));
    for (path, body) in &all {
        assert_eq!(door.post(path, &second, body.clone()).await.body["code"], "step-up-needed", "{path}");
    }
    assert_eq!(door.post("/v1/me/step-up", &second, json!({ "password": PASSWORD })).await.status, StatusCode::OK);
    assert_eq!(door.get("/v1/instance/authority", &second).await.body, json!({ "issuance": "open" }));
    assert_eq!(door.post(&approve, &second, json!({})).await.status, StatusCode::NO_CONTENT);
    let halted = door.get("/v1/instance/authority", &second).await;
    assert_eq!(halted.body["issuance"], "halted", "{}", halted.body);
    let reject = format!("/v1/instance/requests/{}/reject", stopping.body["id"].as_str().expect("an id"));
    assert_eq!(door.post(&reject, &second, json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(door.get("/v1/members", &ann).await.status, StatusCode::OK);
    assert_eq!(door.post("/v1/instance/authority/resume", &second, json!({})).await.status, StatusCode::NO_CONTENT);
}
