//! API tokens: what programs show instead of a password.
//!
//! A token is `gth_`, its id, an underscore and its secret; the last characters are a checksum over the rest, so that
//! scanners of source code can tell a token from a text that merely looks like one. Only a digest of the secret is kept.
//! A token acts for its owner in one organisation, with no more than the rights that it was given and that the owner
//! still has there, from the networks that it is limited to, until it expires.

use crate::{
    Accounts, Happening, Right, Role, Sources, StateError, StepUpNeeded, Visitor, counters,
    organisation::Member,
    person::checked_name,
    rows::{self, MARK, TOKENS, TOKENS_OF},
    secret::{self, Digest},
    sources::SeenNetworks,
};
use data_encoding::BASE32_NOPAD;
use gatehouse_base::{Fault, Kind};
use gatehouse_store::{Batch, CommitError, codec::Bytes};
use gatehouse_types::{OrganisationId, PersonId, Secret, UnixTime};
use ring::digest::{SHA256, digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, time::Duration};

/// The most tokens that somebody has.
const MOST: usize = 100;
/// What every API token begins with, and no JWT.
pub(crate) const PREFIX: &str = "gth_";
const ID_BYTES: usize = 10;
const SECRET_BYTES: usize = 20;
const CHECKSUM_BYTES: usize = 5;
/// Every five bytes are eight characters.
const ID_CHARACTERS: usize = 16;
const SECRET_CHARACTERS: usize = 40;
const PURPOSE: &str = "api token";
/// The time of use is written so often, and refusals are told so often.
const SEEN_EVERY: Duration = Duration::from_secs(60);

/// Which token. It is part of the token's text and no secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct TokenId(String);

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What its owner calls it.
    pub name: String,
    /// What it may do.
    pub rights: Vec<Right>,
    /// From where.
    pub sources: Sources,
    /// Until when; nothing for as long as its owner keeps it.
    pub expires: Option<UnixTime>,
}

/// What is to be different about a token.
#[derive(Clone, Debug, Default)]
pub struct TokenChange {
    /// Its name.
    pub name: Option<String>,
    /// What it may do.
    pub rights: Option<Vec<Right>>,
    /// From where.
    pub sources: Option<Sources>,
}

/// A token as it is kept. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ApiToken {
    digest: Bytes,
    person: PersonId,
    organisation: OrganisationId,
    name: String,
    rights: Vec<Right>,
    sources: Sources,
    made: UnixTime,
    expires: Option<UnixTime>,
    used: Option<Used>,
    /// When its owner was told last that it was used from elsewhere.
    #[serde(default)]
    refused: Option<UnixTime>,
    seen: SeenNetworks,
}

/// When and from where a token was used last, to a minute. A stored type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Used {
    /// When.
    pub at: UnixTime,
    /// From where.
    pub address: IpAddr,
}

/// A token as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TokenInfo {
    /// Which one: the characters behind `gth_`.
    pub id: TokenId,
    /// What its owner calls it.
    pub name: String,
    /// The organisation that it acts in.
    pub organisation: OrganisationId,
    /// What it may do.
    pub scopes: Vec<Right>,
    /// From where.
    pub sources: Sources,
    /// Since when.
    pub made: UnixTime,
    /// Until when.
    pub expires: Option<UnixTime>,
    /// When and from where it was used last.
    pub used: Option<Used>,
}

