use crate::softhsm::{PIN, SoftHsm};
use cryptoki::{
    object::{Attribute, AttributeType, ObjectClass},
    session::UserType,
    types::AuthPin,
};
use gatehouse_pkcs11::TokenError;
use gatehouse_pki::{Builtin, Facts, Issuer, KeyAlgorithm, Profile, SignedCsr, Signer, SignerError};
use gatehouse_types::{Random, UnixTime};
use std::sync::Arc;

const NOW: UnixTime = UnixTime::from_secs(1_795_000_000);

/// Draws sevens: what is tested here are keys, not serial numbers.
struct Sevens;

impl Random for Sevens {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

#[test]
fn keys_on_both_curves_sign_and_are_found_again() {
    SoftHsm::run(|hsm| {
        let token = hsm.open(PIN, 2).expect("the token");
        for (label, algorithm) in [("p256", KeyAlgorithm::P256), ("p384", KeyAlgorithm::P384)] {
            let key = token.generate(label, algorithm).expect("a key");
            assert_eq!(key.public_key().algorithm(), algorithm);
            let found = token.key(label).expect("the same key");
            assert_eq!(found.public_key(), key.public_key());
            for _ in 0..50 {
                let signature = found.sign(b"message").expect("a signature");
                assert_eq!(key.public_key().verify(key.signature_algorithm(), b"message", &signature), Ok(()));
            }
        }
    });
}

#[test]
fn a_root_and_what_it_issues_come_from_a_token() {
    SoftHsm::run(|hsm| {
        let key = Arc::new(hsm.open(PIN, 1).and_then(|token| token.generate("root", KeyAlgorithm::P384)).expect("a key"));
        let profile = Profile::builtin(Builtin::CustomerRoot);
        let facts = Facts::new().organisation("Acme".parse().expect("a name")).common_name("Acme Root".parse().expect("a name"));
        let approved = profile.approve(SignedCsr::for_key(&*key).expect("it signs"), &facts, NOW).expect("approved");
        let root = Issuer::self_signed(approved, &*key, &Sevens).expect("a root");
        let issuer = Issuer::new(vec![root], key).expect("it issues");
        let device = gatehouse_pki::SoftwareKey::generate(KeyAlgorithm::P256).expect("a key");
        let facts = Facts::new().device("uuid:921e7b6e-5ff7-4559-60d9-bf03bc730cc4".parse().expect("a name"));
        let approved = Profile::builtin(Builtin::OcfIdentity).approve(SignedCsr::for_software_key(&device), &facts, NOW).expect("approved");
        assert!(issuer.issue(approved, &Sevens).is_ok());
    });
}

#[test]
fn the_private_half_cannot_be_read() {
    SoftHsm::run(|hsm| {
        let token = hsm.open(PIN, 1).expect("the token");
        token.generate("line", KeyAlgorithm::P256).expect("a key");
        let module = hsm.other_user();
        let slot = module.get_slots_with_initialized_token().expect("slots")[0];
        // The process is logged in already.
        let session = module.open_ro_session(slot).expect("a session");
        let private = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]).expect("objects")[0];
        let said = session.get_attributes(private, &[AttributeType::Sensitive, AttributeType::Extractable]).expect("attributes");
        assert_eq!(said, [Attribute::Sensitive(true), Attribute::Extractable(false)]);
        assert_eq!(session.get_attributes(private, &[AttributeType::Value]).ok(), Some(vec![]));
    });
}

#[test]
fn labels_are_unique_and_missing_ones_are_named() {
    SoftHsm::run(|hsm| {
        let token = hsm.open(PIN, 1).expect("the token");
        assert!(matches!(token.key("line"), Err(TokenError::NoKey { label }) if label == "line"));
        token.generate("line", KeyAlgorithm::P256).expect("a key");
        assert!(matches!(token.generate("line", KeyAlgorithm::P384), Err(TokenError::KeyExists { .. })));
        assert!(matches!(token.generate("other", KeyAlgorithm::Ed25519), Err(TokenError::Algorithm(_))));
        assert!(token.key("line").is_ok());
    });
}

#[test]
fn a_token_is_found_by_its_label_only_if_one_has_it() {
    SoftHsm::run(|hsm| {
        let open = |label| {
            let sessions = std::num::NonZeroUsize::MIN;
            gatehouse_pkcs11::Token::open(hsm.location(label), PIN.to_owned().into(), sessions).map(drop)
        };
        hsm.initialise("twin");
        hsm.initialise("twin");
        assert!(open("line").is_ok());
        assert!(matches!(open("lin"), Err(TokenError::NoToken { .. })));
        assert!(matches!(open("twin"), Err(TokenError::SeveralTokens { .. })));
    });
}

