//! Passkeys: adding, signing in with and without a password, keeping; and every step of the ceremonies that refuses.

use super::{
    PASSWORD, World, add,
    doors::{Door, OURS},
    from, secret,
    soft_authenticator::{BACKED_UP, ELIGIBLE, PRESENT, Saying, Soft, VERIFIED},
};
use crate::{
    Challenge, Happening, NewPasskey, NewSession, PasskeyError, PasskeyInfo, Proof, Registration, Rejection, SignInError, SignedIn,
    SteppedUp, Visitor, links::LinkKind,
};
use axum::http::{Method, StatusCode};
use gatehouse_pki::KeyAlgorithm::{Ed25519, P256, P384};
use gatehouse_types::Secret;
use gatehouse_wire::webauthn::WebauthnError;
use serde_json::{Value, json};
use std::time::Duration;

fn here() -> Visitor {
    from("192.0.2.1")
}

/// Ann in a session that begins now. She has no second factor yet.
async fn session(world: &World) -> SteppedUp {
    of(world, &world.sign_in(&here()).await).await
}

async fn of(world: &World, session: &NewSession) -> SteppedUp {
    let (session, person) = world.accounts.session(&session.secret).await.expect("read").expect("goes on");
    SteppedUp { person, session }
}

fn registration(answer: Value) -> Registration {
    serde_json::from_value(answer).expect("what a browser answers")
}

pub(super) async fn try_adding(
    world: &World,
    by: &SteppedUp,
    soft: &mut Soft,
    saying: &Saying,
) -> Result<(PasskeyInfo, Vec<Secret>), PasskeyError> {
    let options = world.accounts.passkey_options(by).await?;
    let new = NewPasskey { name: "key ring".to_owned(), credential: registration(soft.create(&options, saying)) };
    world.accounts.add_passkey(by, &new, &here()).await
}

/// A passkey of Ann's, and her recovery codes.
async fn added(world: &World) -> (Soft, PasskeyInfo, Vec<Secret>) {
    let mut soft = Soft::new(P256).counting();
    let (info, codes) = try_adding(world, &session(world).await, &mut soft, &Saying::honest()).await.expect("added");
    (soft, info, codes)
}

async fn try_signing_in(world: &World, soft: &mut Soft, saying: &Saying) -> Result<NewSession, SignInError> {
    let options = world.accounts.passkey_sign_in_options()?;
    let assertion = serde_json::from_value(soft.get(&options, saying)).expect("what a browser answers");
    world.accounts.sign_in_with_passkey(&assertion, &here()).await
}

fn rejected<T: std::fmt::Debug>(answer: Result<T, SignInError>) -> Rejection {
    match answer {
        Err(SignInError::Passkey(rejection)) => rejection,
        other => panic!("{other:?}"),
    }
}

async fn challenged(world: &World) -> Challenge {
    match world.accounts.sign_in("ann@example.com", &secret(PASSWORD), &here()).await.expect("the password is right") {
        SignedIn::SecondFactor(challenge) => challenge,
        SignedIn::Session(_) => panic!("no second factor is asked for"),
    }
}

async fn second_step(world: &World, challenge: &Challenge, soft: &mut Soft, saying: &Saying) -> Result<NewSession, SignInError> {
    let options = world.accounts.challenge_options(&challenge.secret).await?;
    let proof = Proof::Passkey(serde_json::from_value(soft.get(&options, saying)).expect("what a browser answers"));
    world.accounts.answer_challenge(&challenge.secret, &proof, &here()).await
}

#[tokio::test]
async fn a_passkey_lets_in_without_a_password() {
    for algorithm in [P256, Ed25519] {
        let world = World::new().await;
        let mut soft = Soft::new(algorithm);
        let (info, _) = try_adding(&world, &session(&world).await, &mut soft, &Saying::honest()).await.expect("added");
        world.pass(Duration::from_secs(60));
        let begun = try_signing_in(&world, &mut soft, &Saying::honest()).await.expect("signed in");
        assert_eq!(of(&world, &begun).await.person, world.ann.id);
        assert_eq!(world.history().await[0], Happening::SignedInWithPasskey { passkey: info.id.clone() });
        let [kept] = world.accounts.passkeys(world.ann.id).await.expect("read").try_into().expect("one");
        let used = kept.used.expect("used");
        assert_eq!((kept.id, kept.name.as_str(), used.address), (info.id, "key ring", here().address));
        assert_eq!(used.at, kept.made + Duration::from_secs(60));
    }
}