/// A token cannot be made, changed or used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The name is empty or too long.
    #[error("a name has 1 to 100 characters, none of which is a control character")]
    Name,
    /// It would be allowed nothing, or more than its maker.
    #[error("a token has at least one scope, and none that its maker's role `{role}` does not have")]
    Rights {
        /// The maker's role.
        role: Role,
    },
    /// It would have expired already.
    #[error("a token expires in the future")]
    Expired,
    /// Tokens are people's.
    #[error("a program has no API tokens; its own token is enough")]
    NoPerson,
    /// It has to be proven once more who asks.
    #[error(transparent)]
    StepUp(#[from] StepUpNeeded),
    /// The owner has too many.
    #[error("somebody has {MOST} tokens at most; revoke one first")]
    TooMany,
    /// The owner has no such token.
    #[error("there is no such token")]
    Unknown,
    /// The accounts could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Why a token that was shown is not good.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenRefused {
    /// It is no token of ours, or was revoked, or has expired.
    #[error("this token is not known, was revoked or has expired")]
    Unknown,
    /// It is limited to other networks.
    #[error("this token may not be used from {address}")]
    Source {
        /// From where it was used.
        address: IpAddr,
    },
    /// The accounts could not be read.
    #[error(transparent)]
    State(#[from] StateError),
}

/// What a good token allows.
#[derive(Clone, Debug)]
pub(crate) struct TokenGrant {
    pub(crate) person: PersonId,
    pub(crate) organisation: OrganisationId,
    pub(crate) rights: Vec<Right>,
}

impl Accounts {
    /// Makes a token that acts for this member. The answer's secret is shown once.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn make_token(&self, owner: &Member, new: NewToken, from: &Visitor) -> Result<(TokenInfo, Secret), TokenError> {
        let person = owner.person.ok_or(TokenError::NoPerson)?;
        owner.check_lately()?;
        let now = self.clock.now();
        let name = checked_name(&new.name).ok_or(TokenError::Name)?;
        check_rights(owner.role, &new.rights)?;
        if new.expires.is_some_and(|expires| expires <= now) {
            return Err(TokenError::Expired);
        }
        let (id, text) = self.draw_token();
        let token = ApiToken {
            digest: secret::digest_of(PURPOSE, &text).to_vec().into(),
            person,
            organisation: owner.organisation,
            name: name.clone(),
            rights: new.rights,
            sources: new.sources,
            made: now,
            expires: new.expires,
            used: None,
            refused: None,
            seen: SeenNetworks::default(),
        };
        rows::change(&self.events, || async {
            // Written back with the token: two that are made at the same moment would each see the other one missing.
            let row = self.find_person(person).await?.ok_or(TokenError::Unknown)?;
            if rows::tails(&self.events, TOKENS_OF, rows::by_person(person), MOST).await?.len() >= MOST {
                return Err(TokenError::TooMany);
            }
            let batch = row.rewritten().and(rows::new(TOKENS, id.0.as_bytes(), &token));
            let batch = batch.put(TOKENS_OF, rows::of_person(person, id.0.as_bytes()), MARK);
            let happening = Happening::TokenMade { token: id.0.clone(), name: name.clone() };
            Ok((self.telling(batch, person, happening, Some(from)).await?, ()))
        })
        .await?;
        Ok((token.info(id), text))
    }

    /// Somebody's tokens.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn tokens(&self, person: PersonId) -> Result<Vec<TokenInfo>, StateError> {
        let mut tokens = Vec::new();
        for key in rows::tails(&self.events, TOKENS_OF, rows::by_person(person), MOST).await? {
            let id = TokenId(String::from_utf8_lossy(&key).into_owned());
            if let Some(row) = rows::find::<ApiToken>(&self.events, TOKENS, key).await? {
                tokens.push(row.value.info(id));
            }
        }
        tokens.sort_by_key(|token| token.made);
        Ok(tokens)
    }

    /// Changes a token of this member's in this organisation. It holds from the next request on.
    ///
    /// # Errors
    /// There is none of this id, or it would be allowed more than its owner.
    pub async fn change_token(&self, owner: &Member, id: &str, change: TokenChange, from: &Visitor) -> Result<TokenInfo, TokenError> {
        let person = owner.person.ok_or(TokenError::NoPerson)?;
        owner.check_lately()?;
        if let Some(rights) = &change.rights {
            check_rights(owner.role, rights)?;
        }
        let name = change.name.as_deref().map(|name| checked_name(name).ok_or(TokenError::Name)).transpose()?;
        rows::change(&self.events, || async {
            let mut row = self.own_token(person, id).await?;
            if row.value.organisation != owner.organisation {
                return Err(TokenError::Unknown);
            }
            let token = &mut row.value;
            token.name = name.clone().unwrap_or_else(|| token.name.clone());
            token.rights = change.rights.clone().unwrap_or_else(|| token.rights.clone());
            token.sources = change.sources.clone().unwrap_or_else(|| token.sources.clone());
            let info = row.value.info(TokenId(id.to_owned()));
            let happening = Happening::TokenChanged { token: id.to_owned() };
            Ok((self.telling(row.rewritten(), person, happening, Some(from)).await?, info))
        })
        .await
    }

    /// Revokes one of somebody's tokens. It is refused from the next request on.
    ///
    /// # Errors
    /// There is none of this id.
    pub async fn revoke_token(&self, person: PersonId, id: &str, from: &Visitor) -> Result<(), TokenError> {
        rows::change(&self.events, || async {
            let row = self.own_token(person, id).await?;
            let batch = row.deleted().delete(TOKENS_OF, rows::of_person(person, id.as_bytes()));
            let happening = Happening::TokenRevoked { token: id.to_owned() };
            Ok((self.telling(batch, person, happening, Some(from)).await?, ()))
        })
        .await
    }

    /// Ends all of somebody's tokens, in a batch.
    pub(crate) async fn ending_tokens(&self, batch: Batch, person: PersonId) -> Result<Batch, StateError> {
        let ids = rows::tails(&self.events, TOKENS_OF, rows::by_person(person), MOST).await?;
        Ok(ids.into_iter().fold(batch, |batch, id| batch.delete(TOKENS_OF, rows::of_person(person, &id)).delete(TOKENS, id)))
    }

    /// Ends somebody's tokens in an organisation, in a batch that conflicts with one that is made at the same moment.
    pub(crate) async fn ending_tokens_in(&self, batch: Batch, person: PersonId, organisation: OrganisationId) -> Result<Batch, StateError> {
        let mut batch = if let Some(row) = self.find_person(person).await? { batch.and(row.unchanged()) } else { batch };
        for id in rows::tails(&self.events, TOKENS_OF, rows::by_person(person), MOST).await? {
            let row = rows::find::<ApiToken>(&self.events, TOKENS, id.clone()).await?;
            if row.is_some_and(|row| row.value.organisation == organisation) {
                batch = batch.delete(TOKENS_OF, rows::of_person(person, &id)).delete(TOKENS, id);
            }
        }
        Ok(batch)
    }

    /// What a token that was shown allows.
    pub(crate) async fn token(&self, text: &Secret, from: &Visitor) -> Result<(TokenId, TokenGrant), TokenRefused> {
        let unknown = || {
            counters::token_refused("unknown");
            TokenRefused::Unknown
        };
        let id = id_in(text).ok_or_else(unknown)?;
        let row = rows::find::<ApiToken>(&self.events, TOKENS, id.0.as_bytes()).await?.ok_or_else(unknown)?;
        let shown: Digest = secret::digest_of(PURPOSE, text);
        let now = self.clock.now();
        let good = Secret::new(row.value.digest.to_vec()) == Secret::new(shown.to_vec());
        if !good || row.value.expires.is_some_and(|expires| expires <= now) {
            return Err(unknown());
        }
        if !row.value.sources.allow(from.address) {
            counters::token_refused("source");
            self.note_refusal(&id, row, from, now).await?;
            return Err(TokenRefused::Source { address: from.address });
        }
        let grant = TokenGrant { person: row.value.person, organisation: row.value.organisation, rights: row.value.rights.clone() };
        self.note_use(&id, row, from, now).await?;
        Ok((id, grant))
    }

    async fn note_use(&self, id: &TokenId, mut row: rows::Row<ApiToken>, from: &Visitor, now: UnixTime) -> Result<(), StateError> {
        let elsewhere = row.value.seen.add(from.address);
        let recent = row.value.used.is_some_and(|used| now < used.at + SEEN_EVERY);
        if recent && !elsewhere {
            return Ok(());
        }
        row.value.used = Some(Used { at: now, address: from.address });
        let mut batch = row.rewritten();
        if elsewhere {
            let happening = Happening::TokenUsedFromNewNetwork { token: id.0.clone() };
            batch = self.telling(batch, row.value.person, happening, Some(from)).await?;
        }
        // Another request may write the same at this moment, or the owner changes the token: then theirs counts.
        let _ = self.events.commit(batch).await;
        Ok(())
    }

    /// Tells the owner, and not for every request: whoever has a token that leaked must not fill their history with it.
    async fn note_refusal(&self, id: &TokenId, mut row: rows::Row<ApiToken>, from: &Visitor, now: UnixTime) -> Result<(), StateError> {
        if row.value.refused.is_some_and(|refused| refused <= now && now < refused + SEEN_EVERY) {
            return Ok(());
        }
        row.value.refused = Some(now);
        let happening = Happening::TokenRefused { token: id.0.clone(), reason: "source".to_owned() };
        let batch = self.telling(row.rewritten(), row.value.person, happening, Some(from)).await?;
        match self.events.commit(batch).await {
            // Another request has told it at this moment, or the owner changes the token.
            Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn own_token(&self, person: PersonId, id: &str) -> Result<rows::Row<ApiToken>, TokenError> {
        let row = if id.len() == ID_CHARACTERS { rows::find::<ApiToken>(&self.events, TOKENS, id.as_bytes()).await? } else { None };
        row.filter(|row| row.value.person == person).ok_or(TokenError::Unknown)
    }

    fn draw_token(&self) -> (TokenId, Secret) {
        let mut bytes = vec![0; ID_BYTES + SECRET_BYTES];
        self.random.fill(&mut bytes);
        let (id, secret) = bytes.split_at(ID_BYTES);
        let id = TokenId(BASE32_NOPAD.encode(id).to_lowercase());
        let text = text_of(&id, secret);
        (id, text)
    }
}

/// The whole token.
pub(crate) fn text_of(TokenId(id): &TokenId, secret: &[u8]) -> Secret {
    let secret = Secret::new([secret, &checksum(id, secret)].concat());
    Secret::from(format!("{PREFIX}{id}_{}", secret::lower_case(&BASE32_NOPAD, &secret)))
}

/// The id in the text of a token, if the checksum says that the text is one. A mistyped token costs no look into the store.
fn id_in(text: &Secret) -> Option<TokenId> {
    let text = std::str::from_utf8(text.expose()).ok()?;
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    if id.len() != ID_CHARACTERS || secret.len() != SECRET_CHARACTERS || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let bytes = Secret::new(BASE32_NOPAD.decode(secret.to_uppercase().as_bytes()).ok()?);
    let (secret, sum) = bytes.expose().split_at_checked(SECRET_BYTES)?;
    (sum == checksum(id, secret)).then(|| TokenId(id.to_owned()))
}

fn checksum(id: &str, secret: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let text = Secret::new([b"gatehouse api token checksum", id.as_bytes(), secret].concat());
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&digest(&SHA256, text.expose()).as_ref()[..CHECKSUM_BYTES]);
    sum
}

