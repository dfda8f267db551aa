//! What is said about a provider when it is configured, and what of it goes together.

use super::ProviderError;
use crate::{Role, person::checked_name};
use gatehouse_openid::Issuer;
use gatehouse_types::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const MOST_SECRET_BYTES: usize = 1024;
const MOST_WORD_BYTES: usize = 255;
const MOST_SCOPES: usize = 20;
const MOST_TYPES: usize = 5;
const MOST_DOMAINS: usize = 20;

/// A provider to be configured.
#[derive(Clone, Debug)]
pub struct NewProvider {
    /// What people see on the button.
    pub name: String,
    /// Its name, where its documents begin.
    pub issuer: Issuer,
    /// As which client it knows us.
    pub client_id: String,
    /// By what it knows that it is us; nothing for a public client.
    pub secret: Option<Secret>,
    /// What is asked for when people sign in, besides `openid`.
    pub scopes: Vec<String>,
    /// Whether it signs people in.
    pub sign_in: bool,
    /// Whether people whom it knows get accounts, where the operator trusts it for their address.
    pub new_accounts: bool,
    /// What such people become in the provider's organisation.
    pub role: Option<Role>,
    /// How it vouches for devices, if it does.
    pub devices: Option<DeviceSettings>,
}

/// How a provider vouches for devices. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceSettings {
    /// For whom its tokens have to be: one of their audiences.
    pub audience: String,
    /// The claim that says who the owner is.
    pub owner_claim: String,
    /// The claim that says which device it is; nothing where tokens are bound to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_claim: Option<String>,
    /// Of which types its tokens may be. Default: `at+jwt` (RFC 9068).
    #[serde(default = "DeviceSettings::access_tokens")]
    pub types: Vec<String>,
    /// Whether codes are tied to a verifier (RFC 7636), which then has to come with each. Default `true`.
    #[serde(default = "yes")]
    pub pkce: bool,
    /// Where the codes of devices were sent. Default: where those of people are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_uri: Option<String>,
}

/// For what the operator of this installation trusts a provider. A stored type: its old forms must still load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// Domains whose addresses the provider speaks for: somebody with a verified address there is the account with that address.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Whether its word (`amr`) stands for a second factor.
    #[serde(default)]
    pub second_factor: bool,
}

impl DeviceSettings {
    /// RFC 9068 §2.1.
    pub(crate) fn access_tokens() -> Vec<String> {
        vec!["at+jwt".to_owned()]
    }
}

fn yes() -> bool {
    true
}

impl NewProvider {
    /// The same with what can be put right put right.
    pub(crate) fn checked(mut self, of_organisation: bool) -> Result<Self, ProviderError> {
        self.name = checked_name(&self.name).ok_or(ProviderError::Name)?;
        let word = |text: &str| (1..=MOST_WORD_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        let scopes = self.scopes.len() <= MOST_SCOPES && self.scopes.iter().all(|scope| word(scope) && !scope.contains(['"', '\\']));
        let secret = self.secret.as_ref().is_none_or(|secret| (1..=MOST_SECRET_BYTES).contains(&secret.len()));
        if !word(&self.client_id) || !scopes || !secret {
            return Err(ProviderError::Shape("the client's id, its secret and the scopes are printable and of a usual length"));
        }
        if !self.sign_in && self.devices.is_none() {
            return Err(ProviderError::Shape("a provider signs people in, vouches for devices, or both"));
        }
        // Whoever an organisation's provider brings is somebody there, or could do nothing at all.
        if self.role.is_some() != (self.new_accounts && of_organisation) {
            return Err(ProviderError::Shape("new accounts of an organisation's provider have a `role` there, and nothing else has one"));
        }
        if let Some(devices) = &mut self.devices {
            devices.types.iter_mut().for_each(|typ| typ.make_ascii_lowercase());
            devices.check(&self.client_id)?;
        }
        Ok(self)
    }
}

impl DeviceSettings {
    fn check(&self, client_id: &str) -> Result<(), ProviderError> {
        let word = |text: &str| (1..=MOST_WORD_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
        let claims = [Some(&self.owner_claim), self.device_claim.as_ref()].into_iter().flatten().all(|claim| word(claim));
        let types = (1..=MOST_TYPES).contains(&self.types.len()) && self.types.iter().all(|typ| word(typ));
        if !word(&self.audience) || !claims || !types {
            return Err(ProviderError::Shape("audience, claims and types are texts of a usual length, and there is a type"));
        }
        // Its ID tokens are for the client as well, and would pass for access tokens.
        if self.audience == client_id && self.types.iter().any(|typ| typ != "at+jwt") {
            return Err(ProviderError::Shape("tokens whose audience is the client itself are of the type `at+jwt`"));
        }
        let redirect = self.redirect_uri.as_ref().is_none_or(|uri| uri.starts_with("https://") && word(uri));
        if redirect { Ok(()) } else { Err(ProviderError::Shape("the redirect URI is https://…")) }
    }
}

impl Trust {
    pub(crate) fn checked(mut self) -> Result<Self, ProviderError> {
        let is_domain = |domain: &String| format!("a@{domain}").parse::<crate::Email>().is_ok() && domain.contains('.');
        self.domains.iter_mut().for_each(|domain| *domain = domain.to_lowercase());
        if self.domains.len() <= MOST_DOMAINS && self.domains.iter().all(is_domain) { Ok(self) } else { Err(ProviderError::Domains) }
    }