#[tokio::test]
async fn whoever_took_an_account_over_does_not_come_back_with_a_passkey_of_that_time() {
    let world = World::new().await;
    let (session, mut anns) = (session(&world).await, Soft::new(P256));
    try_adding(&world, &session, &mut anns, &Saying::honest()).await.expect("added");
    world.pass(Duration::from_secs(60));
    world.accounts.ask_for_address(world.ann.id, "thief@example.net", &secret(PASSWORD), &here()).await.expect("asked");
    let keep = world.link("ann@example.com", LinkKind::KeepAddress).await;
    let mut thiefs = Soft::with_id(P256, vec![7; 16]);
    try_adding(&world, &session, &mut thiefs, &Saying::honest()).await.expect("added");
    world.accounts.keep_address(&keep, &here()).await.expect("kept");
    assert_eq!(rejected(try_signing_in(&world, &mut thiefs, &Saying::honest()).await), Rejection::Unknown);
    try_signing_in(&world, &mut anns, &Saying::honest()).await.expect("signed in");
}

#[tokio::test]
async fn a_passkey_is_a_second_factor_behind_the_password() {
    let world = World::new().await;
    let (mut soft, ..) = added(&world).await;
    // Whether somebody is there is enough here: the password has shown who.
    let touched = Saying { flags: PRESENT, ..Saying::honest() };
    let challenge = challenged(&world).await;
    let begun = second_step(&world, &challenge, &mut soft, &touched).await.expect("signed in");
    assert_eq!(of(&world, &begun).await.person, world.ann.id);
    assert_eq!(world.history().await[0], Happening::SignedIn { second_factor: true });
    let used = world.accounts.challenge_options(&challenge.secret).await;
    assert!(matches!(used, Err(SignInError::ChallengeOver)), "{used:?}");
}

#[tokio::test]
async fn without_a_password_the_authenticator_makes_sure_who_is_there_and_says_it() {
    let world = World::new().await;
    let (mut soft, ..) = added(&world).await;
    let touched = Saying { flags: PRESENT, ..Saying::honest() };
    assert_eq!(rejected(try_signing_in(&world, &mut soft, &touched).await), Rejection::UserVerification);
    let ben = add(&world.accounts, "ben@example.com").await;
    for handle in [data_encoding::BASE64URL_NOPAD.encode(ben.id.as_bytes()), "bm9ib2R5".to_owned()] {
        let lying = Saying { handle: Some(handle), ..Saying::honest() };
        assert_eq!(rejected(try_signing_in(&world, &mut soft, &lying).await), Rejection::Owner);
    }
    let silent = Saying { handle: Some(String::new()), ..Saying::honest() };
    assert_eq!(rejected(try_signing_in(&world, &mut soft, &silent).await), Rejection::Owner);
    // Behind a password nobody has to be told.
    world.pass(Duration::from_secs(3600));
    let challenge = challenged(&world).await;
    world.pass(Duration::from_secs(60));
    second_step(&world, &challenge, &mut soft, &silent).await.expect("signed in");
}

