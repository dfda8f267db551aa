//! Scopes: what a program asks to see and do for somebody. Words of OpenID, and the rights that roles have.

use crate::{Right, Role};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, str::FromStr};

/// One word of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Word {
    /// Who somebody is, as an ID token (OpenID Connect Core §3.1.2.1).
    OpenId,
    /// What they are called (§5.4).
    Profile,
    /// Their address (§5.4).
    Email,
    /// Going on while they are away: a refresh token (§11).
    OfflineAccess,
    /// Their own account: sessions, tokens, history. Only for programs of the whole installation.
    Account,
    /// A right in an organisation.
    Of(Right),
}

/// A set of words. Stored as the text that clients write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Scope(BTreeSet<Word>);

/// A word that stands for nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no scope `{0}`")]
pub(crate) struct UnknownScope(pub(crate) String);

impl Word {
    const OWN: [Self; 5] = [Self::OpenId, Self::Profile, Self::Email, Self::OfflineAccess, Self::Account];

    /// Every word there is.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::OWN.into_iter().chain(Right::ALL.into_iter().map(Self::Of))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OpenId => "openid",
            Self::Profile => "profile",
            Self::Email => "email",
            Self::OfflineAccess => "offline_access",
            Self::Account => "account",
            Self::Of(right) => right.name(),
        }
    }

    /// What somebody reads who is asked.
    fn sentence(self) -> String {
        match self {
            Self::OpenId => "Know that it is you".to_owned(),
            Self::Profile => "See your name".to_owned(),
            Self::Email => "See your e-mail address".to_owned(),
            Self::OfflineAccess => "Go on while you are away, until you end it".to_owned(),
            Self::Account => "See your account: sessions, tokens and history".to_owned(),
            Self::Of(Right::ReadMembers) => "See the organisation's members".to_owned(),
            Self::Of(Right::ManageMembers) => "Change and remove the organisation's members".to_owned(),
            Self::Of(Right::ReadDevices) => "See the organisation's devices".to_owned(),
            Self::Of(Right::ManageDevices) => "Let devices into the organisation and end what they have".to_owned(),
            Self::Of(Right::ManageClients) => "Let programs into the organisation and remove them".to_owned(),
        }
    }
}

impl Scope {
    pub(crate) fn of(words: impl IntoIterator<Item = Word>) -> Self {
        Self(words.into_iter().collect())
    }

    pub(crate) fn has(&self, word: Word) -> bool {
        self.0.contains(&word)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first word that the other does not have.
    pub(crate) fn beyond(&self, other: &Self) -> Option<Word> {
        self.0.difference(&other.0).next().copied()
    }

    pub(crate) fn and(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).copied().collect())
    }

    /// What both have.
    pub(crate) fn common(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }

    /// The same without a word.
    pub(crate) fn without(&self, word: Word) -> Self {
        Self::of(self.0.iter().copied().filter(|other| *other != word))
    }

    /// The rights in it.
    pub(crate) fn rights(&self) -> Vec<Right> {
        self.0.iter().filter_map(|word| if let Word::Of(right) = word { Some(*right) } else { None }).collect()
    }

    /// What is left of it for somebody of this role.
    pub(crate) fn within(&self, role: Role) -> Self {
        Self::of(self.0.iter().copied().filter(|word| if let Word::Of(right) = word { role.has(*right) } else { true }))
    }

    /// What somebody reads who is asked.
    pub(crate) fn sentences(&self) -> Vec<String> {
        self.0.iter().map(|word| word.sentence()).collect()
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        let word = |name: &str| Word::all().find(|word| word.name() == name).ok_or_else(|| UnknownScope(name.chars().take(64).collect()));
        text.split(' ').filter(|name| !name.is_empty()).map(word).collect::<Result<_, _>>().map(Self)
    }
}

impl TryFrom<String> for Scope {
    type Error = UnknownScope;

    fn try_from(text: String) -> Result<Self, UnknownScope> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.0.iter().map(|word| word.name()).collect();
        out.write_str(&words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_set_of_known_words() {
        let scope: Scope = "members:read  openid openid".parse().expect("a scope");
        assert_eq!(scope.to_string(), "openid members:read");
        assert_eq!("openid root".parse::<Scope>(), Err(UnknownScope("root".to_owned())));
        assert_eq!(scope.rights(), [Right::ReadMembers]);
        assert_eq!(scope.within(Role::Factory).to_string(), "openid");
        assert_eq!(scope.beyond(&"openid".parse().expect("a scope")), Some(Word::Of(Right::ReadMembers)));
        assert!(Word::all().all(|word| !word.sentence().is_empty()));
    }
}