    /// Whether the operator lets the provider speak for an address: its whole domain, and no other one below or above.
    pub(crate) fn speaks_for(&self, email: &crate::Email) -> bool {
        let folded = email.folded();
        folded.rsplit_once('@').is_some_and(|(_, domain)| self.domains.iter().any(|trusted| trusted == domain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> NewProvider {
        NewProvider {
            name: " Example ".to_owned(),
            issuer: "https://login.example.com".parse().expect("an issuer"),
            client_id: "gatehouse".to_owned(),
            secret: None,
            scopes: vec!["email".to_owned()],
            sign_in: true,
            new_accounts: false,
            role: None,
            devices: None,
        }
    }

    fn devices() -> DeviceSettings {
        serde_json::from_str(r#"{"audience":"devices","owner_claim":"owner"}"#).expect("settings")
    }

    #[test]
    fn what_goes_together_is_taken() {
        assert_eq!(new().checked(true).expect("good").name, "Example");
        let with = |change: fn(&mut NewProvider)| {
            let mut new = new();
            change(&mut new);
            new
        };
        assert!(with(|new| new.new_accounts = true).checked(false).is_ok());
        assert!(with(|new| (new.new_accounts, new.role) = (true, Some(Role::Viewer))).checked(true).is_ok());
        assert!(with(|new| (new.sign_in, new.devices) = (false, Some(devices()))).checked(true).is_ok());
        assert_eq!((devices().types, devices().pkce), (vec!["at+jwt".to_owned()], true));
    }

    #[test]
    fn what_does_not_is_refused() {
        type Change = fn(&mut NewProvider);
        let refused: [(Change, bool); 12] = [
            (|new| new.name = String::new(), true),
            (|new| new.client_id = "a b".to_owned(), true),
            (|new| new.client_id = String::new(), true),
            (|new| new.secret = Some(Secret::new(vec![b'a'; 2000])), true),
            (|new| new.scopes = vec!["a b".to_owned()], true),
            (|new| new.scopes = vec!["a".to_owned(); 21], true),
            (|new| new.sign_in = false, true),
            (|new| new.new_accounts = true, true),
            (|new| new.role = Some(Role::Viewer), true),
            (|new| (new.new_accounts, new.role) = (true, Some(Role::Viewer)), false),
            (|new| new.devices = Some(DeviceSettings { types: Vec::new(), ..devices() }), true),
            (
                |new| new.devices = Some(DeviceSettings { audience: "gatehouse".to_owned(), types: vec!["JWT".to_owned()], ..devices() }),
                true,
            ),
        ];
        for (at, (change, of_organisation)) in refused.into_iter().enumerate() {
            let mut new = new();
            change(&mut new);
            assert!(new.checked(of_organisation).is_err(), "case {at}");
        }
    }

    #[test]
    fn a_domain_is_trusted_as_a_whole_and_nothing_beside_it() {
        let trust = Trust { domains: vec!["Example.com".to_owned()], second_factor: false }.checked().expect("good");
        let speaks_for = |email: &str| trust.speaks_for(&email.parse().expect("an address"));
        assert!(speaks_for("ann@example.com") && speaks_for("Ann@EXAMPLE.com"));
        for other in ["ann@sub.example.com", "ann@example.com.evil.example", "ann@notexample.com", "ann@com"] {
            assert!(!speaks_for(other), "{other}");
        }
        for wrong in ["", "com", "a b.com", "*.example.com", "@example.com"] {
            assert!(Trust { domains: vec![wrong.to_owned()], second_factor: false }.checked().is_err(), "{wrong}");
        }
    }
}