/// §7.1, step by step.
#[tokio::test]
async fn every_step_of_a_registration_refuses_what_does_not_fit() {
    let world = World::new().await;
    let by = session(&world).await;
    let honest = Saying::honest;
    let flags = |flags| Saying { flags, ..honest() };
    let origin = |origin: &str| Saying { origin: origin.to_owned(), ..honest() };
    for (saying, expected) in [
        (Saying { kind: "webauthn.get", ..honest() }, Rejection::Type),
        (Saying { challenge: Some("AAAAAAAAAAAAAAAAAAAAAA".to_owned()), ..honest() }, Rejection::Challenge),
        (Saying { challenge: Some("/".to_owned()), ..honest() }, Rejection::Challenge),
        (origin("https://gatehouse.example.com"), Rejection::Origin),
        (origin("https://gatehouse.example.com:8443/"), Rejection::Origin),
        (origin("http://gatehouse.example.com:8443"), Rejection::Origin),
        (origin("https://evil.gatehouse.example.com:8443"), Rejection::Origin),
        (Saying { more: json!({ "crossOrigin": true }), ..honest() }, Rejection::CrossOrigin),
        (Saying { more: json!({ "topOrigin": "https://evil.example" }), ..honest() }, Rejection::CrossOrigin),
        (Saying { more: json!({ "origin": 1 }), ..honest() }, Rejection::ClientData),
        (Saying { rp_id: "example.com", ..honest() }, Rejection::RelyingParty),
        (flags(VERIFIED), Rejection::UserPresence),
        (flags(PRESENT | BACKED_UP), Rejection::Backup),
        (Saying { changed_id: true, ..honest() }, Rejection::CredentialId),
    ] {
        let answer = try_adding(&world, &by, &mut Soft::new(P256), &saying).await;
        assert!(matches!(answer, Err(PasskeyError::Rejected(why)) if why == expected), "{saying:?}: {answer:?}");
    }
    let unasked = try_adding(&world, &by, &mut Soft::new(P384), &honest()).await;
    assert!(matches!(unasked, Err(PasskeyError::Rejected(Rejection::Authenticator(WebauthnError::Key)))), "{unasked:?}");
    let options = world.accounts.passkey_options(&by).await.expect("options");
    let mut answer = Soft::with_id(P256, vec![7; 1024]).create(&options, &honest());
    answer["id"] = "AA".into();
    let long = NewPasskey { name: "long".to_owned(), credential: registration(answer) };
    let long = world.accounts.add_passkey(&by, &long, &here()).await;
    assert!(matches!(long, Err(PasskeyError::Rejected(Rejection::Authenticator(WebauthnError::CredentialId)))), "{long:?}");
    assert!(world.accounts.passkeys(world.ann.id).await.expect("read").is_empty());
    world.sign_in(&here()).await;
}

#[tokio::test]
async fn a_registration_is_good_with_whatever_the_steps_allow() {
    let world = World::new().await;
    let by = session(&world).await;
    let synchronised = Saying { flags: PRESENT | VERIFIED | ELIGIBLE | BACKED_UP, ..Saying::honest() };
    let attested = Saying { format: "packed", more: json!({ "other_keys_can_be_added_here": "do not compare" }), ..Saying::honest() };
    for (id, algorithm, saying) in
        [(1, P256, synchronised), (2, Ed25519, attested), (3, P256, Saying { flags: PRESENT, ..Saying::honest() })]
    {
        let mut soft = Soft::with_id(algorithm, vec![id; if id == 3 { 1023 } else { 1 }]);
        try_adding(&world, &by, &mut soft, &saying).await.expect("added");
    }
    let kept = world.accounts.passkeys(world.ann.id).await.expect("read");
    assert_eq!(kept.iter().map(|passkey| passkey.synchronised).collect::<Vec<_>>(), [true, false, false]);
    let options = serde_json::to_value(world.accounts.passkey_options(&by).await.expect("options")).expect("JSON");
    assert_eq!(options["excludeCredentials"].as_array().map(Vec::len), Some(3));
    assert_eq!(options["excludeCredentials"][0]["transports"], json!(["internal", "hybrid"]));
    assert_eq!((&options["attestation"], &options["rp"]["id"]), (&json!("none"), &json!("gatehouse.example.com")));
}

