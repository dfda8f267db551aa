//! What members of an organisation may do: roles, the rights that each has, and rights as the scopes of tokens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What somebody is in an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// May do everything, and appoints owners and administrators.
    Owner,
    /// Manages members who are neither owners nor administrators, and all that the organisation has.
    Admin,
    /// Works with what the organisation has.
    Operator,
    /// Looks.
    Viewer,
    /// Enrols what it makes, and sees nothing else.
    Factory,
}

/// Something that a role allows and a token may be limited to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
pub enum Right {
    /// See the organisation and its members.
    ReadMembers,
    /// Change roles and remove members.
    ManageMembers,
    /// Make and remove the programs that the organisation lets in.
    ManageClients,
    /// See the organisation's devices.
    ReadDevices,
    /// Let devices in and end what they have.
    ManageDevices,
}

/// A set of rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights(u32);

/// A word that is no role or right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} `{given}`; there are {known}")]
pub struct UnknownWord {
    what: &'static str,
    given: String,
    known: String,
}

impl Role {
    /// All of them, the mightiest first.
    pub const ALL: [Self; 5] = [Self::Owner, Self::Admin, Self::Operator, Self::Viewer, Self::Factory];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
            Self::Factory => "factory",
        }
    }

    /// Whether the role has the right.
    pub const fn has(self, right: Right) -> bool {
        match right {
            Right::ReadMembers | Right::ReadDevices => matches!(self, Self::Owner | Self::Admin | Self::Operator | Self::Viewer),
            Right::ManageDevices => matches!(self, Self::Owner | Self::Admin | Self::Operator),
            Right::ManageMembers | Right::ManageClients => matches!(self, Self::Owner | Self::Admin),
        }
    }

    /// All that the role has.
    pub(crate) fn rights(self) -> Rights {
        Rights::of(&Right::ALL).within(|right| self.has(right))
    }

    /// The lesser of two, which is what somebody is who acts through something that is another.
    pub(crate) fn at_most(self, other: Self) -> Self {
        let mightier_first = [self, other].map(|role| Self::ALL.into_iter().position(|one| one == role));
        if mightier_first[0] < mightier_first[1] { other } else { self }
    }

    /// Whether somebody of this role may give the other role or take it away. An administrator who could make owners
    /// would be one.
    pub const fn may_appoint(self, other: Self) -> bool {
        match self {
            Self::Owner => true,
            Self::Admin => matches!(other, Self::Operator | Self::Viewer | Self::Factory),
            Self::Operator | Self::Viewer | Self::Factory => false,
        }
    }
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::ReadMembers, Self::ManageMembers, Self::ManageClients, Self::ReadDevices, Self::ManageDevices];

    /// The word for it in scopes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadMembers => "members:read",
            Self::ManageMembers => "members:write",
            Self::ManageClients => "clients:write",
            Self::ReadDevices => "devices:read",
            Self::ManageDevices => "devices:write",
        }
    }
}

impl Rights {
    /// These.
    pub(crate) fn of(rights: &[Right]) -> Self {
        Self(rights.iter().fold(0, |bits, right| bits | 1 << *right as u32))
    }

    pub(crate) fn has(self, right: Right) -> bool {
        self.0 & 1 << right as u32 != 0
    }

    /// Those of them for which this holds.
    pub(crate) fn within(self, holds: impl Fn(Right) -> bool) -> Self {
        Right::ALL.into_iter().filter(|right| !holds(*right)).fold(self, |Self(bits), right| Self(bits & !(1 << right as u32)))
    }
}

fn unknown(what: &'static str, given: &str, known: &[&str]) -> UnknownWord {
    UnknownWord { what, given: given.chars().take(64).collect(), known: known.join(", ") }
}

impl FromStr for Role {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| unknown("role", text, &Self::ALL.map(Self::name)))
    }
}

impl FromStr for Right {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|right| right.name() == text).ok_or_else(|| unknown("scope", text, &Self::ALL.map(Self::name)))
    }
}

impl TryFrom<String> for Right {
    type Error = UnknownWord;

    fn try_from(text: String) -> Result<Self, UnknownWord> {
        text.parse()
    }
}

impl From<Right> for String {
    fn from(right: Right) -> Self {
        right.name().to_owned()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl fmt::Display for Right {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_role_may_is_as_it_is_written_down() {
        let table: Vec<_> = Role::ALL.into_iter().map(|role| (role.name(), Right::ALL.map(|right| role.has(right)))).collect();
        let written = [
            ("owner", [true, true, true, true, true]),
            ("admin", [true, true, true, true, true]),
            ("operator", [true, false, false, true, true]),
            ("viewer", [true, false, false, true, false]),
            ("factory", [false, false, false, false, false]),
        ];
        assert_eq!(table, written);
    }

    #[test]
    fn nobody_appoints_somebody_mightier() {
        for (at, role) in Role::ALL.into_iter().enumerate() {
            let appoints: Vec<_> = Role::ALL.into_iter().filter(|other| role.may_appoint(*other)).collect();
            let expected: &[Role] = match role {
                Role::Owner => &Role::ALL,
                Role::Admin => &Role::ALL[at + 1..],
                Role::Operator | Role::Viewer | Role::Factory => &[],
            };
            assert_eq!(appoints, expected, "{role}");
        }
    }

    #[test]
    fn a_set_of_rights_has_those_that_were_put_in_and_shrinks() {
        let all = Rights::of(&Right::ALL);
        assert!(Right::ALL.into_iter().all(|right| all.has(right) && !Rights::default().has(right)));
        let reads = all.within(|right| matches!(right, Right::ReadMembers | Right::ReadDevices));
        assert_eq!((reads, Role::Viewer.rights()), (Role::Viewer.rights(), Rights::of(&[Right::ReadDevices, Right::ReadMembers])));
    }

    #[test]
    fn of_two_roles_the_lesser_is_what_somebody_is() {
        for (one, other, lesser) in [
            (Role::Owner, Role::Admin, Role::Admin),
            (Role::Viewer, Role::Operator, Role::Viewer),
            (Role::Factory, Role::Owner, Role::Factory),
            (Role::Operator, Role::Operator, Role::Operator),
        ] {
            assert_eq!([one.at_most(other), other.at_most(one)], [lesser; 2]);
        }
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_known_ones() {
        assert_eq!(
            "root".parse::<Role>().expect_err("unknown").to_string(),
            "there is no role `root`; there are owner, admin, operator, viewer, factory"
        );
        assert_eq!(
            "devices".parse::<Right>().expect_err("unknown").to_string(),
            "there is no scope `devices`; there are members:read, members:write, clients:write, devices:read, devices:write"
        );
    }
}
