use super::{PASSWORD, World, from, secret};
use crate::{Challenge, Happening, Proof, SecondFactorError, SignInError, SignedIn, totp};
use data_encoding::BASE32_NOPAD;
use gatehouse_base::Clock;
use gatehouse_types::Secret;
use std::time::Duration;

const STEP: Duration = Duration::from_secs(30);

/// What Ann's authenticator holds.
pub(super) struct Authenticator(Secret);

impl Authenticator {
    pub(super) fn code(&self, world: &World) -> String {
        totp::code_at(&self.0, totp::Step::at(world.clock.now()))
    }
}

/// Turns Ann's second factor on, and waits until the code that did it is over.
pub(super) async fn enrolled(world: &World) -> (Authenticator, Vec<Secret>) {
    let shown = world.accounts.enrol_second_factor(&world.ann_lately()).await.expect("enrolment");
    let authenticator = Authenticator(Secret::new(BASE32_NOPAD.decode(shown.secret.expose()).expect("base 32")));
    let code = authenticator.code(world);
    let codes = world.accounts.confirm_second_factor(&world.ann_lately(), &code, &from("192.0.2.1")).await.expect("confirmed");
    world.pass(STEP);
    (authenticator, codes)
}

async fn challenged(world: &World) -> Challenge {
    match world.accounts.sign_in("ann@example.com", &secret(PASSWORD), &from("192.0.2.1")).await.expect("the password is right") {
        SignedIn::SecondFactor(challenge) => challenge,
        SignedIn::Session(_) => panic!("no second factor is asked for"),
    }
}

#[tokio::test]
async fn after_enrolment_the_password_alone_begins_no_session() {
    let world = World::new().await;
    let (authenticator, _) = enrolled(&world).await;
    let challenge = challenged(&world).await;
    let code = Proof::Code(authenticator.code(&world));
    let session = world.accounts.answer_challenge(&challenge.secret, &code, &from("192.0.2.1")).await.expect("signed in");
    assert!(world.accounts.session(&session.secret).await.expect("read").is_some());
    assert_eq!(world.history().await[0], Happening::SignedIn { second_factor: true });
    assert!(world.accounts.session(&challenge.secret).await.expect("read").is_none(), "a challenge is no session");
}

#[tokio::test]
async fn a_code_and_a_challenge_are_good_once() {
    let world = World::new().await;
    let (authenticator, _) = enrolled(&world).await;
    let (first, second) = (challenged(&world).await, challenged(&world).await);
    let code = Proof::Code(authenticator.code(&world));
    world.accounts.answer_challenge(&first.secret, &code, &from("192.0.2.1")).await.expect("signed in");
    let replayed = world.accounts.answer_challenge(&second.secret, &code, &from("192.0.2.1")).await;
    assert!(matches!(replayed, Err(SignInError::Code)));
    world.pass(STEP);
    let again = Proof::Code(authenticator.code(&world));
    let used = world.accounts.answer_challenge(&first.secret, &again, &from("192.0.2.1")).await;
    assert!(matches!(used, Err(SignInError::ChallengeOver)));
}

#[tokio::test]
async fn a_challenge_takes_five_codes_and_five_minutes() {
    let world = World::new().await;
    let (authenticator, _) = enrolled(&world).await;
    let challenge = challenged(&world).await;
    let mut refusals = Vec::new();
    for _ in 0..6 {
        let answer = world.accounts.answer_challenge(&challenge.secret, &Proof::Code("000000".to_owned()), &from("192.0.2.1")).await;
        refusals.push(answer.expect_err("refused"));
        world.pass(Duration::from_secs(3));
    }
    assert!(matches!(refusals.pop(), Some(SignInError::ChallengeOver)));
    assert!(refusals.iter().all(|refusal| matches!(refusal, SignInError::Code)), "{refusals:?}");
    let late = challenged(&world).await;
    world.pass(Duration::from_secs(300));
    let code = Proof::Code(authenticator.code(&world));
    let over = world.accounts.answer_challenge(&late.secret, &code, &from("192.0.2.1")).await;
    assert!(matches!(over, Err(SignInError::ChallengeOver)));
    assert_eq!(world.accounts.forget_ended().await.expect("forgotten"), 1);
}

#[tokio::test]
async fn guessing_codes_over_many_challenges_is_slowed_down() {
    let world = World::new().await;
    enrolled(&world).await;
    let mut waits = 0;
    for _ in 0..8 {
        let Ok(SignedIn::SecondFactor(challenge)) =
            world.accounts.sign_in("ann@example.com", &secret(PASSWORD), &from("203.0.113.9")).await
        else {
            waits += 1;
            continue;
        };
        let answer = world.accounts.answer_challenge(&challenge.secret, &Proof::Code("000000".to_owned()), &from("203.0.113.9")).await;
        waits += usize::from(matches!(answer, Err(SignInError::Wait { .. })));
    }
    assert_eq!(waits, 4);
}