/// §7.2, step by step.
#[tokio::test]
async fn every_step_of_a_sign_in_refuses_what_does_not_fit() {
    let world = World::new().await;
    let (mut soft, ..) = added(&world).await;
    let honest = Saying::honest;
    let flags = |flags| Saying { flags, ..honest() };
    for (saying, expected) in [
        (Saying { kind: "webauthn.create", ..honest() }, Rejection::Type),
        (Saying { kind: "payment.get", ..honest() }, Rejection::Type),
        (Saying { challenge: Some("AAAAAAAAAAAAAAAAAAAAAA".to_owned()), ..honest() }, Rejection::Challenge),
        (Saying { origin: "https://evil.example".to_owned(), ..honest() }, Rejection::Origin),
        (Saying { more: json!({ "crossOrigin": true }), ..honest() }, Rejection::CrossOrigin),
        (Saying { rp_id: "evil.example", ..honest() }, Rejection::RelyingParty),
        (flags(VERIFIED), Rejection::UserPresence),
        (flags(PRESENT | VERIFIED | BACKED_UP), Rejection::Backup),
        (flags(PRESENT | VERIFIED | ELIGIBLE), Rejection::BackupChanged),
        (Saying { spoilt_signature: true, ..honest() }, Rejection::Signature),
    ] {
        world.pass(Duration::from_secs(3600));
        assert_eq!(rejected(try_signing_in(&world, &mut soft, &saying).await), expected, "{saying:?}");
    }
    let mut stranger = Soft::with_id(P256, b"of nobody".to_vec());
    stranger.create(&world.accounts.passkey_options(&of_ann(&world).await).await.expect("options"), &honest());
    assert_eq!(rejected(try_signing_in(&world, &mut stranger, &honest()).await), Rejection::Unknown);
    world.pass(Duration::from_secs(3600));
    try_signing_in(&world, &mut soft, &honest()).await.expect("signed in");
}

/// Ann in a session that she got by one of her recovery codes or her passkey; here it only has to exist.
async fn of_ann(world: &World) -> SteppedUp {
    let sessions = crate::session::SessionId([7; 32]);
    SteppedUp { person: world.ann.id, session: sessions }
}

#[tokio::test]
async fn a_challenge_is_good_once_for_five_minutes_and_for_one_thing() {
    let world = World::new().await;
    let by = session(&world).await;
    let (mut soft, ..) = added(&world).await;
    let honest = Saying::honest();
    let options = world.accounts.passkey_sign_in_options().expect("options");
    let assertion = serde_json::from_value(soft.get(&options, &honest)).expect("good");
    world.accounts.sign_in_with_passkey(&assertion, &here()).await.expect("signed in");
    assert_eq!(rejected(world.accounts.sign_in_with_passkey(&assertion, &here()).await), Rejection::Challenge, "again");

    // One that failed is used up as well.
    let options = world.accounts.passkey_sign_in_options().expect("options");
    let wrong = serde_json::from_value(soft.get(&options, &Saying { spoilt_signature: true, ..honest.clone() })).expect("good");
    assert_eq!(rejected(world.accounts.sign_in_with_passkey(&wrong, &here()).await), Rejection::Signature);
    let right = serde_json::from_value(soft.get(&options, &honest)).expect("good");
    assert_eq!(rejected(world.accounts.sign_in_with_passkey(&right, &here()).await), Rejection::Challenge, "after a failure");

    let options = world.accounts.passkey_sign_in_options().expect("options");
    world.pass(Duration::from_secs(299));
    let late = serde_json::from_value(soft.get(&options, &honest)).expect("good");
    world.accounts.sign_in_with_passkey(&late, &here()).await.expect("in time");
    let options = world.accounts.passkey_sign_in_options().expect("options");
    world.pass(Duration::from_secs(300));
    let late = serde_json::from_value(soft.get(&options, &honest)).expect("good");
    assert_eq!(rejected(world.accounts.sign_in_with_passkey(&late, &here()).await), Rejection::Challenge, "too late");

    // For adding one, in one session.
    let (mut new, other) = (Soft::with_id(P256, vec![1]), of_ann(&world).await);
    let options = world.accounts.passkey_options(&by).await.expect("options");
    let new = NewPasskey { name: "mine".to_owned(), credential: registration(new.create(&options, &honest)) };
    let foreign = world.accounts.add_passkey(&other, &new, &here()).await;
    assert!(matches!(foreign, Err(PasskeyError::Rejected(Rejection::Challenge))), "{foreign:?}");
    let signing = serde_json::from_value(soft.get(&options, &honest)).expect("good");
    assert_eq!(rejected(world.accounts.sign_in_with_passkey(&signing, &here()).await), Rejection::Challenge, "for adding");
    world.accounts.add_passkey(&by, &new, &here()).await.expect("added");

    // For one sign-in's second step.
    world.pass(Duration::from_secs(3600));
    let (first, second) = (challenged(&world).await, challenged(&world).await);
    let options = world.accounts.challenge_options(&first.secret).await.expect("options");
    let proof = Proof::Passkey(serde_json::from_value(soft.get(&options, &honest)).expect("good"));
    assert_eq!(rejected(world.accounts.answer_challenge(&second.secret, &proof, &here()).await), Rejection::Challenge, "for another");
    world.accounts.answer_challenge(&first.secret, &proof, &here()).await.expect("signed in");
    world.pass(Duration::from_secs(301));
    assert_eq!(world.accounts.forget_spent_challenges().await.expect("forgotten"), 6);
}

