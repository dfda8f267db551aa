//! The section `[accounts]`: how long things last and how dear passwords are.

use crate::{DeedKind, admission, password};
use gatehouse_base::config::{Choice, Configure, Section};
use std::time::Duration;

/// What an operator can set about accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a session goes on at most. Default 7 days.
    pub session_lifetime: Duration,
    /// How long a session goes on without being used. Default 12 h.
    pub session_idle: Duration,
    /// How long a program goes on for somebody without using its refresh token. Default 14 days.
    pub refresh_idle: Duration,
    /// How long a program goes on for somebody at most before they are asked to sign in again. Default 90 days.
    pub refresh_lifetime: Duration,
    /// Command lines and the like that wait for somebody's answer at once at most. Default 10,000.
    pub device_codes: usize,
    /// With what kind of keys tokens are signed from the next key on: `es256` (default), `eddsa`, or `rs256` for services that read
    /// nothing else.
    pub token_keys: TokenKeys,
    /// Whether anybody may register. Default `false`: people are invited, or added at the console.
    pub registration: bool,
    /// How long the link is good that confirms an address. Default 24 h.
    pub confirmation_lifetime: Duration,
    /// How long the link is good that sets a new password. Default 30 min.
    pub reset_lifetime: Duration,
    /// How long an invitation is good. Default 7 days.
    pub invitation_lifetime: Duration,
    /// How many invitations an organisation sends within a day at most, and somebody in all organisations together. Default 200.
    pub invitations_per_day: u32,
    /// Accounts that wait for their confirmation at most; then nobody registers. Default 10,000.
    pub unconfirmed: usize,
    /// The address by which tokens name this installation, without a slash at its end. Default: `https://`, the external address and
    /// the port of the first `https` listener.
    pub issuer: Option<String>,
    /// The address of a listener that asks clients for certificates, as programs reach it, without a slash at its end. Default:
    /// `https://`, the external address and the port of the first `https` listener with `client_anchors`.
    pub certified_address: Option<String>,
    /// What authenticator applications call this installation. Default `Gatehouse`.
    pub issuer_name: String,
    /// How long it holds for dangerous actions that somebody has shown who they are. Default 5 min.
    pub step_up_window: Duration,
    /// What takes a second operator's word: of `halt`, `resume` (the issue of certificates) and `suspend-organisation`. Default none.
    pub second_person: Vec<DeedKind>,
    /// The most passkeys that somebody has. Default 10.
    pub passkeys: usize,
    /// Failed sign-ins that are remembered at most, for slowing guesses down. Default 100,000.
    pub throttle_entries: usize,
    /// `[accounts.password]`: how dear it is to try one.
    pub password: password::Config,
    /// `[accounts.devices]`: how long codes and tokens of devices last.
    pub devices: admission::Config,
    /// `[accounts.providers]`: how long what foreign providers publish is believed.
    pub providers: gatehouse_openid::Config,
}

/// A kind of key that signs tokens. Those of another kind that exist go on until their time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKeys {
    /// ECDSA on P-256 with SHA-256, which every library reads.
    Es256,
    /// Ed25519 (RFC 8037).
    EdDsa,
    /// RSA of 2048 bits with SHA-256, in the older form (PKCS #1 v1.5).
    Rs256,
}

impl Choice for TokenKeys {
    const ALL: &'static [(&'static str, Self)] = &[("es256", Self::Es256), ("eddsa", Self::EdDsa), ("rs256", Self::Rs256)];
}

impl Default for Config {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Self {
            session_lifetime: HOUR * 24 * 7,
            session_idle: HOUR * 12,
            refresh_idle: HOUR * 24 * 14,
            refresh_lifetime: HOUR * 24 * 90,
            device_codes: 10_000,
            token_keys: TokenKeys::Es256,
            registration: false,
            confirmation_lifetime: HOUR * 24,
            reset_lifetime: HOUR / 2,
            invitation_lifetime: HOUR * 24 * 7,
            invitations_per_day: 200,
            unconfirmed: 10_000,
            issuer: None,
            certified_address: None,
            issuer_name: "Gatehouse".to_owned(),
            step_up_window: HOUR / 12,
            second_person: Vec::new(),
            passkeys: 10,
            throttle_entries: 100_000,
            password: password::Config::default(),
            devices: admission::Config::default(),
            providers: gatehouse_openid::Config::default(),
        }
    }
}

impl Configure for Config {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let defaults = Self::default();
        let minutes = |low: u64, high: u64| Duration::from_secs(low * 60)..=Duration::from_secs(high * 60);
        let session_lifetime = from.within("session_lifetime", defaults.session_lifetime, minutes(5, 60 * 24 * 365));
        let session_idle = from.within("session_idle", defaults.session_idle, minutes(1, 60 * 24 * 90));
        let refresh_idle = from.within("refresh_idle", defaults.refresh_idle, minutes(10, 60 * 24 * 365));
        let refresh_lifetime = from.within("refresh_lifetime", defaults.refresh_lifetime, minutes(10, 60 * 24 * 3650));
        let device_codes = from.within("device_codes", defaults.device_codes, 10..=1_000_000);
        let token_keys = from.or("token_keys", defaults.token_keys);
        let registration = from.or("registration", defaults.registration);
        let confirmation_lifetime = from.within("confirmation_lifetime", defaults.confirmation_lifetime, minutes(5, 60 * 24 * 7));
        let reset_lifetime = from.within("reset_lifetime", defaults.reset_lifetime, minutes(5, 60 * 24));
        let invitation_lifetime = from.within("invitation_lifetime", defaults.invitation_lifetime, minutes(5, 60 * 24 * 30));
        let invitations_per_day = from.within("invitations_per_day", defaults.invitations_per_day, 1..=100_000);
        let unconfirmed = from.within("unconfirmed", defaults.unconfirmed, 10..=1_000_000);
        let issuer: Option<String> = from.optional("issuer");
        if issuer.as_ref().is_some_and(|issuer| !is_address(issuer)) {
            from.refuse("issuer", "is an address like \"https://gatehouse.example.com:8443\"");
            return None;
        }
        let certified_address: Option<String> = from.optional("certified_address");
        if certified_address.as_ref().is_some_and(|address| !is_address(address)) {
            from.refuse("certified_address", "is an address like \"https://gatehouse.example.com:8445\"");
            return None;
        }
        let issuer_name = from.or("issuer_name", defaults.issuer_name);
        let step_up_window = from.within("step_up_window", defaults.step_up_window, minutes(1, 60));
        let second_person = from.or("second_person", defaults.second_person);
        let passkeys = from.within("passkeys", defaults.passkeys, 1..=50);
        let throttle_entries = from.within("throttle_entries", defaults.throttle_entries, 1000..=10_000_000);
        let password = from.section("password");
        let devices = from.section("devices");
        let providers = from.section("providers");
        if issuer_name.is_empty() || issuer_name.len() > 64 || issuer_name.contains(':') {
            from.refuse("issuer_name", "1 to 64 bytes without a colon");
            return None;
        }
        Some(Self {
            session_lifetime,
            session_idle,
            registration,
            confirmation_lifetime,
            reset_lifetime,
            invitation_lifetime,
            invitations_per_day,
            unconfirmed,
            refresh_idle,
            refresh_lifetime,
            device_codes,
            token_keys,
            issuer,
            certified_address,
            issuer_name,
            step_up_window,
            second_person,
            passkeys,
            throttle_entries,
            password: password?,
            devices: devices?,
            providers: providers?,
        })
    }
}

fn is_address(text: &str) -> bool {
    text.starts_with("https://") && !text.ends_with('/') && !text.contains(['?', '#', ' '])
}