#[tokio::test]
async fn who_knows_the_password_guesses_at_ten_codes_however_many_networks_they_have_and_the_owner_hears_of_it() {
    let world = World::new().await;
    enrolled(&world).await;
    world.post().await;
    let mut looked_at = 0;
    for network in 0..50 {
        let here = from(&format!("2001:db8:1:{network}::1"));
        let Ok(SignedIn::SecondFactor(challenge)) = world.accounts.sign_in("ann@example.com", &secret(PASSWORD), &here).await else {
            panic!("the password is right, and nobody guessed at it")
        };
        let answer = world.accounts.answer_challenge(&challenge.secret, &Proof::Code("000000".to_owned()), &here).await;
        looked_at += usize::from(matches!(answer, Err(SignInError::Code)));
    }
    assert_eq!(looked_at, 10);
    let told: Vec<String> = world.post().await.into_iter().map(|letter| letter.subject).collect();
    assert_eq!(told, ["Somebody guesses at your account"]);
}

#[tokio::test]
async fn a_recovery_code_is_good_once_however_it_is_typed() {
    let world = World::new().await;
    let (_, codes) = enrolled(&world).await;
    assert_eq!(codes.len(), 10);
    let typed = Proof::Recovery(Secret::from(crate::secret::text(&codes[0]).replace('-', " ").to_uppercase()));
    let challenge = challenged(&world).await;
    world.accounts.answer_challenge(&challenge.secret, &typed, &from("192.0.2.1")).await.expect("signed in");
    assert_eq!(world.history().await[1], Happening::RecoveryCodeUsed { left: 9 });
    let again = challenged(&world).await;
    let used = world.accounts.answer_challenge(&again.secret, &typed, &from("192.0.2.1")).await;
    assert!(matches!(used, Err(SignInError::Code)));
}

#[tokio::test]
async fn enrolling_anew_overwrites_what_was_not_confirmed_and_nothing_that_was() {
    let world = World::new().await;
    let old = world.accounts.enrol_second_factor(&world.ann_lately()).await.expect("enrolment");
    let old = Authenticator(Secret::new(BASE32_NOPAD.decode(old.secret.expose()).expect("base 32")));
    let (authenticator, _) = enrolled(&world).await;
    assert_ne!(old.0, authenticator.0);
    assert!(matches!(world.accounts.enrol_second_factor(&world.ann_lately()).await, Err(SecondFactorError::On)));
    let challenge = challenged(&world).await;
    let code = Proof::Code(old.code(&world));
    assert!(matches!(world.accounts.answer_challenge(&challenge.secret, &code, &from("192.0.2.1")).await, Err(SignInError::Code)));
}

#[tokio::test]
async fn an_enrolment_that_takes_too_long_is_over() {
    let world = World::new().await;
    let shown = world.accounts.enrol_second_factor(&world.ann_lately()).await.expect("enrolment");
    let authenticator = Authenticator(Secret::new(BASE32_NOPAD.decode(shown.secret.expose()).expect("base 32")));
    world.pass(Duration::from_secs(601));
    let code = authenticator.code(&world);
    let late = world.accounts.confirm_second_factor(&world.ann_lately(), &code, &from("192.0.2.1")).await;
    assert!(matches!(late, Err(SecondFactorError::NotEnrolling)));
    world.sign_in(&from("192.0.2.1")).await;
}

#[tokio::test]
async fn it_is_taken_off_by_a_fresh_code_only() {
    let world = World::new().await;
    let (authenticator, _) = enrolled(&world).await;
    let here = from("192.0.2.1");
    let wrong = world.accounts.disable_second_factor(&world.ann_lately(), &Proof::Code("000000".to_owned()), &here).await;
    assert!(matches!(wrong, Err(SecondFactorError::Code)));
    let code = authenticator.code(&world);
    world.accounts.disable_second_factor(&world.ann_lately(), &Proof::Code(code), &here).await.expect("taken off");
    world.sign_in(&here).await;
    assert!(world.history().await.contains(&Happening::SecondFactorDisabled));
}

#[tokio::test]
async fn a_changed_password_ends_the_sign_ins_that_wait_for_their_second_factor() {
    let world = World::new().await;
    let (authenticator, _) = enrolled(&world).await;
    let challenge = challenged(&world).await;
    let new = crate::NewPassword::new(secret("small boats float")).expect("good");
    world.accounts.change_password(world.ann.id, &secret(PASSWORD), &new, &from("192.0.2.7")).await.expect("changed");
    let code = Proof::Code(authenticator.code(&world));
    let over = world.accounts.answer_challenge(&challenge.secret, &code, &from("192.0.2.1")).await;
    assert!(matches!(over, Err(SignInError::ChallengeOver)));
}