#[tokio::test]
async fn a_passkey_that_counts_backwards_is_refused_and_its_owner_is_told() {
    let world = World::new().await;
    let (mut soft, info, _) = added(&world).await;
    try_signing_in(&world, &mut soft, &Saying::honest()).await.expect("signed in");
    world.post().await;
    for counter in [0, 0, 1] {
        // It says one more than this: the same number once more, or less.
        soft.counter = counter;
        world.pass(Duration::from_secs(3600));
        let answer = try_signing_in(&world, &mut soft, &Saying::honest()).await;
        if counter == 1 {
            answer.expect("more than before");
            continue;
        }
        assert_eq!(rejected(answer), Rejection::Counter);
        let told = Happening::PasskeyCountedBackwards { passkey: info.id.clone(), name: "key ring".to_owned() };
        assert_eq!(world.history().await[0], told);
        assert!(world.post().await.iter().any(|letter| letter.to == "ann@example.com" && letter.subject == "A passkey was refused"));
    }
    // A stranger's answer is no copy, whatever it counts.
    soft.counter = 0;
    world.pass(Duration::from_secs(3600));
    let invented = Saying { spoilt_signature: true, ..Saying::honest() };
    assert_eq!(rejected(try_signing_in(&world, &mut soft, &invented).await), Rejection::Signature);
    assert!(world.post().await.is_empty());
    // Behind a password as well.
    soft.counter = 0;
    world.pass(Duration::from_secs(3600));
    assert_eq!(rejected(second_step(&world, &challenged(&world).await, &mut soft, &Saying::honest()).await), Rejection::Counter);
    assert_eq!(world.post().await.len(), 1);
}

