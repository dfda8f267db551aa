//! Accounts beside a foreign provider that does what a test wants.

use super::World;
use crate::{DeviceSettings, Member, NewPerson, NewProvider, ProviderInfo, Role};
use gatehouse_base::Clock;
use gatehouse_openid::Directory;
use gatehouse_outgoing::{Outgoing, Resolve, Resolved};
use gatehouse_testkit::provider::Provider;
use gatehouse_types::Secret;
use serde_json::{Value, json};
use std::{net::IpAddr, sync::Arc};

pub(super) const AUDIENCE: &str = "https://gatehouse.example.com/devices";

/// Every name is this machine's.
#[derive(Debug)]
struct Here;

impl Resolve for Here {
    fn resolve<'a>(&'a self, _name: &'a str) -> Resolved<'a> {
        Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) })
    }
}

/// Ann's accounts and one provider; Ben has an organisation of his own.
pub(super) struct Foreign {
    pub(super) world: World,
    pub(super) provider: Provider,
    pub(super) ann: Member,
    pub(super) ben: Member,
}

impl Foreign {
    pub(super) async fn new() -> Self {
        let mut world = World::new().await;
        let provider = Provider::start().await;
        world.accounts = world.accounts.clone().with_directory(Some(directory(&world, &[&provider])));
        let ben = super::add(&world.accounts, "ben@example.com").await;
        let home = world.accounts.organisations_of(ben.id).await.expect("organisations").remove(0);
        let ben = Member::of(ben.id, home.id, home.role);
        let ann = world.ann_at_home().await;
        Self { world, provider, ann, ben }
    }

    /// A provider that signs people in and vouches for devices.
    pub(super) fn new_provider(&self) -> NewProvider {
        NewProvider {
            name: "Example".to_owned(),
            issuer: self.provider.issuer().parse().expect("an issuer"),
            client_id: "gatehouse".to_owned(),
            secret: Some(Secret::from("provider's secret".to_owned())),
            scopes: vec!["email".to_owned()],
            sign_in: true,
            new_accounts: false,
            role: None,
            devices: Some(devices()),
        }
    }

    /// The same, configured by Ann for her organisation.
    pub(super) async fn of_ann(&self) -> ProviderInfo {
        self.world.accounts.make_provider(&self.ann, self.new_provider()).await.expect("a provider")
    }

    /// The same, configured for the whole installation.
    pub(super) async fn of_installation(&self) -> ProviderInfo {
        self.world.accounts.make_provider_for(None, self.new_provider()).await.expect("a provider")
    }

    /// Claims of a good access token for a device, with some changed.
    pub(super) fn device_claims(&self, change: Value) -> Value {
        let now = self.world.clock.now().secs();
        let mut claims = json!({
            "iss": self.provider.issuer(), "sub": "device-7", "aud": AUDIENCE, "owner": "acme", "jti": "1", "iat": now, "exp": now + 600,
        });
        for (name, value) in change.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        claims
    }

    pub(super) fn device_token(&self, change: Value) -> Secret {
        Secret::from(self.provider.sign(&self.device_claims(change)))
    }

    /// Somebody who runs the installation.
    pub(super) async fn operator(&self) -> crate::PersonInfo {
        let password = crate::NewPassword::new(super::secret(super::PASSWORD)).expect("a good password");
        let new = NewPerson { email: "root@example.com".parse().expect("address"), name: "Root".to_owned(), password, operator: true };
        self.world.accounts.add_person(new).await.expect("added")
    }
}

pub(super) fn devices() -> DeviceSettings {
    DeviceSettings {
        audience: AUDIENCE.to_owned(),
        owner_claim: "owner".to_owned(),
        device_claim: None,
        types: vec!["at+jwt".to_owned()],
        pkce: true,
        redirect_uri: None,
    }
}

/// A directory that knows where these providers are, and trusts them.
pub(super) fn directory(world: &World, providers: &[&Provider]) -> Directory {
    let anchors = providers.first().map(|provider| provider.anchors());
    let outgoing = gatehouse_outgoing::Config { allow: vec!["127.0.0.1".parse().expect("network")], anchors, ..Default::default() };
    let outgoing = Outgoing::with_resolver(outgoing, Arc::new(Here)).expect("a client");
    Directory::new(outgoing, world.clock.clone(), gatehouse_openid::Config::default())
}

/// Ann as somebody of another role.
pub(super) fn as_role(member: &Member, role: Role) -> Member {
    member.at_most(role)
}