fn check_rights(role: Role, rights: &[Right]) -> Result<(), TokenError> {
    let good = !rights.is_empty() && rights.len() <= Right::ALL.len() && rights.iter().all(|right| role.has(*right));
    if good { Ok(()) } else { Err(TokenError::Rights { role }) }
}

impl ApiToken {
    fn info(&self, id: TokenId) -> TokenInfo {
        let Self { name, organisation, rights, sources, made, expires, used, .. } = self.clone();
        TokenInfo { id, name, organisation, scopes: rights, sources, made, expires, used }
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Fault for TokenError {
    fn kind(&self) -> Kind {
        match self {
            Self::Name | Self::Rights { .. } | Self::Expired => Kind::Invalid,
            Self::NoPerson => Kind::Forbidden,
            Self::StepUp(error) => error.kind(),
            Self::TooMany => Kind::Conflict,
            Self::Unknown => Kind::NotFound,
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Rights { .. } => "token-scopes",
            Self::Expired => "token-expired",
            Self::NoPerson => "token-without-person",
            Self::StepUp(error) => error.code(),
            Self::TooMany => "too-many-tokens",
            Self::Unknown => "no-such-token",
            Self::State(error) => error.code(),
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::Name => Some("name"),
            Self::Rights { .. } => Some("scopes"),
            Self::Expired => Some("expires"),
            Self::NoPerson | Self::StepUp(_) | Self::TooMany | Self::Unknown | Self::State(_) => None,
        }
    }
}

impl Fault for TokenRefused {
    fn kind(&self) -> Kind {
        match self {
            Self::Unknown => Kind::Unauthenticated,
            Self::Source { .. } => Kind::Forbidden,
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "bad-token",
            Self::Source { .. } => "token-source",
            Self::State(error) => error.code(),
        }
    }
}