#[tokio::test]
async fn a_second_step_takes_the_passkeys_of_whoever_gave_the_password() {
    let world = World::new().await;
    added(&world).await;
    let ben = add(&world.accounts, "ben@example.com").await;
    let by = SteppedUp { person: ben.id, ..of_ann(&world).await };
    let mut bens = Soft::with_id(P256, b"of Ben".to_vec());
    try_adding(&world, &by, &mut bens, &Saying::honest()).await.expect("added");
    let challenge = challenged(&world).await;
    let as_ann = Saying { handle: Some(data_encoding::BASE64URL_NOPAD.encode(world.ann.id.as_bytes())), ..Saying::honest() };
    for saying in [Saying::honest(), as_ann] {
        assert_eq!(rejected(second_step(&world, &challenge, &mut bens, &saying).await), Rejection::Unknown);
    }
    let options = serde_json::to_value(world.accounts.challenge_options(&challenge.secret).await.expect("options")).expect("JSON");
    assert_eq!(options["allowCredentials"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_credential_is_added_once_and_there_are_only_so_many() {
    let world = World::with(|config| config.passkeys = 2).await;
    let by = session(&world).await;
    try_adding(&world, &by, &mut Soft::with_id(P256, vec![1]), &Saying::honest()).await.expect("added");
    let ben = add(&world.accounts, "ben@example.com").await;
    for person in [world.ann.id, ben.id] {
        let by = SteppedUp { person, ..by };
        let again = try_adding(&world, &by, &mut Soft::with_id(P256, vec![1]), &Saying::honest()).await;
        assert!(matches!(again, Err(PasskeyError::Known)), "{again:?}");
    }
    let options = world.accounts.passkey_options(&by).await.expect("options");
    let third = registration(Soft::with_id(P256, vec![3]).create(&options, &Saying::honest()));
    try_adding(&world, &by, &mut Soft::with_id(P256, vec![2]), &Saying::honest()).await.expect("added");
    let crowded = world.accounts.add_passkey(&by, &NewPasskey { name: "three".to_owned(), credential: third }, &here()).await;
    assert!(matches!(crowded, Err(PasskeyError::TooMany { most: 2 })), "{crowded:?}");
    assert!(matches!(world.accounts.passkey_options(&by).await, Err(PasskeyError::TooMany { most: 2 })));
}

#[tokio::test]
async fn recovery_codes_come_with_the_first_second_factor_and_go_with_the_last() {
    let world = World::new().await;
    let by = session(&world).await;
    let (_, info, codes) = added(&world).await;
    assert_eq!(codes.len(), 10);
    let challenge = challenged(&world).await;
    world.accounts.answer_challenge(&challenge.secret, &Proof::Recovery(codes[0].clone()), &here()).await.expect("signed in");
    let (more, none) = try_adding(&world, &by, &mut Soft::with_id(P256, vec![2]), &Saying::honest()).await.expect("added");
    assert!(none.is_empty(), "those that are there stay good");
    world.accounts.remove_passkey(&by, &info.id, false, &here()).await.expect("removed");
    let last = world.accounts.remove_passkey(&by, &more.id, false, &here()).await;
    assert!(matches!(last, Err(PasskeyError::Last)), "{last:?}");
    let challenge = challenged(&world).await;
    world.accounts.answer_challenge(&challenge.secret, &Proof::Recovery(codes[1].clone()), &here()).await.expect("still asked for");
    world.post().await;
    // An address gets so many letters in an hour.
    world.pass(Duration::from_secs(3600));
    world.accounts.remove_passkey(&by, &more.id, true, &here()).await.expect("removed");
    world.sign_in(&here()).await;
    assert_eq!(world.history().await[1], Happening::PasskeyRemoved { passkey: more.id.clone(), name: "key ring".to_owned() });
    let told = world.post().await.iter().map(|letter| letter.text.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<String>();
    assert!(told.contains("It was the only second factor"), "{told}");
}

#[tokio::test]
async fn codes_from_an_authenticator_and_passkeys_stand_beside_each_other() {
    let world = World::new().await;
    let (mut soft, _, old) = added(&world).await;
    let (_, codes) = super::second_factor::enrolled(&world).await;
    let challenge = challenged(&world).await;
    let void = world.accounts.answer_challenge(&challenge.secret, &Proof::Recovery(old[0].clone()), &here()).await;
    assert!(matches!(void, Err(SignInError::Code)), "the new ones replace them");
    world.accounts.disable_second_factor(&world.ann_lately(), &Proof::Recovery(codes[0].clone()), &here()).await.expect("taken off");
    let challenge = challenged(&world).await;
    assert!(world.accounts.answer_challenge(&challenge.secret, &Proof::Code("000000".to_owned()), &here()).await.is_err());
    world.accounts.answer_challenge(&challenge.secret, &Proof::Recovery(codes[1].clone()), &here()).await.expect("signed in");
    second_step(&world, &challenged(&world).await, &mut soft, &Saying::honest()).await.expect("signed in");
}

#[tokio::test]
async fn a_removed_passkey_a_reset_and_a_deleted_account_let_nobody_in() {
    let honest = Saying::honest();
    let world = World::new().await;
    let by = session(&world).await;
    let (mut soft, info, _) = added(&world).await;
    world.accounts.remove_passkey(&by, &info.id, true, &here()).await.expect("removed");
    assert_eq!(rejected(try_signing_in(&world, &mut soft, &honest).await), Rejection::Unknown);
    let (mut soft, ..) = added(&world).await;
    let new = crate::NewPassword::new(secret("small boats float")).expect("good");
    world.accounts.reset(&world.ann.email, &new).await.expect("reset");
    assert_eq!(rejected(try_signing_in(&world, &mut soft, &honest).await), Rejection::Unknown);
    try_adding(&world, &by, &mut soft, &honest).await.expect("the credential is free again");
    world.accounts.remove_account(&world.ann_lately(), &secret("small boats float"), &here()).await.expect("deleted");
    world.pass(Duration::from_secs(3600));
    assert_eq!(rejected(try_signing_in(&world, &mut soft, &honest).await), Rejection::Unknown);
}

#[tokio::test]
async fn strangers_with_somebodys_credential_are_slowed_down() {
    let world = World::new().await;
    let (mut soft, ..) = added(&world).await;
    let wrong = Saying { spoilt_signature: true, ..Saying::honest() };
    let mut waits = 0;
    for _ in 0..8 {
        waits += usize::from(matches!(try_signing_in(&world, &mut soft, &wrong).await, Err(SignInError::Wait { .. })));
    }
    assert_eq!(waits, 4);
    let refused = Happening::SignInRefused { reason: "passkey".to_owned() };
    assert_eq!(world.history().await.iter().filter(|line| **line == refused).count(), 4);
}

#[tokio::test]
async fn without_a_name_there_are_no_passkeys() {
    let world = World::with(|config| config.issuer = Some("https://192.0.2.1:8443".to_owned())).await;
    let by = session(&world).await;
    assert!(matches!(world.accounts.passkey_options(&by).await, Err(PasskeyError::NoAddress)));
    assert!(matches!(world.accounts.passkey_sign_in_options(), Err(SignInError::NoPasskeys)));
}

#[tokio::test]
async fn the_whole_of_it_goes_over_the_door() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let session = [("cookie", cookie.as_str()), OURS];
    let mut soft = Soft::new(P256).counting();
    let honest = Saying::honest();
    let options = door.post("/v1/me/passkeys/options", &session, json!({})).await;
    assert_eq!(options.body["authenticatorSelection"]["residentKey"], "preferred", "{}", options.body);
    let made = json!({ "name": "phone", "credential": soft.create(&options.body, &honest) });
    let made = door.post("/v1/me/passkeys", &session, made).await;
    assert_eq!((made.status, made.body["recovery_codes"].as_array().map(Vec::len)), (StatusCode::CREATED, Some(10)), "{}", made.body);
    let path = format!("/v1/me/passkeys/{}", made.body["id"].as_str().expect("an id"));
    let renamed = door.ask(Method::PATCH, &path, &session, Some(json!({ "name": "telephone" }))).await;
    assert_eq!((renamed.status, &renamed.body["name"]), (StatusCode::OK, &json!("telephone")));

    let options = door.post("/v1/sign-in/passkey/options", &[], json!({})).await;
    assert_eq!(options.body["userVerification"], "required");
    let body = json!({ "credential": soft.get(&options.body, &honest) });
    let signed_in = door.post("/v1/sign-in/passkey", &[], body.clone()).await;
    assert_eq!(signed_in.status, StatusCode::OK, "{}", signed_in.body);
    assert!(signed_in.headers["set-cookie"].to_str().expect("text").starts_with("__Host-gatehouse-session="));
    let again = door.post("/v1/sign-in/passkey", &[], body).await;
    assert_eq!((again.status, &again.body["code"]), (StatusCode::UNAUTHORIZED, &json!("passkey-refused")));

    let first = door.post("/v1/sign-in", &[], json!({ "email": "ann@example.com", "password": PASSWORD })).await;
    let challenge = &first.body["second_factor"]["challenge"];
    let options = door.post("/v1/sign-in/second-factor/options", &[], json!({ "challenge": challenge })).await;
    let passkey = soft.get(&options.body, &honest);
    let both = json!({ "challenge": challenge, "code": "000000", "passkey": passkey });
    assert_eq!(door.post("/v1/sign-in/second-factor", &[], both).await.body["code"], "proof-needed");
    let second = door.post("/v1/sign-in/second-factor", &[], json!({ "challenge": challenge, "passkey": passkey })).await;
    assert_eq!(second.status, StatusCode::OK, "{}", second.body);

    let kept = door.ask(Method::DELETE, &path, &session, None).await;
    assert_eq!((kept.status, &kept.body["code"]), (StatusCode::CONFLICT, &json!("last-second-factor")));
    let gone = door.ask(Method::DELETE, &format!("{path}?last=true"), &session, None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(door.get("/v1/me/passkeys", &session).await.body, json!([]));
}
