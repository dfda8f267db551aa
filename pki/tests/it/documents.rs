//! What `docs/certificates.md` says is what the code does.

use gatehouse_pki::{Builtin, KeyAlgorithm, LintRule, Profile, Role, Use};

const DOCUMENT: &str = include_str!("../../../docs/certificates.md");

#[test]
fn the_example_of_a_profile_is_one() {
    let (_, rest) = DOCUMENT.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let profile = Profile::from_toml(example).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(profile.name(), "meter");
}

#[test]
fn every_profile_and_every_rule_of_the_lint_is_described() {
    for builtin in Builtin::ALL {
        let name = Profile::builtin(builtin).name().to_owned();
        assert!(DOCUMENT.contains(&format!("| `{name}` |")), "{name}");
    }
    for rule in LintRule::ALL {
        assert!(DOCUMENT.contains(&format!("`{}`", rule.code())), "{}", rule.code());
    }
}

#[test]
fn the_table_of_keys_is_the_one_that_is_applied() {
    let rows = [
        ("ECDSA P-256", KeyAlgorithm::P256),
        ("ECDSA P-384", KeyAlgorithm::P384),
        ("Ed25519", KeyAlgorithm::Ed25519),
        ("RSA, 2048 to 4096 bits", KeyAlgorithm::Rsa { bits: 3072 }),
        ("everything else", KeyAlgorithm::Rsa { bits: 1024 }),
    ];
    for (name, algorithm) in rows {
        let columns = [Role::Leaf, Role::Intermediate, Role::Anchor].map(|role| match role.key_use(algorithm) {
            Use::Issued => "issued",
            Use::Accepted => "accepted",
            Use::Refused => "refused",
        });
        let row = format!("| {name} | {} |\n", columns.join(" | "));
        assert!(DOCUMENT.contains(&row), "{row}");
    }
}