#[test]
fn a_module_that_is_none_is_named() {
    SoftHsm::run(|hsm| {
        let mut location = hsm.location("line");
        location.module = hsm.tokens().join("libnone.so");
        let refused = gatehouse_pkcs11::Token::open(location, PIN.to_owned().into(), std::num::NonZeroUsize::MIN);
        assert!(matches!(refused, Err(TokenError::Module { .. })), "{refused:?}");
    });
}

#[test]
fn a_refused_pin_is_not_tried_again() {
    SoftHsm::run(|hsm| {
        assert!(matches!(hsm.open("wrong-pin", 1), Err(TokenError::Pin)));

        // The right PIN is changed behind the back of an open token, which then loses its login.
        let token = hsm.open(PIN, 1).expect("the token");
        let key = token.generate("line", KeyAlgorithm::P256).expect("a key");
        let module = hsm.other_user();
        let slot = module.get_slots_with_initialized_token().expect("slots")[0];
        let session = module.open_rw_session(slot).expect("a session");
        session.set_pin(&AuthPin::from(PIN), &AuthPin::from("another-pin")).expect("changed");
        session.logout().expect("logged out");
        for _ in 0..20 {
            let refused = key.sign(b"message");
            assert!(matches!(refused, Err(SignerError::Refused(_))), "{refused:?}");
        }
        // Had each of these been a login, the token would show it, and the right PIN might be locked.
        assert!(!module.get_token_info(slot).expect("a token").user_pin_locked());
        session.login(UserType::User, Some(&AuthPin::from("another-pin"))).expect("the right PIN is accepted");
        assert!(matches!(key.sign(b"message"), Err(SignerError::Refused(_))));
    });
}

#[test]
fn a_lost_login_and_lost_sessions_are_opened_again() {
    SoftHsm::run(|hsm| {
        let token = hsm.open(PIN, 2).expect("the token");
        let key = token.generate("line", KeyAlgorithm::P256).expect("a key");
        assert!(key.sign(b"message").is_ok());

        let other = hsm.other_user();
        let slot = other.get_slots_with_initialized_token().expect("slots")[0];
        other.open_ro_session(slot).and_then(|session| session.logout()).expect("logged out");
        assert!(key.sign(b"message").is_ok());

        // Every session and handle of the process ends with this.
        other.finalize().expect("shut down");
        assert!(key.sign(b"message").is_ok());
        assert!(token.key("line").is_ok());
    });
}

#[test]
fn a_token_that_is_away_is_said_to_be_away_and_serves_again_when_it_is_back() {
    SoftHsm::run(|hsm| {
        let token = hsm.open(PIN, 1).expect("the token");
        let key = token.generate("line", KeyAlgorithm::P256).expect("a key");
        let away = hsm.tokens().with_file_name("drawer");
        let directories: Vec<_> = std::fs::read_dir(hsm.tokens()).expect("tokens").map(|entry| entry.expect("an entry").path()).collect();
        std::fs::create_dir(&away).expect("a directory");
        let drawer = |path: &std::path::Path| away.join(path.file_name().expect("a name"));
        for path in &directories {
            std::fs::rename(path, drawer(path)).expect("pulled out");
        }
        // SoftHSM looks for tokens when it starts.
        hsm.other_user().finalize().expect("shut down");
        for _ in 0..3 {
            let failed = key.sign(b"message");
            assert!(matches!(failed, Err(SignerError::Away(_))), "{failed:?}");
        }
        for path in &directories {
            std::fs::rename(drawer(path), path).expect("put back");
        }
        hsm.other_user().finalize().expect("shut down");
        let signature = key.sign(b"message").expect("it is back");
        assert_eq!(key.public_key().verify(key.signature_algorithm(), b"message", &signature), Ok(()));
    });
}

#[test]
fn more_threads_than_sessions_wait_for_each_other() {
    SoftHsm::run(|hsm| {
        let token = hsm.open(PIN, 2).expect("the token");
        let key = token.generate("line", KeyAlgorithm::P256).expect("a key");
        std::thread::scope(|scope| {
            for thread in 0..16_u8 {
                let key = &key;
                scope.spawn(move || {
                    for count in 0..20_u8 {
                        key.sign(&[thread, count]).expect("a signature");
                    }
                });
            }
        });
    });
}
